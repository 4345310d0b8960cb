"""Millrace's turn in a run: its processes on a fresh database, and what the parts ask of it."""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx2
import psycopg

from deploy.local.settings import from_env
from deploy.local.stack import Running, running_platform
from storage.database import Database
from storage.model import TenantId, new_job_id
from storage.settings import DatabaseSettings
from storage.tenants import ensure
from tasks.document import parse
from tasks.submit import Birth, submit_all
from tests import pools
from tests.bench.client import post
from tests.bench.processes import cpu_seconds
from tests.bench.servers import Servers

ECHO = {"steps": {"say": {"kind": "echo", "message": "hello"}}}
BODY = json.dumps(ECHO).encode()
QUEUE = "default"
TENANT = "demo"
OTHERS = ("ai", "calls", "images")
AT_ONCE = 1000
OWN = f"tenant_id = (SELECT id FROM tenants WHERE name = '{TENANT}')"  # the platform has jobs of its own, one an hour
NAMES = {"api": "api", "scheduler": "scheduler"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """The platform as it runs: `database_url` is its own, `http` has its key."""

    running: Running
    servers: Servers
    database_url: str
    http: httpx2.Client

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far: api, scheduler, broker, database, workers, and all others (scaler, Flower, objects)."""
        found = {**self.servers.cpu(), "api": 0.0, "scheduler": 0.0, "workers": 0.0, "others": 0.0}
        found["others"] = found.pop("objects", 0.0)
        for name, seconds in cpu_seconds(self.running).items():
            found["workers" if name.startswith("worker-") else NAMES.get(name, "others")] += seconds
        return found

    def request(self, body: bytes = BODY, **given: Any) -> bytes:
        """A whole POST of a job."""
        return post("/v1/jobs", body, key=self.running.key, **given)

    def pause(self, *, paused: bool = True) -> None:
        self.http.post(f"/v1/queues/{QUEUE}/{'pause' if paused else 'resume'}").raise_for_status()

    def fill(self, count: int) -> None:
        """Write so many jobs as HTTP would, many in a statement."""
        spec = parse(ECHO)
        settings = DatabaseSettings(url=self.database_url, direct_url=self.database_url, pool_size=1)
        database = Database(settings)
        with database.platform() as tx:
            tenant = TenantId(ensure(tx, TENANT))
        for first in range(0, count, AT_ONCE):
            births = [
                Birth(tenant_id=tenant, job_id=new_job_id(), spec=spec, fired=None)  # type: ignore[arg-type,unused-ignore]
                for _ in range(min(AT_ONCE, count - first))
            ]
            with database.platform() as tx:
                submit_all(tx, births)
        database.close()

    def rows(self, query: str, **parameters: Any) -> Sequence[tuple[Any, ...]]:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            found = connection.execute(query, parameters)  # type: ignore[call-overload,unused-ignore]
            return found.fetchall() if found.description else []

    def now(self) -> datetime:
        """The database's time, which all rows have."""
        [(found,)] = self.rows("SELECT clock_timestamp()")
        assert isinstance(found, datetime)
        return found

    def ended(self, count: int, *, seconds: float = 170) -> None:
        """Wait until so many jobs have ended; looks four times a second, which costs the database a per cent."""
        finished = f"SELECT count(*) FROM jobs WHERE finished_at IS NOT NULL AND {OWN}"
        deadline = time.monotonic() + seconds
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            while True:
                row = connection.execute(finished).fetchone()  # type: ignore[arg-type,unused-ignore]
                assert row is not None
                if row[0] >= count:
                    return
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{row[0]} of {count} jobs had ended after {seconds} s")
                time.sleep(0.25)

    def check(self, count: int) -> None:
        """Raises AssertionError unless so many jobs succeeded, each with one attempt that did, and its events."""
        [(jobs,)] = self.rows(f"SELECT count(*) FROM jobs WHERE state = 'succeeded' AND {OWN}")
        [(attempts, steps)] = self.rows(
            f"SELECT count(*), count(DISTINCT step_id) FROM attempts WHERE outcome = 'succeeded' AND {OWN}"
        )
        [(told,)] = self.rows(f"SELECT count(DISTINCT job_id) FROM events WHERE type = 'job.succeeded' AND {OWN}")
        assert (jobs, attempts, steps, told) == (count, count, count, count), (jobs, attempts, steps, told)


@contextmanager
def millrace(servers: Servers, env: Mapping[str, str] | None = None, *, others: bool = False) -> Iterator[Turn]:
    """Run the platform as `make up` does, with one worker of the pool `default` (and of the `others` if wished)."""
    with servers.database() as url:
        home = servers.folder / url.rpartition("/")[2]
        leading = {**servers.env, "DATABASE_URL": url, **(env or {})}
        without = {"ai"} if others else set(OTHERS)
        whole = {**_inherited(), **leading, "POOLS_DIR": str(pools.fixed(home / "pools", without=without))}
        with (
            running_platform(home / "home", settings=from_env(whole), say=lambda _: None) as running,
            httpx2.Client(base_url=running.api, headers={"Authorization": f"Bearer {running.key}"}, timeout=60) as http,
        ):
            yield Turn(running=running, servers=servers, database_url=url, http=http)


def _inherited() -> Mapping[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "DATABASE_", "CELERY_"))}
