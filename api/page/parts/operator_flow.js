// What has come to a queue and what has gone, over the last hour: two lines on one small picture.

import { html, useMemo } from "../lib/preact.js";
import { usePoll } from "../live.js";
import { count } from "./index.js";

const EVERY = 10_000;
const MINUTES = 60;
const WIDTH = 240; // of the drawing, which is stretched to its place
const HEIGHT = 24;

/** GET /v1/queues/flow as `{queue: {arrived: number[], ended: number[]}}`, oldest first; {} before it has answered. */
export function useFlow(enabled = true) {
  const { data, error } = usePoll(enabled ? "/v1/queues/flow" : null, { query: { minutes: MINUTES }, every: EVERY });
  const flow = useMemo(() => (data ? drawn(data) : {}), [data]);
  return { flow, error };
}

/** `flow` of one queue, as wide as its place; nothing but its ground line while there is none. */
export function Flow({ of, queue }) {
  const arrived = of?.arrived ?? [];
  const ended = of?.ended ?? [];
  const most = Math.max(1, ...arrived, ...ended);
  const line = (points) => points.map((one, n) => `${across(n, points)},${(HEIGHT - 1 - (one / most) * (HEIGHT - 4)).toFixed(1)}`).join(" ");
  const sum = (points) => count(points.reduce((all, one) => all + one, 0));
  const words = `${queue}: in the last hour ${sum(arrived)} arrived, ${sum(ended)} ended`;
  return html`
    <svg class="op-flow" height=${HEIGHT} viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label=${words}>
      <title>${words}</title>
      <line class="op-flow-ground" x1="0" x2=${WIDTH} y1=${HEIGHT - 0.5} y2=${HEIGHT - 0.5} />
      ${arrived.length > 1 &&
      html`<polygon class="op-flow-area" points=${`0,${HEIGHT - 1} ${line(arrived)} ${WIDTH},${HEIGHT - 1}`} />
        <polyline class="op-flow-in" points=${line(arrived)} />
        <polyline class="op-flow-out" points=${line(ended)} />`}
    </svg>
  `;
}

/** What the lines mean; once for a table of them. */
export function FlowKey() {
  return html`
    <span class="row small muted op-flow-key">
      <span class="row"><i class="op-key-in"></i>arrived</span><span class="row"><i class="op-key-out"></i>ended</span>
      <span>last hour</span>
    </span>
  `;
}

/** Points by queue; they come oldest first and without gaps. */
function drawn({ data }) {
  const lines = Object.entries(data).map(([queue, points]) => [
    queue,
    { arrived: points.map((one) => one.arrived), ended: points.map((one) => one.ended) },
  ]);
  return Object.fromEntries(lines);
}

function across(n, points) {
  return ((n / (points.length - 1)) * WIDTH).toFixed(1);
}
