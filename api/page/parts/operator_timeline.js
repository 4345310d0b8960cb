// The timeline of one job for those who operate the platform: every attempt a bar, its error, its log, what can be done.

import { html, useMemo, useState } from "../lib/preact.js";
import { useClock } from "../live.js";
import { attempts, timeline } from "./operator_bars.js";
import { JobLog } from "./operator_log.js";
import { Copy, Duration, Facts, Panel, State, clock, duration } from "./index.js";

const MARKS = {
  succeeded: "✓",
  failed: "✕",
  retried: "↻",
  lost: "✕",
  returned: "↩",
  canceled: "–",
  running: "…",
};
const TONES = {
  succeeded: "ok",
  failed: "bad",
  retried: "warn",
  lost: "bad",
  returned: "idle",
  canceled: "idle",
  running: "info",
};
const WORDS = {
  retried: "failed, and was to be tried again",
  lost: "lost its worker",
  returned: "was handed back by a worker that stopped",
  canceled: "was canceled",
  running: "is running",
};

/** Timeline, the chosen attempt, and the log. */
export function Timeline({ job, session }) {
  const tick = useClock(1000);
  const now = job.finished_at ? Date.parse(job.finished_at) : tick;
  const line = useMemo(() => timeline(job, now), [job, now]);
  const [chosen, setChosen] = useState(null);
  const choose = (step, number) =>
    setChosen((before) => (before?.step === step && before.number === number ? null : { step, number }));
  return html`
    <${Panel} title="Timeline" sub=${told(line)} flush>
      <div class="op-timeline">
        <${Axis} line=${line} />
        ${line.lanes.map((lane) => html`<${Lane} key=${lane.name} lane=${lane} chosen=${chosen} choose=${choose} session=${session} />`)}
      </div>
      ${chosen && html`<${Chosen} job=${job} chosen=${chosen} now=${now} />`}
    <//>
    <${JobLog} job=${job} chosen=${chosen} clear=${() => setChosen(null)} />
  `;
}

function told(line) {
  const made = line.lanes.reduce((sum, lane) => sum + lane.bars.length, 0);
  const words = `${made} ${made === 1 ? "attempt" : "attempts"} in ${duration(line.seconds)}`;
  return made ? `${words}; choose one for its error and its lines` : words;
}

/** What stands near the end of the axis has no room behind it, on a small screen not even beside the one before. */
const lateness = (at) => (at > 0.9 ? " op-late op-last" : at > 0.75 ? " op-late" : "");

function Axis({ line }) {
  return html`
    <div class="op-lane op-axis" aria-hidden="true">
      <span></span>
      <span class="op-track">
        ${line.ticks.map((tick) => html`<i key=${tick.seconds} class=${`op-tick num${lateness(tick.at)}`} style=${{ left: share(tick.at) }}>${tick.seconds ? `+${duration(tick.seconds)}` : "0"}</i>`)}
        ${line.folds.map((fold) => html`<i key=${`fold ${fold.at}`} class="op-fold-label" style=${place(fold)}>${duration(fold.seconds)}</i>`)}
      </span>
    </div>
  `;
}

function Lane({ lane, chosen, choose, session }) {
  const { step, name } = lane;
  const flower = flowerOf(session, step);
  const held = step.held_for && ["scheduled", "queued"].includes(step.state);
  return html`
    <div class="op-lane" role="group" aria-label=${`Step ${name}`}>
      <span class="op-lane-name">
        <b class="clip" title=${name}>${name}</b>
        <span class="row"><span class="muted small clip">${step.kind}</span><span class="small"><${State} of=${step.state} /></span>
          ${flower && html`<a class="small" href=${flower} target="_blank" rel="noreferrer" title="Its task in Flower">Flower<span class="visually-hidden"> task of ${name}</span></a>`}
        </span>
      </span>
      <span class="op-track">
        ${lane.waits.map((wait) => html`<i key=${`wait ${wait.from}`} class="op-wait" style=${place(wait)} title=${`waited ${duration(wait.to - wait.from)}`}></i>`)}
        ${lane.bars.map((bar) => {
          const pressed = chosen?.step === name && chosen.number === bar.attempt.number;
          return html`<${Bar} key=${bar.attempt.number} name=${name} bar=${bar} pressed=${pressed} choose=${choose} />`;
        })}
        ${held && html`<i class="op-held small muted" title=${step.held_for}>${step.held_for}</i>`}
      </span>
    </div>
  `;
}

function Bar({ name, bar, pressed, choose }) {
  const { number, outcome, error } = bar.attempt;
  const took = duration(bar.to - bar.from);
  const words = `${name}, attempt ${number} ${WORDS[outcome] ?? outcome}, ${took}${error ? `: ${error.code}` : ""}`;
  return html`
    <button
      type="button"
      class=${`op-bar op-${TONES[outcome] ?? "idle"} op-outcome-${outcome}`}
      style=${{ left: share(bar.at), width: share(bar.width) }}
      aria-pressed=${pressed ? "true" : "false"}
      aria-label=${words}
      title=${words}
      onClick=${() => choose(name, number)}
    >
      <span aria-hidden="true">${bar.width > 0.022 ? MARKS[outcome] : ""}${bar.width > 0.08 ? ` ${took}` : ""}</span>
    </button>
  `;
}

function Chosen({ job, chosen, now }) {
  const step = job.steps[chosen.step];
  const attempt = attempts(step).find((one) => one.number === chosen.number);
  if (!attempt) return null;
  const until = attempt.finished_at ? Date.parse(attempt.finished_at) : now;
  return html`
    <div class="op-chosen" role="region" aria-label=${`Attempt ${chosen.number} of ${chosen.step}`}>
      <b>${chosen.step}, attempt ${chosen.number} ${WORDS[attempt.outcome] ?? attempt.outcome}</b>
      ${attempt.error && html`<${Failure} error=${attempt.error} />`}
      <${Facts}
        of=${[
          ["started", clock(attempt.started_at)],
          [attempt.finished_at ? "took" : "runs for", html`<${Duration} seconds=${(until - Date.parse(attempt.started_at)) / 1000} />`],
          ["worker", attempt.worker ? html`<span class="mono">${attempt.worker}</span>` : null],
          ["step", html`<span class="row"><span class="mono">${step.id}</span><${Copy} text=${step.id} label="Copy the step's id" /></span>`],
        ]}
      />
    </div>
  `;
}

function Failure({ error }) {
  return html`
    <div class="op-error">
      <p><b class="mono">${error.code}</b></p>
      <p>${error.message}</p>
      <p class="muted small">fingerprint <span class="mono">${error.fingerprint}</span>, the same for all errors of this reason</p>
    </div>
  `;
}

/** Where Flower shows the step's task, if the operator has said where Flower is: its id there is the step's. */
function flowerOf(session, step) {
  return session.flower_url && `${session.flower_url.replace(/\/+$/, "")}/task/${encodeURIComponent(step.id)}`;
}

function place(one) {
  return { left: share(one.at), width: share(one.width) };
}

function share(of) {
  return `${(100 * of).toFixed(3)}%`;
}
