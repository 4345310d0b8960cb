"""How long ended jobs are kept, and that nothing of them stays behind."""

from collections.abc import Mapping

import pytest

from storage import removals, retention, runnable, steps, stops
from storage.database import Database
from storage.errors import JobNotEnded, LeaseLost
from storage.model import Job, JobId, JobState, PublicError, TenantId
from storage.removals import Removal
from storage.tenants import ensure
from tests.documents import CHAIN, ECHO, put_in, taken

BOOM = PublicError(code="boom", message="it broke")
DAY = 86_400.0
DAYS = {JobState.SUCCEEDED: DAY, JobState.FAILED: 7 * DAY, JobState.CANCELED: DAY}


@pytest.fixture
def other(database: Database) -> TenantId:
    with database.platform() as tx:
        return ensure(tx, "other")


def succeeded(database: Database, tenant: TenantId) -> Job:
    job = put_in(database, tenant)
    with database.begin(tenant) as tx:
        steps.succeed(tx, taken(database, tenant, job, "say"), {})
    return job


def failed(database: Database, tenant: TenantId) -> Job:
    job = put_in(database, tenant, {**CHAIN, "unique_key": "k"})
    claim = taken(database, tenant, job, "first")
    with database.begin(tenant) as tx:
        steps.report(tx, claim, 0.5, {})
        steps.fail(tx, claim, BOOM)
    return job


def age(database: Database, *, days: float) -> None:
    with database.platform() as tx:
        tx.sql("UPDATE jobs SET finished_at = finished_at - make_interval(secs => %(secs)s)", secs=days * DAY)


def sweep(database: Database, kept: Mapping[JobState, float] = DAYS, *, limit: int = 100) -> int:
    with database.platform() as tx:
        return retention.delete_old(tx, kept, limit=limit)


def left(database: Database) -> set[JobId]:
    with database.platform_read() as tx:
        return {JobId(row.id) for row in tx.sql("SELECT id FROM jobs")}


def rows_left(database: Database) -> dict[str, int]:
    with database.platform_read() as tx:
        return {
            table: tx.sql(f"SELECT count(*) FROM {table}").scalar_one()
            for table in ("jobs", "steps", "attempts", "events", "unique_keys")
        }


def removals_due(database: Database) -> list[Removal]:
    """All of them: the removals are done one by one."""
    found = []
    with database.platform() as tx:
        while removal := removals.take_next(tx):
            found.append(removal)
            removals.done(tx, removal)
    return found


def test_each_state_is_kept_for_its_own_time(database: Database, tenant: TenantId) -> None:
    succeeded(database, tenant)
    bad = failed(database, tenant)
    age(database, days=2)
    young = succeeded(database, tenant)
    assert sweep(database) == 1
    assert left(database) == {bad.id, young.id}
    age(database, days=6)
    assert sweep(database) == 2
    assert left(database) == set()


def test_a_state_without_a_time_is_kept_for_ever(database: Database, tenant: TenantId) -> None:
    failed(database, tenant)
    age(database, days=10_000)
    assert sweep(database, {JobState.SUCCEEDED: DAY}) == 0


def test_a_tenant_has_times_of_his_own(database: Database, tenant: TenantId, other: TenantId) -> None:
    keeps_longer, common = succeeded(database, tenant), succeeded(database, other)
    failed_here, failed_there = failed(database, tenant), failed(database, other)
    with database.platform() as tx:
        retention.keep(tx, tenant, {JobState.SUCCEEDED: 30 * DAY, JobState.FAILED: DAY})
        retention.keep(tx, other, {JobState.FAILED: None})
    age(database, days=8)
    assert sweep(database) == 2
    assert left(database) == {keeps_longer.id, failed_there.id}
    assert common.id not in left(database)
    assert failed_here.id not in left(database)
    age(database, days=30)
    assert sweep(database) == 1
    assert left(database) == {failed_there.id}


def test_a_time_that_is_set_leaves_those_of_other_states(database: Database, tenant: TenantId) -> None:
    with database.platform() as tx:
        retention.keep(tx, tenant, {JobState.SUCCEEDED: None})
        retention.keep(tx, tenant, {JobState.FAILED: DAY})
    kept = succeeded(database, tenant)
    failed(database, tenant)
    age(database, days=3)
    assert sweep(database) == 1
    assert left(database) == {kept.id}


def test_old_jobs_go_in_batches_over_all_tenants(database: Database, tenant: TenantId, other: TenantId) -> None:
    with database.platform() as tx:
        retention.keep(tx, other, {JobState.SUCCEEDED: DAY})
    for whose in (tenant, other):
        for _ in range(4):
            succeeded(database, whose)
    failed(database, tenant)
    age(database, days=8)
    assert [sweep(database, limit=5) for _ in range(3)] == [5, 4, 0]


def test_nothing_of_a_deleted_job_stays_and_its_objects_are_given_to_removal(
    database: Database, tenant: TenantId
) -> None:
    job = failed(database, tenant)
    age(database, days=8)
    assert sweep(database) == 1
    assert set(rows_left(database).values()) == {0}
    assert removals_due(database) == [Removal(tenant_id=tenant, owner_id=job.id, outputs_only=False, stands=False)]


def test_a_job_that_runs_waits_or_is_being_stopped_is_never_deleted(database: Database, tenant: TenantId) -> None:
    waits, runs, stopping = (put_in(database, tenant) for _ in range(3))
    for job in (runs, stopping):
        taken(database, tenant, job, "say")
    with database.begin(tenant) as tx:
        stops.cancel(tx, stopping.id)
        tx.sql("UPDATE jobs SET created_at = now() - interval '9 years' WHERE tenant_id = %(tenant)s")
    assert sweep(database, dict.fromkeys(JobState, 0.0)) == 0
    for job in (waits, runs, stopping):
        with pytest.raises(JobNotEnded), database.begin(tenant) as tx:
            retention.delete(tx, job.id)
    assert left(database) == {waits.id, runs.id, stopping.id}


def test_a_job_can_be_deleted_by_its_own_tenant_only(database: Database, tenant: TenantId, other: TenantId) -> None:
    job = succeeded(database, tenant)
    with database.begin(other) as tx:
        assert not retention.delete(tx, job.id)
    with database.begin(tenant) as tx:
        assert retention.delete(tx, job.id)
        assert not retention.delete(tx, job.id)
    assert left(database) == set()


def test_a_job_that_somebody_holds_is_left_for_the_next_time(database: Database, tenant: TenantId) -> None:
    held = succeeded(database, tenant)
    succeeded(database, tenant)
    age(database, days=2)
    with database.begin(tenant) as tx:
        tx.sql("SELECT FROM jobs WHERE tenant_id = %(tenant)s AND id = %(job)s FOR NO KEY UPDATE", job=held.id)
        assert sweep(database) == 1
    assert left(database) == {held.id}
    assert sweep(database) == 1


def test_the_worker_of_a_deleted_job_can_write_nothing(database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant)
    old = taken(database, tenant, job, "say", lease_seconds=0)
    with database.begin(tenant) as tx:
        steps.succeed(tx, old, {})
        assert retention.delete(tx, job.id)
    for _ in range(2):
        with pytest.raises(LeaseLost), database.begin(tenant) as tx:
            steps.fail(tx, old, BOOM)
    with database.platform() as tx:
        assert runnable.renew(tx, "w1", [(tenant, old.step_id)], lease_seconds=30) == 0


def test_a_job_of_very_many_events_and_attempts_goes_within_a_statement_s_time(
    database: Database, tenant: TenantId
) -> None:
    job = put_in(database, tenant, {"steps": {f"s{number}": {"kind": "echo"} for number in range(100)}})
    with database.begin(tenant) as tx:
        stops.cancel(tx, job.id)
        tx.sql(
            "INSERT INTO events (tenant_id, job_id, seq, type, data)"
            " SELECT %(tenant)s, %(job)s, n, 'step.progress', '{}' FROM generate_series(1000, 200999) n",
            job=job.id,
        )
        tx.sql(
            "INSERT INTO attempts (tenant_id, step_id, number, outcome, started_at)"
            " SELECT %(tenant)s, id, n, 'lost', now() FROM steps, generate_series(1, 100) n"
            " WHERE tenant_id = %(tenant)s"
        )
    for _ in range(3):
        put_in(database, tenant, ECHO)
    with database.begin(tenant) as tx:
        tx.sql("SET LOCAL statement_timeout = '15s'")  # half of what every statement has
        assert retention.delete(tx, job.id)
    assert rows_left(database) == {"jobs": 3, "steps": 3, "attempts": 0, "events": 3, "unique_keys": 0}


def test_what_others_keep_for_longer_is_passed_over_once(database: Database, tenant: TenantId, other: TenantId) -> None:
    kept = succeeded(database, other)
    ended = [succeeded(database, tenant).id for _ in range(3)]
    age(database, days=2)
    reached: retention.Reached = {}
    with database.platform() as tx:
        retention.keep(tx, other, {JobState.SUCCEEDED: 30 * DAY})
        assert retention.delete_old(tx, DAYS, limit=2, reached=reached) == 2
    assert left(database) == {kept.id, ended[-1]}
    assert list(reached) == [(None, JobState.SUCCEEDED)]
    with database.platform() as tx:
        assert retention.delete_old(tx, DAYS, limit=2, reached=reached) == 1
    assert left(database) == {kept.id}
