"""The least that any policy can do with, even one that knows all arrivals and service times in advance.

Proved is this. A policy is good if at most a share of 0.05 of the jobs waits longer than the target W. Let n(t) be the
replicas that are ready at t, and b(t) the jobs that run.

1. *Work.* n >= b / slots, so replica-seconds are at least the sum of service times / slots, and one start-up.
2. *Sessions.* The times when any replica is ready fall into sessions. Each begins with a replica that was asked for a
   start-up's time before, and that time is paid for. A job i that arrived at a and runs for s, and waits no longer
   than W, runs within one session: one that begins by a + W, ends at a + s or later, and lasts for s or longer.
   So the cost is at least the number of sessions times the start-up, and the length of all sessions.
3. *Order.* Jobs that are next to each other in the order of arrival can be taken to be in sessions in the same order:
   if a row of jobs is in session B and the next ones are in an earlier session A, then all of them can be counted as
   A's, if the longest of them all is in A (A begins before B does, and ends later than the last of A's needs), or else
   as B's (which begins by the a + W of earlier jobs, and ends later than A does). So sessions are cut from the row of
   jobs, and the cheapest cut is found by dynamic programming, over costs that look at a session's first and last job
   only, which makes them smaller, if anything.
4. *Both.* n >= light * [a session is on] + (1 - light) * b / slots for any function light(t) of the values 0 and 1. The
   time axis is cut into blocks; light are those with little work. In light time a session's length is counted, in the
   rest the jobs' work, as far as a job cannot escape into light time by waiting up to W. Any choice gives a bound, and
   the best of several is taken.
5. *Jobs that may be late.* Leaving a job out costs a price p, and p times the number of jobs that may be late is taken
   off at the end: a Lagrangian bound, true for every p, and the best of several is taken.

`strict` is the same where no job at all may be late.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scheduler.simulation import chance
from scheduler.simulation.chance import compiled
from scheduler.simulation.run import GOOD_SHARE
from scheduler.simulation.trace import Floats, Trace
from scheduler.simulation.world import World

MOST_JOBS = 20_000_000  # beyond that only the work is counted
LOADS = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, np.inf)  # blocks are light with up to so many replicas' work
PRICES = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0)  # to what a start-up and a job cost
BLOCK = 600.0  # seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Optimum:
    """Replica-hours: the work at full use, and what no good policy beats, and none (`strict`) that is never late.

    None where there are too many jobs to look at each.
    """

    work: float
    proved: float | None
    strict: float | None


def find(trace: Trace, world: World) -> Optimum:
    """The bounds, over the same arrivals and service times as the runs have."""
    if trace.jobs > MOST_JOBS:
        return Optimum(work=trace.jobs * world.service / world.slots / 3600, proved=None, strict=None)
    arrivals, services = chance.draws(trace, world)
    if len(arrivals) == 0:
        return Optimum(work=0.0, proved=0.0, strict=0.0)
    startup, work = world.startup * (1 - world.jitter), float(services.sum()) / world.slots
    late = int((1 - GOOD_SHARE) * len(arrivals))
    proved = strict = work + startup
    prices = [price * (startup + world.service) for price in PRICES]
    for load in LOADS:
        light = _light(arrivals, services, world, load)
        proved = max(proved, _best_price(arrivals, services, light, world, startup, prices, late))
        strict = max(strict, cheapest(arrivals, services, light, world.target, world.slots, startup, np.inf))
    return Optimum(work=work / 3600, proved=proved / 3600, strict=strict / 3600)


def _best_price(
    arrivals: Floats,
    services: Floats,
    light: Floats,
    world: World,
    startup: float,
    prices: Sequence[float],
    late: int,
) -> float:
    """The bound is concave in the price: stop when it falls."""
    best = 0.0
    for price in prices:
        cost = cheapest(arrivals, services, light, world.target, world.slots, startup, price) - price * late
        if cost < best:
            break
        best = cost
    return best


def _light(arrivals: Floats, services: Floats, world: World, load: float) -> Floats:
    """Light time before each block's begin."""
    blocks = int((arrivals[-1] + services.max() + world.target) / BLOCK) + 2
    work = np.bincount((arrivals / BLOCK).astype(np.int64), weights=services, minlength=blocks)
    return np.concatenate(([0.0], np.cumsum(np.where(work / world.slots / BLOCK <= load, BLOCK, 0.0))))


@compiled
def cheapest(
    arrivals: Floats, services: Floats, light: Floats, target: float, slots: int, startup: float, price: float
) -> float:
    """The cheapest cut of the row of jobs into sessions, in replica-seconds.

    With least[j], the cost of the first j jobs: least[j] is the lowest of least[j - 1] + price and, over the first job
    i of the last session, least[i - 1] + startup + length(i, j) + the work of jobs i to j; but never less than
    least[j - 1] + the work of job j. By the last rule least minus the sum of works rises, and so the best i of those
    with a short way to j is the first of them, and for the others a running minimum does.
    """
    jobs = len(arrivals)
    rising = np.zeros(jobs + 1)  # least[j] less the works up to j
    begins = np.zeros(jobs)  # light time before a job's latest start
    lowest = np.zeros(jobs)  # of rising - begins, up to here
    works = 0.0
    for job in range(jobs):
        a, s = arrivals[job], services[job]
        begins[job] = _light_at(light, a + target)
        window = _light_at(light, a + target + s) - _light_at(light, a)
        work = min(price, max(0.0, s - window) / slots)
        shortest = max(0.0, window - target)
        end = _light_at(light, a + s)
        lowest[job] = rising[job] - begins[job]
        if job > 0:
            lowest[job] = min(lowest[job], lowest[job - 1])
        first = _first(begins, job + 1, end - shortest)
        session = rising[first] + shortest if first <= job else np.inf
        if first > 0:
            session = min(session, lowest[first - 1] + end)
        rising[job + 1] = max(rising[job], min(rising[job] + price - work, session + startup))
        works += work
    return float(rising[jobs] + works)


@compiled
def _light_at(light: Floats, time: float) -> float:
    """Light time before this moment."""
    block = int(time / BLOCK)
    return float(light[block] + (light[block + 1] - light[block]) * (time / BLOCK - block))


@compiled
def _first(begins: Floats, behind: int, least: float) -> int:
    """The first of the jobs before `behind` with at least so much light time before its latest start."""
    low = 0
    while low < behind:
        middle = (low + behind) // 2
        if begins[middle] < least:
            low = middle + 1
        else:
            behind = middle
    return low
