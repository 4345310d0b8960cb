// The jobs of a tenant, newest first: by state, kind and age; more come as one scrolls.

import { html, useEffect, useMemo, useState } from "../lib/preact.js";
import { usePages } from "../live.js";
import { jobColumns } from "../parts/operator_jobs.js";
import { TenantSelect } from "../parts/operator_tenants.js";
import { Button, Empty, Filter, Page, Panel, Problem, Select, Table, count, toast } from "../parts/index.js";
import { go, link, replaceQuery } from "../router.js";

const STATES = ["running", "queued", "scheduled", "succeeded", "failed", "canceled", "expired"];
const KINDS = ["image.resize", "image.analyze", "image.info", "http.call", "echo"];
const AGES = [
  ["", "Any age"],
  ["900", "Last 15 minutes"],
  ["3600", "Last hour"],
  ["86400", "Last day"],
  ["604800", "Last week"],
  ["-86400", "Older than a day"],
];
const JOB_ID = /^job_[0-9a-z]{26}$/;

export default function Jobs({ params, session }) {
  const { state = "", kind = "", age = "" } = params;
  const query = useMemo(() => ({ state, kind, ...createdBy(age) }), [state, kind, age]);
  const { rows, more, loadMore, error, loading, refresh } = usePages("/v1/jobs", { query });
  const filtered = Boolean(state || kind || age);
  const searching = !loading && !error && more && !rows.length; // of a rare kind a page may be empty and not the last
  useEffect(() => {
    if (searching) loadMore();
  });
  return html`
    <${Page} title="Jobs" sub=${session.acting ? `Of ${session.acting}` : `Of ${session.tenant.name}`}>
      <${Filters} state=${state} kind=${kind} age=${age} session=${session} />
      ${error && html`<${Problem} error=${error} retry=${refresh} />`}
      <${Panel} title=${loading ? "Newest first" : `${count(rows.length)}${more ? "+" : ""} ${rows.length === 1 ? "job" : "jobs"}, newest first`} flush>
        <${Table}
          label="Jobs, newest first"
          columns=${jobColumns()}
          rows=${rows}
          href=${(job) => link(`/jobs/${job.id}`)}
          loading=${loading || searching}
          onEnd=${loadMore}
          empty=${html`<${Nothing} filtered=${filtered} />`}
        />
        ${more && error && html`<div class="op-more"><${Button} tone="quiet" onClick=${loadMore}>Show older jobs<//></div>`}
      <//>
    <//>
  `;
}

function Filters({ state, kind, age, session }) {
  const [id, setId] = useState("");
  const find = (text) => {
    setId(text);
    if (JOB_ID.test(text.trim())) go(`/jobs/${text.trim()}`);
  };
  const kinds = kind && !KINDS.includes(kind) ? [...KINDS, kind] : KINDS;
  return html`
    <form class="row wrap op-filters" onSubmit=${(event) => sought(event, id)}>
      <${Filter} label="Find a job by its id" placeholder="job_… to go there" value=${id} onInput=${find} />
      <${Select} label="State" value=${state} onChange=${(chosen) => replaceQuery({ state: chosen })} options=${[["", "Any state"], ...STATES.map((one) => [one, one])]} />
      <${Select} label="Kind" value=${kind} onChange=${(chosen) => replaceQuery({ kind: chosen })} options=${[["", "Any kind"], ...kinds.map((one) => [one, one])]} />
      <${Select} label="Age" value=${age} onChange=${(chosen) => replaceQuery({ age: chosen })} options=${AGES} />
      <${TenantSelect} session=${session} />
      ${(state || kind || age) && html`<${Button} tone="quiet" onClick=${() => replaceQuery({ state: null, kind: null, age: null })}>Clear<//>`}
    </form>
  `;
}

function sought(event, id) {
  event.preventDefault();
  if (id.trim()) toast("A job's id is job_ and 26 letters and digits", { tone: "warn" });
}

function Nothing({ filtered }) {
  return filtered
    ? html`<${Empty} title="No such jobs">Nothing fits all the filters.<//>`
    : html`<${Empty} title="No jobs yet">The first one is a photograph away: <a href=${link("/new")}>make one</a>.<//>`;
}

/** The bounds that an age means, fixed when it is chosen: the query stays the same while it is polled. */
function createdBy(age) {
  const seconds = Number(age);
  if (!age || !Number.isFinite(seconds)) return {};
  const at = new Date(Date.now() - Math.abs(seconds) * 1000).toISOString();
  return seconds < 0 ? { created_before: at } : { created_after: at };
}
