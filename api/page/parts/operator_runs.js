// What became of a schedule's firings: the newest asked for again and again, older ones on demand.

import { api } from "../api.js";
import { html, useEffect, useMemo, useState } from "../lib/preact.js";
import { usePoll } from "../live.js";
import { Button, Duration, Empty, Id, Panel, Problem, Select, State, Table, clock } from "./index.js";
import { link, replaceQuery } from "../router.js";

const LIMIT = 50;
const OUTCOMES = [["", "Any outcome"], ...["started", "buffered", "skipped", "missed", "failed"].map((one) => [one, one])];
const COLUMNS = [
  { name: "nominal", label: "Meant for", width: "164px", cell: (run) => html`<span class="num" title=${run.nominal_at}>${clock(run.nominal_at)}</span>` },
  { name: "outcome", label: "Outcome", width: "104px", cell: (run) => html`<${State} of=${run.outcome} />` },
  { name: "origin", label: "By", width: "84px", hide: "narrow", cell: (run) => run.origin },
  { name: "job", label: "Job", width: "144px", cell: (run) => run.job && html`<${Id} of=${run.job.id} href=${run.job.href && link(`/jobs/${run.job.id}`)} />` },
  { name: "became", label: "Its state", width: "112px", cell: (run) => (run.job?.state ? html`<${State} of=${run.job.state} />` : html`<span class="muted">–</span>`) },
  { name: "why", label: "Why", cell: (run) => html`<span class="clip muted" title=${run.reason}>${run.reason ?? ""}</span>` },
  { name: "late", label: "Late", align: "end", width: "84px", hide: "narrow", cell: (run) => html`<${Duration} seconds=${run.late_seconds} />` },
];

export function Runs({ id, outcome }) {
  const { rows, more, loadMore, error, loading, refresh } = useRuns(`/v1/schedules/${id}/runs`, outcome);
  const choice = html`<${Select} label="Outcome" hideLabel value=${outcome} onChange=${(chosen) => replaceQuery({ outcome: chosen })} options=${OUTCOMES} />`;
  return html`
    <${Panel} title="What became of its firings" actions=${choice} flush>
      ${error && html`<div class="op-pad"><${Problem} error=${error} retry=${refresh} /></div>`}
      <${Table}
        label="Firings"
        columns=${COLUMNS}
        rows=${rows}
        id=${(run) => run.nominal_at}
        loading=${loading}
        empty=${html`<${Empty} title="No firings">None in the last 30 days${outcome ? ` that was ${outcome}` : ""}.<//>`}
      />
      ${more && html`<div class="op-more"><${Button} tone="quiet" onClick=${loadMore}>Show earlier firings<//></div>`}
    <//>
  `;
}

/**
 * A firing has no id: its nominal time stands for it. What was seen is kept, also when newer ones push it off the first
 * page; what the first page should have and has not any more is gone.
 */
function useRuns(path, outcome) {
  const { data, error, loading, refresh } = usePoll(path, { query: { outcome, limit: LIMIT } });
  const [seen, setSeen] = useState({ outcome, runs: [], next: undefined });
  const mine = seen.outcome === outcome ? seen : { outcome, runs: [], next: undefined };
  const keep = (found, runs, next) => {
    const fitting = found.filter((run) => !outcome || run.outcome === outcome); // not those of the filter before
    const times = new Set(fitting.map((run) => run.nominal_at));
    setSeen({ outcome, runs: [...fitting, ...runs.filter((run) => !times.has(run.nominal_at))], next });
  };
  useEffect(() => {
    if (!data) return;
    const end = data.next_cursor === null ? -Infinity : Date.parse(data.data.at(-1).nominal_at);
    keep(data.data, mine.runs.filter((run) => Date.parse(run.nominal_at) < end), mine.next);
  }, [data, outcome]);
  const next = mine.next === undefined ? (data?.next_cursor ?? null) : mine.next;
  const loadMore = async () => {
    const page = await api.get(path, { query: { outcome, limit: LIMIT, cursor: next } });
    keep(page.data, mine.runs, page.next_cursor);
  };
  const rows = useMemo(() => [...mine.runs].sort((a, b) => Date.parse(b.nominal_at) - Date.parse(a.nominal_at)), [mine.runs]);
  return { rows, more: next !== null, loadMore, error, loading: loading && !rows.length, refresh };
}
