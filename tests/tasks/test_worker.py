"""A real Celery worker process: leases, lost children, time limits, stopping."""

import glob
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any, cast

import psutil
import pytest
import redis

from scheduler.reap import reap_once
from storage import workers
from storage.database import Database
from storage.model import Job, JobState, Outcome, StepState, TenantId
from tasks.budget import Budget, Limits
from tasks.names import KINDS, Kind
from tasks.process import scratch_folder
from tests.documents import put_in
from tests.sink import Answer, Sink
from tests.tasks.working import Relaying, Worker
from tests.waiting import until

SLOW = {"steps": {"say": {"kind": "echo", "sleep_seconds": 60}}}
GONE = {"gone": {"kind": "echo", "use": ["late"]}}


def test_a_worker_does_what_is_submitted_and_renews_what_takes_longer_than_its_lease(
    worker: Worker, database: Database, tenant: TenantId, read: Callable[[Job], Job]
) -> None:
    with worker():
        quick = put_in(database, tenant)
        until(lambda: read(quick).state is JobState.SUCCEEDED)
        slow = put_in(database, tenant, SLOW)
        until(lambda: read(slow).state is JobState.RUNNING)
        with database.platform() as tx:
            first = tx.sql("SELECT max(lease_until) AS until FROM steps WHERE state = 'running'").scalar_one()
        seen = "SELECT max(lease_until) FROM steps WHERE state = 'running' AND lease_until > %(first)s"

        def renewed() -> object:
            with database.platform_read() as tx:
                return tx.sql(seen, first=first).scalar_one()

        until(renewed)
        assert read(slow).steps[0].attempt == 1


def test_a_killed_child_costs_an_attempt_and_the_worker_lives_on(
    worker: Worker, database: Database, tenant: TenantId, read: Callable[[Job], Job]
) -> None:
    with worker() as process:
        job = put_in(database, tenant, SLOW)
        until(lambda: read(job).state is JobState.RUNNING)
        [child] = psutil.Process(process.pid).children()
        with_local_files(read(job))
        child.kill()
        step = until(lambda: read(job).steps[0] if read(job).steps[0].attempts else None)
        assert [tried.outcome for tried in step.attempts] == [Outcome.LOST]
        until(lambda: read(job).steps[0].attempt == 2)
        assert process.poll() is None
        until(lambda: not local_files(job))


def with_local_files(job: Job) -> None:
    """As of a kind that needs some; this one does not."""
    assert job.steps[0].worker is not None
    (scratch_folder(job.steps[0].worker) / f"{job.steps[0].id}-left").mkdir(parents=True)


def local_files(job: Job) -> list[str]:
    # Not Path's, which fails where another worker's folder goes away meanwhile.
    return glob.glob(f"{tempfile.gettempdir()}/millrace-worker-*/{job.steps[0].id}-*")  # noqa: PTH207


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_stopping_worker_ends_what_it_has_begun_with_its_lease_and_gives_back_the_rest_at_once(
    worker: Worker, database: Database, tenant: TenantId, read: Callable[[Job], Job], pool: str, relaying: Relaying
) -> None:
    longer_than_its_lease = {"steps": {"say": {"kind": "echo", "sleep_seconds": 3}}}
    with worker("-P", pool, "-c", "1", "--prefetch-multiplier", "4") as process:
        running = put_in(database, tenant, longer_than_its_lease)
        until(lambda: read(running).state is JobState.RUNNING)
        with_local_files(read(running))
        held = [put_in(database, tenant) for _ in range(2)]
        until(lambda: unsent(database) == 0)
        until(lambda: waiting_hints(relaying) == 0)
        relaying.stop()
        process.send_signal(signal.SIGTERM)
        until(lambda: unsent(database) == len(held))
        assert read(running).state is JobState.RUNNING
        while process.poll() is None:
            reap_once(database)
            time.sleep(0.05)
        assert process.wait() == 0
    step = read(running).steps[0]
    assert (step.state, step.attempt) == (StepState.SUCCEEDED, 1)
    assert not local_files(running)


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_worker_that_must_go_hands_back_at_once(
    worker: Worker, database: Database, tenant: TenantId, read: Callable[[Job], Job], pool: str, relaying: Relaying
) -> None:
    with worker("-P", pool, "-c", "1", "--prefetch-multiplier", "4", STOP_GRACE_SECONDS="600") as process:
        running = put_in(database, tenant, {"steps": {"say": {"kind": "echo", "sleep_seconds": 100}}})
        until(lambda: read(running).state is JobState.RUNNING)
        held = [put_in(database, tenant) for _ in range(2)]
        until(lambda: unsent(database) == 0)
        until(lambda: waiting_hints(relaying) == 0)
        relaying.stop()
        with database.platform_read() as tx:
            [known] = workers.living(tx)
        assert (known.queues, known.slots, known.running) == (("default",), 1, 1)
        process.send_signal(signal.SIGTERM)
        until(lambda: unsent(database) == len(held))
        with database.platform_read() as tx:
            assert [one.stopping for one in workers.living(tx)] == [True]
        process.send_signal(signal.SIGQUIT)
        assert process.wait(60) == 0
    step = read(running).steps[0]
    assert (step.state, [tried.outcome for tried in step.attempts]) == (StepState.QUEUED, [Outcome.RETURNED])
    with database.platform_read() as tx:
        assert workers.living(tx) == []


def test_a_worker_that_must_go_keeps_no_place_of_its_calls(
    worker: Worker, database: Database, tenant: TenantId, read: Callable[[Job], Job], hook: Sink, relaying: Relaying
) -> None:
    hangs = threading.Event()
    hook.answers = [Answer(hang=hangs)]
    options = ("-Q", "calls", "-P", "threads", "-c", "2")
    with (
        worker(*options, OUTBOUND_ALLOW=hook.host, STOP_GRACE_SECONDS="0") as process,
        closing(Budget(relaying.broker_url, Limits())) as budget,
    ):
        job = put_in(database, tenant, {"steps": {"call": {"kind": "http.call", "url": hook.url}}})
        until(lambda: hook.received)
        assert [one.under_way for one in budget.standing()] == [1]
        relaying.stop()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        hangs.set()
        assert [one.under_way for one in budget.standing()] == [0]
    assert read(job).steps[0].state is StepState.QUEUED


def test_a_worker_that_must_go_needs_no_other_word(
    worker: Worker, database: Database, tenant: TenantId, read: Callable[[Job], Job], relaying: Relaying
) -> None:
    with worker("-P", "prefork", "-c", "2", STOP_GRACE_SECONDS="600") as process:
        jobs = [put_in(database, tenant, {"steps": {"say": {"kind": "echo", "sleep_seconds": 100}}}) for _ in range(6)]
        until(lambda: [read(job).state for job in jobs].count(JobState.RUNNING) == 2)
        relaying.stop()
        process.send_signal(signal.SIGQUIT)
        assert process.wait(60) == 0
    outcomes = [tried.outcome for job in jobs for tried in read(job).steps[0].attempts]
    assert outcomes == [Outcome.RETURNED] * 2
    assert {read(job).steps[0].state for job in jobs} == {StepState.QUEUED}


def unsent(database: Database) -> int:
    with database.platform_read() as tx:
        query = "SELECT count(*) FROM steps WHERE state = 'queued' AND published_at IS NULL"
        return int(tx.sql(query).scalar_one())


def waiting_hints(relaying: Relaying) -> int:
    with redis.Redis.from_url(relaying.broker_url) as client:
        return sum(cast(int, client.llen(key)) for key in ("default", "default\x06\x163"))


def test_a_step_of_a_kind_that_is_not_installed_says_so(
    worker: Worker, database: Database, tenant: TenantId, read: Callable[[Job], Job]
) -> None:
    with worker():
        job = put_in(database, tenant)
        until(lambda: read(job).state is JobState.SUCCEEDED)
        gone = put_in(database, tenant, SLOW | {"steps": {"late": {"kind": "echo", "sleep_seconds": 1}, **GONE}})
        with database.platform() as tx:
            tx.sql("UPDATE steps SET kind = 'gone' WHERE job_id = %(job)s AND name = 'gone'", job=gone.id)
        step = until(lambda: read(gone).steps[1] if read(gone).steps[1].attempts else None)
    assert step.error is not None
    assert (step.state, step.error.code) == (StepState.RETRYING, "kind_unknown")


@pytest.mark.parametrize(
    ("limits", "outcome"),
    [({"soft_time_limit": 1, "time_limit": 60}, "retried"), ({"soft_time_limit": 0, "time_limit": 1}, "lost")],
)
def test_a_step_that_takes_too_long_is_stopped(
    worker: Worker,
    database: Database,
    tenant: TenantId,
    read: Callable[[Job], Job],
    monkeypatch: pytest.MonkeyPatch,
    limits: dict[str, Any],
    outcome: str,
) -> None:
    # The relay sends the limits along: changed here, in its process.
    monkeypatch.setitem(cast(dict[str, Kind], KINDS), "echo", replace(KINDS["echo"], **limits))
    with worker():
        job = put_in(database, tenant, SLOW)
        step = until(lambda: read(job).steps[0] if read(job).steps[0].attempts else None)
    attempt = step.attempts[0]
    assert attempt.error is not None
    assert (attempt.outcome.value, attempt.error.code) == (outcome, "timed_out")


def test_a_threads_pool_works_on_many_waiting_steps_at_once(
    worker: Worker, database: Database, tenant: TenantId, read: Callable[[Job], Job]
) -> None:
    short = {"steps": {f"s{n}": {"kind": "echo", "sleep_seconds": 1} for n in range(8)}}
    with worker("-P", "threads", "-c", "8"):
        job = put_in(database, tenant, short)
        ended = until(lambda: read(job) if read(job).state is JobState.SUCCEEDED else None)
    started = [step.started_at for step in ended.steps if step.started_at]
    finished = [step.finished_at for step in ended.steps if step.finished_at]
    assert len(started) == len(finished) == 8
    assert max(started) < min(finished)  # all of them were under way at once
    assert {step.state for step in ended.steps} == {StepState.SUCCEEDED}


@pytest.mark.parametrize(
    ("env_change", "said"),
    [
        ({"DATABASE_URL": ""}, "error: DATABASE_URL is not set"),
        ({"STORAGE_URL": "ftp://x"}, "error: STORAGE_URL"),
        ({"LEASE_SECONDS": "soon"}, "error: LEASE_SECONDS"),
        ({"CELERY_BROKER_URL": ""}, "error: CELERY_BROKER_URL is not set"),
    ],
)
def test_a_bad_setting_stops_the_start_with_a_line_that_names_it(
    env: dict[str, str], env_change: dict[str, str], said: str
) -> None:
    command = [sys.executable, "-m", "celery", "-A", "tasks.app", "worker", "-P", "threads", "-c", "1"]
    done = subprocess.run(command, env={**env, **env_change}, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == os.EX_CONFIG
    assert said in done.stderr
    assert "Traceback" not in done.stderr
