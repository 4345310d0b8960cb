// One schedule: its next firings, what became of the last ones, and its document.

import { api } from "../api.js";
import { html, useEffect, useState } from "../lib/preact.js";
import { usePoll } from "../live.js";
import { mayAct } from "../parts/operator_rights.js";
import { Runs } from "../parts/operator_runs.js";
import { ScheduleActions, nameOf, whenOf } from "../parts/operator_schedules.js";
import { Age, Facts, Id, Json, Page, Panel, Problem, Skeleton, State, count, duration } from "../parts/index.js";
import { Until } from "../parts/operator_until.js";

const NEXT = 6;

export default function Schedule({ params, session }) {
  const { data, error, loading, refresh } = usePoll(`/v1/schedules/${params.id}`);
  if (loading) return html`<${Page} title="Schedule"><${Skeleton} rows=${8} /><//>`;
  if (!data) return html`<${Page} title="Schedule"><${Problem} error=${error} retry=${refresh} /><//>`;
  const actions = mayAct(session) && html`<${ScheduleActions} schedule=${data} refresh=${refresh} />`;
  return html`
    <${Page} title=${nameOf(data)} sub=${data.words} actions=${actions}>
      ${error && html`<${Problem} error=${error} retry=${refresh} />`}
      <div class="grid-2">
        <${Panel} title="Terms">
          <${Facts} of=${facts(data)} />
        <//>
        <${Next} schedule=${data} />
      </div>
      <${Panel} title="Its job"><${Json} value=${data.job} label="The document of its job" /><//>
      <${Runs} id=${data.id} outcome=${params.outcome ?? ""} />
    <//>
  `;
}

function facts(schedule) {
  return [
    ["state", html`<${State} of=${schedule.state} />`],
    ["paused", schedule.paused_at && html`<span>${schedule.paused_reason ?? ""} <span class="muted">(<${Age} at=${schedule.paused_at} />)</span></span>`],
    ["pattern", html`<span class="mono">${schedule.cron ?? (schedule.every ? `every ${duration(schedule.every)}` : schedule.at)}</span>`],
    ["time zone", schedule.timezone],
    ["overlap", schedule.overlap],
    ["catch up", schedule.catch_up === "none" ? "none" : `${schedule.catch_up}, up to ${duration(schedule.catch_up_seconds)} late`],
    ["jitter", schedule.jitter_seconds ? `up to ${duration(schedule.jitter_seconds)}` : null],
    ["fired", schedule.max_runs ? `${count(schedule.runs)} of ${count(schedule.max_runs)}` : count(schedule.runs)],
    ["applied by", schedule.source],
    ["id", html`<${Id} of=${schedule.id} />`],
  ].filter(([, value]) => value);
}

/** The firings to come, as the platform reckons them; asked again when one of them has passed. */
function Next({ schedule }) {
  const [state, set] = useState({ times: null, error: null });
  const live = schedule.state === "active";
  useEffect(() => {
    if (!live) return undefined;
    const asking = new AbortController();
    api
      .post("/v1/schedules/preview", { ...whenOf(schedule), count: NEXT }, { signal: asking.signal })
      .then((found) => set({ times: found.fire_times, error: null }))
      .catch((error) => asking.signal.aborted || set({ times: null, error }));
    return () => asking.abort();
  }, [live, schedule.version, schedule.next_fire_at]);
  return html`
    <${Panel} title="Next firings" sub=${schedule.timezone}>
      ${!live && html`<p class="muted">It fires no more${schedule.state === "paused" ? " until it is resumed" : ""}.</p>`}
      ${live && state.error && html`<${Problem} error=${state.error} />`}
      ${live && !state.error && !state.times && html`<${Skeleton} rows=${NEXT} height=${30} />`}
      ${live && state.times &&
      html`<ol class="op-next">
        ${state.times.map((one) => html`<li key=${one.at}><span class="num" title=${one.at}>${local(one.local)}</span><span class="muted"><${Until} at=${one.at} /></span></li>`)}
      </ol>`}
    <//>
  `;
}

/** "2026-03-29T03:00:00+02:00" as the zone's clocks show it. */
function local(text) {
  return text.slice(0, 19).replace("T", " ");
}
