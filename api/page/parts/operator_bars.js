// Where the attempts of a job stand on its time line. Pure: a job's document and a moment in, fractions of the width out.

const LEAST_SPAN = 0.05; // seconds that the whole line shows at least
const FOLD_ABOVE = 8; // a silence so many times longer than all work is folded,
const FOLD_LEAST = 10; // and at least so many seconds long
const FOLD_SHARE = 0.12; // of what is shown, so wide is a folded one
const TICKS = [
  0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400,
  172800, 604800,
];

/**
 * The lanes of a job's steps, one bar for each attempt, and the axis above them.
 *
 * `now` in milliseconds. Bars and waits have `at` and `width`, fractions of the line's width; folds are silences that
 * were cut short: `{at, width, seconds}`; ticks `{at, seconds}` count from the job's acceptance.
 */
export function timeline(job, now) {
  const origin = Date.parse(job.created_at);
  const lanes = Object.entries(job.steps).map(([name, step]) => lane(name, step, job, origin, now));
  const busy = lanes.flatMap((one) => one.bars.map((bar) => [bar.from, bar.to]));
  const end = Math.max(LEAST_SPAN, job.finished_at ? seconds(job.finished_at, origin) : 0, ...busy.map(([, to]) => to));
  const live = job.finished_at ? end : Math.max(end, (now - origin) / 1000);
  const axis = folded(busy, live);
  const placed = (one) => ({ ...one, at: axis.at(one.from), width: axis.at(one.to) - axis.at(one.from) });
  return {
    seconds: live,
    folds: axis.folds,
    ticks: ticks(axis, live),
    lanes: lanes.map((one) => ({ ...one, bars: one.bars.map(placed), waits: one.waits.map(placed) })),
  };
}

/** What was tried of a step: ended attempts, and the one under way with the outcome "running". */
export function attempts(step) {
  const made = step.attempts;
  if (step.state !== "running" || !step.started_at) return made;
  const number = step.attempt ?? made.reduce((most, one) => Math.max(most, one.number), 0) + 1;
  const since = { number, outcome: "running", started_at: step.started_at, finished_at: null, error: null };
  return [...made, { ...since, worker: step.worker ?? null }];
}

function lane(name, step, job, origin, now) {
  const bars = attempts(step).map((attempt) => ({
    attempt,
    from: seconds(attempt.started_at, origin),
    to: attempt.finished_at ? seconds(attempt.finished_at, origin) : Math.max(0, (now - origin) / 1000),
  }));
  return { name, step, bars, waits: waits(step, job, bars, origin, now) };
}

/** The times between: from when the step could start to its first attempt, and from each attempt to the next. */
function waits(step, job, bars, origin, now) {
  const used = step.use.map((name) => job.steps[name]?.finished_at);
  if (used.some((at) => !at)) return []; // it has not been ready yet
  let since = Math.max(0, ...used.map((at) => seconds(at, origin)));
  const found = [];
  for (const bar of bars) {
    if (bar.from > since) found.push({ from: since, to: bar.from });
    since = bar.to;
  }
  if (["queued", "scheduled", "retrying"].includes(step.state)) {
    const until = (now - origin) / 1000;
    if (until > since) found.push({ from: since, to: until });
  }
  return found;
}

/** From seconds to fractions, with the long silences between `busy` intervals folded. */
function folded(busy, end) {
  const pieces = [];
  let at = 0;
  for (const [from, to] of [...busy].sort((a, b) => a[0] - b[0])) {
    if (from > at) pieces.push({ from: at, to: from, silent: true });
    if (to > at) pieces.push({ from: Math.max(at, from), to, silent: false });
    at = Math.max(at, to);
  }
  if (end > at) pieces.push({ from: at, to: end, silent: true });
  const work = pieces.reduce((sum, one) => sum + (one.silent ? 0 : one.to - one.from), 0);
  const limit = Math.max(FOLD_LEAST, work * FOLD_ABOVE);
  const folds = work > 0 ? pieces.filter((one) => one.silent && one.to - one.from > limit) : [];
  const shown = pieces.filter((one) => !folds.includes(one)).reduce((sum, one) => sum + one.to - one.from, 0) || LEAST_SPAN;
  const share = Math.min(FOLD_SHARE, 0.5 / Math.max(1, folds.length));
  let left = 0;
  for (const one of pieces) {
    one.at = left;
    one.width = folds.includes(one) ? share : ((one.to - one.from) / shown) * (1 - folds.length * share);
    one.seconds = one.to - one.from;
    left += one.width;
  }
  return { folds, shown, at: (second) => placed(pieces, second) };
}

function placed(pieces, second) {
  const piece = pieces.find((one) => second <= one.to) ?? pieces.at(-1);
  if (!piece) return 0;
  const share = piece.to > piece.from ? (second - piece.from) / (piece.to - piece.from) : 0;
  return Math.min(1, Math.max(0, piece.at + piece.width * Math.min(1, Math.max(0, share))));
}

function ticks(axis, end) {
  const step = TICKS.find((one) => axis.shown / one <= 7) ?? TICKS.at(-1);
  const found = [];
  for (let n = 0; n * step <= end && found.length < 24; n = next(axis, n, step)) {
    const at = axis.at(n * step);
    if (!foldAt(axis, n * step) && at < 0.97 && (!found.length || at - found.at(-1).at > 0.07)) {
      found.push({ at, seconds: n * step });
    }
  }
  return found;
}

/** The next tick: a folded silence is leapt over, however long it is. */
function next(axis, n, step) {
  const fold = foldAt(axis, (n + 1) * step);
  return fold ? Math.ceil(fold.to / step) : n + 1;
}

function foldAt(axis, second) {
  return axis.folds.find((one) => one.from < second && second < one.to);
}

function seconds(at, origin) {
  return (Date.parse(at) - origin) / 1000;
}
