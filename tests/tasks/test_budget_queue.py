"""Many calls to one host, played through in simulated time: places stay in use, and few asks are in vain."""

import random
from collections.abc import Callable
from functools import partial

import pytest

from tasks.budget_rules import Limits, Went
from tests.tasks.budgets import Calls, Maker, Played, in_memory, maker, play

__all__ = ["maker"]  # a fixture

BUDGET = 50
CALLS = 500


def drained(
    seconds: Callable[[random.Random], float], *, number: int = CALLS, make: Callable[..., Calls] = in_memory
) -> Played:
    """So many calls that all go well, each of `seconds`, against a budget of 50."""
    dice = random.Random(7)
    calls = make(Limits(per_host=BUDGET), jitter=dice.random)
    return play(calls, number, lambda _now: (Went.WELL, seconds(dice)), dice=dice)


def efficient(played: Played, *, number: int = CALLS) -> None:
    assert len(played.began) == number
    assert played.most_under_way == BUDGET
    assert played.ended <= 1.5 * played.worked / BUDGET
    assert played.asks <= 3 * number


def test_a_backlog_of_calls_of_two_seconds_is_done_in_little_more_than_the_least_time() -> None:
    efficient(drained(lambda _dice: 2.0))


def test_a_backlog_in_the_broker_is_as_quick(broker_url: str, maker: Maker) -> None:
    efficient(drained(lambda _dice: 2.0, make=partial(maker.broker, broker_url)))


def test_a_backlog_of_calls_that_differ_is_done_in_little_more_than_the_least_time() -> None:
    efficient(drained(lambda dice: dice.uniform(0.5, 6)))


def test_a_backlog_of_calls_that_differ_in_the_broker_is_as_quick(broker_url: str, maker: Maker) -> None:
    efficient(drained(lambda dice: dice.uniform(0.5, 6), make=partial(maker.broker, broker_url)))


def test_a_backlog_of_many_minutes_keeps_the_places_in_use() -> None:
    played = drained(lambda _dice: 10.0, number=3000)
    assert played.ended <= 1.1 * played.worked / BUDGET
    assert played.longest_wait <= 75


def test_a_host_that_is_down_for_a_minute_sees_probes_only_and_then_all_calls() -> None:
    dice = random.Random(7)
    calls = in_memory(Limits(per_host=BUDGET), jitter=dice.random)
    down = 60.0
    played = play(
        calls,
        CALLS,
        lambda now: (Went.BADLY, 0.1) if now < down else (Went.WELL, 1.0),
        dice=dice,
    )
    failed = [now for now in played.began if now < down]
    assert len(failed) == BUDGET, "only those that were under way when it went down"
    probes = [now for now in played.probes if now < down]
    assert 2 <= len(probes) <= 5
    last = probes[-1]
    interval = min(2 * (last - probes[-2]) + 1, 60)
    recovered = next(now for now in played.probes if now >= down)
    assert recovered <= last + interval
    assert max(played.began) <= recovered + interval + CALLS / BUDGET
    assert played.longest_wait <= 60
    assert played.asks <= 15 * CALLS, "three in each of five intervals"


def test_calls_that_were_held_come_back_within_one_interval_and_rarely_in_vain() -> None:
    dice = random.Random(7)
    calls = in_memory(Limits(per_host=BUDGET), jitter=dice.random)
    for _ in range(5):
        calls.call(Went.BADLY, seconds=0.1)
    played = play(calls, CALLS, lambda _now: (Went.WELL, 0.5), dice=dice)
    assert len(played.probes) == 1
    assert played.probes[0] == pytest.approx(5, abs=0.4)
    assert max(played.began) <= played.probes[0] + 5 + 0.5 * CALLS / BUDGET
    assert played.asks <= 6 * CALLS


def hanging(now: float) -> tuple[Went, float]:
    """A host that was quick, hangs, and is quick again."""
    return (Went.BADLY, 60.0) if now < 1 else (Went.WELL, 0.01)


def refusing(now: float) -> tuple[Went, float]:
    """A host that takes no connections, takes them and says nothing, and is quick again."""
    if now < 0.5:
        return Went.BADLY, 0.001
    return (Went.BADLY, 60.0) if now < 30 else (Went.WELL, 0.01)


@pytest.mark.parametrize("outcome", [hanging, refusing])
@pytest.mark.parametrize("number", [22, CALLS])
def test_who_waits_for_a_quick_host_that_hangs_does_not_ask_all_the_time(
    outcome: Callable[[float], tuple[Went, float]], number: int
) -> None:
    dice = random.Random(7)
    calls = in_memory(Limits(per_host=20), jitter=dice.random)
    for _ in range(50):
        calls.call(seconds=0.01)
    played = play(calls, number, outcome, dice=dice)
    assert len(played.began) + len(played.probes) >= number
    assert played.ended <= 300
    assert played.longest_wait <= 61
    assert played.asks <= 30 * number, "over three minutes, and more than one failure"
