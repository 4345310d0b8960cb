"""A host that fails is left alone until a probe succeeds, be the budget kept in memory or in the broker."""

import pytest

from tasks.budget_rules import Went
from tests.tasks.budgets import Calls, calls, make, maker

__all__ = ["calls", "make", "maker"]  # fixtures


def test_five_failures_in_a_row_stop_the_calls(calls: Calls) -> None:
    calls.fail(4)
    calls.call(Went.WELL)
    calls.fail(4)
    assert calls.free() == 4
    calls.fail(1)
    held = calls.wait()
    assert held.code == "host_down"
    assert held.seconds == pytest.approx(5)


def test_five_failures_that_lie_far_apart_do_not_stop_the_calls(calls: Calls) -> None:
    for _ in range(10):
        calls.fail(1)
        calls.clock.now += 61
    assert calls.free() == 4


def test_half_of_twenty_failing_stops_the_calls(calls: Calls) -> None:
    for _ in range(9):
        calls.fail(1)
        calls.call(Went.WELL, seconds=0.1)
    calls.fail(1)
    assert calls.free() == 4, "19 calls"
    calls.call(Went.WELL, seconds=0.1)
    calls.fail(1)
    assert calls.wait().code == "host_down"


def test_what_says_nothing_about_the_host_neither_stops_nor_starts_anything(calls: Calls) -> None:
    calls.fail(4)
    for _ in range(30):
        calls.call(Went.NEITHER)
    calls.fail(1)
    assert calls.wait().code == "host_down"


def test_one_probe_goes_when_the_time_has_come(calls: Calls) -> None:
    calls.fail()
    calls.clock.now += 5
    probe = calls.go()
    assert probe.is_probe
    assert calls.wait().code == "host_down"
    calls.store.leave(probe, Went.WELL, seconds=0.2)
    assert not calls.go().is_probe
    assert calls.free() == 3


def test_a_probe_that_fails_doubles_the_interval_up_to_a_minute(calls: Calls) -> None:
    calls.fail()
    intervals = []
    for _ in range(6):
        intervals.append(calls.wait().seconds)
        calls.clock.now += intervals[-1]
        probe = calls.go()
        calls.store.leave(probe, Went.BADLY, seconds=0.1)
    assert intervals == pytest.approx([5, 10, 20, 40, 60, 60])


def test_a_probe_that_succeeds_forgets_the_failures(calls: Calls) -> None:
    calls.fail()
    calls.clock.now += 5
    calls.call(Went.WELL)
    calls.fail(4)
    assert calls.free() == 4
    calls.fail(1)
    assert calls.wait().seconds == pytest.approx(5)


def test_a_probe_whose_holder_died_gives_way_to_another(calls: Calls) -> None:
    calls.fail()
    calls.clock.now += 5
    dead = calls.go(hold=10)
    calls.clock.now += 9.9
    assert calls.wait().code == "host_down"
    calls.clock.now += 0.2
    assert calls.go().is_probe
    calls.store.leave(dead, Went.WELL, seconds=10)
    assert calls.wait().code == "host_down", "the dead one closed what another one probes"


def test_a_probe_that_was_canceled_gives_way_to_another_at_once(calls: Calls) -> None:
    calls.fail()
    calls.clock.now += 5
    calls.call(Went.NEITHER, seconds=0.1)
    assert calls.go().is_probe


def test_calls_that_began_before_the_host_was_up_again_do_not_stop_it(calls: Calls) -> None:
    old = [calls.go() for _ in range(3)]
    calls.fail()
    calls.clock.now += 5
    calls.call(Went.WELL)
    for permit in old:
        calls.store.leave(permit, Went.BADLY, seconds=6.5)
    calls.fail(4)
    assert calls.free() == 4


def test_those_who_wait_for_the_probe_come_within_one_interval_and_not_at_once(calls: Calls) -> None:
    calls.fail()
    times = [calls.wait().seconds for _ in range(50)]
    assert max(times) <= 5
    assert times[0] == pytest.approx(5), "the first comes when the probe may go"
    assert len({round(time, 6) for time in times}) > 4


def test_an_interval_is_no_shorter_than_the_failures_take(calls: Calls) -> None:
    calls.fail(seconds=9)
    assert calls.wait().seconds == pytest.approx(9)
