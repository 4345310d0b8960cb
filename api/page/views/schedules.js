// The schedules of a tenant: when each fires next, and firing, pausing and resuming it.

import { html } from "../lib/preact.js";
import { usePages } from "../live.js";
import { mayAct } from "../parts/operator_rights.js";
import { ScheduleActions, nameOf } from "../parts/operator_schedules.js";
import { TenantSelect } from "../parts/operator_tenants.js";
import { Button, Empty, Page, Panel, Problem, Select, State, Table, clock, count } from "../parts/index.js";
import { Until } from "../parts/operator_until.js";
import { link, replaceQuery } from "../router.js";

const STATES = [
  ["", "Any state"],
  ["active", "active"],
  ["paused", "paused"],
  ["ended", "ended"],
];

export default function Schedules({ params, session }) {
  const state = params.state ?? "";
  const { rows, more, loadMore, error, loading, refresh } = usePages("/v1/schedules", { query: { state } });
  const columns = columnsFor(mayAct(session), refresh);
  return html`
    <${Page} title="Schedules" sub=${`Of ${session.acting ?? session.tenant.name}: jobs by the clock`}>
      <div class="row wrap op-filters">
        <${Select} label="State" value=${state} onChange=${(chosen) => replaceQuery({ state: chosen })} options=${STATES} />
        <${TenantSelect} session=${session} />
      </div>
      ${error && html`<${Problem} error=${error} retry=${refresh} />`}
      <${Panel} title=${loading ? "Newest first" : `${count(rows.length)}${more ? "+" : ""} ${rows.length === 1 ? "schedule" : "schedules"}`} flush>
        <${Table}
          label="Schedules"
          columns=${columns}
          rows=${rows}
          href=${(schedule) => link(`/schedules/${schedule.id}`)}
          loading=${loading}
          empty=${html`<${Empty} title="No schedules">They are made with <code>POST /v1/schedules</code> or <code>millrace schedules create</code>.<//>`}
        />
        ${more && html`<div class="op-more"><${Button} tone="quiet" onClick=${loadMore}>Show older schedules<//></div>`}
      <//>
    <//>
  `;
}

function columnsFor(may, refresh) {
  return [
    { name: "name", label: "Schedule", width: "200px", cell: (one) => html`<span class="clip" title=${one.id}>${nameOf(one)}</span>` },
    { name: "state", label: "State", width: "96px", cell: (one) => html`<${State} of=${one.state} />` },
    { name: "words", label: "Fires", cell: (one) => html`<${Words} schedule=${one} />` },
    { name: "next", label: "Next", align: "end", width: "120px", cell: (one) => html`<span title=${one.next_fire_at && clock(one.next_fire_at)}><${Until} at=${one.next_fire_at} /></span>` },
    { name: "runs", label: "Fired", align: "end", width: "72px", hide: "narrow", cell: (one) => count(one.runs) },
    ...(may ? [{ name: "act", label: html`<span class="visually-hidden">Actions</span>`, align: "end", width: "204px", cell: (one) => html`<${ScheduleActions} schedule=${one} refresh=${refresh} />` }] : []),
  ];
}

function Words({ schedule }) {
  const why = schedule.state === "paused" && schedule.paused_reason;
  return html`<span class="clip" title=${why || schedule.words}>${schedule.words}${why && html` <span class="muted">(${why})</span>`}</span>`;
}
