"""The queue, compiled: jobs start in the order they came, on the slot that has been free for longest. Exact.

A slot is known by the moment from which it is free (for one of a replica that starts: when that is ready), and those
of all replicas that may take jobs form a heap by that moment. The next job starts at the later of its arrival and the
heap's top, and so no event but that one is needed. Ends are noted when the slot is looked at again, at the latest at
the next tick, which is the moment at which a policy looks. Waits go into a histogram of buckets 1 % wide.
"""

import math
from typing import NamedTuple

from scheduler.simulation.book import (
    ACTIVE,
    ARRIVED,
    BINS,
    BUSY,
    ENDED_LONGER,
    ENDED_RECENT,
    ENOUGH,
    GONE,
    HEAPED,
    IN_1M,
    IN_5M,
    SECONDS,
    SQUARES_LONGER,
    SQUARES_RECENT,
    STARTED,
    SUM_LONGER,
    SUM_RECENT,
    TICK,
    Desk,
    Pace,
    Work,
    desk_of,
    head_of,
    source_of,
)
from scheduler.simulation.chance import HEAD, STARTUP, TAIL, Source, advance, compiled, service_time, uniform
from scheduler.simulation.trace import Floats, Ints
from scheduler.simulation.windows import note_end, note_wait, slide


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


@compiled
def run_on(ints: Ints, floats: Floats, stops: Stops, replicas: int) -> Seen:
    """Go on to the next tick at which there is a reason to stop.

    Takes a Book's two arrays: to hand over each part by itself would take longer than most ticks do.
    """
    sizes, at, work = head_of(ints, floats)
    d, src = desk_of(ints, floats, sizes), source_of(ints, floats, sizes)
    tick = d.counts[TICK]
    while True:
        tick += 1
        now = tick * at.tick
        d.counts[TICK] = tick
        running = 0
        if src.times[HEAD] <= now:
            _arrive(d, src, at, now)
        if d.counts[HEAPED] > 0:
            if src.times[TAIL] <= now:
                _start(d, src, at, work, now)
            running = _running(d, at, now)
        elif d.counts[GONE] > 0:
            running = _running(d, at, now)
        if d.counts[IN_5M] > 0 or d.counts[ENDED_LONGER] > 0:
            slide(d, at, tick)
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
            _rise(d.heap, d.free_at, d.counts[HEAPED] - 1)


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
            _rise(d.heap, d.free_at, d.counts[HEAPED] - 1)


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
    times, counts, flow, course = src.times, d.counts, d.flow, d.course
    width = at.tick / at.intervals
    while times[HEAD] <= now:
        flow[max(0, math.ceil(times[HEAD] / width) - 1) % len(flow)] += 1
        counts[IN_1M] += 1
        counts[IN_5M] += 1
        counts[ARRIVED] += 1
        course[min(BINS, int(times[HEAD] / at.bin)), 3] += 1
        advance(src, HEAD)


@compiled
def _start(d: Desk, src: Source, at: Pace, work: Work, now: float) -> None:
    times, dice, counts, sums, waits, served = src.times, src.dice, d.counts, d.sums, d.waits, d.served
    heap, free_at, serving, width = d.heap, d.free_at, d.serving, at.tick / at.intervals
    while times[TAIL] <= now:
        slot = heap[0]
        free = free_at[slot]
        if free > now:
            return
        if serving[slot] >= 0.0:
            note_end(counts, sums, served, width, free, serving[slot])
        wait = max(0.0, free - times[TAIL])
        note_wait(counts, sums, waits, wait, work.target)
        seconds = service_time(dice, work.mean, work.spread)
        serving[slot] = seconds
        free_at[slot] = times[TAIL] + wait + seconds
        sums[BUSY] += seconds
        counts[STARTED] += 1
        _sink(heap, free_at, counts[HEAPED])
        advance(src, TAIL)


@compiled
def _running(d: Desk, at: Pace, now: float) -> int:
    """Note what has ended by now, and count the rest."""
    counts, sums, served, width = d.counts, d.sums, d.served, at.tick / at.intervals
    heap, free_at, serving, until, last = d.heap, d.free_at, d.serving, d.gone_until, d.gone_serving
    running = 0
    for place in range(counts[HEAPED]):
        slot = heap[place]
        if serving[slot] >= 0.0:
            if free_at[slot] > now:
                running += 1
            else:
                note_end(counts, sums, served, width, free_at[slot], serving[slot])
                serving[slot] = -1.0
    gone, counts[GONE] = counts[GONE], 0
    for place in range(gone):
        if until[place] > now:
            until[counts[GONE]], last[counts[GONE]] = until[place], last[place]
            counts[GONE] += 1
        else:
            note_end(counts, sums, served, width, until[place], last[place])
    return int(running + counts[GONE])


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
def _rise(heap: Ints, free_at: Floats, place: int) -> None:
    while place > 0 and _before(free_at, heap[place], heap[(place - 1) // 2]):
        above = (place - 1) // 2
        heap[place], heap[above] = heap[above], heap[place]
        place = above


@compiled
def _sink(heap: Ints, free_at: Floats, heaped: int) -> None:
    place, slot = 0, heap[0]
    while 2 * place + 1 < heaped:
        below = 2 * place + 1
        if below + 1 < heaped and _before(free_at, heap[below + 1], heap[below]):
            below += 1
        if not _before(free_at, heap[below], slot):
            break
        heap[place] = heap[below]
        place = below
    heap[place] = slot


@compiled
def _before(free_at: Floats, one: int, other: int) -> bool:
    return bool(free_at[one] < free_at[other] or (free_at[one] == free_at[other] and one < other))
