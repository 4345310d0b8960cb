// One job as it runs: its document, and its events as they happen.

import { address, api } from "./api.js";
import { useEffect, useState } from "./lib/preact.js";

// A browser opens six connections to one host; streams take at most three of them, and only in the tab that is seen.
const MOST_STREAMS = 3;
const PAUSE = 1500; // ms between two looks at a job that has no stream
const GATHER = 150; // ms in which several events lead to one look
const SEEN_ENDED = 10_000; // ms between two looks at a job that has ended: it may be told to run again
const ENDED = new Set(["succeeded", "failed", "canceled", "expired"]);
const TYPES = [
  ...["queued", "running", "succeeded", "failed", "canceled", "expired", "stopping"].map((state) => `job.${state}`),
  ...["running", "succeeded", "progress", "retrying", "queued", "failed", "canceled", "expired"].map(
    (state) => `step.${state}`,
  ),
];

let streams = 0;
const waiting = new Set(); // jobs that are followed by asking: the more there are, the more slowly

export const hasEnded = (job) => ENDED.has(job.state);

/** {job, events, error, refresh} of a job's id; null: nothing. `events` are those of the stream, oldest first. */
export function useJob(id) {
  const [state, set] = useState({ id, job: null, events: [], error: null });
  const [refresh, setRefresh] = useState(() => () => {});
  useEffect(() => {
    if (id === null) return undefined;
    const following = follow(id, (change) =>
      set((before) => ({
        ...(before.id === id ? before : fresh(id)),
        ...change(before.id === id ? before : fresh(id)),
      })),
    );
    setRefresh(() => following.look);
    return following.stop;
  }, [id]);
  return { ...(state.id === id ? state : fresh(id)), refresh };
}

const fresh = (id) => ({ id, job: null, events: [], error: null });

/** Look at a job, again whenever something has happened to it, until `stop`. */
function follow(id, change) {
  let stream = null;
  let timer = null;
  let due = 0; // when the timer ends
  let asking = null;
  let over = false;

  async function look() {
    clearTimeout(timer);
    due = 0;
    if (over || document.hidden) return;
    asking?.abort();
    const mine = (asking = new AbortController());
    try {
      const job = await api.get(`/v1/jobs/${id}`, { signal: mine.signal });
      if (over) return;
      change(() => ({ job, error: null }));
      if (hasEnded(job)) close();
      else stream ||= openStream(id, told, lost);
      if (!stream) later(hasEnded(job) ? SEEN_ENDED : PAUSE * Math.max(waiting.size / MOST_STREAMS, 1));
      wait(!stream && !hasEnded(job));
    } catch (error) {
      if (mine.signal.aborted) return;
      change(() => ({ error }));
      if (error.status !== 404) later(PAUSE * 2);
    }
  }

  const wait = (waits) => (waits ? waiting.add(id) : waiting.delete(id));

  /** Look in so many ms, or sooner if that is planned already. */
  function later(ms) {
    if (over || (due && due <= Date.now() + ms)) return;
    clearTimeout(timer);
    due = Date.now() + ms;
    timer = setTimeout(look, ms);
  }

  function told(event) {
    change((before) => noted(before, event));
    if (event.type !== "step.progress") later(GATHER);
  }

  function lost() {
    stream = null;
    later(GATHER);
  }

  function close() {
    stream?.();
    stream = null;
  }

  function seen() {
    if (document.hidden) close();
    else look();
  }

  function stop() {
    over = true;
    document.removeEventListener("visibilitychange", seen);
    clearTimeout(timer);
    asking?.abort();
    wait(false);
    close();
  }

  document.addEventListener("visibilitychange", seen);
  look();
  return { look, stop };
}

/** Listen to a job's events; returns what stops that, or null while as many streams are open as may be. */
function openStream(id, told, lost) {
  if (streams >= MOST_STREAMS) return null;
  streams += 1;
  const source = new EventSource(address(`/v1/jobs/${id}/events`));
  let open = true;
  function close() {
    if (open) streams -= 1;
    open = false;
    source.close();
  }
  for (const type of TYPES) source.addEventListener(type, (message) => told(JSON.parse(message.data)));
  source.addEventListener("error", () => {
    if (!open || source.readyState !== EventSource.CLOSED) return; // it connects again by itself
    close();
    lost();
  });
  return close;
}

/** What an event changes at once, before the job is looked at again: the list of events, and a step's progress. */
function noted(before, event) {
  if (before.events.some((known) => known.seq === event.seq)) return {};
  const events = [...before.events, event];
  const { step: name, progress } = event.data;
  const step = event.type === "step.progress" && before.job?.steps[name];
  if (!step || step.state !== "running") return { events };
  const steps = { ...before.job.steps, [name]: { ...step, progress: Math.max(step.progress, progress) } };
  return { events, job: { ...before.job, steps } };
}
