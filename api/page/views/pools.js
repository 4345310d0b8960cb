// The pools: what the scaler decided last, what it stood on, and what it changed before.

import { html } from "../lib/preact.js";
import { usePoll } from "../live.js";
import { Decided, Replicas, reason } from "../parts/operator_pools.js";
import { Age, Count, Empty, Facts, Page, Panel, Problem, Skeleton, Tag, clock, duration } from "../parts/index.js";

const DECISIONS = 8;

export default function Pools() {
  const { data, error, loading, refresh } = usePoll("/v1/pools");
  const pools = data?.data ?? [];
  return html`
    <${Page} title="Pools" sub="How many workers there are, how many are wanted, and why">
      ${error && html`<${Problem} error=${error} retry=${refresh} />`}
      ${loading && html`<${Panel} title="Pools"><${Skeleton} rows=${6} /><//>`}
      ${!loading && !pools.length && html`<${Panel} title="Pools"><${Empty} title="No scaler has decided anything yet">
        Start one with <code>python -m scheduler scale</code>, or let KEDA do it.
      <//><//>`}
      ${pools.map((pool) => html`<${Pool} key=${pool.name} pool=${pool} />`)}
    <//>
  `;
}

function Pool({ pool }) {
  const bounds = `between ${pool.min_replicas} and ${pool.max_replicas}`;
  return html`
    <${Panel} title=${pool.name} sub=${bounds} actions=${html`<${Decided} pool=${pool} />`}>
      <div class="op-pool">
        <div class="stack tight">
          <${Replicas} pool=${pool} />
          <p class="op-reason">${reason(pool)}</p>
          ${pool.trouble && html`<p class="op-error"><b>Trouble:</b> ${pool.trouble}</p>`}
          ${pool.stale && html`<p class="op-error">No scaler has decided for a minute: none runs, or none reaches the database. Workers stay as they are.</p>`}
          <ul class="op-triggers">${pool.triggers.map((one) => html`<${Trigger} key=${one.trigger} one=${one} />`)}</ul>
          ${pool.numbers && html`<${Numbers} of=${pool.numbers} />`}
        </div>
        <${Decisions} pool=${pool} />
      </div>
    <//>
  `;
}

function Trigger({ one }) {
  if (one.failed) return html`<li class="row wrap"><b>${one.trigger}</b><${Tag} tone="bad">not read<//><span>${one.failed}</span></li>`;
  return html`
    <li class="row wrap">
      <b>${one.trigger}</b><${Tag} tone=${one.active ? "info" : "idle"}>${one.active ? "active" : "at rest"}<//>
      <span class="num">${rounded(one.value)} of ${rounded(one.target)}</span><span class="muted">${one.why}</span>
    </li>
  `;
}

function Numbers({ of }) {
  return html`
    <${Facts}
      of=${[
        ["runnable", html`<${Count} of=${of.runnable} />`],
        ["running", html`<${Count} of=${of.running} />`],
        ["oldest", of.oldest_runnable_seconds === null ? "–" : duration(of.oldest_runnable_seconds)],
        ["an attempt", of.service_seconds ? duration(of.service_seconds.mean) : "–"],
        ["slots each", html`<${Count} of=${of.slots} />`],
        ["due soon", html`<${Count} of=${of.due} />`],
      ]}
    />
  `;
}

function Decisions({ pool }) {
  const { data, error, loading, refresh } = usePoll(`/v1/pools/${encodeURIComponent(pool.name)}/decisions`, {
    query: { limit: DECISIONS },
    every: 10_000,
  });
  const found = data?.data ?? [];
  return html`
    <div>
      <h3>Last changes</h3>
      ${error && html`<${Problem} error=${error} retry=${refresh} />`}
      <ol class="op-decisions" tabindex="0" aria-label=${`Last changes of ${pool.name}, newest first`}>
        ${!loading && !found.length && html`<li class="op-none muted">None in 30 days.</li>`}
        ${found.map(
          (one) => html`
            <li key=${one.id}>
              <span class="num op-change ${one.wanted > one.replicas ? "ok" : "muted"}">${one.replicas} → ${one.wanted}</span>
              <span>${reason(one)}</span>
              <span class="muted small" title=${clock(one.at)}><${Age} at=${one.at} /></span>
            </li>
          `,
        )}
      </ol>
    </div>
  `;
}

function rounded(number) {
  return Number.isInteger(number) ? number : Number(number.toPrecision(3));
}
