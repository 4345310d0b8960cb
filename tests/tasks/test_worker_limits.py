"""What a real worker does with steps that kill it, take too much, or will not stop."""

import signal
from collections.abc import Callable
from typing import Any, cast

import psutil
import pytest

from storage import stops
from storage.database import Database
from storage.model import Job, JobState, Outcome, StepState, TenantId
from tasks.names import KINDS, TENANT_KINDS, Kind
from tests import hostile
from tests.documents import put_in
from tests.tasks.working import Relaying, Worker
from tests.waiting import until

Read = Callable[[Job], Job]


@pytest.fixture(autouse=True)
def known_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hostile kinds pass this process's door; the worker has them as an installed package."""
    for name, kind in hostile.KINDS.items():
        for kinds in (KINDS, TENANT_KINDS):
            monkeypatch.setitem(cast(dict[str, Kind], kinds), name, kind)


def job_of(kind: str, **params: Any) -> dict[str, Any]:
    return {"steps": {"it": {"kind": kind, **params}}}


def lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def cancel(database: Database, tenant: TenantId, job: Job) -> None:
    with database.begin(tenant) as tx:
        stops.cancel(tx, job.id)


def test_a_step_that_kills_its_worker_is_given_up_as_poison_and_the_others_are_done(
    worker: Worker, database: Database, tenant: TenantId, read: Read
) -> None:
    with worker() as process:
        poison, other = put_in(database, tenant, job_of("test.die")), put_in(database, tenant)
        ended = until(lambda: read(poison) if read(poison).finished_at else None, seconds=60)
        until(lambda: read(other).state is JobState.SUCCEEDED)
        assert process.poll() is None
    [step] = ended.steps
    assert step.error is not None
    assert (ended.state, step.error.code, step.losses) == (JobState.FAILED, "poison", 3)
    assert [tried.outcome for tried in step.attempts] == [Outcome.LOST] * 3
    assert {tried.error.code for tried in step.attempts[:2] if tried.error} == {"worker_lost"}


def test_a_child_that_takes_too_much_memory_dies_alone_and_the_cause_is_told(
    worker: Worker, database: Database, tenant: TenantId, read: Read
) -> None:
    with worker() as process:
        first = put_in(database, tenant, job_of("test.eat", mib=1))
        before = until(lambda: read(first).steps[0].result)
        greedy = put_in(database, tenant, job_of("test.eat", mib=512, times=1))
        ended = until(lambda: read(greedy) if read(greedy).finished_at else None)
        assert process.poll() is None
    [step] = ended.steps
    assert [(tried.outcome, tried.error and tried.error.code) for tried in step.attempts] == [
        (Outcome.LOST, "memory"),
        (Outcome.SUCCEEDED, None),
    ]
    assert step.result["pid"] != before["pid"]  # a heap that was full once does no further work


def test_a_canceled_step_that_asks_stops_by_itself(
    worker: Worker, database: Database, tenant: TenantId, read: Read
) -> None:
    with worker(CANCEL_GRACE_SECONDS="60") as process:
        job = put_in(database, tenant, job_of("test.save", seconds=60))
        until(lambda: read(job).state is JobState.RUNNING)
        [child] = psutil.Process(process.pid).children()
        cancel(database, tenant, job)
        ended = until(lambda: read(job) if read(job).finished_at else None)
        assert child.is_running()
    assert (ended.state, ended.steps[0].state) == (JobState.CANCELED, StepState.CANCELED)
    assert [tried.outcome for tried in ended.steps[0].attempts] == [Outcome.CANCELED]


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_canceled_step_that_does_not_stop_is_stopped_after_its_grace(
    worker: Worker, database: Database, tenant: TenantId, read: Read, pool: str
) -> None:
    with worker("-P", pool, "-c", "1", CANCEL_GRACE_SECONDS="0.5") as process:
        job = put_in(database, tenant, job_of("test.stick", seconds=60))
        until(lambda: read(job).state is JobState.RUNNING)
        children = psutil.Process(process.pid).children()
        cancel(database, tenant, job)
        assert read(job).stopping is JobState.CANCELED
        ended = until(lambda: read(job) if read(job).finished_at else None)
        until(lambda: not any(lives(child) for child in children))
        if pool == "prefork":
            after = put_in(database, tenant)
            until(lambda: read(after).state is JobState.SUCCEEDED)
    assert (ended.state, ended.steps[0].state) == (JobState.CANCELED, StepState.CANCELED)
    assert ended.steps[0].losses == 0


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_stopping_worker_hands_back_what_outlasts_its_grace(
    worker: Worker, database: Database, tenant: TenantId, read: Read, pool: str, relaying: Relaying
) -> None:
    with worker("-P", pool, "-c", "1", STOP_GRACE_SECONDS="0.5", LEASE_SECONDS="60") as process:
        job = put_in(database, tenant, job_of("test.stick", seconds=60))
        until(lambda: read(job).state is JobState.RUNNING)
        children = psutil.Process(process.pid).children()
        relaying.stop()
        process.send_signal(signal.SIGTERM)
        step = until(lambda: read(job).steps[0] if read(job).steps[0].attempts else None)
        assert process.wait(60) == 0
        assert not [child for child in children if lives(child)]
    assert (step.state, step.losses, step.failures) == (StepState.QUEUED, 0, 0)
    assert [(tried.outcome, tried.error and tried.error.code) for tried in step.attempts] == [
        (Outcome.RETURNED, "worker_stopped")
    ]


def test_a_thread_that_outlasts_the_hard_time_limit_loses_its_step(
    worker: Worker, database: Database, tenant: TenantId, read: Read
) -> None:
    with worker("-P", "threads", "-c", "1"):
        job = put_in(database, tenant, job_of("test.late", seconds=60))
        step = until(lambda: read(job).steps[0] if read(job).steps[0].attempts else None)
    assert [(tried.outcome, tried.error and tried.error.code) for tried in step.attempts] == [
        (Outcome.LOST, "timed_out")
    ]
