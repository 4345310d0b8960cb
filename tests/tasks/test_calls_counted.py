"""Calls that are put off and breakers that change are counted by the worker that meets them."""

from dataclasses import replace

import pytest

from storage.database import Database
from storage.model import TenantId
from storage.telemetry import metric_families, metric_store
from tasks.budget import Budget, Limits, Permit, Went
from tasks.budget_rules import FAILURES
from tasks.process import Process
from tests.scraping import number, parsed
from tests.sink import Sink
from tests.tasks.test_gate import call, entered, submitted, worked


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers as of a new process."""
    monkeypatch.setattr(metric_store, "_here", metric_store._Here())


def told(name: str, **labels: str) -> float:
    return number(parsed(metric_families.text().decode()), name, **labels)


def test_a_call_that_is_put_off_is_counted_by_why(
    process: Process, database: Database, tenant: TenantId, hook: Sink
) -> None:
    narrow = replace(process, budget=Budget(None, Limits(per_host=1)))
    permit = entered(narrow, tenant, hook.host)
    worked(narrow, tenant, submitted(database, tenant, call(hook)))
    assert told("millrace_calls_held_total", reason="host_busy") == told("millrace_calls_held_total") == 1
    narrow.budget.leave(permit, Went.WELL, seconds=0.1)
    assert told("millrace_steps_total") == 0  # it was no attempt


@pytest.mark.parametrize("is_shared", [False, True])
def test_a_breaker_that_opens_is_counted_once(tenant: TenantId, broker_url: str, is_shared: bool) -> None:
    budget = Budget(broker_url if is_shared else None, Limits())
    permits = [budget.enter(tenant, "away.example:443", hold_seconds=60) for _ in range(FAILURES + 2)]
    for permit in permits:
        assert isinstance(permit, Permit)
        budget.leave(permit, Went.BADLY, seconds=0.01)
    assert told("millrace_breaker_changes_total", to="open") == told("millrace_breaker_changes_total") == 1
    budget.close()
