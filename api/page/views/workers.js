// The workers that live, and what each of them does now.

import { html } from "../lib/preact.js";
import { usePoll } from "../live.js";
import { Busy } from "../parts/operator_fleet.js";
import { mayWatch } from "../parts/operator_rights.js";
import { TenantLink } from "../parts/operator_tenants.js";
import { Age, Duration, Empty, Id, Page, Panel, Problem, Skeleton, Tag, count } from "../parts/index.js";
import { link } from "../router.js";

export default function Workers({ session }) {
  const { data, error, loading, refresh } = usePoll("/v1/workers");
  const workers = data?.data ?? [];
  const slots = workers.reduce((sum, one) => sum + (one.stopping ? 0 : one.slots), 0);
  const busy = workers.reduce((sum, one) => sum + one.running.length, 0);
  const words = `${count(workers.length)} ${workers.length === 1 ? "worker" : "workers"}, ${count(busy)} of ${count(slots)} slots busy`;
  return html`
    <${Page} title="Workers" sub=${loading ? "What each does now" : words}>
      ${error && html`<${Problem} error=${error} retry=${refresh} />`}
      ${loading && html`<${Panel} title="Workers"><${Skeleton} rows=${6} /><//>`}
      ${!loading && !workers.length && html`<${Panel} title="Workers"><${Empty} title="No worker lives">Nothing is done until one does. <a href=${link("/pools")}>See what the scaler says.</a><//><//>`}
      <div class="op-workers">${workers.map((worker) => html`<${Worker} key=${worker.name} worker=${worker} session=${session} />`)}</div>
    <//>
  `;
}

function Worker({ worker, session }) {
  const running = worker.running;
  return html`
    <section class="op-worker" aria-label=${worker.name}>
      <header class="op-worker-head">
        <div class="row"><h2 class="mono clip" title=${worker.name}>${worker.name}</h2>${worker.stopping && html`<${Tag} tone="warn">stopping<//>`}</div>
        <p class="muted small">
          ${worker.queues.join(", ")}${worker.version ? ` · ${worker.version}` : ""} · started <${Age} at=${worker.started_at} />
        </p>
      </header>
      <div class="op-worker-slots">
        <${Busy} worker=${worker} />
      </div>
      ${running.length
        ? html`<ol class="op-doing">${running.map((one) => html`<${Doing} key=${`${one.job}/${one.step}`} one=${one} session=${session} />`)}</ol>`
        : html`<p class="muted op-idle">idle</p>`}
    </section>
  `;
}

function Doing({ one, session }) {
  const progress = one.progress ?? 0;
  return html`
    <li>
      <b>${one.kind}</b>
      <span class="clip" title=${`${one.job}, step ${one.step}`}>
        ${mayWatch(session) && html`<${TenantLink} session=${session} tenant=${one.tenant} href=${link(`/jobs/${one.job}`)}><${Id} of=${one.job} /><//>`}
        ${" "}${one.step}${one.attempt > 1 ? ` #${one.attempt}` : ""} <span class="muted">${one.tenant}</span>
      </span>
      <span class="muted num">${progress > 0 ? `${Math.round(100 * progress)} %` : ""}</span>
      <span class="num"><${Duration} seconds=${one.seconds} /></span>
    </li>
  `;
}
