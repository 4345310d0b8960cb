"""Cancels and deadlines that meet other transactions; what they do to steps is in test_state_machine.py."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from storage import events, jobs, replays, steps, stops
from storage.database import Database, Tx
from storage.errors import JobEnded, LeaseLost
from storage.model import Job, JobState, PublicError, StepState, TenantId
from storage.tenants import ensure
from tests.documents import CHAIN, ECHO, put_in, take, taken
from tests.storage.racing import until_somebody_waits_for_a_lock

BOOM = PublicError(code="boom", message="it broke")
HOURS = {**ECHO, "deadline_seconds": 3600}


def now(database: Database, tenant: TenantId, job: Job) -> Job:
    with database.read(tenant) as tx:
        found = jobs.find(tx, job.id)
    assert found is not None
    return found


def types(database: Database, tenant: TenantId, job: Job) -> list[str]:
    with database.read(tenant) as tx:
        return [event.type for event in events.after(tx, job.id, 0)]


def pass_deadline(database: Database, job: Job, *, seconds: int = 1) -> None:
    with database.platform() as tx:
        asked = "UPDATE jobs SET deadline_at = now() - make_interval(secs => %(ago)s) WHERE id = %(id)s"
        tx.sql(asked, ago=seconds, id=job.id)


def test_a_claim_that_waited_for_a_cancel_takes_nothing(database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant)
    with ThreadPoolExecutor(1) as pool:
        with database.begin(tenant) as tx:
            assert stops.cancel(tx, job.id) is JobState.CANCELED
            late = pool.submit(take, database, tenant, job, "say")
            until_somebody_waits_for_a_lock(database)
        assert late.result() is None
    assert now(database, tenant, job).steps[0].attempt == 0


def test_a_cancel_that_waited_for_a_claim_stops_what_has_begun(database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant, CHAIN)

    def cancel() -> JobState | None:
        with database.begin(tenant) as tx:
            return stops.cancel(tx, job.id)

    with ThreadPoolExecutor(1) as pool:
        with database.begin(tenant) as tx:
            claim = steps.claim(tx, job.id, job.steps[0].id, worker="w1", slot=1, lease_seconds=30)
            late = pool.submit(cancel)
            until_somebody_waits_for_a_lock(database)
        assert late.result() is JobState.RUNNING
    assert claim is not None
    found = now(database, tenant, job)
    assert (found.state, found.stopping) == (JobState.RUNNING, JobState.CANCELED)
    assert [step.state for step in found.steps] == [StepState.RUNNING, StepState.CANCELED, StepState.CANCELED]
    with database.begin(tenant) as tx:
        steps.end_stopped(tx, claim)
    assert now(database, tenant, job).state is JobState.CANCELED


def test_of_cancels_at_the_same_time_one_is_told(database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant)

    def cancel(_: int) -> JobState | None:
        with database.begin(tenant) as tx:
            return stops.cancel(tx, job.id)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(cancel, range(8))) == [JobState.CANCELED] * 8
    assert types(database, tenant, job) == ["job.queued", "step.canceled", "job.canceled"]


def test_a_job_that_ended_cannot_be_canceled(database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant)
    with database.begin(tenant) as tx:
        steps.succeed(tx, taken(database, tenant, job, "say"), {})
    with pytest.raises(JobEnded, match="succeeded"), database.begin(tenant) as tx:
        stops.cancel(tx, job.id)


def test_another_tenant_can_neither_cancel_nor_expire(database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant, HOURS)
    pass_deadline(database, job)
    with database.platform() as tx:
        stranger = ensure(tx, "stranger")
    with database.begin(stranger) as tx:
        assert stops.cancel(tx, job.id) is None
        assert not stops.expire(tx, job.id)
    assert now(database, tenant, job).stopping is None


def test_the_error_of_a_canceled_job_is_that_it_was_canceled_whatever_had_failed_before(
    database: Database, tenant: TenantId
) -> None:
    job = put_in(database, tenant, {"steps": {"bad": {"kind": "echo"}, "other": {"kind": "echo"}}})
    with database.begin(tenant) as tx:
        steps.fail(tx, taken(database, tenant, job, "bad"), BOOM)
        stops.cancel(tx, job.id)
    ended = now(database, tenant, job)
    assert ended.state is JobState.CANCELED
    assert ended.error is not None
    assert (ended.error.code, ended.steps[0].error) == ("job_canceled", BOOM)


def test_jobs_past_their_deadline_are_found_longest_ago_first(database: Database, tenant: TenantId) -> None:
    late, later, latest, _in_time = (put_in(database, tenant, HOURS) for _ in range(4))
    for job, seconds in ((later, 20), (latest, 30), (late, 10)):
        pass_deadline(database, job, seconds=seconds)
    with database.platform_read() as tx:
        assert [job_id for _, job_id in stops.overdue(tx, limit=2)] == [latest.id, later.id]
        assert [job_id for _, job_id in stops.overdue(tx, limit=10)] == [latest.id, later.id, late.id]


def test_a_deadline_counts_anew_when_the_job_runs_again(database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant, HOURS)
    pass_deadline(database, job)
    with database.begin(tenant) as tx:
        assert stops.expire(tx, job.id)
        assert replays.retry(tx, job.id)
        assert not stops.expire(tx, job.id)
    again = now(database, tenant, job)
    assert again.deadline_at is not None
    assert job.deadline_at is not None
    assert again.deadline_at > job.deadline_at
    assert take(database, tenant, job, "say") is not None


@pytest.mark.parametrize("fate", ["deleted", "told to run again"])
@pytest.mark.parametrize("write", ["retry", "end_stopped"])
def test_a_worker_that_heard_too_late_that_its_job_was_stopped_has_lost_its_lease(
    database: Database, tenant: TenantId, write: str, fate: str
) -> None:
    job = put_in(database, tenant)
    claim = taken(database, tenant, job, "say")
    with database.begin(tenant) as tx:
        stops.cancel(tx, job.id)
        steps.end_stopped(tx, claim)
        if fate == "deleted":
            tx.sql("DELETE FROM jobs WHERE tenant_id = %(tenant)s AND id = %(job)s", job=job.id)
        else:
            replays.retry(tx, job.id)
    writes: dict[str, Callable[[Tx], None]] = {
        "retry": lambda tx: steps.retry(tx, claim, BOOM, delay_seconds=0),
        "end_stopped": lambda tx: steps.end_stopped(tx, claim),
    }
    with pytest.raises(LeaseLost), database.begin(tenant) as tx:
        writes[write](tx)
