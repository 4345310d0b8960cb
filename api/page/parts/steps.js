// A job's steps, each with how far it has come.

import { html } from "../lib/preact.js";
import { Progress } from "./charts.js";
import { Age, Count, Duration } from "./numbers.js";
import { State, toneOf } from "./states.js";

/** `steps` by name. Rows have one height whatever happens, so that nothing moves while one looks on. */
export function Steps({ steps }) {
  return html`
    <table class="table steps" aria-label="Steps">
      <colgroup>
        ${HEADS.map(([name, , wide]) => html`<col key=${name} class=${wide} />`)}
      </colgroup>
      <thead>
        <tr>
          ${HEADS.map(([name, place]) => html`<th key=${name} scope="col" class=${place}>${name}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${Object.entries(steps).map(([name, step]) => html`<${Step} key=${name} name=${name} step=${step} />`)}
      </tbody>
    </table>`;
}

const HEADS = [
  ["Step", "", "steps-name"],
  ["State", "", "steps-state"],
  ["Progress", "narrow", "narrow"],
  ["Attempts", "end", "steps-number"],
  ["Waited", "end narrow", "steps-number narrow"],
  ["Ran", "end", "steps-number"],
];

function Step({ name, step }) {
  const running = step.state === "running";
  const tries = step.attempts.length + (running ? 1 : 0);
  return html`
    <tr>
      <td><strong>${name}</strong> <span class="muted">${step.kind}</span></td>
      <td><${State} of=${step.state} /></td>
      <td class="narrow">${noteOf(step) || html`<${Bar} name=${name} step=${step} />`}</td>
      <td class="end"><${Count} of=${tries || null} /></td>
      <td class="end narrow"><${Duration} seconds=${step.timings.waited_seconds} /></td>
      <td class="end">
        ${running && html`<${Age} at=${step.started_at} suffix="" />`}
        ${!running && html`<${Duration} seconds=${step.timings.ran_seconds} />`}
      </td>
    </tr>`;
}

function Bar({ name, step }) {
  const known = step.state !== "running" || step.progress > 0;
  const value = known ? step.progress : null;
  return html`<${Progress} value=${value} label=${`Progress of ${name}`} tone=${toneOf(step.state)} />`;
}

/** In place of a bar: why it failed, or what it waits for. */
function noteOf(step) {
  if (step.error && step.state !== "running")
    return html`<span class="bad" title=${step.error.message}>${step.error.message}</span>`;
  if (step.held_for) return html`<span class="warn">held: ${step.held_for}</span>`;
  if (step.state === "waiting" && step.use.length)
    return html`<span class="muted">waits for ${step.use.join(", ")}</span>`;
  return null;
}
