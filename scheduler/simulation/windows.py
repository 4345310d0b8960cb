"""What is counted while the queue runs, compiled: waits by buckets, arrivals and ends by small intervals."""

import math

from scheduler.simulation.book import (
    BUCKETS,
    ENDED_LONGER,
    ENDED_RECENT,
    GROWTH,
    IN_1M,
    IN_5M,
    LONGEST,
    OVER,
    SHORTEST,
    SQUARES_LONGER,
    SQUARES_RECENT,
    SUM_LONGER,
    SUM_RECENT,
    WAITED,
    Desk,
    Pace,
)
from scheduler.simulation.chance import compiled
from scheduler.simulation.trace import Floats, Ints


@compiled
def note_wait(counts: Ints, sums: Floats, waits: Ints, wait: float, target: float) -> None:
    """A job starts after this wait."""
    bucket = 0
    if wait > 0.0:
        bucket = 1
        if wait > SHORTEST:
            bucket = min(BUCKETS - 1, 1 + int(math.log(wait / SHORTEST) / math.log(GROWTH)))
        sums[WAITED] += wait
        sums[LONGEST] = max(sums[LONGEST], wait)
        if wait > target:
            counts[OVER] += 1
    waits[bucket] += 1


@compiled
def note_end(counts: Ints, sums: Floats, served: Floats, width: float, when: float, seconds: float) -> None:
    """A job that took so many seconds ends; intervals are `width` seconds long."""
    interval = max(0, math.ceil(when / width) - 1) % len(served)
    square = seconds * seconds
    served[interval, 0] += 1
    served[interval, 1] += seconds
    served[interval, 2] += square
    counts[ENDED_RECENT] += 1
    sums[SUM_RECENT] += seconds
    sums[SQUARES_RECENT] += square
    counts[ENDED_LONGER] += 1
    sums[SUM_LONGER] += seconds
    sums[SQUARES_LONGER] += square


@compiled
def slide(d: Desk, at: Pace, tick: int) -> None:
    """Let the windows end at this tick; where nothing is in them there is nothing to do."""
    counts, sums, flow, served = d.counts, d.sums, d.flow, d.served
    first, behind = (tick - 1) * at.intervals, tick * at.intervals
    if counts[IN_5M] > 0:
        for interval in range(max(first, at.minute), behind):
            counts[IN_1M] -= flow[(interval - at.minute) % len(flow)]
        for interval in range(max(first, at.five), behind):
            old = (interval - at.five) % len(flow)
            counts[IN_5M] -= flow[old]
            flow[old] = 0
    if counts[ENDED_LONGER] > 0:
        for interval in range(max(first, at.recent), behind):
            old = (interval - at.recent) % len(served)
            counts[ENDED_RECENT] -= int(served[old, 0])
            sums[SUM_RECENT] -= served[old, 1]
            sums[SQUARES_RECENT] -= served[old, 2]
        for interval in range(max(first, at.longer), behind):
            old = (interval - at.longer) % len(served)
            counts[ENDED_LONGER] -= int(served[old, 0])
            sums[SUM_LONGER] -= served[old, 1]
            sums[SQUARES_LONGER] -= served[old, 2]
            served[old, :] = 0.0
