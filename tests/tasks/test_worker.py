"""A real Celery worker process: leases, lost children, time limits, stopping."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psutil
import pytest

from scheduler.relay import relay
from storage import jobs
from storage.database import Database
from storage.model import Job, JobState, Outcome, StepState, TenantId
from storage.objects.settings import ObjectSettings
from tests.documents import put_in
from tests.waiting import until

SLOW = {"steps": {"say": {"kind": "echo", "sleep_seconds": 60}}}
Worker = Callable[..., AbstractContextManager["subprocess.Popen[bytes]"]]


@pytest.fixture
def read(database: Database, tenant: TenantId) -> Callable[[Job], Job]:
    def look(job: Job) -> Job:
        with database.read(tenant) as tx:
            found = jobs.find(tx, job.id)
        assert found is not None
        return found

    return look


@pytest.fixture
def env(database_url: str, broker_url: str, bucket: ObjectSettings, s3_env: Mapping[str, str]) -> dict[str, str]:
    return {
        **os.environ,
        **s3_env,
        "DATABASE_URL": database_url,
        "CELERY_BROKER_URL": broker_url,
        "LEASE_SECONDS": "1",
    }


@pytest.fixture
def relaying(database: Database, env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CELERY_BROKER_URL", env["CELERY_BROKER_URL"])
    stop = threading.Event()
    thread = threading.Thread(target=relay, args=(database, stop))
    thread.start()
    yield
    stop.set()
    thread.join(5)


@pytest.fixture
def worker(env: dict[str, str], relaying: None, tmp_path: Path) -> Worker:
    """Starts a worker of the default queue: one prefork slot."""

    @contextmanager
    def start(*words: str, **more: str) -> Iterator["subprocess.Popen[bytes]"]:
        log = tmp_path / "worker.log"
        command = [sys.executable, "-m", "celery", "-A", "tasks.app", "worker", "-n", "test@%h", "-Q", "default"]
        options = words or ("-P", "prefork", "-c", "1", "--prefetch-multiplier", "4")
        with log.open("wb") as file:
            process = subprocess.Popen(
                [*command, *options, "--without-gossip", "--without-mingle", "--loglevel", "INFO"],
                env={**env, **more},
                stdout=file,
                stderr=subprocess.STDOUT,
            )
            try:
                until(lambda: " ready." in log.read_text() or process.poll() is not None)
                assert process.poll() is None, log.read_text()
                yield process
            finally:
                for child in psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []:
                    child.kill()
                process.kill()
                process.wait()

    return start


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
        child.kill()
        step = until(lambda: read(job).steps[0] if read(job).steps[0].attempts else None)
        assert [tried.outcome for tried in step.attempts] == [Outcome.LOST]
        until(lambda: read(job).steps[0].attempt == 2)
        after = put_in(database, tenant, SLOW)
        until(lambda: psutil.Process(process.pid).children())
        assert process.poll() is None
        assert read(after).state is JobState.QUEUED


def test_a_stopping_worker_gives_back_what_it_has_not_begun(
    worker: Worker, database: Database, tenant: TenantId, read: Callable[[Job], Job]
) -> None:
    short = {"steps": {"say": {"kind": "echo", "sleep_seconds": 1.5}}}
    with worker() as process:
        running = put_in(database, tenant, short)
        until(lambda: read(running).state is JobState.RUNNING)
        held = [put_in(database, tenant, short) for _ in range(2)]

        def unsent() -> int:
            with database.platform_read() as tx:
                return int(
                    tx.sql("SELECT count(*) FROM steps WHERE state = 'queued' AND published_at IS NULL").scalar_one()
                )

        until(lambda: unsent() == 0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    assert read(running).state is JobState.SUCCEEDED
    assert {read(job).state for job in held} == {JobState.QUEUED}
    with worker():
        until(lambda: all(read(job).state is JobState.SUCCEEDED for job in held))


def test_a_threads_pool_works_on_many_waiting_steps_at_once(
    worker: Worker, database: Database, tenant: TenantId, read: Callable[[Job], Job]
) -> None:
    short = {"steps": {f"s{n}": {"kind": "echo", "sleep_seconds": 0.5} for n in range(8)}}
    with worker("-P", "threads", "-c", "8"):
        job = put_in(database, tenant, short)
        ended = until(lambda: read(job) if read(job).state is JobState.SUCCEEDED else None)
    assert ended.started_at is not None
    assert ended.finished_at is not None
    assert (ended.finished_at - ended.started_at).total_seconds() < 8 * 0.5
    assert {step.state for step in ended.steps} == {StepState.SUCCEEDED}


@pytest.mark.parametrize(
    ("env_change", "said"),
    [
        ({"DATABASE_URL": ""}, "error: DATABASE_URL is not set"),
        ({"STORAGE_URL": "ftp://x"}, "error: STORAGE_URL"),
        ({"LEASE_SECONDS": "soon"}, "error: LEASE_SECONDS"),
    ],
)
def test_a_bad_setting_stops_the_start_with_a_line_that_names_it(
    env: dict[str, str], env_change: dict[str, str], said: str
) -> None:
    command = [sys.executable, "-m", "celery", "-A", "tasks.app", "worker", "-P", "threads", "-c", "1"]
    done = subprocess.run(command, env={**env, **env_change}, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
