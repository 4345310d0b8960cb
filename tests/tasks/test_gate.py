"""Steps that may not call now: they are put off before they are claimed, which costs no attempt."""

import contextlib
from dataclasses import replace
from typing import Any

import pytest

from storage import jobs, stops
from storage.database import Database
from storage.model import Job, Step, StepState, TenantId, new_job_id
from tasks import base
from tasks.budget import Budget, Held, Limits, Permit, Went
from tasks.document import parse
from tasks.gate import host_of
from tasks.names import KINDS
from tasks.process import Process
from tasks.submit import submit
from tests.sink import Answer, Sink


@pytest.fixture
def narrow(process: Process) -> Process:
    """A worker that may make one call to a host at a time."""
    return replace(process, budget=Budget(None, Limits(per_host=1, per_tenant=2, all_to_host=2)))


def submitted(database: Database, tenant: TenantId, document: dict[str, Any]) -> Job:
    with database.begin(tenant) as tx:
        return submit(tx, parse(document), job_id=new_job_id(), file=None).job


def call(hook: Sink, **params: Any) -> dict[str, Any]:
    return {"steps": {"call": {"kind": "http.call", "url": hook.url, **params}}}


def worked(process: Process, tenant: TenantId, job: Job, name: str = "call") -> Step:
    """The step after a hint for it was taken."""
    [step] = [one for one in job.steps if one.name == name]
    with contextlib.suppress(base.StepUnsuccessful):
        base.perform(process, KINDS[step.kind], tenant, job.id, step.id)
    with process.database.read(tenant) as tx:
        found = jobs.find(tx, job.id)
    assert found is not None
    return next(one for one in found.steps if one.name == name)


def entered(process: Process, tenant: TenantId, host: str) -> Permit:
    permit = process.budget.enter(tenant, host, hold_seconds=60)
    assert isinstance(permit, Permit)
    return permit


def test_a_call_that_may_not_go_now_is_put_off_and_costs_nothing(
    narrow: Process, database: Database, tenant: TenantId, hook: Sink
) -> None:
    job = submitted(database, tenant, call(hook))
    permit = entered(narrow, tenant, hook.host)
    held = worked(narrow, tenant, job)
    assert (held.state, held.attempt, hook.got) == (StepState.SCHEDULED, 0, [])
    assert held.run_at > held.created_at
    assert held.held_for is not None
    assert hook.host in held.held_for
    narrow.budget.leave(permit, Went.WELL, seconds=0.1)
    with database.platform() as tx:
        tx.sql("UPDATE steps SET state = 'queued' WHERE id = %(step)s", step=held.id)
    done = worked(narrow, tenant, job)
    assert (done.state, done.attempt, done.held_for) == (StepState.SUCCEEDED, 1, None)


def test_a_call_leaves_its_place_however_it_ends(
    narrow: Process, database: Database, tenant: TenantId, hook: Sink
) -> None:
    hook.answers = [Answer(status=404), Answer(status=200), Answer()]
    for state in (StepState.FAILED, StepState.SUCCEEDED):
        assert worked(narrow, tenant, submitted(database, tenant, call(hook))).state is state
    narrow.budget.leave(entered(narrow, tenant, hook.host), Went.WELL, seconds=0.1)


def test_a_host_that_asks_for_a_pause_gets_it_from_every_call(
    narrow: Process, database: Database, tenant: TenantId, hook: Sink
) -> None:
    hook.answers = [Answer(status=429, headers={"Retry-After": "30"})]
    one, two = (submitted(database, tenant, call(hook)) for _ in range(2))
    assert worked(narrow, tenant, one).state is StepState.RETRYING
    held = worked(narrow, tenant, two)
    assert (held.state, held.attempt, len(hook.got)) == (StepState.SCHEDULED, 0, 1)
    assert (held.run_at - held.created_at).total_seconds() > 25


def test_a_host_that_fails_again_and_again_is_left_alone(
    process: Process, database: Database, tenant: TenantId, hook: Sink
) -> None:
    hook.answers = [Answer(status=500)]
    states = [worked(process, tenant, submitted(database, tenant, call(hook))).state for _ in range(9)]
    assert states[:5] == [StepState.RETRYING] * 5
    assert states[5:] == [StepState.SCHEDULED] * 4
    assert len(hook.got) == 5


def test_the_host_may_come_from_an_earlier_step(
    narrow: Process, database: Database, tenant: TenantId, hook: Sink
) -> None:
    document = {
        "steps": {
            "look": {"kind": "echo", "data": {"url": hook.url}},
            "call": {"kind": "http.call", "use": ["look"], "url": "{{steps.look.data.url}}"},
        }
    }
    job = submitted(database, tenant, document)
    worked(narrow, tenant, job, "look")
    entered(narrow, tenant, hook.host)
    assert worked(narrow, tenant, job).state is StepState.SCHEDULED


def test_one_tenant_does_not_hold_up_another(narrow: Process, database: Database, tenant: TenantId, hook: Sink) -> None:
    entered(narrow, TenantId("ten_other"), hook.host)
    assert worked(narrow, tenant, submitted(database, tenant, call(hook))).state is StepState.SUCCEEDED


def test_a_step_that_has_ended_takes_no_permit(
    narrow: Process, database: Database, tenant: TenantId, hook: Sink
) -> None:
    job = submitted(database, tenant, call(hook))
    worked(narrow, tenant, job)
    assert worked(narrow, tenant, job).attempt == 1
    assert isinstance(narrow.budget.enter(tenant, hook.host, hold_seconds=1), Permit)
    assert isinstance(narrow.budget.enter(tenant, hook.host, hold_seconds=1), Held)


def test_a_job_that_is_canceled_while_its_call_is_put_off_ends(
    narrow: Process, database: Database, tenant: TenantId, hook: Sink
) -> None:
    job = submitted(database, tenant, call(hook))
    entered(narrow, tenant, hook.host)
    worked(narrow, tenant, job)
    with database.begin(tenant) as tx:
        stops.cancel(tx, job.id)
    assert worked(narrow, tenant, job).state is StepState.CANCELED


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Crm.Example/x", "crm.example:443"),
        ("http://crm.example.:8080", "crm.example:8080"),
        ("HTTPS://crm.example?x#y", "crm.example:443"),
        ("https://crm.example:0443/é{", "crm.example:443"),
        ("http://[2001:db8::1]/", "2001:db8::1:80"),
        ("http://[2001:DB8:0:0::0001]:80/", "2001:db8::1:80"),
        ("crm", None),
        ("http://crm:x/", None),
        ("http://crm..:80/", None),
        ("http://a@crm/", None),
        ("http://c\trm/", None),
        (f"http://{'x' * 250_000}/", None),
    ],
)
def test_budgets_are_kept_by_name_and_port(url: str, host: str | None) -> None:
    assert host_of(url) == host


def test_a_host_without_bounds_gets_no_room_in_the_budget(
    process: Process, database: Database, tenant: TenantId
) -> None:
    document = {
        "steps": {
            "look": {"kind": "echo", "data": {"host": "x" * 100_000}},
            "call": {"kind": "http.call", "use": ["look"], "url": "https://{{steps.look.data.host}}.example/"},
        }
    }
    job = submitted(database, tenant, document)
    worked(process, tenant, job, "look")
    step = worked(process, tenant, job)
    assert step.error is not None
    assert (step.state, step.error.code) == (StepState.FAILED, "url_invalid")
    assert process.budget.standing() == []


def test_a_step_that_moves_files_may_keep_its_place_for_all_of_its_time(
    process: Process, database: Database, tenant: TenantId, hook: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, enter = [], process.budget.enter

    def spied(tenant: TenantId, host: str, *, hold_seconds: float) -> Permit | Held:
        asked.append(hold_seconds)
        return enter(tenant, host, hold_seconds=hold_seconds)

    monkeypatch.setattr(process.budget, "enter", spied)
    quick = {"total": 1}
    worked(process, tenant, submitted(database, tenant, call(hook, timeout=quick)))
    worked(process, tenant, submitted(database, tenant, call(hook, timeout=quick, answer={"store_as": "output"})))
    assert asked[0] < 60
    assert asked[1] > KINDS["http.call"].time_limit


def test_a_call_that_is_put_off_beyond_its_deadline_fails(
    process: Process, database: Database, tenant: TenantId, hook: Sink
) -> None:
    again = "UPDATE steps SET state = 'queued', first_started_at = first_started_at - make_interval(secs => %(ago)s)"
    hook.answers = [Answer(status=429, headers={"Retry-After": "30"})]
    job = submitted(database, tenant, call(hook, deadline_seconds=60))
    assert worked(process, tenant, job).state is StepState.RETRYING
    with database.platform() as tx:
        tx.sql(again, ago=0)
    assert worked(process, tenant, job).state is StepState.SCHEDULED
    with database.platform() as tx:
        tx.sql(again, ago=40)
    late = worked(process, tenant, job)
    assert late.error is not None
    assert (late.state, late.error.code) == (StepState.FAILED, "throttled")
    assert hook.host in late.error.message
    assert len(hook.got) == 1


def test_a_first_attempt_waits_for_as_long_as_it_must(
    process: Process, database: Database, tenant: TenantId, hook: Sink
) -> None:
    hook.answers = [Answer(status=429, headers={"Retry-After": "30"})]
    worked(process, tenant, submitted(database, tenant, call(hook)))
    assert worked(process, tenant, submitted(database, tenant, call(hook, deadline_seconds=20))).state == "scheduled"
