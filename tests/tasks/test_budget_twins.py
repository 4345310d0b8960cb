"""The budget in memory and the one in the broker say the same about any history."""

import random

import pytest

from storage.model import TenantId
from tasks.budget_rules import Held, Limits, Permit, Went
from tests.tasks.budgets import Maker, in_memory, maker

__all__ = ["maker"]  # a fixture

LIMITS = (
    Limits(per_host=3, per_tenant=5, all_to_host=6),
    Limits(per_host=4, per_tenant=6, all_to_host=7, rate_per_host=3, rate_per_tenant=4.5),
    Limits(per_host=1, per_tenant=100, all_to_host=2, rate_per_tenant=0.3),
)
MOODS = {"well": (30, 1, 1, 1), "failing": (2, 10, 1, 1), "throttling": (6, 1, 5, 1), "mixed": (6, 5, 1, 3)}


@pytest.mark.parametrize("limits", LIMITS, ids=["places", "rates", "narrow"])
@pytest.mark.parametrize("seed", range(3))
def test_both_answer_the_same_to_any_history(limits: Limits, seed: int, broker_url: str, maker: Maker) -> None:
    dice = random.Random(seed)
    luck = [0.5]
    ours = in_memory(limits, jitter=lambda: luck[0])
    theirs = maker.broker(broker_url, limits, jitter=lambda: luck[0])
    under_way: list[tuple[Permit, float]] = []
    seen: set[str] = set()
    mood = "well"
    for number in range(1500):
        ours.clock.now += dice.choice((0, 0, 0.01, 0.2, 1.5)) if dice.random() > 0.01 else dice.choice((20, 70))
        theirs.clock.now, luck[0] = ours.clock.now, dice.random()
        if number % 100 == 0:
            mood = dice.choice(tuple(MOODS))
        if under_way and dice.random() < 0.45:
            permit, began = under_way.pop(dice.randrange(len(under_way)))
            went = dice.choices(tuple(Went), MOODS[mood])[0]
            seconds, after = ours.clock.now - began, dice.choice((None, None, 0.5, 3.0))
            became, other_became = (
                calls.store.leave(permit, went, seconds=seconds, retry_after=after) for calls in (ours, theirs)
            )
            assert became == other_became, f"step {number}"
            continue
        tenant, host = TenantId(f"ten_{dice.randrange(3)}"), f"host{dice.randrange(2)}.example:443"
        asked, hold = Permit(tenant=tenant, host=host, token=f"t{number}"), dice.choice((1.0, 30.0))
        answer, other = ours.store.enter(asked, hold), theirs.store.enter(asked, hold)
        if isinstance(answer, Permit):
            assert answer == other, f"step {number}"
            under_way.append((answer, ours.clock.now))
            seen.add("probe" if answer.is_probe else "permit")
        else:
            assert isinstance(other, Held), f"step {number}: {answer} but {other}"
            assert (answer.code, answer.reason) == (other.code, other.reason), f"step {number}"
            assert answer.seconds == pytest.approx(other.seconds, abs=1e-6), f"step {number}"
            seen.add(answer.code)
        if number % 50 == 0:
            assert sorted(map(repr, ours.store.standing(9))) == sorted(map(repr, theirs.store.standing(9)))
    assert {"permit", "host_busy", "throttled"} <= seen
    assert limits.per_host == 1 or {"probe", "host_down"} <= seen
