// What is stuck, and why; then queues, pools, workers and dead letters at a glance.

import { html } from "../lib/preact.js";
import { usePoll } from "../live.js";
import { Causes } from "../parts/operator_causes.js";
import { FlowKey, useFlow } from "../parts/operator_flow.js";
import { workerColumns } from "../parts/operator_fleet.js";
import { letterColumns } from "../parts/operator_letters.js";
import { poolColumns } from "../parts/operator_pools.js";
import { queueColumns } from "../parts/operator_queues.js";
import { Count, Empty, Meter, Page, Panel, Problem, Skeleton, Table } from "../parts/index.js";
import { link } from "../router.js";

const SUB = "The whole platform, all tenants";
const SLOW = 5000;
const SHOWN = 6; // workers, and reasons of dead letters

export default function Overview({ session }) {
  const overview = usePoll("/v1/overview");
  const queues = usePoll("/v1/queues");
  const pools = usePoll("/v1/pools", { every: SLOW });
  const workers = usePoll("/v1/workers", { every: SLOW });
  const letters = usePoll("/v1/dead-letters", { query: { limit: SHOWN }, every: SLOW });
  const { flow } = useFlow();
  const asked = [overview, queues, pools, workers, letters];
  const broken = asked.find((one) => one.error);
  if (asked.some((one) => one.loading)) return html`<${Page} title="Overview" sub=${SUB}><${Skeleton} rows=${12} height=${56} /><//>`; // all at once: nothing moves
  return html`
    <${Page} title="Overview" sub=${SUB}>
      ${broken && html`<${Problem} error=${broken.error} retry=${() => asked.forEach((one) => one.refresh())} />`}
      <${Causes} overview=${overview.data} />
      <${Figures} overview=${overview.data} workers=${workers.data?.data} />
      <${Panel} title="Queues" actions=${html`<${FlowKey} /><a href=${link("/queues")}>All numbers</a>`} flush>
        <${Table}
          label="Queues"
          columns=${queueColumns({ flow, whole: false })}
          rows=${queues.data?.data ?? []}
          id=${(queue) => queue.name}
        />
      <//>
      <div class="op-sides">
        <${Panel} title="Pools" actions=${html`<a href=${link("/pools")}>Decisions</a>`} flush>
          <${Table}
            label="Pools"
            columns=${poolColumns()}
            rows=${pools.data?.data ?? []}
            id=${(pool) => pool.name}
            empty=${html`<${Empty} title="No scaler has decided anything yet" />`}
          />
        <//>
        <${Panel} title="Workers" actions=${html`<a href=${link("/workers")}>What each does</a>`} flush>
          <${Table}
            label="Workers"
            columns=${workerColumns()}
            rows=${busiest(workers.data?.data)}
            id=${(worker) => worker.name}
            empty=${html`<${Empty} title="No worker lives" />`}
          />
        <//>
      </div>
      <${Panel} title="Dead letters" sub=${`of ${session.acting ?? session.tenant.name}`} actions=${html`<a href=${link("/dead-letters")}>See and replay</a>`} flush>
        <${Table}
          label="Dead letters"
          columns=${letterColumns({ brief: true })}
          rows=${letters.data?.data ?? []}
          id=${(group) => `${group.kind}/${group.fingerprint}`}
          empty=${html`<${Empty} title="Nothing has failed for good" />`}
        />
      <//>
    <//>
  `;
}

/** Those with the most to do. */
function busiest(workers = []) {
  return [...workers].sort((a, b) => b.running.length / b.slots - a.running.length / a.slots).slice(0, SHOWN);
}

function Figures({ overview, workers }) {
  const busy = workers?.reduce((sum, worker) => sum + worker.running.length, 0);
  const slots = workers?.reduce((sum, worker) => sum + (worker.stopping ? 0 : worker.slots), 0);
  return html`
    <dl class="op-figures">
      <${Figure} label="Runnable" of=${overview?.runnable} href=${link("/queues")} />
      <${Figure} label="Running" of=${overview?.running} href=${link("/workers")} />
      <${Figure} label="Failed, last hour" of=${overview?.failed_last_hour} href=${link("/dead-letters")} bad />
      <${Figure} label="Workers" of=${overview?.workers ?? workers?.length} href=${link("/workers")}>
        ${slots > 0 && html`<${Meter} value=${busy} max=${slots} label=${`${busy} of ${slots} slots are busy`} /><span class="small muted">${busy} of ${slots} slots busy</span>`}
      <//>
    </dl>
  `;
}

function Figure({ label, of, href, bad, children }) {
  return html`
    <div class="op-figure">
      <dt class="muted">${label}</dt>
      <dd><a href=${href} class=${`op-number num ${bad && of > 0 ? "bad" : ""}`}><${Count} of=${of ?? null} /></a>${children}</dd>
    </div>
  `;
}
