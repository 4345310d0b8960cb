"""The processes of a platform that tell a collector and a Sentry what they do: API, scheduler, worker."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psutil

from deploy.local.servers import Urls
from storage.database import Database
from storage.model import TenantId
from tests.api.started import Api, started_api
from tests.waiting import until

SCHEDULER = ("scheduler", "run")
WORKER = (
    "celery",
    "-A",
    "tasks.app",
    "worker",
    "-n",
    "traced@%h",
    "-P",
    "prefork",
    "-c",
    "2",
    "--without-gossip",
    "--without-mingle",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Platform:
    """What runs, and a client with a key."""

    api: Api
    http: httpx2.Client
    processes: Mapping[str, "subprocess.Popen[bytes]"]
    folder: Path

    def logged(self, process: str, job_id: str) -> list[dict[str, Any]]:
        """The lines that a process has written of a job."""
        lines = (self.folder / f"{process}.log").read_text().splitlines()
        return [json.loads(line) for line in lines if job_id in line]

    @property
    def database(self) -> Database:
        return self.api.database

    @property
    def tenant_id(self) -> TenantId:
        return self.api.tenant_id


@contextmanager
def platform(
    servers: Urls, template: str, s3_env: Mapping[str, str], folder: Path, queues: str, env: Mapping[str, str]
) -> Iterator[Platform]:
    """Run an API, a scheduler and a prefork worker of these queues; they are ready when the body begins."""
    assert servers.broker is not None
    with ExitStack() as opened:
        told = {**env, "CELERY_BROKER_URL": servers.broker, "SECRET_KEY": "x" * 32, "LOG_FORMAT": "json"}
        api = opened.enter_context(started_api(servers, template, s3_env, **told))
        of_rows = {**s3_env, **told, "DATABASE_URL": api.database.settings.url, "LEASE_SECONDS": "5"}
        processes = {
            "scheduler": opened.enter_context(
                _process(SCHEDULER, of_rows, folder / "scheduler.log", "scheduler.ready")
            ),
            "worker": opened.enter_context(_process((*WORKER, "-Q", queues), of_rows, folder / "worker.log", "ready.")),
        }
        headers = {"Authorization": f"Bearer {api.key}"}
        http = opened.enter_context(httpx2.Client(base_url=api.url, headers=headers, timeout=30))
        yield Platform(api=api, http=http, processes=processes, folder=folder)


@contextmanager
def _process(
    module: Sequence[str], env: Mapping[str, str], log: Path, ready: str
) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *module], env={"PATH": "/usr/bin:/bin", **env}, stdout=file, stderr=file
        )
        try:
            until(lambda: ready in log.read_text(errors="replace") or process.poll() is not None)
            assert process.poll() is None, log.read_text(errors="replace")
            yield process
        finally:
            for child in psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []:
                child.kill()
            process.kill()
            process.wait()
