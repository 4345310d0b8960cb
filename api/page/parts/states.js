// A state in a word with a dot of its colour: the word says it, the colour helps.

import { html } from "../lib/preact.js";

const TONES = {
  ok: "ok",
  succeeded: "ok",
  active: "ok",
  enabled: "ok",
  delivered: "ok",
  started: "ok",
  running: "info",
  retrying: "warn",
  retried: "warn",
  stopping: "warn",
  paused: "warn",
  degraded: "warn",
  warning: "warn",
  pending: "warn",
  lost: "warn",
  missed: "warn",
  skipped: "warn",
  buffered: "info",
  stale: "warn",
  failed: "bad",
  failing: "bad",
  expired: "bad",
  stuck: "bad",
  critical: "bad",
  disabled: "bad",
};

export const toneOf = (state) => TONES[state] || "idle";

export function State({ of, note }) {
  return html`<span class=${`state ${toneOf(of)}${of === "running" ? " live" : ""}`}><i
    aria-hidden="true"></i>${of}${note && html`<span class="muted"> ${note}</span>`}</span>`;
}

export function Tag({ tone = "idle", title, children }) {
  return html`<span class=${`tag ${tone}`} title=${title}>${children}</span>`;
}
