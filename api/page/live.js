// What is asked again and again while it is looked at. Nothing is asked in a tab that nobody sees.

import { address, api } from "./api.js";
import { useEffect, useRef, useState } from "./lib/preact.js";

const SLOWEST = 15; // times the usual pause, after errors

/** Call `work(signal)` now and every `every` ms while the tab is seen; returns {again, stop}. Errors slow it down. */
function repeated(work, every, failed) {
  let timer = null;
  let controller = null;
  let failures = 0;
  async function again() {
    clearTimeout(timer);
    controller?.abort();
    const mine = (controller = new AbortController());
    try {
      await work(mine.signal);
      failures = 0;
    } catch (error) {
      if (mine.signal.aborted) return;
      failures += 1;
      failed(error);
    }
    if (mine === controller && !document.hidden) timer = setTimeout(again, every * Math.min(2 ** failures, SLOWEST));
  }
  function seen() {
    if (document.hidden) clearTimeout(timer);
    else again();
  }
  function stop() {
    document.removeEventListener("visibilitychange", seen);
    clearTimeout(timer);
    controller?.abort();
    controller = null;
  }
  document.addEventListener("visibilitychange", seen);
  again();
  return { again, stop };
}

/** What a path of the API answers, asked again every `every` ms: {data, error, loading, refresh}. */
export function usePoll(path, { query = null, every = 2000, enabled = true } = {}) {
  const [state, set] = useState({ path, data: undefined, error: null });
  const asking = useRef(null);
  const asked = path === null || !enabled ? null : address(path, query);
  useEffect(() => {
    if (asked === null) return undefined;
    const work = async (signal) => {
      const data = await api.get(path, { query, signal });
      set({ path, data, error: null });
    };
    const failed = (error) => set((before) => ({ path, data: before.path === path ? before.data : undefined, error }));
    asking.current = repeated(work, every, failed);
    return () => asking.current.stop();
  }, [asked, every]);
  const mine = state.path === path ? state : { data: undefined, error: null };
  const loading = asked !== null && mine.data === undefined && !mine.error;
  return { data: mine.data, error: mine.error, loading, refresh: () => asking.current?.again() };
}

const NOTHING = { rows: [], next: null, error: null, loading: true };

/** A listing with a cursor: its first page asked again and again, and in turn one of the others that were loaded. */
export function usePages(path, { query = null, every = 2000, limit = 100 } = {}) {
  const [state, set] = useState(NOTHING);
  const asking = useRef(null);
  const pages = useRef([]); // cursors of the pages after the first
  const more = useRef(false);
  const asked = address(path, { ...query, limit });
  useEffect(() => {
    let turn = 0;
    pages.current = [];
    set((before) => ({ ...before, loading: true }));
    let fresh = true;
    const page = (cursor, signal) => api.get(path, { query: { ...query, limit, cursor }, signal });
    const work = async (signal) => {
      const first = await page(null, signal);
      const alone = fresh || pages.current.length === 0;
      set((before) => withFirst(fresh ? NOTHING : before, first, { limit, alone }));
      fresh = false;
      if (pages.current.length === 0) return;
      const cursor = pages.current[turn++ % pages.current.length];
      const other = await page(cursor, signal);
      set((before) => withOther(before, cursor, other));
    };
    asking.current = repeated(work, every, (error) => set((before) => ({ ...before, error, loading: false })));
    asking.current.page = page;
    return () => asking.current.stop();
  }, [asked, every]);
  async function loadMore() {
    const cursor = state.next;
    if (cursor === null || more.current) return;
    more.current = true;
    try {
      const found = await asking.current.page(cursor);
      pages.current.push(cursor);
      set((before) =>
        before.next === cursor ? { ...before, rows: joined(before.rows, found.data), next: found.next_cursor } : before,
      );
    } catch (error) {
      set((before) => ({ ...before, error }));
    } finally {
      more.current = false;
    }
  }
  return {
    rows: state.rows,
    more: state.next !== null,
    loadMore,
    error: state.error,
    loading: state.loading && state.rows.length === 0,
    refresh: () => asking.current?.again(),
  };
}

const keyOf = (row) => row.id ?? row.name;

function joined(rows, found) {
  const known = new Set(rows.map(keyOf));
  return [...rows, ...found.filter((row) => !known.has(keyOf(row)))];
}

/** The first page takes the place of everything up to its last row; `alone`: no other was loaded. */
function withFirst(before, { data, next_cursor: next }, { limit, alone }) {
  if (next !== null && data.length < limit) return withSparse(before, { data, next, alone });
  const last = data.length ? before.rows.findIndex((row) => keyOf(row) === keyOf(data.at(-1))) : -1;
  if (next === null || last < 0) return { rows: data, next, error: null, loading: false };
  return {
    rows: joined(data, before.rows.slice(last + 1)),
    next: last + 1 < before.rows.length ? before.next : next,
    error: null,
    loading: false,
  };
}

/** Of a rare kind the first page may have few rows, or none, and not be the last: ids from `next` on it has not seen. */
function withSparse(before, { data, next, alone }) {
  const older = before.rows.filter((row) => keyOf(row) < next);
  return { rows: joined(data, older), next: alone ? next : before.next, error: null, loading: false };
}

/** Another page takes the place of what stands between its cursor and its last row. */
function withOther(before, cursor, { data }) {
  const from = before.rows.findIndex((row) => keyOf(row) === cursor);
  const to = data.length ? before.rows.findIndex((row) => keyOf(row) === keyOf(data.at(-1))) : -1;
  if (from < 0 || to <= from) return before;
  return { ...before, rows: [...before.rows.slice(0, from + 1), ...data, ...before.rows.slice(to + 1)] };
}

/** The time, again every `every` ms: all clocks of one pace tick together. */
export function useClock(every = 1000) {
  const [now, set] = useState(Date.now());
  useEffect(() => ticking(every, set), [every]);
  return now;
}

const clocks = new Map(); // pace → {timer, listeners}

function ticking(every, listener) {
  if (!clocks.has(every)) {
    const listeners = new Set();
    const timer = setInterval(() => {
      if (!document.hidden) for (const one of listeners) one(Date.now());
    }, every);
    clocks.set(every, { timer, listeners });
  }
  const clock = clocks.get(every);
  clock.listeners.add(listener);
  return () => {
    clock.listeners.delete(listener);
    if (clock.listeners.size > 0) return;
    clearInterval(clock.timer);
    clocks.delete(every);
  };
}

export { useJob } from "./live_job.js";
