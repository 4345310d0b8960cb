// The lists beside the picture: labels, things, faces, print, codes, colours, quality.

import { html } from "../lib/preact.js";
import { Meter } from "./charts.js";
import { Copy } from "./controls.js";
import { count } from "./numbers.js";
import { Tag } from "./states.js";

const percent = (score) => `${Math.round(score * 100)} %`;

export function Findings({ result, boxes, lit, light }) {
  const of = (feature) => boxes.filter((box) => box.feature === feature);
  const found = [
    ["Labels", result.labels, () => html`<${Scores} of=${result.labels.map(({ name, score }) => [name, score])} />`],
    ["Objects", result.objects, () => html`<${Places} boxes=${of("objects")} lit=${lit} light=${light} />`],
    ["Faces", result.faces, () => html`<${Places} boxes=${of("faces")} lit=${lit} light=${light} />`],
    ["Text", result.text, () => html`<${Lines} boxes=${of("text")} light=${light} />`],
    ["Codes", result.codes, () => html`<${Codes} boxes=${of("codes")} light=${light} />`],
    ["Colours", result.colors, () => html`<${Palette} colors=${result.colors} />`],
    ["Moderation", result.moderation, () => html`<${Scores} of=${Object.entries(result.moderation)} />`],
    ["Quality", result.quality, () => html`<${Quality} quality=${result.quality} />`],
  ];
  return html`
    <div class="findings">
      ${found.filter(([, told]) => told).map(
        ([title, told, shown]) => html`
          <section key=${title}>
            <h3>${title}</h3>
            ${told.length === 0 ? html`<p class="muted">none</p>` : shown()}
          </section>`,
      )}
      <${Digests} result=${result} />
      ${Object.entries(result.errors || {}).map(
        ([feature, error]) => html`<p key=${feature} class="bad">${feature}: ${error.message}</p>`,
      )}
    </div>`;
}

/** of: [[name, score], …]. */
function Scores({ of }) {
  return html`
    <ul>
      ${of.map(
        ([name, score]) => html`
          <li key=${name} class="sure">
            <span class="clip" title=${name}>${name}</span>
            <${Meter} value=${score} label=${name} />
            <span class="num muted">${percent(score)}</span>
          </li>`,
      )}
    </ul>`;
}

function Places({ boxes, lit, light }) {
  return html`
    <ul>
      ${boxes.map(
        (box) => html`
          <li key=${box.id} class=${`sure place${lit === box.id ? " lit" : ""}`} onMouseEnter=${() => light(box.id)}
            onMouseLeave=${() => light(null)}>
            <span class="clip"><i class=${`swatch ${box.tone}`} aria-hidden="true"></i>${box.name}</span>
            <${Meter} value=${box.score} label=${box.name} />
            <span class="num muted">${percent(box.score)}</span>
          </li>`,
      )}
    </ul>`;
}

function Lines({ boxes, light }) {
  const all = boxes.map((box) => box.name).join("\n");
  return html`
    <div class="read">
      <div tabindex="0" role="region" aria-label="Text that was read">${boxes.map((box) =>
        html`<p key=${box.id} onMouseEnter=${() => light(box.id)}
          onMouseLeave=${() => light(null)}>${box.name}</p>`)}</div>
      <${Copy} text=${all} label="Copy text" />
    </div>`;
}

function Codes({ boxes, light }) {
  return html`
    <ul>
      ${boxes.map(
        (box) => html`
          <li key=${box.id} class="row" onMouseEnter=${() => light(box.id)} onMouseLeave=${() => light(null)}>
            <${Tag} tone="idle">${box.name}<//><code class="clip"
              title=${box.one.text || ""}>${box.one.text ?? "no text"}</code>${box.one.text !== null &&
                html`<${Copy} text=${box.one.text} label="Copy content" />`}
          </li>`,
      )}
    </ul>`;
}

function Palette({ colors }) {
  return html`
    <div class="palette">
      <div class="palette-bar" aria-hidden="true">
        ${colors.map(({ name, score }) => html`<i key=${name} style=${{ background: name, flexGrow: score }}></i>`)}
      </div>
      <ul class="row wrap">
        ${colors.map(
          ({ name, score }) => html`
            <li key=${name} class="row small">
              <i class="swatch" style=${{ background: name }} aria-hidden="true"></i>
              <code>${name}</code>
              <span class="muted num">${percent(score)}</span>
            </li>`,
        )}
      </ul>
    </div>`;
}

const FLAWS = [
  ["blurred", "blurred"],
  ["underexposed", "too dark"],
  ["overexposed", "too bright"],
];

function Quality({ quality }) {
  const flaws = FLAWS.filter(([name]) => quality[name]);
  const numbers = ["sharpness", "exposure", "contrast"].map((name) => `${name} ${percent(quality[name])}`);
  return html`
    <div class="row wrap">
      ${flaws.map(([name, word]) => html`<${Tag} key=${name} tone="warn">${word}<//>`)}
      ${flaws.length === 0 && html`<${Tag} tone="ok">good<//>`}
      <span class="muted small num">${numbers.join(" · ")}</span>
    </div>`;
}

function Digests({ result }) {
  const known = [
    ["phash", result.phash],
    ["blurhash", result.blurhash],
    ["embedding", result.embedding && `${count(result.embedding.length)} numbers`],
  ].filter(([, value]) => value);
  if (known.length === 0) return null;
  return html`<dl class="digests">${known.map(([name, value]) =>
    html`<div key=${name}><dt class="muted">${name}</dt><dd class="clip"><code
      title=${value}>${value}</code></dd></div>`)}</dl>`;
}
