"""The bound: right by hand where that can be, and under every policy that is good."""

from collections.abc import Iterator

import numpy as np
import pytest

from scheduler.simulation import optimum
from scheduler.simulation.rivals import Bounds, Setting, depth
from scheduler.simulation.run import run
from scheduler.simulation.trace import Trace
from scheduler.simulation.world import World
from scheduler.triggers import Age, Drain
from tests.scheduler.simulation.worlds import at_once, fixed, local, trace_of


def cut(arrivals: list[float], services: list[float], *, slots: int = 1, target: float = 30.0) -> float:
    """The cheapest cut, nothing heavy, nobody late, a start-up of 10 s."""
    light = np.arange(0.0, 20_000.0, optimum.BLOCK)
    return optimum.cheapest(np.array(arrivals), np.array(services), light, target, slots, 10.0, np.inf)


def test_cheapest_cuts_by_hand() -> None:
    assert cut([100.0], [4.0]) == 14
    assert cut([100.0, 120.0], [4.0, 4.0]) == 14  # both in one session, which begins when the second is there
    assert cut([100.0, 135.0], [4.0, 4.0]) == 10 + 9  # from 130 to 139
    assert cut([100.0, 150.0], [4.0, 4.0]) == 14 + 14  # one from 130 to 154 would be 34
    assert cut([100.0, 1000.0], [4.0, 7.0]) == 14 + 17


def brute(arrivals: list[float], services: list[float], target: float) -> float:
    """All ways to give jobs to sessions, which need not be in order, with what each session has to span."""
    best = np.inf
    for groups in _partitions(list(range(len(arrivals)))):
        cost = 0.0
        for group in groups:
            begins = min(arrivals[job] for job in group) + target
            ends = max(arrivals[job] + services[job] for job in group)
            cost += 10 + max(ends - begins, *(services[job] for job in group))
        best = min(best, cost)
    return best


def _partitions(jobs: list[int]) -> Iterator[list[list[int]]]:
    if not jobs:
        yield []
        return
    for rest in _partitions(jobs[1:]):
        yield [[jobs[0]], *rest]
        for place in range(len(rest)):
            yield [*rest[:place], [jobs[0], *rest[place]], *rest[place + 1 :]]


@pytest.mark.parametrize("seed", range(20))
def test_no_way_to_group_jobs_is_cheaper(seed: int) -> None:
    dice = np.random.default_rng(seed)
    arrivals = np.sort(dice.uniform(0, 150, 7)).tolist()
    services = dice.exponential(6, 7).tolist()
    found, true = cut(arrivals, services), brute(arrivals, services, 30.0)
    assert found <= true + 1e-9
    assert found >= 0.7 * true


TRACES = {
    "busy": trace_of(600, 900, 300, 1200, step=300),
    "light": trace_of(*[3, 0, 1, 0, 0, 5] * 4, step=300),
    "mixed": trace_of(*[2, 0, 0, 1, 900, 700, 0, 1] * 2, step=300),
    "at once": at_once(8, 0, 0, 3, 0, 0, 12, 0),
}


@pytest.mark.parametrize("name", TRACES)
def test_no_good_policy_stays_under_the_bound(name: str) -> None:
    trace: Trace = TRACES[name]
    for seed in range(3):
        world = World(seed=seed, startup=15.0, jitter=0.2, service=3.0)
        bound, bounds = optimum.find(trace, world), Bounds(least=0, most=12)
        settings = [Setting(target=target, poll=5, cooldown=30, window=0) for target in (1, 5, 30)]
        policies = [local(Age("age", 30), most=12), local(Drain("drain", 30), most=12, window=0, cooldown=5)]
        results = [run(trace, policy, world) for policy in (*policies, *(depth(s, bounds) for s in settings), fixed(6))]
        good = [result for result in results if result.is_good]
        assert good
        assert bound.proved is not None
        assert bound.strict is not None
        assert bound.work <= bound.proved <= min(result.replica_hours for result in good)
        assert all(bound.strict <= result.replica_hours for result in results if result.share_over == 0)


def test_of_jobs_at_great_distance_each_but_those_that_may_be_late_needs_a_start() -> None:
    trace = at_once(*[1, 0, 0, 0] * 100)
    found = optimum.find(trace, World(slots=1, service=2.0, spread=0.0, startup=10.0))
    assert found.strict == pytest.approx(100 * 12 / 3600)
    assert found.proved == pytest.approx(95 * 12 / 3600, rel=0.02)


def test_too_many_jobs_leave_the_work_alone() -> None:
    found = optimum.find(trace_of(3e7, 0), World(service=2.0, slots=2))
    assert (found.proved, found.strict) == (None, None)
    assert found.work == pytest.approx(3e7 / 3600)


def test_nothing_costs_nothing() -> None:
    assert optimum.find(trace_of(0, 0), World()) == optimum.Optimum(work=0.0, proved=0.0, strict=0.0)
