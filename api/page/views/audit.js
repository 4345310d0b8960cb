// Who changed what: every action that was taken through the API.

import { html } from "../lib/preact.js";
import { usePages } from "../live.js";
import { TenantSelect } from "../parts/operator_tenants.js";
import { Age, Button, Empty, Id, Page, Panel, Problem, Select, Table, Tag, clock } from "../parts/index.js";
import { link, replaceQuery } from "../router.js";

const EVERY = 5000;
const NOUNS = [
  ["", "anything"],
  ["queue", "queues"],
  ["job", "jobs"],
  ["dead_letters", "dead letters"],
  ["schedule", "schedules"],
  ["webhook", "webhooks"],
  ["delivery", "deliveries"],
  ["secret", "secrets"],
  ["template", "templates"],
  ["upload", "uploads"],
  ["image_key", "image keys"],
  ["session", "sign-ins"],
];
// Where the things are shown that actions were taken on, by the beginning of their ids.
const PLACES = [
  ["job_", "/jobs/"],
  ["sch_", "/schedules/"],
  ["whe_", "/webhooks/"],
];

export default function Audit({ params, session }) {
  const action = params.action ?? "";
  const { rows, more, loadMore, error, loading, refresh } = usePages("/v1/audit", { query: { action }, every: EVERY });
  return html`
    <${Page} title="Audit log" sub=${`What was done in the name of ${session.acting ?? session.tenant.name}`}>
      <div class="row wrap op-filters">
        <${Select} label="Actions on" value=${action} onChange=${(chosen) => replaceQuery({ action: chosen })} options=${NOUNS} />
        <${TenantSelect} session=${session} />
      </div>
      ${error && html`<${Problem} error=${error} retry=${refresh} />`}
      <${Panel} title="Newest first" flush>
        <${Table}
          label="Actions, newest first"
          columns=${COLUMNS}
          rows=${rows}
          loading=${loading}
          empty=${html`<${Empty} title=${action ? "No such actions" : "Nothing was changed yet"}>Pauses, retries, replays and the like are written down here.<//>`}
        />
        ${more && html`<div class="op-more"><${Button} tone="quiet" onClick=${loadMore}>Show earlier actions<//></div>`}
      <//>
    <//>
  `;
}

const COLUMNS = [
  { name: "at", label: "When", width: "104px", cell: (one) => html`<span title=${clock(one.at)}><${Age} at=${one.at} /></span>` },
  { name: "action", label: "Action", width: "176px", cell: (one) => html`<b>${one.action}</b>` },
  { name: "target", label: "Of", width: "144px", cell: (one) => html`<${Target} of=${one.target} />` },
  { name: "detail", label: "Detail", cell: (one) => html`<span class="clip mono small" title=${words(one.detail)}>${words(one.detail)}</span>` },
  { name: "who", label: "By", width: "152px", cell: (one) => html`<${Who} one=${one} />` },
  { name: "address", label: "From", width: "120px", hide: "narrow", cell: (one) => html`<span class="mono small muted">${one.address ?? "–"}</span>` },
];

function Target({ of }) {
  const place = PLACES.find(([beginning]) => of?.startsWith(beginning));
  if (place) return html`<${Id} of=${of} href=${link(`${place[1]}${of}`)} />`;
  return /^[a-z]+_[0-9a-z]{26}$/.test(of ?? "") ? html`<${Id} of=${of} />` : html`<span class="clip" title=${of}>${of ?? "–"}</span>`;
}

function Who({ one }) {
  const key = one.key ? html`<span class="mono small" title=${one.key.id}>${one.key.hint}…</span>` : html`<span class="muted">an operator</span>`;
  return html`<span class="row">${key}${one.by && html`<span class="clip" title=${`an operator of ${one.by}`}>${one.by}</span>`}<${Tag} tone="idle">${one.via}<//></span>`;
}

function words(detail) {
  return pairs(detail ?? {}).map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`).join("  ");
}

/** What is known, of objects within it too: filter.kind and the like. */
function pairs(of, before = "") {
  return Object.entries(of).flatMap(([name, value]) => {
    if (value === null) return [];
    const within = typeof value === "object" && !Array.isArray(value);
    return within ? pairs(value, `${before}${name}.`) : [[before + name, value]];
  });
}
