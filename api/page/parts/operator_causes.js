// What is stuck, and why: the platform's own diagnosis, in its words, with the way to where it is mended.

import { html } from "../lib/preact.js";
import { link } from "../router.js";
import { Age, Icon, duration } from "./index.js";

// Where each cause is looked at and mended.
const PLACES = {
  queue_without_worker: ["/pools", "See the pools"],
  queue_paused: ["/queues", "See the queues"],
  queue_old: ["/queues", "See the queues"],
  relay_silent: ["/queues", "See the queues"],
  relay_lag: ["/queues", "See the queues"],
  breaker_open: ["/dead-letters", "See what failed"],
  poison_files: ["/dead-letters", "See the dead letters"],
  scaler_at_maximum: ["/pools", "See the pools"],
  scaler_silent: ["/pools", "See the pools"],
  webhook_late: ["/webhooks", "See the webhooks"],
  webhook_failing: ["/webhooks", "See the webhooks"],
  schedule_late: ["/schedules", "See the schedules"],
  workers_losing_leases: ["/workers", "See the workers"],
};
const STATES = {
  ok: { word: "Nothing is stuck", icon: "check", tone: "ok" },
  degraded: { word: "Degraded", icon: "alert", tone: "warn" },
  stuck: { word: "Stuck", icon: "alert", tone: "bad" },
};

/** The state in a word, and each cause; `overview` is GET /v1/overview, null before it has answered. */
export function Causes({ overview }) {
  const state = STATES[overview?.state] ?? { word: "Looking", icon: "clock", tone: "idle" };
  const causes = overview?.causes ?? [];
  return html`
    <section class=${`op-verdict op-tone-${state.tone}`} aria-label="What is stuck, and why">
      <header class="op-verdict-head">
        <${Icon} name=${state.icon} /><h2><span role="status">${state.word}</span></h2>
        <span class="muted">${causesSub(causes)}</span>
        <${Probes} of=${overview?.probes ?? []} />
      </header>
      ${causes.length > 0 && html`<ul class="op-causes">${causes.map((cause) => html`<${Cause} key=${`${cause.code}/${cause.subject}`} cause=${cause} />`)}</ul>`}
    </section>
  `;
}

function causesSub(causes) {
  if (!causes.length) return "";
  const critical = causes.filter((cause) => cause.severity === "critical").length;
  const words = `${causes.length} ${causes.length === 1 ? "cause" : "causes"}`;
  return critical && critical < causes.length ? `${words}, ${critical} critical` : words;
}

/** Whether the servers beneath answered just now, and how fast. */
function Probes({ of }) {
  return html`
    <ul class="op-probes small">
      ${of.map(
        ({ part, ok, seconds, reason }) =>
          html`<li key=${part} class=${`state ${ok ? "ok" : "bad"}`} title=${reason ?? "it answers"}>
            <i aria-hidden="true"></i>${part} <span class="muted num">${ok ? duration(seconds) : "away"}</span>
          </li>`,
      )}
    </ul>
  `;
}

function Cause({ cause }) {
  const critical = cause.severity === "critical";
  const [path, words] = PLACES[cause.code] ?? [];
  return html`
    <li class=${`op-cause ${critical ? "op-critical" : "op-warning"}`} data-code=${cause.code}>
      <span class="op-severity small">${critical ? "critical" : "warning"}</span>
      <div class="op-cause-words">
        <p class="op-sentence">${cause.sentence}</p>
        ${cause.hint && html`<p class="muted">${ticked(cause.hint)}</p>`}
      </div>
      <span class="op-cause-end small muted">
        ${cause.since && html`<span>since <${Age} at=${cause.since} suffix="" /></span>`}
        ${path && html`<a href=${link(path, { find: cause.facts.fingerprint })}>${words}</a>`}
      </span>
    </li>
  `;
}

/** A sentence in which what stands between backticks is code. */
function ticked(text) {
  return text.split("`").map((part, n) => (n % 2 ? html`<code>${part}</code>` : part));
}
