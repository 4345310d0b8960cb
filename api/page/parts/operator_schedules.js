// What can be done with a schedule: fire it, pause it, let it go on.

import { api } from "../api.js";
import { html } from "../lib/preact.js";
import { Button, confirm, toast } from "./index.js";

/** The buttons for a schedule's state; `refresh` is called after something was done. */
export function ScheduleActions({ schedule, refresh }) {
  const name = nameOf(schedule);
  return html`
    <span class="row op-act">
      <${Button} small icon="play" onClick=${() => trigger(schedule, refresh)}>Trigger<span class="visually-hidden"> ${name}</span><//>
      ${schedule.state === "active" && html`<${Button} small icon="pause" onClick=${() => pause(schedule, refresh)}>Pause<span class="visually-hidden"> ${name}</span><//>`}
      ${schedule.state === "paused" && html`<${Button} small onClick=${() => resume(schedule, refresh)}>Resume<span class="visually-hidden"> ${name}</span><//>`}
    </span>
  `;
}

export function nameOf(schedule) {
  return schedule.name ?? schedule.id;
}

/** The fields that say when it fires, for POST /v1/schedules/preview. */
export function whenOf(schedule) {
  const fields = ["cron", "every", "anchor", "at", "timezone", "start_at", "end_at", "exclude"];
  const given = fields.filter((field) => schedule[field] !== null && schedule[field] !== undefined);
  return Object.fromEntries(given.map((field) => [field, schedule[field]]));
}

async function trigger(schedule, refresh) {
  const body = "It fires now, once, by its rule of overlap; its next firing stays where it is.";
  if (!(await confirm({ title: `Trigger ${nameOf(schedule)}?`, body, action: "Trigger" }))) return;
  const run = await api.post(`/v1/schedules/${schedule.id}/trigger`, {});
  const words = { started: "it fired: its job has started", buffered: "it waits for the end of an earlier job" };
  const said = words[run.outcome] ?? `it did not fire: ${run.reason ?? run.outcome}`;
  toast(`${nameOf(schedule)}: ${said}`, { tone: run.outcome in words ? "" : "bad" });
  refresh();
}

async function pause(schedule, refresh) {
  const body = "It fires no more until it is resumed, and what comes meanwhile is skipped. Triggers still work.";
  if (!(await confirm({ title: `Pause ${nameOf(schedule)}?`, body, action: "Pause the schedule", danger: true }))) return;
  await api.post(`/v1/schedules/${schedule.id}/pause`, {});
  toast(`${nameOf(schedule)} is paused`);
  refresh();
}

async function resume(schedule, refresh) {
  await api.post(`/v1/schedules/${schedule.id}/resume`);
  toast(`${nameOf(schedule)} fires again from now on`);
  refresh();
}
