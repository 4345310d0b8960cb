"""The queue, compiled: jobs start in the order they came, on the slot that has been free for longest. Exact.

A slot is known by the moment from which it is free (for one of a replica that starts: when that is ready), and those
of all replicas that may take jobs form a heap by that moment. The next job starts at the later of its arrival and the
heap's top, and so no event but that one is needed. Ends are noted when the slot is looked at again, at the latest at
the next tick, which is the moment at which a policy looks. Waits go into a histogram of buckets 1 % wide.
"""

import math
from typing import NamedTuple

import numpy as np

from scheduler.simulation.chance import HEAD, STARTUP, TAIL, Source, advance, compiled, service_time, source, uniform
from scheduler.simulation.trace import Floats, Ints, Trace
from scheduler.simulation.world import World

SHORTEST, GROWTH = 0.001, 1.01  # of the histogram: its first bucket in seconds, and each bucket to the one before
BUCKETS = 2600  # up to five years
BINS = 2000  # of the course: how finely it is remembered for plots
RECENT, LONGER, ENOUGH = 300.0, 3600.0, 20  # service times: of this window, or of the longer if it has fewer than that

ARRIVED, STARTED, HEAPED, GONE, ENDED_RECENT, ENDED_LONGER, IN_1M, IN_5M, OVER, TICK, ACTIVE = range(11)
BUSY, LONGEST, WAITED, SECONDS, SUM_RECENT, SQUARES_RECENT, SUM_LONGER, SQUARES_LONGER = range(8)
N_COUNTS, N_SUMS = 11, 8


class Desk(NamedTuple):
    """The state of a run, in arrays: `counts` and `sums` by the names above; a slot's number is replica * slots + k.

    `serving` is the service time of the job whose end is not noted yet, or -1; `gone_*` the same of slots whose replica
    was told to go. `asked_at` is -1 where there is no replica. `flow` counts arrivals and `served` ends by small
    intervals. `course` has per bin: most runnable, replicas summed over ticks, ticks, arrivals.
    """

    counts: Ints
    sums: Floats
    heap: Ints
    free_at: Floats
    serving: Floats
    asked_at: Floats
    ready_at: Floats
    gone_until: Floats
    gone_serving: Floats
    flow: Ints
    served: Floats
    waits: Ints
    course: Floats


class Sizes(NamedTuple):
    """How long the arrays are."""

    slots: int
    replicas: int
    gone: int
    flow: int
    served: int
    rows: int


class Book(NamedTuple):
    """All state in two arrays, and the same by its names."""

    ints: Ints
    floats: Floats
    sizes: Sizes
    desk: Desk
    source: Source


class Pace(NamedTuple):
    """The clock: a tick in seconds, the intervals in one, how many of them the windows are, seconds of a bin."""

    tick: float
    intervals: int
    minute: int
    five: int
    recent: int
    longer: int
    bin: float


class Stops(NamedTuple):
    """When to stop before `until`: runnable jobs leave [low, high], or (`idle`) one runs, or nothing was active.

    A look is active if more than `activation` are runnable, or (`exact`) some run; only each `every`-th tick counts,
    and `patience` ticks without end it.
    """

    until: int
    low: int = 1
    high: int = 0
    idle: bool = False
    exact: bool = False
    activation: int = 0
    every: int = 1
    patience: int = 1 << 60


class Seen(NamedTuple):
    """What there is at a tick."""

    tick: int
    runnable: int
    running: int
    oldest: float
    arrivals: float
    arrivals_5m: float
    service_mean: float
    service_stddev: float
    samples: int


def pace(tick: float, seconds: float) -> Pace:
    """Intervals of about a second, a whole number of them in a tick."""
    intervals = max(1, round(tick))
    width = tick / intervals
    minute, five, recent, longer = (max(1, round(window / width)) for window in (60.0, 300.0, RECENT, LONGER))
    return Pace(tick, intervals, minute, five, recent, longer, max(tick, seconds / BINS))


def book(trace: Trace, world: World, at: Pace, most: int) -> Book:
    """Nothing there yet, and room for `most` replicas."""
    slots, begun = most * world.slots, source(trace, world)
    sizes = Sizes(slots, most, 4 * slots + 1024, at.five + at.intervals, at.longer + at.intervals, len(trace.begins))
    made = _opened(sizes)
    made.desk.serving[:] = made.desk.asked_at[:] = -1.0
    for mine, theirs in zip(made.source, begun, strict=True):
        mine[:] = theirs
    return made


def with_room(old: Book, gone: int) -> Book:
    """The same with room for so many slots whose replica was told to go."""
    if gone <= old.sizes.gone:
        return old
    made = _opened(old.sizes._replace(gone=2 * gone))
    for mine, theirs in zip((*made.desk, *made.source), (*old.desk, *old.source), strict=True):
        mine[: len(theirs)] = theirs
    return made


def _opened(sizes: Sizes) -> Book:
    ints = np.zeros(N_COUNTS + BUCKETS + sizes.slots + sizes.flow + sizes.rows + 8, np.int64)
    floats = np.zeros(
        N_SUMS
        + 4 * (BINS + 1)
        + 2 * (sizes.slots + sizes.replicas + sizes.gone)
        + 3 * sizes.served
        + 3 * sizes.rows
        + 2
    )
    return Book(ints, floats, sizes, _desk(ints, floats, sizes), _source(ints, floats, sizes))


@compiled
def run_on(
    ints: Ints, floats: Floats, sizes: Sizes, at: Pace, stops: Stops, world: tuple[float, float, float], replicas: int
) -> Seen:
    """Go on to the next tick at which there is a reason to stop; `world` is (service mean, its spread, wait target).

    Takes a Book's parts: to hand over each array by itself would take longer than most ticks do.
    """
    d, src = _desk(ints, floats, sizes), _source(ints, floats, sizes)
    tick = d.counts[TICK]
    while True:
        tick += 1
        now = tick * at.tick
        d.counts[TICK] = tick
        _arrive(d, src, at, now)
        _start(d, src, at, world, now)
        running = _running(d, at, now)
        _slide(d, at, tick)
        runnable = d.counts[ARRIVED] - d.counts[STARTED]
        _remember(d, at, now, runnable, replicas)
        if tick % stops.every == 0 and (runnable > stops.activation or (stops.exact and running > 0)):
            d.counts[ACTIVE] = tick
        if (
            tick >= stops.until
            or runnable < stops.low
            or runnable > stops.high
            or (stops.idle and running > 0)
            or tick - d.counts[ACTIVE] >= stops.patience
        ):
            return _seen(d, src, at, tick, now, runnable, running)


@compiled
def _desk(ints: Ints, floats: Floats, sizes: Sizes) -> Desk:
    """The first part of a book, by its names."""
    counts, rest = ints[:N_COUNTS], ints[N_COUNTS:]
    waits, rest = rest[:BUCKETS], rest[BUCKETS:]
    heap, rest = rest[: sizes.slots], rest[sizes.slots :]
    flow = rest[: sizes.flow]
    sums, left = floats[:N_SUMS], floats[N_SUMS:]
    course, left = left[: 4 * (BINS + 1)].reshape((BINS + 1, 4)), left[4 * (BINS + 1) :]
    free_at, left = left[: sizes.slots], left[sizes.slots :]
    serving, left = left[: sizes.slots], left[sizes.slots :]
    asked_at, left = left[: sizes.replicas], left[sizes.replicas :]
    ready_at, left = left[: sizes.replicas], left[sizes.replicas :]
    gone_until, left = left[: sizes.gone], left[sizes.gone :]
    gone_serving, left = left[: sizes.gone], left[sizes.gone :]
    served = left[: 3 * sizes.served].reshape((sizes.served, 3))
    return Desk(
        counts, sums, heap, free_at, serving, asked_at, ready_at, gone_until, gone_serving, flow, served, waits, course
    )


@compiled
def _source(ints: Ints, floats: Floats, sizes: Sizes) -> Source:
    """The last part of a book, by its names."""
    rows = sizes.rows
    rest, left = ints[len(ints) - rows - 8 :], floats[len(floats) - 3 * rows - 2 :]
    begins, ends, rates, times = left[:rows], left[rows : 2 * rows], left[2 * rows : 3 * rows], left[3 * rows :]
    scheduled, places, dice = rest[:rows], rest[rows : rows + 4].reshape((2, 2)), rest[rows + 4 :].view(np.uint64)
    return Source(begins, ends, rates, scheduled, dice, places, times)


@compiled
def grow(d: Desk, src: Source, number: int, slots: int, now: float, startup: float, jitter: float) -> None:
    """Ask for more replicas; there must be room."""
    for replica in range(len(d.asked_at)):
        if number == 0:
            return
        if d.asked_at[replica] >= 0.0:
            continue
        number -= 1
        d.asked_at[replica] = now
        d.ready_at[replica] = now + startup * (1.0 + jitter * (2.0 * uniform(src.dice, STARTUP) - 1.0))
        for slot in range(replica * slots, replica * slots + slots):
            d.free_at[slot] = d.ready_at[replica]
            d.serving[slot] = -1.0
            d.heap[d.counts[HEAPED]] = slot
            d.counts[HEAPED] += 1
            _rise(d, d.counts[HEAPED] - 1)


@compiled
def shrink(d: Desk, number: int, slots: int, now: float) -> None:
    """Tell replicas to go: those that start, the last first, then the least busy. There must be room among the gone.

    A replica is paid for until its last job has ended.
    """
    for _ in range(number):
        replica = _dispensable(d, slots, now)
        until = now
        for slot in range(replica * slots, replica * slots + slots):
            if d.serving[slot] >= 0.0:
                until = max(until, d.free_at[slot])
                d.gone_until[d.counts[GONE]] = d.free_at[slot]
                d.gone_serving[d.counts[GONE]] = d.serving[slot]
                d.counts[GONE] += 1
        d.sums[SECONDS] += until - d.asked_at[replica]
        d.asked_at[replica] = -1.0
    heaped, d.counts[HEAPED] = d.counts[HEAPED], 0
    for place in range(heaped):
        slot = d.heap[place]
        if d.asked_at[slot // slots] >= 0.0:
            d.heap[d.counts[HEAPED]] = slot
            d.counts[HEAPED] += 1
            _rise(d, d.counts[HEAPED] - 1)


@compiled
def _dispensable(d: Desk, slots: int, now: float) -> int:
    found, least, latest = -1, slots + 1, -1.0
    for replica in range(len(d.asked_at)):
        if d.asked_at[replica] < 0.0:
            continue
        busy, since = -1, d.ready_at[replica]
        if d.ready_at[replica] <= now:
            busy, since = 0, d.asked_at[replica]
            for slot in range(replica * slots, replica * slots + slots):
                busy += d.serving[slot] >= 0.0
        if busy < least or (busy == least and since >= latest):
            found, least, latest = replica, busy, since
    return found


@compiled
def _arrive(d: Desk, src: Source, at: Pace, now: float) -> None:
    width = at.tick / at.intervals
    while src.times[HEAD] <= now:
        interval = max(0, math.ceil(src.times[HEAD] / width) - 1)
        d.flow[interval % len(d.flow)] += 1
        d.counts[IN_1M] += 1
        d.counts[IN_5M] += 1
        d.counts[ARRIVED] += 1
        d.course[min(BINS, int(src.times[HEAD] / at.bin)), 3] += 1
        advance(src, HEAD)


@compiled
def _start(d: Desk, src: Source, at: Pace, world: tuple[float, float, float], now: float) -> None:
    mean, spread, target = world
    while src.times[TAIL] <= now and d.counts[HEAPED] > 0:
        slot = d.heap[0]
        free = d.free_at[slot]
        if free > now:
            return
        if d.serving[slot] >= 0.0:
            _end(d, at, free, d.serving[slot])
        wait = max(0.0, free - src.times[TAIL])
        _note(d, wait, target)
        seconds = service_time(src.dice, mean, spread)
        d.serving[slot] = seconds
        d.free_at[slot] = src.times[TAIL] + wait + seconds
        d.sums[BUSY] += seconds
        d.counts[STARTED] += 1
        _sink(d)
        advance(src, TAIL)


@compiled
def _note(d: Desk, wait: float, target: float) -> None:
    bucket = 0
    if wait > 0.0:
        bucket = 1
        if wait > SHORTEST:
            bucket = min(BUCKETS - 1, 1 + int(math.log(wait / SHORTEST) / math.log(GROWTH)))
        d.sums[WAITED] += wait
        d.sums[LONGEST] = max(d.sums[LONGEST], wait)
        if wait > target:
            d.counts[OVER] += 1
    d.waits[bucket] += 1


@compiled
def _end(d: Desk, at: Pace, when: float, seconds: float) -> None:
    interval = max(0, math.ceil(when / (at.tick / at.intervals)) - 1) % len(d.served)
    square = seconds * seconds
    d.served[interval, 0] += 1
    d.served[interval, 1] += seconds
    d.served[interval, 2] += square
    d.counts[ENDED_RECENT] += 1
    d.sums[SUM_RECENT] += seconds
    d.sums[SQUARES_RECENT] += square
    d.counts[ENDED_LONGER] += 1
    d.sums[SUM_LONGER] += seconds
    d.sums[SQUARES_LONGER] += square


@compiled
def _running(d: Desk, at: Pace, now: float) -> int:
    """Note what has ended by now, and count the rest."""
    running = 0
    for place in range(d.counts[HEAPED]):
        slot = d.heap[place]
        if d.serving[slot] >= 0.0:
            if d.free_at[slot] > now:
                running += 1
            else:
                _end(d, at, d.free_at[slot], d.serving[slot])
                d.serving[slot] = -1.0
    gone, d.counts[GONE] = d.counts[GONE], 0
    for place in range(gone):
        if d.gone_until[place] > now:
            d.gone_until[d.counts[GONE]] = d.gone_until[place]
            d.gone_serving[d.counts[GONE]] = d.gone_serving[place]
            d.counts[GONE] += 1
        else:
            _end(d, at, d.gone_until[place], d.gone_serving[place])
    return running + d.counts[GONE]


@compiled
def _slide(d: Desk, at: Pace, tick: int) -> None:
    """Let the windows end at this tick."""
    for interval in range((tick - 1) * at.intervals, tick * at.intervals):
        if interval >= at.minute:
            d.counts[IN_1M] -= d.flow[(interval - at.minute) % len(d.flow)]
        if interval >= at.five:
            old = (interval - at.five) % len(d.flow)
            d.counts[IN_5M] -= d.flow[old]
            d.flow[old] = 0
        if interval >= at.recent:
            old = (interval - at.recent) % len(d.served)
            if d.served[old, 0] > 0.0:
                d.counts[ENDED_RECENT] -= int(d.served[old, 0])
                d.sums[SUM_RECENT] -= d.served[old, 1]
                d.sums[SQUARES_RECENT] -= d.served[old, 2]
        if interval >= at.longer:
            old = (interval - at.longer) % len(d.served)
            if d.served[old, 0] > 0.0:
                d.counts[ENDED_LONGER] -= int(d.served[old, 0])
                d.sums[SUM_LONGER] -= d.served[old, 1]
                d.sums[SQUARES_LONGER] -= d.served[old, 2]
                d.served[old, :] = 0.0


@compiled
def _remember(d: Desk, at: Pace, now: float, runnable: int, replicas: int) -> None:
    place = min(BINS, int(now / at.bin))
    d.course[place, 0] = max(d.course[place, 0], runnable)
    d.course[place, 1] += replicas
    d.course[place, 2] += 1


@compiled
def _seen(d: Desk, src: Source, at: Pace, tick: int, now: float, runnable: int, running: int) -> Seen:
    samples, total, squares = d.counts[ENDED_RECENT], d.sums[SUM_RECENT], d.sums[SQUARES_RECENT]
    if samples < ENOUGH:
        samples, total, squares = d.counts[ENDED_LONGER], d.sums[SUM_LONGER], d.sums[SQUARES_LONGER]
    mean, stddev = 0.0, 0.0
    if samples > 0:
        mean = total / samples
        stddev = math.sqrt(max(0.0, squares / samples - mean * mean))
    width = at.tick / at.intervals
    in_1m = d.counts[IN_1M] / (at.minute * width)
    in_5m = d.counts[IN_5M] / (at.five * width)
    oldest = now - src.times[TAIL] if runnable > 0 else 0.0
    return Seen(tick, runnable, running, oldest, in_1m, in_5m, mean, stddev, samples)


@compiled
def _rise(d: Desk, place: int) -> None:
    while place > 0 and _before(d, d.heap[place], d.heap[(place - 1) // 2]):
        above = (place - 1) // 2
        d.heap[place], d.heap[above] = d.heap[above], d.heap[place]
        place = above


@compiled
def _sink(d: Desk) -> None:
    place, slot = 0, d.heap[0]
    while 2 * place + 1 < d.counts[HEAPED]:
        below = 2 * place + 1
        if below + 1 < d.counts[HEAPED] and _before(d, d.heap[below + 1], d.heap[below]):
            below += 1
        if not _before(d, d.heap[below], slot):
            break
        d.heap[place] = d.heap[below]
        place = below
    d.heap[place] = slot


@compiled
def _before(d: Desk, one: int, other: int) -> bool:
    return d.free_at[one] < d.free_at[other] or (d.free_at[one] == d.free_at[other] and one < other)
