"""The plan of many passes in a row, with a clock of the test's own."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage.model import TenantId
from storage.schedule_model import Locked, Schedule, new_schedule_id
from tasks.firing_plan import due, plan
from tasks.schedules import Terms, parse

START = datetime(2026, 3, 1, tzinfo=UTC)


def made(**fields: Any) -> tuple[Schedule, Terms]:
    spec = parse({"job": {"steps": {"a": {"kind": "echo"}}}, "overlap": "allow", **fields}, now=START)
    next_at = spec.terms.calendar.after(START)
    assert next_at is not None
    schedule = Schedule(
        tenant_id=TenantId("ten"),
        id=new_schedule_id(),
        name=None,
        document=spec.document,
        version=1,
        source=None,
        next_at=next_at,
        due_at=None,
        latest_due=None,
        runs=0,
        paused_at=None,
        paused_reason=None,
        created_at=START,
        updated_at=START,
    )
    return replace(schedule, due_at=due(schedule.id, next_at, spec.terms)), spec.terms


def passes(schedule: Schedule, terms: Terms, *, seconds: int, max_times: int = 200) -> Counter[str]:
    """What became of its firings in so many seconds, with a loop that looks whenever it is due."""
    outcomes: Counter[str] = Counter()
    for second in range(seconds):
        now = START + timedelta(seconds=second)
        for _ in range(20):  # in that second
            if schedule.due_at is None or schedule.due_at > now:
                break
            seen = Locked(schedule=schedule, now=now, running=(), waiting=())
            done = plan(seen, terms, max_times=max_times)
            outcomes.update(firing.outcome.value for firing in done.firings)
            latest = done.latest_due or schedule.latest_due
            schedule = replace(schedule, next_at=done.next_at, due_at=done.due_at, latest_due=latest)
    return outcomes


@pytest.mark.parametrize("catch_up", ["none", "last"])
@pytest.mark.parametrize("max_times", [200, 16])
def test_a_jitter_longer_than_the_gap_makes_nobody_late(catch_up: str, max_times: int) -> None:
    found = passes(*made(cron="* * * * *", jitter_seconds=3600, catch_up=catch_up), seconds=20_000, max_times=max_times)
    assert set(found) == {"started"}
    assert found["started"] > 200


def test_a_jitter_that_brings_more_than_a_pass_takes_makes_nobody_late() -> None:
    found = passes(*made(cron="* * * * * *", jitter_seconds=600, catch_up="none"), seconds=2000, max_times=16)
    assert set(found) == {"started"}
    assert found["started"] > 800


def test_after_a_time_away_a_jitter_hides_no_lateness() -> None:
    schedule, terms = made(cron="* * * * *", jitter_seconds=30, catch_up="none")
    away = Locked(schedule=schedule, now=START + timedelta(hours=2), running=(), waiting=())
    first = plan(away, terms, max_times=10)
    assert {firing.outcome.value for firing in first.firings} == {"missed"}
    moved = replace(schedule, next_at=first.next_at, latest_due=first.latest_due)
    second = plan(replace(away, schedule=moved), terms, max_times=10)
    assert {firing.outcome.value for firing in second.firings} == {"missed"}
