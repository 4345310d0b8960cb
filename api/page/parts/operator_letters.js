// Dead letters: steps that failed for good, grouped by kind and reason.

import { html } from "../lib/preact.js";
import { Age, Count, Id } from "./index.js";
import { link } from "../router.js";

/** The columns; `brief` for a glance, `act(group)` gives the button of a row. */
export function letterColumns({ brief = false, act = null } = {}) {
  const kind = { name: "kind", label: "Kind", width: "120px", cell: (group) => html`<b>${group.kind}</b>` };
  const why = {
    name: "why",
    label: "Why",
    cell: (group) => html`<span class="clip" title=${`${group.message} (fingerprint ${group.fingerprint})`}><span class="mono small op-code">${group.code}</span> ${group.message}</span>`,
  };
  const steps = { name: "count", label: "Steps", align: "end", width: "68px", cell: (group) => html`<${Count} of=${group.count} />` };
  const newest = { name: "newest", label: "Newest", align: "end", width: "92px", hide: "narrow", cell: (group) => html`<${Age} at=${group.newest} />` };
  if (brief) return [kind, why, steps, newest];
  return [
    kind,
    why,
    steps,
    { name: "oldest", label: "Oldest", align: "end", width: "92px", hide: "narrow", cell: (group) => html`<${Age} at=${group.oldest} />` },
    newest,
    {
      name: "job",
      label: "Newest job",
      width: "140px",
      hide: "narrow",
      cell: (group) => html`<${Id} of=${group.newest_job} href=${link(`/jobs/${group.newest_job}`)} />`,
    },
    ...(act ? [{ name: "act", label: html`<span class="visually-hidden">Actions</span>`, align: "end", width: "112px", cell: act }] : []),
  ];
}

/** How many steps' jobs a replay would run again at most. */
export function share(steps, percent, limit) {
  return Math.min(limit, Math.ceil((steps * percent) / 100));
}
