// The columns of a table of jobs.

import { html } from "../lib/preact.js";
import { Age, Duration, Id, Meter, State } from "./index.js";

export function jobColumns() {
  return [
    { name: "id", label: "Job", width: "150px", cell: (job) => html`<${Id} of=${job.id} />` },
    { name: "state", label: "State", width: "116px", cell: (job) => html`<${State} of=${job.state} note=${job.stopping ? "stopping" : undefined} />` },
    { name: "what", label: "What", cell: (job) => html`<${What} job=${job} />` },
    { name: "done", label: "Done", width: "96px", hide: "narrow", cell: (job) => html`<${Done} job=${job} />` },
    { name: "waited", label: "Waited", align: "end", width: "84px", hide: "narrow", cell: (job) => html`<${Duration} seconds=${job.timings.waited_seconds} />` },
    { name: "took", label: "Took", align: "end", width: "84px", cell: (job) => html`<${Duration} seconds=${job.timings.ran_seconds} />` },
    { name: "created", label: "Created", align: "end", width: "96px", cell: (job) => html`<${Age} at=${job.created_at} />` },
  ];
}

function What({ job }) {
  const of = [job.kinds?.join(" + "), job.input?.filename, job.template, job.schedule && "by a schedule", ...marks(job.metadata)].filter(Boolean).join(", ");
  return html`
    <span class="clip" title=${job.error?.message ?? of}>
      ${of}${of && job.error ? " " : ""}${job.error && html`<span class="muted">${job.error.message}</span>`}
      ${!of && !job.error && html`<span class="muted">–</span>`}
    </span>
  `;
}

/** What its owner has written on it, where that is short. */
function marks(metadata) {
  const short = Object.entries(metadata).filter(([, value]) => ["string", "number", "boolean"].includes(typeof value));
  return short.slice(0, 3).map(([name, value]) => `${name}: ${value}`);
}

/** Its progress, which is of interest while it runs. */
function Done({ job }) {
  if (job.finished_at) return html`<span class="muted num">${Math.round(100 * job.progress)} %</span>`;
  return html`<${Meter} value=${job.progress} label=${`${Math.round(100 * job.progress)} % done`} />`;
}
