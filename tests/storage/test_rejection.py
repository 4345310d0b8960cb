"""A step whose result meets its `stop_when` ends its job as failed, and nobody gets the job's outputs."""

from collections.abc import Callable
from typing import Any

import pytest

from storage import events, jobs, removals, replays, steps, stops
from storage.database import Database
from storage.errors import JobStopping, LeaseLost
from storage.model import Claim, Job, JobState, PublicError, StepState, TenantId
from storage.replays import DeadLetterFilter
from tests.documents import put_in, taken

CHECK = {"kind": "echo", "stop_when": {"condition": "message == 'bad'", "code": "was_bad", "message": "it was bad"}}
BESIDE = {"steps": {"check": CHECK, "beside": {"kind": "echo"}, "behind": {"kind": "echo", "use": ["check"]}}}
RESULT = {"message": "bad"}
MADE = {"outputs": [{"name": "v", "bytes": 1, "content_type": "image/png"}]}
WHY = PublicError(code="was_bad", message="it was bad")


@pytest.fixture
def reject(database: Database, tenant: TenantId) -> Callable[[Claim], None]:
    def end(claim: Claim) -> None:
        with database.begin(tenant) as tx:
            stops.reject(tx, claim, RESULT)

    return end


def now(database: Database, tenant: TenantId, job: Job) -> Job:
    with database.read(tenant) as tx:
        found = jobs.find(tx, job.id)
    assert found is not None
    return found


def states(job: Job) -> dict[str, StepState]:
    return {step.name: step.state for step in job.steps}


def planned_removals(database: Database) -> list[Any]:
    with database.platform() as tx:
        found = removals.take_next(tx)
    return [] if found is None else [found]


def test_the_job_fails_for_the_reason_that_the_document_gives(
    database: Database, tenant: TenantId, reject: Callable[[Claim], None]
) -> None:
    job = put_in(database, tenant, BESIDE)
    reject(taken(database, tenant, job, "check"))
    found = now(database, tenant, job)
    assert (found.state, found.error, found.withheld) == (JobState.FAILED, WHY, True)
    assert states(found) == {
        "check": StepState.FAILED,
        "beside": StepState.CANCELED,
        "behind": StepState.CANCELED,
    }
    assert (found.steps[0].result, found.steps[0].error) == (RESULT, WHY)
    with database.read(tenant) as tx:
        told = [event.type for event in events.after(tx, job.id, 0)]
    assert told[-4:] == ["step.failed", "step.canceled", "step.canceled", "job.failed"]


def test_a_step_that_runs_beside_is_stopped_and_its_outputs_go(
    database: Database, tenant: TenantId, reject: Callable[[Claim], None]
) -> None:
    job = put_in(database, tenant, BESIDE)
    beside = taken(database, tenant, job, "beside")
    reject(taken(database, tenant, job, "check"))
    found = now(database, tenant, job)
    assert (found.state, found.stopping, found.withheld) == (JobState.RUNNING, JobState.FAILED, True)
    with pytest.raises(JobStopping), database.read(tenant) as tx:
        steps.check(tx, beside)
    with database.begin(tenant) as tx:
        steps.end_stopped(tx, beside)
    found = now(database, tenant, job)
    assert (found.state, found.error) == (JobState.FAILED, WHY)
    [removal] = planned_removals(database)
    assert (removal.owner_id, removal.outputs_only) == (job.id, True)


def test_outputs_of_steps_that_were_done_before_are_forgotten(
    database: Database, tenant: TenantId, reject: Callable[[Claim], None]
) -> None:
    job = put_in(database, tenant, BESIDE)
    with database.begin(tenant) as tx:
        steps.succeed(tx, taken(database, tenant, job, "beside"), MADE)
    reject(taken(database, tenant, job, "check"))
    found = now(database, tenant, job)
    assert (states(found)["beside"], found.steps[1].result) == (StepState.SUCCEEDED, {})
    assert len(planned_removals(database)) == 1


def test_a_rejected_job_runs_again_as_a_whole(
    database: Database, tenant: TenantId, reject: Callable[[Claim], None]
) -> None:
    job = put_in(database, tenant, BESIDE)
    with database.begin(tenant) as tx:
        steps.succeed(tx, taken(database, tenant, job, "beside"), MADE)
    reject(taken(database, tenant, job, "check"))
    with database.begin(tenant) as tx:
        assert replays.retry(tx, job.id)
    found = now(database, tenant, job)
    assert (found.withheld, found.error) == (False, None)
    assert states(found) == {"check": StepState.QUEUED, "beside": StepState.QUEUED, "behind": StepState.WAITING}
    assert planned_removals(database) == []
    assert taken(database, tenant, job, "check").stop_when is not None


def test_a_cancel_that_came_first_stays_one(
    database: Database, tenant: TenantId, reject: Callable[[Claim], None]
) -> None:
    job = put_in(database, tenant, BESIDE)
    check = taken(database, tenant, job, "check")
    with database.begin(tenant) as tx:
        stops.cancel(tx, job.id)
    reject(check)
    found = now(database, tenant, job)
    assert (found.state, states(found)["check"]) == (JobState.CANCELED, StepState.FAILED)


def test_outputs_of_a_canceled_job_are_forgotten_at_once(
    database: Database, tenant: TenantId, reject: Callable[[Claim], None]
) -> None:
    both = {"steps": {**BESIDE["steps"], "slow": {"kind": "echo"}}}
    job = put_in(database, tenant, both)
    with database.begin(tenant) as tx:
        steps.succeed(tx, taken(database, tenant, job, "beside"), MADE)
    check = taken(database, tenant, job, "check")
    taken(database, tenant, job, "slow")
    with database.begin(tenant) as tx:
        stops.cancel(tx, job.id)
    reject(check)
    found = now(database, tenant, job)
    assert (found.state, found.stopping, found.steps[1].result) == (JobState.RUNNING, JobState.CANCELED, {})


def test_a_rejection_is_no_dead_letter(database: Database, tenant: TenantId, reject: Callable[[Claim], None]) -> None:
    reject(taken(database, tenant, put_in(database, tenant, BESIDE), "check"))
    broken = put_in(database, tenant, BESIDE)
    with database.begin(tenant) as tx:
        steps.fail(tx, taken(database, tenant, broken, "check"), WHY)
    with database.read(tenant) as tx:
        assert [found.newest_job for found in replays.dead_letters(tx, DeadLetterFilter(), limit=10)] == [broken.id]
        assert replays.matching_jobs(tx, DeadLetterFilter()) == []  # the rest of it still runs


def test_a_job_that_expires_meanwhile_is_withheld_all_the_same(
    database: Database, tenant: TenantId, reject: Callable[[Claim], None]
) -> None:
    job = put_in(database, tenant, BESIDE | {"deadline_seconds": 3600})
    check = taken(database, tenant, job, "check")
    with database.platform() as tx:
        tx.sql("UPDATE jobs SET deadline_at = now() - interval '1 s' WHERE id = %(id)s", id=job.id)
    with database.begin(tenant) as tx:
        assert stops.expire(tx, job.id)
    reject(check)
    found = now(database, tenant, job)
    assert (found.state, found.withheld, found.error) == (JobState.FAILED, True, WHY)


def test_only_the_newest_attempt_can_reject(
    database: Database, tenant: TenantId, reject: Callable[[Claim], None]
) -> None:
    job = put_in(database, tenant, BESIDE)
    old = taken(database, tenant, job, "check")
    with database.begin(tenant) as tx:
        steps.retry(tx, old, WHY, delay_seconds=0)
    with pytest.raises(LeaseLost):
        reject(old)
    assert now(database, tenant, job).state is JobState.RUNNING
