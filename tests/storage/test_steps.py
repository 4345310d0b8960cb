"""A step from claim to end, against a real database."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from storage import events, jobs, losses, publishing, runnable, steps
from storage.database import Database, PlatformTx
from storage.errors import LeaseLost
from storage.listing import JobFilter, listed
from storage.model import Claim, Job, JobState, Outcome, PublicError, StepState, TenantId
from storage.tenants import ensure
from tests.documents import CHAIN, ECHO, put_in, runnable_steps, take, taken

BOOM = PublicError(code="boom", message="it broke")


@pytest.fixture
def now(database: Database, tenant: TenantId) -> Any:
    """Reads a job as it stands."""

    def read(job: Job) -> Job:
        with database.read(tenant) as tx:
            found = jobs.find(tx, job.id)
        assert found is not None
        return found

    return read


def succeed(database: Database, claim: Claim, result: Any = None) -> None:
    with database.begin(claim.tenant_id) as tx:
        steps.succeed(tx, claim, result)


def fail(database: Database, claim: Claim) -> None:
    with database.begin(claim.tenant_id) as tx:
        steps.fail(tx, claim, BOOM)


def types(database: Database, tenant: TenantId, job: Job) -> list[str]:
    with database.read(tenant) as tx:
        return [event.type for event in events.after(tx, job.id, 0)]


def test_a_job_of_one_step_goes_from_queued_to_succeeded(database: Database, tenant: TenantId, now: Any) -> None:
    job = put_in(database, tenant)
    assert now(job).state is JobState.QUEUED
    claim = taken(database, tenant, job, "say")
    assert (now(job).state, now(job).steps[0].state) == (JobState.RUNNING, StepState.RUNNING)
    succeed(database, claim, {"message": "hello"})
    ended = now(job)
    assert (ended.state, ended.progress, ended.steps[0].result) == (JobState.SUCCEEDED, 1.0, {"message": "hello"})
    assert [(attempt.number, attempt.outcome) for attempt in ended.steps[0].attempts] == [(1, Outcome.SUCCEEDED)]
    assert types(database, tenant, job) == [
        "job.queued",
        "job.running",
        "step.running",
        "step.succeeded",
        "job.succeeded",
    ]


def test_what_submit_returns_is_what_the_rows_say(database: Database, tenant: TenantId, now: Any) -> None:
    job = put_in(database, tenant, CHAIN | {"metadata": {"a": [1, None]}, "priority": "high"})
    assert now(job) == job


def test_a_step_can_be_claimed_once(database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant)
    with ThreadPoolExecutor(5) as pool:
        claims = list(pool.map(lambda number: take(database, tenant, job, "say", worker=f"w{number}"), range(5)))
    assert sum(claim is not None for claim in claims) == 1


def test_a_waiting_step_cannot_be_claimed_and_starts_when_the_step_it_uses_succeeds(
    database: Database, tenant: TenantId, now: Any
) -> None:
    job = put_in(database, tenant, CHAIN)
    assert take(database, tenant, job, "second") is None
    succeed(database, taken(database, tenant, job, "first"), {"n": 1})
    assert [step.state for step in now(job).steps] == [StepState.SUCCEEDED, StepState.QUEUED, StepState.WAITING]
    claim = taken(database, tenant, job, "second")
    assert [(used.name, used.result) for used in claim.uses] == [("first", {"n": 1})]


def test_a_step_that_uses_two_starts_after_both_even_if_they_end_at_once(
    database: Database, tenant: TenantId, now: Any
) -> None:
    document = {
        "steps": {"a": {"kind": "echo"}, "b": {"kind": "echo"}, "both": {"kind": "echo", "use": ["a", "b"]}},
    }
    for _ in range(10):
        job = put_in(database, tenant, document)
        claims = [taken(database, tenant, job, name) for name in ("a", "b")]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda claim: succeed(database, claim), claims))
        assert now(job).steps[2].state is StepState.QUEUED


def test_a_failed_step_cancels_what_stands_on_it_and_spares_the_rest(
    database: Database, tenant: TenantId, now: Any
) -> None:
    job = put_in(database, tenant, {"steps": {**CHAIN["steps"], "aside": {"kind": "echo"}}})
    fail(database, taken(database, tenant, job, "first"))
    found = {step.name: step for step in now(job).steps}
    assert [found[name].state for name in ("first", "second", "third", "aside")] == [
        StepState.FAILED,
        StepState.CANCELED,
        StepState.CANCELED,
        StepState.QUEUED,
    ]
    assert found["third"].error == steps.DEPENDENCY_FAILED
    assert now(job).state is JobState.RUNNING
    succeed(database, taken(database, tenant, job, "aside"))
    ended = now(job)
    assert ended.state is JobState.FAILED
    assert ended.error is not None
    assert ended.error.message == "step 'first' failed: it broke"
    assert types(database, tenant, job)[-2:] == ["step.succeeded", "job.failed"]


def test_a_retried_step_waits_for_its_time_and_counts_its_attempts(
    database: Database, tenant: TenantId, now: Any
) -> None:
    job = put_in(database, tenant)
    with database.begin(tenant) as tx:
        steps.retry(tx, taken(database, tenant, job, "say"), BOOM, delay_seconds=60)
    assert now(job).steps[0].state is StepState.RETRYING
    assert runnable_steps(database) == []
    with database.platform() as tx:
        due = runnable.make_due_queued(tx, limit=10)
        assert due.steps == 0
        assert 55 < (due.seconds_to_next or 0) <= 60
        tx.sql("UPDATE steps SET run_at = now()")
    assert runnable_steps(database) == [(job.id, job.steps[0].id)]
    claim = taken(database, tenant, job, "say")
    assert claim.attempt == 2
    succeed(database, claim)
    step = now(job).steps[0]
    assert [(tried.number, tried.outcome, tried.error) for tried in step.attempts] == [
        (1, Outcome.RETRIED, BOOM),
        (2, Outcome.SUCCEEDED, None),
    ]
    assert step.error is None


@pytest.mark.parametrize("late", ["succeed", "fail", "retry", "report"])
def test_an_older_attempt_can_write_nothing(database: Database, tenant: TenantId, now: Any, late: str) -> None:
    job = put_in(database, tenant)
    old = taken(database, tenant, job, "say", lease_seconds=0)
    with database.begin(tenant) as tx:
        assert losses.lose(tx, old, BOOM, only_if_expired=True)
    runnable_steps(database)
    new = taken(database, tenant, job, "say", worker="w2")
    before = now(job), types(database, tenant, job)
    writes: dict[str, Any] = {
        "succeed": lambda tx: steps.succeed(tx, old, {"from": "old"}),
        "fail": lambda tx: steps.fail(tx, old, BOOM),
        "retry": lambda tx: steps.retry(tx, old, BOOM, delay_seconds=0),
        "report": lambda tx: steps.report(tx, old, 0.5, {}),
    }
    with pytest.raises(LeaseLost), database.begin(tenant) as tx:
        writes[late](tx)
    assert (now(job), types(database, tenant, job)) == before
    succeed(database, new, {"from": "new"})
    assert now(job).steps[0].result == {"from": "new"}


def test_a_step_that_ended_cannot_end_again(database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant)
    claim = taken(database, tenant, job, "say")
    succeed(database, claim)
    with pytest.raises(LeaseLost):
        succeed(database, claim)


def test_a_renewed_lease_is_not_taken(database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant)
    claim = taken(database, tenant, job, "say", lease_seconds=0)
    with database.platform() as tx:
        expired = runnable.expired_leases(tx, limit=10)
        assert [one.step_id for one in expired] == [claim.step_id]
        assert runnable.renew(tx, "w1", [(tenant, claim.step_id)], lease_seconds=30) == 1
        assert runnable.renew(tx, "another", [(tenant, claim.step_id)], lease_seconds=30) == 0
    with database.begin(tenant) as tx:
        assert not losses.lose(tx, expired[0], BOOM, only_if_expired=True)


def test_a_step_lost_too_often_fails(database: Database, tenant: TenantId, now: Any) -> None:
    job = put_in(database, tenant)
    for _ in range(3):
        claim = taken(database, tenant, job, "say", lease_seconds=0)
        with database.begin(tenant) as tx:
            assert losses.lose(tx, claim, BOOM, only_if_expired=True)
        runnable_steps(database)
    ended = now(job)
    assert ended.state is JobState.FAILED
    assert [attempt.outcome for attempt in ended.steps[0].attempts] == [Outcome.LOST] * 3


def test_progress_is_kept_and_told(database: Database, tenant: TenantId, now: Any) -> None:
    job = put_in(database, tenant, CHAIN)
    claim = taken(database, tenant, job, "first")
    with database.begin(tenant) as tx:
        steps.report(tx, claim, 0.5, {"output": "small"})
        found = events.after(tx, job.id, 3)
    assert [(event.type, event.data) for event in found] == [
        ("step.progress", {"step": "first", "progress": 0.5, "output": "small"})
    ]
    assert now(job).progress == pytest.approx(0.5 / 3)


def test_events_are_numbered_without_gaps_however_many_write(database: Database, tenant: TenantId) -> None:
    names = [f"s{number}" for number in range(8)]
    job = put_in(database, tenant, {"steps": {name: {"kind": "echo"} for name in names}})

    def work(name: str) -> None:
        claim = taken(database, tenant, job, name)
        with database.begin(tenant) as tx:
            steps.report(tx, claim, 0.5, {})
        succeed(database, claim)

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(work, names))
    with database.read(tenant) as tx:
        found = events.after(tx, job.id, 0)
    assert [event.seq for event in found] == list(range(1, 1 + 1 + 1 + 8 * 3 + 1))
    assert found[-1].type == "job.succeeded"


def test_another_tenant_sees_and_takes_nothing(database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant)
    with database.platform() as tx:
        stranger = stranger_in(tx)
    assert take(database, stranger, job, "say") is None
    with database.read(stranger) as tx:
        assert jobs.find(tx, job.id) is None
        assert jobs.is_terminal(tx, job.id) is None
        assert events.after(tx, job.id, 0) == []
        assert listed(tx, JobFilter(), before=None, limit=10)[0] == []


def stranger_in(tx: PlatformTx) -> TenantId:

    return ensure(tx, "stranger")


def test_two_relays_send_different_steps(database: Database, tenant: TenantId) -> None:
    for _ in range(20):
        put_in(database, tenant, ECHO)
    with database.platform() as one, database.platform() as two:
        first = publishing.take_to_publish(one, "default", limit=10)
        second = publishing.take_to_publish(two, "default", limit=20)
    assert len(first) == 10
    assert len(second) == 10
    assert not {step.step_id for step in first} & {step.step_id for step in second}


def test_urgent_jobs_are_sent_first(database: Database, tenant: TenantId) -> None:
    low, normal, high = (put_in(database, tenant, ECHO | {"priority": word}) for word in ("low", "normal", "high"))
    assert [job for job, _ in runnable_steps(database)] == [high.id, normal.id, low.id]


def test_hints_that_a_stopping_worker_holds_are_sent_again(database: Database, tenant: TenantId) -> None:
    jobs_in = [put_in(database, tenant) for _ in range(2)]
    assert len(runnable_steps(database)) == 2
    assert runnable_steps(database) == []
    taken(database, tenant, jobs_in[0], "say")
    with database.platform() as tx:
        assert runnable.give_back_hints(tx, [(tenant, job.steps[0].id) for job in jobs_in]) == 1
    assert runnable_steps(database) == [(jobs_in[1].id, jobs_in[1].steps[0].id)]
