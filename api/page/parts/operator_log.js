// The lines that all processes have written about one job, as they come.

import { api } from "../api.js";
import { html, useCallback, useEffect, useMemo, useRef, useState } from "../lib/preact.js";
import { Button, Empty, Panel, Problem, Select, Skeleton, Tag } from "./index.js";

const EVERY = 2000;
const LATER = 10_000; // once the job has ended, and its last lines must be there: webhooks may still be told of
const LAST = 5; // so often it is asked at the usual pace after the end
const LONGEST = 30000;
const PAGE = 500;
const LEVELS = [
  ["", "all lines"],
  ["warning", "warnings and errors"],
  ["error", "errors"],
];
const RANK = { info: 0, warning: 1, error: 2, critical: 3 };
const TONES = { warning: "warn", error: "bad", critical: "bad" };
const SHOWN_ELSEWHERE = new Set(["job", "step", "attempt", "tenant"]);

/** The job's log; `chosen` ({step, number} or null) shows one attempt's lines only, `clear` takes that back. */
export function JobLog({ job, chosen, clear }) {
  const { lines, error, loading, again } = useLines(job.id, !job.finished_at);
  const [level, setLevel] = useState("");
  const shown = useMemo(() => lines.filter((line) => fits(line, level, chosen)), [lines, level, chosen]);
  const actions = html`
    ${chosen && html`<${Button} tone="quiet" onClick=${clear}>Show all attempts<//>`}
    <${Select} label="Lines" hideLabel value=${level} onChange=${setLevel} options=${LEVELS} />
  `;
  const sub = chosen ? `of ${chosen.step}, attempt ${chosen.number}` : `${shown.length} lines of all processes`;
  return html`
    <${Panel} title="Log" sub=${sub} actions=${actions} flush>
      ${error && html`<div class="op-pad"><${Problem} error=${error} retry=${again} /></div>`}
      ${loading && html`<${Skeleton} rows=${4} />`}
      ${!loading && !shown.length && html`<${Nothing} any=${lines.length > 0} failed=${error !== null} />`}
      ${shown.length > 0 &&
      html`<ol class="op-log" tabindex="0" aria-label="Log lines, oldest first">
        ${shown.map((line) => html`<${Line} key=${line.id} line=${line} />`)}
      </ol>`}
    <//>
  `;
}

function Nothing({ any, failed }) {
  if (failed) return null;
  return any
    ? html`<${Empty} title="No such lines">Choose other lines, or another attempt.<//>`
    : html`<${Empty} title="No lines yet">They come with the job’s first event.<//>`;
}

function Line({ line }) {
  const place = line.step ? `${line.step}${line.attempt ? ` #${line.attempt}` : ""}` : "";
  const fields = Object.entries(line.fields ?? {}).filter(([name]) => !SHOWN_ELSEWHERE.has(name));
  return html`
    <li class="op-line" title=${`${line.at}  ${line.process ?? ""}`}>
      <time class="muted num" datetime=${line.at}>${moment(line.at)}</time>
      <span class="op-place clip">${place}</span>
      <span class="op-event">
        ${TONES[line.level] && html`<${Tag} tone=${TONES[line.level]}>${line.level}<//>`}
        <b>${line.event}</b>
        ${fields.map(([name, value]) => html`<span><span class="muted">${name}=</span>${text(value)}</span>`)}
        ${line.error && html`<details class="op-stack"><summary>${line.error.type}: ${line.error.message}</summary><pre>${line.error.stack}</pre></details>`}
      </span>
    </li>
  `;
}

/** All lines so far, and those that come; the more seldom once the job is no longer `live`. */
function useLines(id, live) {
  const [state, setState] = useState({ id, lines: [], error: null, loading: true });
  const [turn, setTurn] = useState(0);
  const sinceEnd = useRef(0); // how often it was asked since the end
  const alive = useRef(live);
  alive.current = live;
  useEffect(() => {
    const asking = new AbortController();
    let [after, failures, timer] = [undefined, 0, null];
    const ask = async () => {
      clearTimeout(timer);
      let full = false;
      try {
        const page = await api.get(`/v1/jobs/${id}/logs`, { query: { after, limit: PAGE }, signal: asking.signal });
        const first = after === undefined;
        setState((before) => ({ id, lines: first ? page.data : joined(before.lines, page.data), error: null, loading: false }));
        after = page.next_after;
        full = page.data.length === PAGE;
        failures = 0;
      } catch (error) {
        if (asking.signal.aborted) return;
        failures += 1;
        setState((before) => ({ ...before, id, lines: before.id === id ? before.lines : [], error, loading: false }));
      }
      sinceEnd.current = alive.current ? 0 : sinceEnd.current + 1;
      const pace = sinceEnd.current > LAST ? LATER : EVERY;
      if (!document.hidden) timer = setTimeout(ask, full ? 0 : Math.min(pace * 2 ** failures, LONGEST));
    };
    const seen = () => (document.hidden ? clearTimeout(timer) : ask());
    document.addEventListener("visibilitychange", seen);
    ask();
    return () => {
      asking.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [id, turn]);
  const again = useCallback(() => setTurn((before) => before + 1), []);
  return { ...(state.id === id ? state : { lines: [], error: null, loading: true }), again };
}

/** In the order of their times: what another process wrote may come a little later. */
function joined(lines, more) {
  if (!more.length) return lines;
  const known = new Set(lines.map((line) => line.id));
  return [...lines, ...more.filter((line) => !known.has(line.id))].sort((a, b) => Date.parse(a.at) - Date.parse(b.at) || a.id.localeCompare(b.id, "en", { numeric: true }));
}

function fits(line, level, chosen) {
  if (level && RANK[line.level] < RANK[level]) return false;
  return !chosen || (line.step === chosen.step && line.attempt === chosen.number);
}

function moment(at) {
  const when = new Date(at);
  return `${when.toLocaleTimeString("en-GB")}.${String(when.getMilliseconds()).padStart(3, "0")}`;
}

function text(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}
