"""What the reaper does after the database was away, and at deadlines."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

import pytest

from scheduler import reap
from scheduler.reap import expire_once
from storage import jobs, steps, stops
from storage.database import Database, PlatformTx
from storage.errors import DatabaseUnavailable
from storage.model import Job, JobState, StepState, TenantId
from tests.documents import CHAIN, ECHO, put_in, taken

LEASE = 30.0
HOURS = {**ECHO, "deadline_seconds": 3600}


@dataclass(kw_only=True, slots=True)
class Clock:
    """Time that passes only while the reaper waits; it is also the reaper's stop signal, set after so many seconds."""

    seconds: float
    at: float = 1000.0
    on_tick: Callable[[float], None] = field(default=lambda _: None)
    began: float = 1000.0

    def monotonic(self) -> float:
        return self.at

    def wait(self, seconds: float) -> bool:
        self.at += seconds
        self.on_tick(self.at - self.began)
        return self.at - self.began > self.seconds


@dataclass(kw_only=True, slots=True)
class Interrupted:
    """The database, which is away for the platform's first reads; it stands in where only those are made."""

    database: Database
    failures: int

    @contextmanager
    def platform_read(self) -> Iterator[PlatformTx]:
        if self.failures:
            self.failures -= 1
            raise DatabaseUnavailable("the server is restarting")
        with self.database.platform_read() as tx:
            yield tx

    @property
    def begin(self) -> object:
        return self.database.begin


def run_reaper(monkeypatch: pytest.MonkeyPatch, database: object, clock: Clock) -> None:
    monkeypatch.setattr("scheduler.reap.time", clock)
    reap.reap(cast(Database, database), LEASE, cast(threading.Event, clock))


def find(database: Database, tenant: TenantId, job: Job) -> Job:
    with database.read(tenant) as tx:
        found = jobs.find(tx, job.id)
    assert found is not None
    return found


def reaped_at(
    monkeypatch: pytest.MonkeyPatch, database: Database, tenant: TenantId, *, failures: int, job: Job
) -> float | None:
    """After how many of the reaper's seconds the job's first step was taken from its worker, within two leases."""
    seen: list[float] = []

    def look(now: float) -> None:
        if find(database, tenant, job).steps[0].state is not StepState.RUNNING:
            seen.append(now)

    clock = Clock(seconds=2 * LEASE, on_tick=look)
    run_reaper(monkeypatch, Interrupted(database=database, failures=failures), clock)
    return seen[0] if seen else None


def test_a_lease_that_ran_out_is_reaped_at_once(
    database: Database, tenant: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = put_in(database, tenant)
    taken(database, tenant, job, "say", lease_seconds=0)
    at = reaped_at(monkeypatch, database, tenant, failures=0, job=job)
    assert at is not None
    assert at <= 2 * reap.INTERVAL_SECONDS


@pytest.mark.parametrize("failures", [1, 5])
def test_after_the_database_was_away_leases_have_another_third(
    database: Database, tenant: TenantId, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    job = put_in(database, tenant)
    taken(database, tenant, job, "say", lease_seconds=0)
    at = reaped_at(monkeypatch, database, tenant, failures=failures, job=job)
    assert at is not None
    back = failures * reap.INTERVAL_SECONDS
    assert back + LEASE / 3 <= at <= back + LEASE / 3 + 5 * reap.INTERVAL_SECONDS


def test_a_worker_that_renews_after_the_database_was_away_keeps_its_step(
    database: Database, tenant: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive, dead = (put_in(database, tenant) for _ in range(2))
    claim = taken(database, tenant, alive, "say", lease_seconds=0)
    taken(database, tenant, dead, "say", lease_seconds=0, worker="w2")

    def renew(now: float) -> None:
        if now >= LEASE / 3:
            with database.platform() as tx:
                tx.sql("UPDATE steps SET lease_until = now() + interval '1 h' WHERE id = %(id)s", id=claim.step_id)

    run_reaper(monkeypatch, Interrupted(database=database, failures=1), Clock(seconds=2 * LEASE, on_tick=renew))
    assert find(database, tenant, alive).steps[0].state is StepState.RUNNING
    assert find(database, tenant, dead).steps[0].state is StepState.QUEUED


def test_deadlines_pass_as_soon_as_the_database_is_back(
    database: Database, tenant: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = put_in(database, tenant, HOURS)
    pass_deadlines(database)
    run_reaper(monkeypatch, Interrupted(database=database, failures=1), Clock(seconds=2 * reap.INTERVAL_SECONDS))
    assert find(database, tenant, job).state is JobState.EXPIRED


def pass_deadlines(database: Database) -> None:
    with database.platform() as tx:
        tx.sql("UPDATE jobs SET deadline_at = now() - interval '1s' WHERE deadline_at IS NOT NULL")


def test_overdue_jobs_end_and_their_running_steps_are_asked_to_stop(database: Database, tenant: TenantId) -> None:
    waiting, running = put_in(database, tenant, HOURS), put_in(database, tenant, {**CHAIN, "deadline_seconds": 3600})
    claim = taken(database, tenant, running, "first")
    in_time = put_in(database, tenant)
    assert expire_once(database) == 0
    pass_deadlines(database)
    assert expire_once(database) == 2
    assert find(database, tenant, waiting).state is JobState.EXPIRED
    assert find(database, tenant, in_time).state is JobState.QUEUED
    stopping = find(database, tenant, running)
    assert (stopping.state, stopping.stopping) == (JobState.RUNNING, JobState.EXPIRED)
    assert [step.state for step in stopping.steps] == [StepState.RUNNING, StepState.EXPIRED, StepState.EXPIRED]
    with database.begin(tenant) as tx:
        steps.end_stopped(tx, claim)
    assert find(database, tenant, running).state is JobState.EXPIRED
    assert expire_once(database) == 0


def test_an_overdue_job_that_somebody_holds_does_not_keep_the_others_waiting(
    database: Database, tenant: TenantId
) -> None:
    held, other = (put_in(database, tenant, HOURS) for _ in range(2))
    pass_deadlines(database)
    with database.platform() as tx:
        tx.sql("UPDATE jobs SET deadline_at = deadline_at - interval '1 h' WHERE id = %(id)s", id=held.id)
    with database.begin(tenant) as tx:
        tx.sql("SELECT 1 FROM jobs WHERE tenant_id = %(tenant)s AND id = %(job)s FOR UPDATE", job=held.id)
        expire_once(database)
        assert find(database, tenant, other).state is JobState.EXPIRED
        assert find(database, tenant, held).state is JobState.QUEUED
    assert expire_once(database) == 1
    assert find(database, tenant, held).state is JobState.EXPIRED


def test_a_job_that_is_canceled_past_its_deadline_is_canceled(database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant, HOURS)
    claim = taken(database, tenant, job, "say")
    pass_deadlines(database)
    with database.begin(tenant) as tx:
        stops.cancel(tx, job.id)
    assert expire_once(database) == 0
    with database.begin(tenant) as tx:
        steps.end_stopped(tx, claim)
    assert find(database, tenant, job).state is JobState.CANCELED
