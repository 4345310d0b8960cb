"""A real Celery worker process, a relay before it, and the rows behind."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from scheduler.relay import relay
from storage import jobs
from storage.database import Database
from storage.model import Job, TenantId
from storage.objects.settings import ObjectSettings
from tests import hostile
from tests.waiting import until

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
def env(
    database_url: str, broker_url: str, bucket: ObjectSettings, s3_env: Mapping[str, str], tmp_path: Path
) -> dict[str, str]:
    return {
        **os.environ,
        **s3_env,
        "DATABASE_URL": database_url,
        "CELERY_BROKER_URL": broker_url,
        "LEASE_SECONDS": "1",
        "PYTHONPATH": hostile.installed(tmp_path / "packages"),
    }


@dataclass(kw_only=True, slots=True)
class Relaying:
    """A relay that runs in a thread of the test."""

    broker_url: str
    told_to_stop: threading.Event
    thread: threading.Thread
    database: Database

    def start(self) -> None:
        """Again, after `stop`."""
        self.told_to_stop.clear()
        self.thread = threading.Thread(target=relay, args=(self.database, self.told_to_stop))
        self.thread.start()

    def stop(self) -> None:
        self.told_to_stop.set()
        self.thread.join(5)


@pytest.fixture
def relaying(database: Database, env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Relaying]:
    monkeypatch.setenv("CELERY_BROKER_URL", env["CELERY_BROKER_URL"])
    stop = threading.Event()
    thread = threading.Thread(target=relay, args=(database, stop))
    thread.start()
    made = Relaying(broker_url=env["CELERY_BROKER_URL"], told_to_stop=stop, thread=thread, database=database)
    yield made
    made.stop()


@pytest.fixture
def worker(env: dict[str, str], relaying: Relaying, tmp_path: Path) -> Worker:
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
