// Pools of workers: how many there are, how many the scaler wants, and why, in its own words.

import { html } from "../lib/preact.js";
import { Age, Tag } from "./index.js";

/** The columns of the table of pools. */
export function poolColumns() {
  return [
    { name: "name", label: "Pool", width: "92px", cell: (pool) => html`<b>${pool.name}</b>` },
    { name: "replicas", label: "Workers", width: "112px", cell: (pool) => html`<${Replicas} pool=${pool} />` },
    { name: "why", label: "Why", cell: (pool) => html`<span class="clip" title=${reason(pool)}>${troubled(pool)}${reason(pool)}</span>` },
    { name: "when", label: "Decided", width: "84px", align: "end", hide: "narrow", cell: (pool) => html`<${Decided} pool=${pool} />` },
  ];
}

/** What there is and what is wanted, between the pool's bounds: a square for each worker there may be. */
export function Replicas({ pool }) {
  const { replicas, wanted, min_replicas: least, max_replicas: most } = pool;
  const words = `${replicas} ${replicas === 1 ? "worker" : "workers"}, ${wanted} wanted, between ${least} and ${most}`;
  const shown = Math.min(12, Math.max(most, replicas, wanted));
  const kind = (n) => (n <= Math.min(replicas, wanted) ? "on" : n <= replicas ? "leaving" : n <= wanted ? "coming" : "off");
  return html`
    <span class="row op-replicas" title=${words}>
      <span class="num" aria-label=${words} role="img">${replicas === wanted ? replicas : `${replicas} → ${wanted}`}</span>
      ${most <= 12 &&
      html`<span class="op-pips" aria-hidden="true">${Array.from({ length: shown }, (_, n) => html`<i class=${`op-pip op-pip-${kind(n + 1)}`}></i>`)}</span>`}
    </span>
  `;
}

export function Decided({ pool }) {
  if (!pool.stale) return html`<${Age} at=${pool.decided_at} />`;
  return html`<span class="row"><${Tag} tone="bad">stale<//><${Age} at=${pool.decided_at} /></span>`;
}

/** Its reason without the change that it begins with: that stands beside it. */
export function reason({ reason: words, dry_run: dry }) {
  const at = words.indexOf(": ");
  const said = at > 0 && /^[\d→ ]+$/.test(words.slice(0, at)) ? words.slice(at + 2) : words;
  return dry ? `${said} (dry run)` : said;
}

export function troubled(pool) {
  return pool.trouble ? html`<span class="bad">${pool.trouble}; </span>` : null;
}
