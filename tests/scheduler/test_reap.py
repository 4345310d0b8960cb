"""The reaper against a real database."""

from scheduler.reap import LEASE_EXPIRED, reap_once
from storage import jobs
from storage.database import Database
from storage.model import JobState, Outcome, StepState, TenantId
from tests.documents import put_in, runnable_steps, taken


def test_a_step_whose_lease_ran_out_is_queued_again(database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant)
    taken(database, tenant, job, "say", lease_seconds=0)
    assert reap_once(database) == 1
    with database.read(tenant) as tx:
        step = jobs.find(tx, job.id).steps[0]  # type: ignore[union-attr]
    assert (step.state, step.error) == (StepState.QUEUED, LEASE_EXPIRED)
    assert [(tried.outcome, tried.error) for tried in step.attempts] == [(Outcome.LOST, LEASE_EXPIRED)]
    assert runnable_steps(database) == [(job.id, step.id)]
    assert taken(database, tenant, job, "say").attempt == 2


def test_a_step_with_a_living_lease_is_left_alone(database: Database, tenant: TenantId) -> None:
    taken(database, tenant, put_in(database, tenant), "say", lease_seconds=30)
    assert reap_once(database) == 0


def test_a_job_whose_step_kills_every_worker_ends(database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant)
    for _ in range(3):
        taken(database, tenant, job, "say", lease_seconds=0)
        reap_once(database)
        runnable_steps(database)
    with database.read(tenant) as tx:
        ended = jobs.find(tx, job.id)
    assert ended is not None
    assert ended.state is JobState.FAILED
    assert reap_once(database) == 0


def test_a_job_that_somebody_holds_does_not_keep_the_others_waiting(database: Database, tenant: TenantId) -> None:
    held, other = (put_in(database, tenant) for _ in range(2))
    for job in (held, other):
        taken(database, tenant, job, "say", lease_seconds=0)
    with database.begin(tenant) as tx:
        tx.sql("SELECT 1 FROM jobs WHERE tenant_id = %(tenant)s AND id = %(job)s FOR UPDATE", job=held.id)
        reap_once(database)
        with database.read(tenant) as look:
            states = [jobs.find(look, job.id).steps[0].state for job in (held, other)]  # type: ignore[union-attr]
    assert states == [StepState.RUNNING, StepState.QUEUED]
