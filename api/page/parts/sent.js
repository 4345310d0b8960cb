// Jobs that were sent from here, as they go.

import { api } from "../api.js";
import { html } from "../lib/preact.js";
import { hasEnded, useJob } from "../live_job.js";
import { isPicture, outputsOf, seenIn } from "../outputs.js";
import { again } from "../sending.js";
import { Progress } from "./charts.js";
import { Button } from "./controls.js";
import { Thumb } from "./drop.js";
import { count, duration } from "./numbers.js";
import { State, Tag, toneOf } from "./states.js";

const STRIP = 8; // pictures shown in a card

export function SentJob({ one }) {
  const { job: live } = useJob(one.job?.id ?? null);
  const job = live || one.job;
  const share = job ? job.progress : one.share;
  return html`
    <li class="sent">
      <${Thumb} src=${one.url} size=${56} />
      <div class="sent-body">
        <div class="sent-head">
          ${job ? html`<a class="clip" href=${`#/jobs/${job.id}`}><strong>${one.name}</strong></a>`
            : html`<strong class="clip">${one.name}</strong>`}
          <${Standing} one=${one} job=${job} />
        </div>
        <div class="sent-bar">
          <${Progress} value=${share} label=${job ? `Progress of ${one.name}` : `Upload of ${one.name}`}
            tone=${job ? toneOf(job.state) : "idle"} />
        </div>
        <div class="sent-strip"><${Made} one=${one} job=${job} /></div>
      </div>
    </li>`;
}

function Standing({ one, job }) {
  if (job)
    return html`<${State} of=${job.stopping ? "stopping" : job.state}
      note=${job.state === "succeeded" ? duration(job.timings.ran_seconds) : null} />`;
  if (one.state === "refused") return html`<${Tag} tone="bad">not sent<//>`;
  return html`<span class="muted num">${one.state === "sending" ? `uploading ${Math.round(one.share * 100)} %`
    : "waiting"}</span>`;
}

function Made({ one, job }) {
  if (one.state === "refused") {
    return html`<span class="bad clip" title=${one.error.detail}>${one.error.detail}</span><${Button} small
      onClick=${() => again(one)}>Try again<//>`;
  }
  if (!job) return null;
  if (job.error) return html`<span class="bad clip" title=${job.error.message}>${job.error.message}</span>`;
  const pictures = outputsOf(job).filter(({ output }) => isPicture(output.content_type));
  const rest = pictures.length - STRIP;
  if (!hasEnded(job) && pictures.length === 0) return html`<${StepsInWords} job=${job} />`;
  return html`
    ${pictures.slice(0, STRIP).map(({ step, output }) =>
      html`<${Thumb} key=${`${step}/${output.name}`} src=${api.href(output.href)} size=${32} alt=${output.name} />`)}
    ${rest > 0 && html`<span class="muted">+${count(rest)}</span>`}
    <span class="muted clip">${seenIn(job)}</span>`;
}

function StepsInWords({ job }) {
  return html`<span class="row">${Object.entries(job.steps).map(([name, step]) =>
    html`<span key=${name} class="row muted"><${State} of=${step.state} /><span>${name}</span></span>`)}</span>`;
}
