// How long it is until something happens.

import { html } from "../lib/preact.js";
import { useClock } from "../live.js";
import { clock, duration } from "./index.js";

/** "in 4 min", counted down; "due" once the moment has come, a dash where there is none. */
export function Until({ at }) {
  const now = useClock(1000);
  if (!at) return html`<span class="muted">–</span>`;
  const seconds = Math.ceil((Date.parse(at) - now) / 1000);
  return html`<time datetime=${at} title=${clock(at)} class="num">${seconds > 0 ? `in ${duration(seconds)}` : "due"}</time>`;
}
