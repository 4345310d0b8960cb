"""What a budget of calls promises, be it kept in this process's memory or in the broker."""

import pytest

from storage.model import TenantId
from tasks.budget_rules import Breaker, Limits, Permit, Went
from tests.tasks.budgets import ACME, HOST, OTHER, Calls, Make, calls, make, maker

__all__ = ["calls", "make", "maker"]  # fixtures

ELSE = "mail.example:443"


def test_as_many_calls_go_to_a_host_as_its_limit_says(calls: Calls) -> None:
    permits = [calls.go() for _ in range(4)]
    held = calls.wait()
    assert held.code == "host_busy"
    assert held.reason == "4 calls to crm.example:443 are under way, as many as may be at the same time"
    calls.store.leave(permits[0], Went.WELL, seconds=1)
    assert calls.free() == 1


def test_as_many_calls_of_a_tenant_go_as_its_limit_says(make: Make) -> None:
    calls = make(Limits(per_host=2, per_tenant=3))
    for host in (HOST, HOST, ELSE):
        calls.go(host=host)
    held = calls.wait(host=ELSE)
    assert (held.code, held.reason) == ("tenant_busy", "3 calls are under way, as many as a tenant may have at a time")
    assert calls.free(OTHER, ELSE) == 2


def test_as_many_calls_of_all_tenants_go_to_a_host_as_its_limit_says(make: Make) -> None:
    calls = make(Limits(per_host=2, all_to_host=3))
    for tenant in (ACME, ACME, OTHER):
        calls.go(tenant)
    held = calls.wait(OTHER)
    assert held.code == "host_busy"
    assert "of all tenants" in held.reason
    assert calls.free(OTHER, ELSE) == 2


def test_a_call_that_may_not_go_takes_no_place_anywhere(make: Make) -> None:
    calls = make(Limits(per_host=1, per_tenant=2, all_to_host=2, rate_per_tenant=2))
    first = calls.go()
    for _ in range(5):
        calls.wait()
    assert calls.free(OTHER) == 1, "places of the host went to calls that were held"
    calls.go(host=ELSE)  # the tenant's second place, and its second call within a second
    calls.store.leave(first, Went.NEITHER, seconds=0)
    assert calls.wait().code == "rate_limited"


def test_a_permit_whose_holder_died_frees_itself(calls: Calls) -> None:
    for _ in range(4):
        calls.go(hold=10)
    calls.clock.now += 9.9
    assert calls.free() == 0
    calls.clock.now += 0.2
    assert calls.free() == 4


def test_a_permit_that_is_left_twice_counts_once(calls: Calls) -> None:
    permit = calls.go()
    for _ in range(10):
        calls.store.leave(permit, Went.BADLY, seconds=1)
    assert calls.free() == 4


def test_a_permit_that_freed_itself_says_nothing_any_more(calls: Calls) -> None:
    late = [calls.go(hold=1) for _ in range(4)]
    calls.clock.now += 2
    calls.go()
    for permit in late * 2:
        calls.store.leave(permit, Went.THROTTLED, seconds=2, retry_after=100)
    assert calls.free() == 3


def test_calls_to_a_host_begin_no_faster_than_its_rate(make: Make) -> None:
    calls = make(Limits(per_host=100, rate_per_host=10))
    assert calls.free() == 10, "a second's worth may go at once"
    held = calls.wait()
    assert held.code == "rate_limited"
    assert held.reason == "calls to crm.example:443 begin at no more than 10 per second"
    went = 0
    for _ in range(100):
        calls.clock.now += 0.1
        answer = calls.ask()
        if isinstance(answer, Permit):
            went += 1
            calls.store.leave(answer, Went.WELL, seconds=0.01)
    assert 99 <= went <= 100
    assert calls.free(OTHER) == 10


def test_calls_of_a_tenant_begin_no_faster_than_its_rate(make: Make) -> None:
    calls = make(Limits(rate_per_tenant=2))
    assert calls.free() + calls.free(host=ELSE) == 2
    assert calls.wait(host=ELSE).reason == "a tenant's calls begin at no more than 2 per second"


def test_a_rate_below_one_a_second_lets_one_go_at_a_time(make: Make) -> None:
    calls = make(Limits(rate_per_host=0.01))
    calls.go()
    assert calls.wait().seconds == pytest.approx(100)
    calls.clock.now += 100
    assert calls.free() == 1


def test_calls_that_wait_for_the_rate_are_told_one_time_each(make: Make) -> None:
    calls = make(Limits(rate_per_host=10))
    calls.free()
    times = [calls.wait().seconds for _ in range(20)]
    assert times == pytest.approx([0.1 + 0.1 * number for number in range(20)], abs=0.11)
    assert len(set(times)) == 20


def test_calls_that_wait_for_a_place_are_told_one_time_each(calls: Calls) -> None:
    calls.call(seconds=2)
    for _ in range(4):
        calls.go()
    times = [calls.wait().seconds for _ in range(8)]
    assert times == pytest.approx([2.5 + 0.5 * number for number in range(8)], abs=0.3)


def test_no_call_is_sent_away_for_more_than_a_minute_because_others_wait(calls: Calls) -> None:
    calls.call(seconds=10)
    for _ in range(4):
        calls.go()
    times = [calls.wait().seconds for _ in range(100)]
    assert max(times) <= 75, "a minute, after the first that is expected to end"


def test_nobody_goes_while_a_host_asks_for_it(calls: Calls) -> None:
    calls.call(Went.THROTTLED, seconds=0.1, retry_after=30)
    held = calls.wait()
    assert held.code == "throttled"
    assert 30 <= held.seconds < 32
    calls.clock.now += 29.9
    assert calls.wait().code == "throttled"
    calls.clock.now += 0.2
    assert calls.free() == 2, "half of four"


def test_a_host_is_held_for_no_more_than_five_minutes(calls: Calls) -> None:
    calls.call(Went.THROTTLED, retry_after=86_400)
    assert 300 <= calls.wait().seconds < 302
    calls.clock.now += 300.1
    assert calls.free() == 2


def test_a_host_that_names_no_time_is_held_for_longer_each_time(calls: Calls) -> None:
    waits = []
    for _ in range(9):
        calls.call(Went.THROTTLED, seconds=0.1)
        waits.append(next(stand.throttled_seconds for stand in calls.store.standing(1)))
        calls.clock.now += waits[-1]
    assert waits == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60, 60])
    assert calls.free() == 1


def test_calls_that_a_429_took_by_surprise_halve_the_limit_once(calls: Calls) -> None:
    surprised = [calls.go() for _ in range(4)]
    calls.clock.now += 1
    for permit in surprised:
        calls.store.leave(permit, Went.THROTTLED, seconds=1, retry_after=1)
    calls.clock.now += 1
    assert calls.free() == 2


def test_a_halved_limit_grows_by_one_per_ten_successes(calls: Calls) -> None:
    calls.call(Went.THROTTLED, retry_after=0)
    assert calls.free() == 2
    for limit in (3, 4, 4):
        for _ in range(10):
            calls.call(Went.WELL)
        assert calls.free() == limit


def test_what_a_host_does_to_one_tenant_does_not_touch_another(calls: Calls) -> None:
    calls.fail()
    assert calls.wait().code == "host_down"
    assert calls.free(OTHER) == 4
    assert calls.free(ACME, ELSE) == 4


def test_it_tells_how_the_hosts_stand(calls: Calls) -> None:
    calls.go(OTHER, ELSE)
    calls.clock.now += 1
    calls.fail()
    down, busy = calls.store.standing(100)
    assert (down.tenant, down.host, down.under_way, down.at_most) == (ACME, HOST, 0, 4)
    assert down.breaker is Breaker.OPEN
    assert down.probe_in_seconds == pytest.approx(5)
    assert (busy.tenant, busy.host, busy.under_way, busy.breaker) == (OTHER, ELSE, 1, Breaker.CLOSED)
    assert busy.call_seconds is None
    calls.clock.now += 5
    calls.go()
    assert [stand.breaker for stand in calls.store.standing(1)] == [Breaker.PROBING]


def test_a_host_that_nobody_calls_is_forgotten(calls: Calls) -> None:
    calls.call()
    calls.clock.now += 3601
    calls.call()
    assert len(calls.store.standing(100)) == 1
    calls.clock.now += 3601
    calls.go(TenantId("ten_third"), ELSE)
    assert [stand.host for stand in calls.store.standing(100)] == [ELSE]


@pytest.mark.parametrize("limits", [{"per_host": 0}, {"per_tenant": -1}, {"rate_per_host": 0.0}])
def test_limits_that_let_nothing_through_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"at least one call|above 0"):
        Limits(**limits)  # type: ignore[arg-type]


def test_one_call_is_one_call(make: Make) -> None:
    calls = make(Limits(per_host=1))
    calls.go()
    assert calls.wait().reason == "1 call to crm.example:443 is under way, as many as may be at the same time"
