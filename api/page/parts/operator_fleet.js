// Workers at a glance: how busy each is, and what it has worked on longest.

import { html } from "../lib/preact.js";
import { Meter, Tag, duration } from "./index.js";

export function workerColumns() {
  return [
    { name: "name", label: "Worker", cell: (worker) => html`<${Name} worker=${worker} />` },
    { name: "busy", label: "Busy", width: "132px", cell: (worker) => html`<${Busy} worker=${worker} />` },
    { name: "now", label: "Longest now", width: "168px", cell: (worker) => html`<${Longest} worker=${worker} />` },
  ];
}

/** Its slots that are taken, as a bar and in numbers. */
export function Busy({ worker }) {
  const { slots, running } = worker;
  return html`
    <span class="row">
      <${Meter} value=${running.length} max=${Math.max(slots, running.length, 1)} label=${`${running.length} of ${slots} slots are busy`} />
      <span class="small muted num op-still">${running.length} of ${slots}</span>
    </span>
  `;
}

function Name({ worker }) {
  return html`
    <span class="row">
      <span class="mono clip" title=${`${worker.name}, serves ${worker.queues.join(", ")}`}>${worker.name}</span>
      ${worker.stopping && html`<${Tag} tone="warn">stopping<//>`}
    </span>
  `;
}

function Longest({ worker }) {
  const [longest] = worker.running;
  if (!longest) return html`<span class="muted">idle</span>`;
  return html`<span class="clip" title=${`${longest.job}, step ${longest.step}`}>${longest.kind} <span class="muted num">${duration(longest.seconds)}</span></span>`;
}
