// What an analysis found, drawn on the picture and listed beside it.

import { api } from "../api.js";
import { html, useState } from "../lib/preact.js";
import { contentOf, isPicture, outputsOf } from "../outputs.js";
import { Empty } from "./page.js";
import { Findings } from "./findings.js";

const ALIKE = 0.02; // difference of two pictures' shapes up to which boxes of the one fit the other

/** `result` is that of a step of kind image.analyze. */
export function Analysis({ job, result }) {
  const [lit, light] = useState(null);
  const boxes = boxesOf(result);
  return html`
    <div class="analysis">
      <${Drawn} job=${job} picture=${result.picture} boxes=${boxes} lit=${lit} light=${light} />
      <${Findings} result=${result} boxes=${boxes} lit=${lit} light=${light} />
    </div>`;
}

/** [{id, tone, name, score, box}] of everything that has a place. */
function boxesOf(result) {
  const found = [];
  const add = (feature, tone, list, name) => {
    for (const [index, one] of (list || []).entries())
      found.push({ id: `${feature}/${index}`, feature, tone, name: name(one), score: one.score, box: one.box, one });
  };
  add("objects", "object", result.objects, (one) => one.name);
  add("faces", "face", result.faces, () => "face");
  add("codes", "code", result.codes, (one) => one.name);
  add("text", "text", result.text, (one) => one.text);
  return found;
}

function Drawn({ job, picture, boxes, lit, light }) {
  const sources = sourcesOf(job, picture);
  const [broken, setBroken] = useState(0); // sources that this browser could not show
  const source = sources[broken];
  const shape = {
    aspectRatio: `${picture.width} / ${picture.height}`,
    maxWidth: `calc(460px * ${picture.width / picture.height})`,
  };
  return html`
    <figure class="drawn" style=${shape}>
      ${source && html`<img src=${source} alt="The job's picture" onError=${() => setBroken(broken + 1)} />`}
      ${!source && html`<${Empty} title="This browser cannot show the picture" icon="picture" />`}
      ${boxes.map((box) => html`<${Box} key=${box.id} box=${box} lit=${lit} light=${light} />`)}
    </figure>`;
}

/** The job's own file, and what was made of it in the same shape: a browser shows no HEIC, but the JPEG made of it. */
function sourcesOf(job, picture) {
  const shape = picture.width / picture.height;
  const made = outputsOf(job)
    .filter(
      ({ output }) =>
        isPicture(output.content_type) && output.width && Math.abs(output.width / output.height / shape - 1) < ALIKE,
    )
    .sort((one, other) => other.output.width - one.output.width)
    .map(({ output }) => api.href(output.href));
  return job.input && isPicture(job.input.content_type) ? [api.href(contentOf(job)), ...made] : made;
}

function Box({ box: { id, tone, name, box }, lit, light }) {
  const place = {
    left: `${box.x * 100}%`,
    top: `${box.y * 100}%`,
    width: `${box.width * 100}%`,
    height: `${box.height * 100}%`,
  };
  const dimmed = lit !== null && lit !== id ? " dimmed" : "";
  return html`
    <div class=${`box ${tone}${lit === id ? " lit" : ""}${dimmed}`} style=${place} onMouseEnter=${() => light(id)}
      onMouseLeave=${() => light(null)}>
      ${tone !== "text" && html`<span class=${box.y < 0.06 ? "inside" : ""}>${name}</span>`}
    </div>`;
}
