"""Whole runs: what is left out makes no difference, and a policy is asked as it will be."""

import random
from dataclasses import dataclass, field, replace

import pytest

from scheduler.hpa import Reading
from scheduler.simulation.pilot import Policy
from scheduler.simulation.rivals import Bounds, Setting, depth, scaled
from scheduler.simulation.run import Result, run
from scheduler.simulation.trace import Trace
from scheduler.simulation.world import World
from scheduler.triggers import Age, Ahead, Depth, Drain, Due, Numbers, Rule
from tests.scheduler.simulation.worlds import at_once, local, trace_of

BOUNDS = Bounds(least=0, most=6)
POLICIES = {
    "keda": depth(Setting(), BOUNDS),
    "keda, eager": depth(Setting(target=1, poll=5, cooldown=30, window=0), BOUNDS),
    "keda, slow": depth(Setting(target=20, activation=3, poll=30, cooldown=60, window=60), BOUNDS),
    "keda, odd": depth(Setting(target=3, poll=7, cooldown=20, window=60), BOUNDS),
    "keda, one at least": depth(Setting(target=2, poll=5, window=60), Bounds(least=1, most=6)),
    "depth": local(Depth("depth", 3)),
    "depth, three at least": local(Depth("depth", 2, activation=1), least=3, window=120),
    "age": local(Age("age", 20)),
    "drain": local(Drain("drain", 30), cooldown=15),
    "drain, window 0": local(Drain("drain", 10), window=0, least=1),
}


def bursty(seed: int) -> Trace:
    dice = random.Random(seed)
    values = [dice.choice([0, 0, 1, 5, 60, 300, 900]) * dice.random() for _ in range(24)]
    return trace_of(*values, step=300)


@pytest.mark.parametrize("name", POLICIES)
def test_leaving_ticks_out_changes_nothing(name: str) -> None:
    for seed in range(4):
        world = World(service=2.0 + seed, startup=8.0, seed=seed)
        lazy, eager = (run(bursty(seed), POLICIES[name], world, lazy=way) for way in (True, False))
        assert _told(lazy) == _told(eager)


def _told(result: Result) -> object:
    numbers = (result.mean_wait, result.longest, result.share_over, result.replica_hours, result.utilization)
    return (*numbers, result.actions, result.reversals, result.unfinished, result.course.replicas.tolist())


@dataclass
class Spy:
    """A rule that writes down what it is shown, and asks for what it is told to."""

    name: str = "spy"
    seen: list[tuple[float, int, Numbers]] = field(default_factory=list)
    asks: float = 1.0

    def read(self, numbers: Numbers, replicas: int, now: float) -> Reading:
        self.seen.append((now, replicas, numbers))
        return Reading(self.name, self.asks, 1.0, active=True)


def spied(trace: Trace, world: World) -> list[tuple[float, int, Numbers]]:
    spy = Spy()
    steered = replace(local(Depth("depth", 1)), rules=(spy,))  # type: ignore[arg-type]  # it reads as a rule does
    run(trace, steered, world)
    return spy.seen


def test_what_a_schedule_fires_is_known_ten_minutes_ahead_and_no_longer_when_it_has() -> None:
    seen = spied(at_once(0, 0, 0, 7, 0), World())
    due = {now: numbers.due for now, _, numbers in seen}
    assert due[295.0] == ()
    assert due[300.0] == (Due(600.0, 7),)
    assert due[895.0] == (Due(5.0, 7),)
    assert due[900.0] == ()


def test_a_policy_is_asked_at_every_interval_with_its_own_replicas_and_the_slots() -> None:
    seen = spied(trace_of(10, 0), World(slots=3))
    assert [now for now, _, _ in seen][:4] == [5.0, 10.0, 15.0, 20.0]
    assert [replicas for _, replicas, _ in seen][:3] == [0, 1, 1]
    assert {numbers.slots for _, _, numbers in seen} == {3}


def test_replicas_are_ahead_of_what_is_due() -> None:
    trace, world = at_once(0, 0, 40, 0), World(service=1.0, spread=0.0)
    drain, ahead = Drain("drain", 10), Ahead("ahead", 10, lead=30)
    late, early = (run(trace, _with(rules), world) for rules in ((drain,), (drain, ahead)))
    assert early.p95 < late.p95


def _with(rules: tuple[Rule, ...]) -> Policy:
    return replace(local(Drain("drain", 10)), rules=rules)


def test_a_start_in_kubernetes_waits_for_the_poll_and_for_the_replica() -> None:
    """One job at 0: KEDA looks at 30, and the replica is ready at 40; the cooldown ends it at the poll after 330."""
    result = run(at_once(1, 0, 0), depth(Setting(), BOUNDS), World(service=1.0, spread=0.0))
    assert result.longest == 40.0
    assert (result.actions, result.reversals) == (2, 1)
    assert result.replica_hours == pytest.approx((360 - 30) / 3600)


def test_a_sleeping_pool_is_not_looked_at() -> None:
    """Half a year of nothing is quick."""
    trace = trace_of(5, *[0] * 180, 5, step=86_400)
    result = run(trace, POLICIES["drain"], World())
    assert result.jobs > 0
    assert result.unfinished == 0


def test_rivals_are_polled_as_their_pool_says() -> None:
    pool = scaled({"pollingInterval": 30, "cooldownPeriod": 300}, BOUNDS)
    assert depth(Setting(), BOUNDS).scaled == pool
