// Numbers, sizes and times as people read them. Unknown is always "–".

import { html } from "../lib/preact.js";
import { useClock } from "../live.js";

const UNKNOWN = "–";
const unknown = (value) => value === null || value === undefined || Number.isNaN(value);
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** 1,234 */
export const count = (value) => (unknown(value) ? UNKNOWN : whole.format(value));

/** 12 kB, in steps of 1000. */
export function bytes(value) {
  if (unknown(value)) return UNKNOWN;
  if (value < 1000) return `${value} B`;
  let unit = -1;
  while (value >= 999.5 && unit < 3) {
    value /= 1000;
    unit += 1;
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${["kB", "MB", "GB", "TB"][unit]}`;
}

/** 4 ms, 2.1 s, 3 min 20 s, 2 h 5 min, 3 d 4 h. */
export function duration(seconds) {
  if (unknown(seconds)) return UNKNOWN;
  if (seconds < 0) return `−${duration(-seconds)}`;
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  return coarse(Math.round(seconds));
}

function coarse(seconds) {
  const units = [
    ["d", 86_400],
    ["h", 3600],
    ["min", 60],
    ["s", 1],
  ];
  const first = units.findIndex(([, size]) => seconds >= size);
  const [name, size] = units[first];
  const major = Math.floor(seconds / size);
  const next = units[first + 1];
  const minor = next ? Math.floor((seconds % size) / next[1]) : 0;
  return minor ? `${major} ${name} ${minor} ${next[0]}` : `${major} ${name}`;
}

/** Whole seconds, one unit: how long ago, as lists show it. */
function rough(seconds) {
  if (seconds < 60) return `${Math.max(Math.floor(seconds), 0)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

/** 14:03:22 today, otherwise with the day. */
export function clock(at) {
  if (unknown(at)) return UNKNOWN;
  const moment = new Date(at);
  const time = moment.toLocaleTimeString("en-GB");
  return moment.toDateString() === new Date().toDateString() ? time : `${day(moment)} ${time}`;
}

const day = (moment) => moment.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });

/** A text that is replaced when it changes: a number that grows to the left has not moved what stood there. */
function Text({ of, title, muted = false }) {
  return html`<span key=${of} class=${`num${muted ? " muted" : ""}`} title=${title}>${of}</span>`;
}

/** How long ago it was, or until it is; the whole time in the title. */
export function Age({ at, suffix = "ago" }) {
  const now = useClock();
  if (unknown(at)) return html`<span class="muted">${UNKNOWN}</span>`;
  const moment = new Date(at);
  const seconds = (now - moment.getTime()) / 1000;
  const text = seconds < -1 ? `in ${rough(-seconds)}` : `${rough(seconds)}${suffix ? ` ${suffix}` : ""}`;
  const whole = `${day(moment)} ${moment.toLocaleTimeString("en-GB")}`;
  return html`<time key=${text} class="num" datetime=${moment.toISOString()} title=${whole}>${text}</time>`;
}

export const Duration = ({ seconds }) => html`<${Text} of=${duration(seconds)} muted=${unknown(seconds)} />`;
export const Bytes = ({ of }) =>
  html`<${Text} of=${bytes(of)} title=${unknown(of) ? undefined : `${count(of)} bytes`} />`;
export const Count = ({ of }) => html`<${Text} of=${count(of)} muted=${!of} />`;
export const Rate = ({ of }) =>
  html`<${Text} of=${unknown(of) ? UNKNOWN : `${of < 10 ? of.toFixed(1) : Math.round(of)}/s`} />`;
export const Share = ({ of }) =>
  html`<${Text} of=${unknown(of) ? UNKNOWN : `${of > 0 && of < 0.1 ? (of * 100).toFixed(1)
    : Math.round(of * 100)} %`} />`;
