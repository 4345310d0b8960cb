// Dead letters by reason, and their replay: a share first, then the rest.

import { api } from "../api.js";
import { html, useMemo, useState } from "../lib/preact.js";
import { usePoll } from "../live.js";
import { letterColumns, share } from "../parts/operator_letters.js";
import { mayAct } from "../parts/operator_rights.js";
import { TenantSelect } from "../parts/operator_tenants.js";
import { Button, Dialog, Empty, Facts, Field, Filter, Page, Panel, Problem, Table, count, toast } from "../parts/index.js";
import { replaceQuery } from "../router.js";

const MOST = 1000;

export default function DeadLetters({ params, session }) {
  const { data, error, loading, refresh } = usePoll("/v1/dead-letters", { query: { limit: 100 } });
  const [chosen, setChosen] = useState(null);
  const wanted = params.find ?? "";
  const groups = useMemo(() => (data?.data ?? []).filter((group) => fits(group, wanted)), [data, wanted]);
  const steps = groups.reduce((sum, group) => sum + group.count, 0);
  const act = (group) => html`<${Button} small icon="retry" onClick=${() => setChosen(group)}>Replay<span class="visually-hidden"> ${group.kind} ${group.code}</span><//>`;
  return html`
    <${Page} title="Dead letters" sub="Steps that failed for good, by reason; they keep their file and parameters">
      <div class="row wrap op-filters">
        <${Filter} label="Filter dead letters" placeholder="Kind, code or words" value=${wanted} onInput=${(find) => replaceQuery({ find })} />
        <${TenantSelect} session=${session} />
      </div>
      ${error && html`<${Problem} error=${error} retry=${refresh} />`}
      <${Panel} title=${loading ? "Reasons" : `${count(groups.length)} ${groups.length === 1 ? "reason" : "reasons"}`} sub=${loading ? "" : `${count(steps)} steps`} flush>
        <${Table}
          label="Dead letters by reason"
          columns=${letterColumns({ act: mayAct(session) ? act : null })}
          rows=${groups}
          id=${(group) => `${group.kind}/${group.fingerprint}`}
          loading=${loading}
          empty=${html`<${Nothing} any=${Boolean(data?.data.length)} />`}
        />
      <//>
      ${chosen && html`<${Replay} group=${chosen} close=${() => setChosen(null)} refresh=${refresh} />`}
    <//>
  `;
}

function Nothing({ any }) {
  return any
    ? html`<${Empty} title="No such reason">Change the filter to see the others.<//>`
    : html`<${Empty} title="Nothing has failed for good">Steps come here when no attempt is left to them.<//>`;
}

function Replay({ group, close, refresh }) {
  const [percent, setPercent] = useState("100");
  const [limit, setLimit] = useState(String(Math.min(MOST, group.count)));
  const flaws = { percent: flaw(percent, 0, 100), limit: flaw(limit, 1, MOST) };
  const most = flaws.percent || flaws.limit ? null : share(group.count, Number(percent), Number(limit));
  const replay = async () => {
    const filter = { kind: group.kind, fingerprint: group.fingerprint };
    const done = await api.post("/v1/dead-letters/replay", { filter, percent: Number(percent), limit: Number(limit) });
    toast(told(done), { tone: done.jobs.length ? "" : "bad" });
    refresh();
    close();
  };
  const label = most === null ? "Replay" : `Replay ${count(most)} ${most === 1 ? "job" : "jobs"}`;
  return html`
    <${Dialog}
      title="Replay dead letters"
      onClose=${close}
      actions=${html`
        <${Button} onClick=${close}>Cancel<//>
        <${Button} tone="primary" disabled=${most === null} onClick=${replay}>${label}<//>
      `}
    >
      <div class="stack">
        <${Facts}
          of=${[
            ["kind", group.kind],
            ["code", html`<span class="mono small">${group.code}</span>`],
            ["steps", count(group.count)],
            ["fingerprint", html`<span class="mono small">${group.fingerprint}</span>`],
          ]}
        />
        <p class="op-error">${group.message}</p>
        <div class="row op-fields">
          <${Field} label="Percent" hint="a share first, spread evenly" error=${flaws.percent}>
            ${(id) => html`<input id=${id} class="input" inputmode="decimal" value=${percent} onInput=${(event) => setPercent(event.target.value)} />`}
          <//>
          <${Field} label="At most" hint=${`jobs at once, up to ${count(MOST)}`} error=${flaws.limit}>
            ${(id) => html`<input id=${id} class="input" inputmode="numeric" value=${limit} onInput=${(event) => setLimit(event.target.value)} />`}
          <//>
        </div>
        <p role="status">
          ${most === null
            ? "Give both numbers."
            : html`<b>At most ${count(most)} of ${count(group.count)}</b> run again: their failed steps, and those behind them. Jobs that
                still run, or were canceled, are left alone.`}
        </p>
      </div>
    <//>
  `;
}

function told({ matching, skipped, jobs }) {
  const again = `${count(jobs.length)} of ${count(matching)} jobs run again`;
  return skipped ? `${again}; ${count(skipped)} were passed over, another job has their unique key` : again;
}

function flaw(text, least, most) {
  const number = Number(text);
  if (text.trim() && Number.isFinite(number) && number <= most && (least ? number >= least && Number.isInteger(number) : number > 0)) return null;
  return least ? `a whole number from ${least} to ${count(most)}` : `above 0, up to ${most}`;
}

function fits(group, wanted) {
  const words = `${group.kind} ${group.code} ${group.message} ${group.fingerprint}`.toLowerCase();
  return wanted.toLowerCase().split(/\s+/).every((word) => words.includes(word));
}
