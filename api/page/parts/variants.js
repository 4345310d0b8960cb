// The files that a job has made: pictures as pictures, others by name.

import { api } from "../api.js";
import { html, useState } from "../lib/preact.js";
import { isPicture } from "../outputs.js";
import { Icon } from "./icons.js";
import { bytes } from "./numbers.js";

export function Variants({ outputs }) {
  return html`<ul class="variants">${outputs.map(({ step, output }) =>
    html`<${Variant} key=${`${step}/${output.name}`} step=${step} output=${output} />`)}</ul>`;
}

function Variant({ step, output }) {
  const at = api.href(output.href);
  const file = fileNameOf(output);
  const facts = [sizeOf(output), formatOf(output), bytes(output.bytes)];
  return html`
    <li class="variant">
      <a class="variant-picture" href=${at} target="_blank" rel="noopener" aria-label=${`Open ${file}`}>
        ${isPicture(output.content_type) ? html`<${Picture} src=${at} output=${output} />`
          : html`<${Icon} name="file" size=${24} />`}
      </a>
      <div class="variant-facts">
        <div class="spread">
          <strong class="clip" title=${`${step} / ${output.name}`}>${output.name}</strong>
          <a class="icon-button" href=${at} download=${file} aria-label=${`Download ${file}`} title="Download">
            <${Icon} name="down" />
          </a>
        </div>
        <p class="muted small num clip">${facts.filter(Boolean).join(" · ")}</p>
      </div>
    </li>`;
}

function Picture({ src, output }) {
  const [broken, set] = useState(false);
  if (broken) return html`<${Icon} name="picture" size=${24} />`;
  return html`<img src=${src} alt=${output.name} loading="lazy" decoding="async" onError=${() => set(true)} />`;
}

const sizeOf = (output) => (output.width ? `${output.width} × ${output.height}` : null);

const formatOf = (output) =>
  (output.content_type || "")
    .replace(/^image\//, "")
    .replace("svg+xml", "svg")
    .toUpperCase();

const ENDINGS = { "image/jpeg": "jpg", "image/svg+xml": "svg", "application/json": "json", "text/plain": "txt" };

function fileNameOf(output) {
  if (output.name.includes(".")) return output.name;
  const ending = ENDINGS[output.content_type] || (output.content_type || "").split("/")[1];
  return ending ? `${output.name}.${ending}` : output.name;
}
