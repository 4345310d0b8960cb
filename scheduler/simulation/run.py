"""A run: one policy on one trace in one world, from the first arrival until no job is left."""

import math
from bisect import bisect_right
from dataclasses import dataclass

import numpy as np

from scheduler.simulation.book import (
    ACTIVE,
    ARRIVED,
    BINS,
    BUSY,
    GONE,
    GROWTH,
    LONGEST,
    OVER,
    SECONDS,
    SHORTEST,
    STARTED,
    TICK,
    WAITED,
    Book,
    Desk,
    Pace,
    new_book,
    with_room,
)
from scheduler.simulation.pilot import FOREVER, Policy, pilot, skipped, steer, stops
from scheduler.simulation.queue import Seen, Stops, grow, run_on, shrink
from scheduler.simulation.trace import Floats, Ints, Trace
from scheduler.simulation.world import World
from scheduler.triggers import Due, Numbers

HORIZON = 600.0  # how far ahead a policy knows what is due, in seconds
PATIENCE = 3600.0  # how long after the trace's end what is left may take, beside a tenth of the trace
GOOD_SHARE = 0.95  # of the jobs must not wait longer than the target


@dataclass(frozen=True, kw_only=True, slots=True)
class Course:
    """How a run went, by bins of equal length: the most runnable jobs, mean replicas, arrivals a second."""

    hours: Floats
    backlog: Floats
    replicas: Floats
    arrivals: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What a policy made of a trace; waits in seconds, quantiles at most 1 % off, 0 and `longest` exact.

    `share_over` of the jobs waited longer than the target. `unfinished` jobs had not started long after the trace's
    end; they count as waiting for ever. `reversals` are actions in another direction than the one before.
    """

    policy: Policy
    jobs: int
    unfinished: int
    p50: float
    p95: float
    p99: float
    longest: float
    mean_wait: float
    share_over: float
    replica_hours: float
    utilization: float
    actions: int
    reversals: int
    course: Course

    @property
    def is_good(self) -> bool:
        """Whether enough jobs waited no longer than the target."""
        return self.share_over <= 1 - GOOD_SHARE


@dataclass(slots=True)
class _Changes:
    actions: int = 0
    reversals: int = 0
    direction: int = 0


def run(trace: Trace, steered: Policy, world: World, *, lazy: bool = True) -> Result:
    """Simulate; `lazy` false looks at every tick (slower, and the same result)."""
    p = pilot(steered, lazy=lazy)
    book = new_book(trace, world, p.beat.tick, steered.scaled.spec.max_replica_count)
    at = book.pace
    ends = math.ceil(trace.seconds / at.tick)
    last = ends + math.ceil(max(PATIENCE, trace.seconds / 10) / at.tick)
    known, changes = _known(trace), _Changes()
    tick, ahead = 0, Stops(0)
    while tick < last:
        seen = run_on(book.ints, book.floats, ahead, p.replicas)
        if seen.tick > tick + 1:
            skipped(p, seen.tick - 1, int(book.desk.counts[ACTIVE]))
        tick, now, before = seen.tick, seen.tick * at.tick, p.replicas
        if tick >= ends and seen.runnable == 0 and seen.running == 0:
            break
        numbers = _numbers(seen, world.slots, _due(known, now) if known else ())
        wanted = steer(p, numbers, tick)
        if wanted != before:
            book = _change(book, wanted - before, world, now)
            _count(changes, wanted - before)
        ahead = stops(p, numbers, tick)
        if ahead.until > tick + 1:
            ahead = ahead._replace(until=_until(ahead.until, tick, ends, known, at.tick))
    return _result(steered, world, book.desk, at, changes)


def _numbers(seen: Seen, slots: int, due: tuple[Due, ...]) -> Numbers:
    _, runnable, running, oldest, arrivals, arrivals_5m, mean, stddev, samples = seen
    return Numbers(runnable, running, oldest, arrivals, arrivals_5m, mean, stddev, samples, slots, due)


def _known(trace: Trace) -> list[tuple[float, int]]:
    """When schedules fire, and how many jobs."""
    rows = np.nonzero(trace.scheduled)[0]
    return list(zip(trace.begins[rows].tolist(), trace.scheduled[rows].tolist(), strict=True))


def _due(known: list[tuple[float, int]], now: float) -> tuple[Due, ...]:
    first, behind = bisect_right(known, (now, FOREVER)), bisect_right(known, (now + HORIZON, FOREVER))
    return tuple(Due(begins - now, steps) for begins, steps in known[first:behind])


def _until(until: int, tick: int, ends: int, known: list[tuple[float, int]], seconds: float) -> int:
    """No later than the end of the trace, or when the next schedule comes into sight."""
    if tick >= ends:
        return tick + 1
    until = min(until, ends)
    following = bisect_right(known, (tick * seconds + HORIZON, FOREVER))
    if following < len(known):
        until = min(until, math.ceil((known[following][0] - HORIZON) / seconds))
    return max(until, tick + 1)


def _change(book: Book, more: int, world: World, now: float) -> Book:
    if more > 0:
        grow(book.desk, book.source, more, world.slots, now, world.startup, world.jitter)
        return book
    book = with_room(book, int(book.desk.counts[GONE]) - more * world.slots)
    shrink(book.desk, -more, world.slots, now)
    return book


def _count(changes: _Changes, more: int) -> None:
    direction = 1 if more > 0 else -1
    changes.actions += 1
    changes.reversals += direction == -changes.direction
    changes.direction = direction


def _result(steered: Policy, world: World, desk: Desk, at: Pace, changes: _Changes) -> Result:
    now = float(desk.counts[TICK] * at.tick)
    seconds = float(desk.sums[SECONDS] + (now - desk.asked_at[desk.asked_at >= 0]).sum())
    jobs, waits, longest = int(desk.counts[ARRIVED]), desk.waits.copy(), float(desk.sums[LONGEST])
    unfinished = jobs - int(desk.counts[STARTED])
    waits[-1] += unfinished
    p50, p95, p99 = (_quantile(waits, longest, share) for share in (0.5, 0.95, 0.99))
    return Result(
        policy=steered,
        jobs=jobs,
        unfinished=unfinished,
        p50=p50,
        p95=p95,
        p99=p99,
        longest=longest,
        mean_wait=float(desk.sums[WAITED]) / max(1, jobs - unfinished),
        share_over=(int(desk.counts[OVER]) + unfinished) / max(1, jobs),
        replica_hours=seconds / 3600,
        utilization=float(desk.sums[BUSY]) / (seconds * world.slots) if seconds else 0.0,
        actions=changes.actions,
        reversals=changes.reversals,
        course=_course(desk, at),
    )


def _quantile(waits: Ints, longest: float, share: float) -> float:
    """The wait that this share of jobs does not exceed: the middle of its bucket."""
    total = int(waits.sum())
    if total == 0:
        return 0.0
    bucket = int(np.searchsorted(np.cumsum(waits), math.ceil(share * total)))
    if bucket == 0:
        return 0.0
    if bucket == len(waits) - 1:
        return math.inf
    return min(longest, SHORTEST * math.pow(GROWTH, bucket - 0.5))


def _course(desk: Desk, at: Pace) -> Course:
    bins = int(min(BINS, desk.counts[TICK] * at.tick / at.bin)) + 1
    kept = desk.course[:bins]
    ticks = np.maximum(kept[:, 2], 1)
    return Course(
        hours=np.arange(bins) * at.bin / 3600,
        backlog=kept[:, 0].copy(),
        replicas=kept[:, 1] / ticks,
        arrivals=kept[:, 3] / at.bin,
    )
