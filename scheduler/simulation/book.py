"""A run's state in two arrays, so that handing it to compiled code is cheap; and the same by its names."""

from typing import NamedTuple

import numpy as np

from scheduler.simulation.chance import Source, compiled, source
from scheduler.simulation.trace import Floats, Ints, Trace
from scheduler.simulation.world import World

SHORTEST, GROWTH = 0.001, 1.01  # of the histogram: its first bucket in seconds, and each bucket to the one before
BUCKETS = 2600  # up to five years
BINS = 2000  # of the course: how finely it is remembered for plots
RECENT, LONGER, ENOUGH = 300.0, 3600.0, 20  # service times: of this window, or of the longer if it has fewer than that

ARRIVED, STARTED, HEAPED, GONE, ENDED_RECENT, ENDED_LONGER, IN_1M, IN_5M, OVER, TICK, ACTIVE = range(11)
BUSY, LONGEST, WAITED, SECONDS, SUM_RECENT, SQUARES_RECENT, SUM_LONGER, SQUARES_LONGER = range(8)
N_COUNTS, N_SUMS = 11, 8
N_INTS, N_FLOATS = 11, 5  # before these: sizes and whole numbers of the pace; its others and the work


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


class Pace(NamedTuple):
    """The clock: a tick in seconds, the intervals in one, how many of them the windows are, seconds of a bin."""

    tick: float
    bin: float
    intervals: int
    minute: int
    five: int
    recent: int
    longer: int


class Work(NamedTuple):
    """Mean and spread of service times, and the wait target."""

    mean: float
    spread: float
    target: float


class Book(NamedTuple):
    """All state in two arrays, which begin with sizes, pace and work; and the same by its names."""

    ints: Ints
    floats: Floats
    sizes: Sizes
    pace: Pace
    work: Work
    desk: Desk
    source: Source


def pace(tick: float, seconds: float) -> Pace:
    """Intervals of about a second, a whole number of them in a tick."""
    intervals = max(1, round(tick))
    width = tick / intervals
    minute, five, recent, longer = (max(1, round(window / width)) for window in (60.0, 300.0, RECENT, LONGER))
    return Pace(tick, max(tick, seconds / BINS), intervals, minute, five, recent, longer)


def new_book(trace: Trace, world: World, tick: float, most: int) -> Book:
    """Nothing there yet, and room for `most` replicas."""
    at, slots, begun = pace(tick, trace.seconds), most * world.slots, source(trace, world)
    sizes = Sizes(slots, most, 4 * slots + 1024, at.five + at.intervals, at.longer + at.intervals, len(trace.begins))
    made = _opened(sizes, at, Work(world.service, world.spread, world.target))
    made.desk.serving[:] = made.desk.asked_at[:] = -1.0
    for mine, theirs in zip(made.source, begun, strict=True):
        mine[:] = theirs
    return made


def with_room(old: Book, gone: int) -> Book:
    """The same with room for so many slots whose replica was told to go."""
    if gone <= old.sizes.gone:
        return old
    made = _opened(old.sizes._replace(gone=2 * gone), old.pace, old.work)
    for mine, theirs in zip((*made.desk, *made.source), (*old.desk, *old.source), strict=True):
        mine[: len(theirs)] = theirs
    return made


def _opened(sizes: Sizes, at: Pace, work: Work) -> Book:
    ints = np.zeros(N_INTS + N_COUNTS + BUCKETS + sizes.slots + sizes.flow + sizes.rows + 8, np.int64)
    floats = np.zeros(
        N_FLOATS
        + N_SUMS
        + 4 * (BINS + 1)
        + 2 * (sizes.slots + sizes.replicas + sizes.gone)
        + 3 * sizes.served
        + 3 * sizes.rows
        + 2
    )
    ints[:N_INTS], floats[:N_FLOATS] = (*sizes, *at[2:]), (*at[:2], *work)
    return Book(ints, floats, sizes, at, work, desk_of(ints, floats, sizes), source_of(ints, floats, sizes))


@compiled
def head_of(ints: Ints, floats: Floats) -> tuple[Sizes, Pace, Work]:
    """What a book begins with."""
    sizes = Sizes(ints[0], ints[1], ints[2], ints[3], ints[4], ints[5])
    at = Pace(floats[0], floats[1], ints[6], ints[7], ints[8], ints[9], ints[10])
    return sizes, at, Work(floats[2], floats[3], floats[4])


@compiled
def desk_of(ints: Ints, floats: Floats, sizes: Sizes) -> Desk:
    """The first part of a book, by its names."""
    rest, left = ints[N_INTS:], floats[N_FLOATS:]
    counts, rest = rest[:N_COUNTS], rest[N_COUNTS:]
    waits, rest = rest[:BUCKETS], rest[BUCKETS:]
    heap, rest = rest[: sizes.slots], rest[sizes.slots :]
    flow = rest[: sizes.flow]
    sums, left = left[:N_SUMS], left[N_SUMS:]
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
def source_of(ints: Ints, floats: Floats, sizes: Sizes) -> Source:
    """The last part of a book, by its names."""
    rows = sizes.rows
    rest, left = ints[len(ints) - rows - 8 :], floats[len(floats) - 3 * rows - 2 :]
    begins, ends, rates, times = left[:rows], left[rows : 2 * rows], left[2 * rows : 3 * rows], left[3 * rows :]
    scheduled, places, dice = rest[:rows], rest[rows : rows + 4].reshape((2, 2)), rest[rows + 4 :].view(np.uint64)
    return Source(begins, ends, rates, scheduled, dice, places, times)
