// The queues: exact numbers of all tenants together, and stopping them.

import { html, useState } from "../lib/preact.js";
import { usePoll } from "../live.js";
import { FlowKey, useFlow } from "../parts/operator_flow.js";
import { queueColumns } from "../parts/operator_queues.js";
import { mayOperate, mayWatch } from "../parts/operator_rights.js";
import { Count, Duration, Page, Panel, Problem, Rate, Table, Toggle } from "../parts/index.js";

export default function Queues({ session }) {
  const { data, error, loading, refresh } = usePoll("/v1/queues");
  const { flow } = useFlow(mayWatch(session));
  const [byPriority, setByPriority] = useState(false);
  const queues = data?.data ?? [];
  const columns = queueColumns({ flow, whole: true, act: mayOperate(session), refresh });
  return html`
    <${Page} title="Queues" sub="Of all tenants together, counted exactly" actions=${html`<${Toggle} label="By priority" on=${byPriority} onChange=${setByPriority} />`}>
      ${error && html`<${Problem} error=${error} retry=${refresh} />`}
      <${Panel} title="All queues" actions=${html`<${FlowKey} />`} flush>
        <${Table} label="All queues" columns=${columns} rows=${queues} id=${(queue) => queue.name} loading=${loading} />
      <//>
      ${byPriority && html`<${Priorities} queues=${queues} loading=${loading} />`}
      ${!loading && html`<p class="muted small op-legend">
        Runnable steps may start now; running ones are beside the slots that workers have. Waiting ones wait for other steps, later ones for their time or their next attempt. A
        step arrives when it becomes runnable; an attempt that ends, however it does, is one that went out.
      </p>`}
    <//>
  `;
}

function Priorities({ queues, loading }) {
  const rows = queues.flatMap((queue) =>
    Object.entries(queue.by_priority ?? {}).map(([priority, load]) => ({ queue: queue.name, priority, load })),
  );
  const number = (name, label, value) => ({
    name,
    label,
    align: "end",
    width: "92px",
    cell: (row) => html`<${Count} of=${value(row.load)} />`,
  });
  const columns = [
    { name: "queue", label: "Queue", cell: (row) => html`<b>${row.queue}</b>` },
    { name: "priority", label: "Priority", width: "110px", cell: (row) => row.priority },
    number("runnable", "Runnable", (load) => load.runnable),
    number("running", "Running", (load) => load.running),
    number("waiting", "Waiting", (load) => load.waiting),
    number("later", "Later", (load) => load.scheduled + load.retrying),
    { name: "oldest", label: "Oldest", align: "end", width: "92px", cell: (row) => html`<${Duration} seconds=${row.load.oldest_runnable_seconds} />` },
    { name: "in", label: "In", align: "end", width: "92px", cell: (row) => html`<${Rate} of=${row.load.arrivals_per_second["1m"]} />` },
    { name: "out", label: "Out", align: "end", width: "92px", cell: (row) => html`<${Rate} of=${row.load.completions_per_second["1m"]} />` },
  ];
  return html`
    <${Panel} title="By priority" flush>
      <${Table} label="Queues by priority" columns=${columns} rows=${rows} id=${(row) => `${row.queue}/${row.priority}`} loading=${loading} />
    <//>
  `;
}
