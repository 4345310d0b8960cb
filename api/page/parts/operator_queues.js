// A table of queues: exact numbers, age, what comes and goes, and stopping them.

import { api } from "../api.js";
import { html } from "../lib/preact.js";
import { Flow } from "./operator_flow.js";
import { Button, Count, Duration, State, confirm, count, duration, toast } from "./index.js";

const ONLY_PAUSED = "what runs goes on, and jobs are still accepted";

/** The columns; `whole` has all numbers, otherwise those that matter at a glance. */
export function queueColumns({ flow, whole, act, refresh }) {
  return [
    { name: "name", label: "Queue", width: "92px", cell: (queue) => html`<b>${queue.name}</b>` },
    { name: "state", label: "State", width: "104px", cell: (queue) => html`<${QueueState} queue=${queue} />` },
    number("runnable", "Runnable", "76px", (queue) => queue.load?.runnable, "may run now, and do not yet"),
    { name: "running", label: "Running", align: "end", width: "76px", hide: "op-phone", cell: (queue) => html`<${Running} queue=${queue} />` },
    ...(whole
      ? [
          number("waiting", "Waiting", "66px", (queue) => queue.load?.waiting, "for the steps that they use", "narrow"),
          number("later", "Later", "56px", later, "for their time, or for their next attempt", "narrow"),
        ]
      : []),
    { name: "oldest", label: "Oldest", align: "end", width: "88px", hide: "op-phone", cell: (queue) => html`<${Oldest} queue=${queue} />` },
    ...(whole ? [rates(), service()] : []),
    { name: "flow", label: "Last hour", hide: "narrow", cell: (queue) => html`<${Flow} of=${flow[queue.name]} queue=${queue.name} />` },
    ...(act ? [actions(refresh)] : []),
  ];
}

function number(name, label, width, value, title, hide) {
  return { name, label, align: "end", width, hide, cell: (queue) => html`<span title=${title}><${Count} of=${value(queue)} /></span>` };
}

/** Attempts under way, of those that the workers could have. */
function Running({ queue }) {
  const words = `${count(queue.workers)} ${queue.workers === 1 ? "worker" : "workers"} with ${count(queue.slots)} slots`;
  return html`<span title=${words}><${Count} of=${queue.load?.running} /><span class="muted num"> / ${count(queue.slots)}</span></span>`;
}

function QueueState({ queue }) {
  if (queue.paused) return html`<${State} of="paused" />`;
  if (!queue.load?.runnable || queue.slots) return html`<${State} of="active" />`;
  return html`<span class="state bad" title="steps may run, and no worker serves the queue"><i aria-hidden="true"></i>no worker</span>`;
}

function later(queue) {
  return queue.load && queue.load.scheduled + queue.load.retrying;
}

function Oldest({ queue }) {
  const seconds = queue.load?.oldest_runnable_seconds ?? null;
  return html`<span class=${seconds > 60 ? "warn" : ""} title="how long the oldest runnable step has waited"><${Duration} seconds=${seconds} /></span>`;
}

function rates() {
  return {
    name: "rates",
    label: "In / out per s",
    align: "end",
    width: "104px",
    hide: "narrow",
    cell: ({ load }) =>
      load && html`<span title="over the last minute">${rate(load.arrivals_per_second["1m"])} / ${rate(load.completions_per_second["1m"])}</span>`,
  };
}

function rate(number) {
  return number < 10 ? number.toFixed(1) : Math.round(number);
}

function service() {
  return {
    name: "service",
    label: "Takes (p95)",
    align: "end",
    width: "124px",
    hide: "narrow",
    cell: ({ load }) => {
      const took = load?.service_seconds;
      if (!took) return html`<span class="muted">–</span>`;
      return html`<span title=${`${count(took.samples)} attempts`}>${duration(took.mean)} <span class="muted">(${duration(took.p95)})</span></span>`;
    },
  };
}

function actions(refresh) {
  return {
    name: "act",
    label: html`<span class="visually-hidden">Actions</span>`,
    width: "104px",
    align: "end",
    cell: (queue) =>
      queue.paused
        ? html`<${Button} small icon="play" onClick=${() => set(queue, "resume", refresh)}>Resume<span class="visually-hidden"> ${queue.name}</span><//>`
        : html`<${Button} small icon="pause" onClick=${() => pause(queue, refresh)}>Pause<span class="visually-hidden"> ${queue.name}</span><//>`,
  };
}

async function pause(queue, refresh) {
  const waits = queue.load ? ` ${count(queue.load.runnable)} runnable steps will wait.` : "";
  const body = `Nothing new starts from it, anywhere, for any tenant; ${ONLY_PAUSED}.${waits}`;
  if (!(await confirm({ title: `Pause the queue ${queue.name}?`, body, action: "Pause the queue", danger: true }))) return;
  await set(queue, "pause", refresh);
}

async function set(queue, what, refresh) {
  await api.post(`/v1/queues/${queue.name}/${what}`);
  toast(what === "pause" ? `${queue.name} is paused: ${ONLY_PAUSED}` : `${queue.name} goes on`);
  refresh();
}
