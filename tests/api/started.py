"""For tests of the client: a real API, and wires to it that can be cut."""

import asyncio
import os
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy.engine import make_url

from api import settings as api_settings
from deploy.local.servers import Urls
from storage import steps
from storage.database import Database
from storage.model import Claim, JobId, Json, PublicError, TenantId
from storage.objects import settings as objects_settings
from storage.objects.buckets import ensure_bucket
from storage.settings import DatabaseSettings
from storage.tenants import create_key, ensure
from tests.api.relay import close
from tests.api.serving import served


@dataclass(frozen=True, kw_only=True, slots=True)
class Api:
    """An API without workers; the test does their part, on the rows. `process` where it has one of its own."""

    url: str
    key: str
    database: Database
    tenant_id: TenantId
    process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None, "it has no process of its own"
        return self.process.pid

    def another_key(self, *scopes: str) -> str:
        with self.database.platform() as tx:
            return create_key(tx, self.tenant_id, scopes)

    def work(self, job_id: str) -> Iterator[Claim]:
        """Claim the job's steps one by one, as they become ready."""
        while True:
            with self.database.begin(self.tenant_id) as tx:
                ready = tx.sql(
                    "SELECT id FROM steps WHERE tenant_id = %(tenant)s AND job_id = %(job)s AND state = 'queued'",
                    job=job_id,
                ).all()
                claims = [
                    steps.claim(tx, JobId(job_id), row.id, worker="test", slot=1, lease_seconds=60.0)
                    for row in ready[:1]
                ]
            if not claims or claims[0] is None:
                return
            yield claims[0]

    def report(self, claim: Claim, progress: float) -> None:
        with self.database.begin(self.tenant_id) as tx:
            steps.report(tx, claim, progress, {})

    def end(self, claim: Claim, result: Json = None) -> None:
        with self.database.begin(self.tenant_id) as tx:
            steps.succeed(tx, claim, result)

    def succeed(self, job_id: str, result: Json = None) -> None:
        for claim in self.work(job_id):
            self.end(claim, result)

    def fail(self, job_id: str, message: str) -> None:
        for claim in self.work(job_id):
            with self.database.begin(self.tenant_id) as tx:
                steps.fail(tx, claim, PublicError(code="broken", message=message))


@contextmanager
def started_api(servers: Urls, template_database: str, s3_env: Mapping[str, str], **env: str) -> Iterator[Api]:
    """Start the API on a database of its own; it is ready when the body begins."""
    with (
        _tenant(servers, s3_env) as (url, database, tenant_id, key),
        _process({**s3_env, "DATABASE_URL": url, **env}) as (address, process),
    ):
        yield Api(url=address, key=key, database=database, tenant_id=tenant_id, process=process)


@contextmanager
def api_here(servers: Urls, template_database: str, s3_env: Mapping[str, str], **env: str) -> Iterator[Api]:
    """The same in a thread of this process: to start another takes seconds, on a machine with much to do."""
    with (
        _tenant(servers, s3_env) as (url, database, tenant_id, key),
        served(api_settings.from_env({**s3_env, "DATABASE_URL": url, **env})) as running,
    ):
        yield Api(url=running.url, key=key, database=database, tenant_id=tenant_id)


@contextmanager
def _tenant(servers: Urls, s3_env: Mapping[str, str]) -> Iterator[tuple[str, Database, TenantId, str]]:
    """A tenant with a key, in a database of its own; needs the template database."""
    assert servers.database is not None
    name = f"client_{secrets.token_hex(6)}"
    url = make_url(servers.database).set(database=name).render_as_string(hide_password=False)
    ensure_bucket(objects_settings.from_env(s3_env))
    with psycopg.connect(make_conninfo(servers.database), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE millrace_template STRATEGY file_copy")  # type: ignore[arg-type,unused-ignore]
        database = Database(DatabaseSettings(url=url, direct_url=url, pool_size=3))
        try:
            with database.platform() as tx:
                tenant_id = ensure(tx, "acme")
                key = create_key(tx, tenant_id, {"jobs:read", "jobs:write"})
            yield url, database, tenant_id, key
        finally:
            database.close()
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type,unused-ignore]


@contextmanager
def _process(env: Mapping[str, str]) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "api"],
        env={"PATH": os.environ["PATH"], "PORT": str(port), **env},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if "running on" in line:
                break
        assert process.poll() is None
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


class CutWire:
    """A TCP proxy that cuts its nth connection after `limits[n]` bytes of answer; None never, the last for all others.

    With 0 it cuts when the answer comes: the server has done its work, and the client does not know.
    """

    def __init__(self, target: str, limits: Sequence[int | None]) -> None:
        self._target = int(target.rpartition(":")[2])
        self._limits = limits
        self.connections = 0
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "CutWire":
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stop.wait()
        await close(server)
        told: set[asyncio.Task[None]] = set()
        while left := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in self._tasks - told:  # that have begun: one that has not would leave its connection open
                task.cancel()
            told |= self._tasks
            await asyncio.wait(left, timeout=0.05)
        await asyncio.sleep(0)  # in which the last of the connections is lost

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        limit = self._limits[min(self.connections, len(self._limits) - 1)]
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with suppress(OSError, asyncio.CancelledError):
            upstream, downstream = await asyncio.open_connection("127.0.0.1", self._target)
            forth = asyncio.create_task(_pump(reader, downstream, None))
            try:
                await _pump(upstream, writer, limit)
            finally:  # and nothing that a second interruption could leave undone
                forth.cancel()
                downstream.transport.abort()
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()
        self._tasks.discard(task)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None) -> None:
    with suppress(OSError):
        while chunk := await reader.read(65_536):
            if limit is not None:
                writer.write(chunk[:limit])
                await writer.drain()
                limit -= len(chunk)
                if limit <= 0:
                    return
            else:
                writer.write(chunk)
                await writer.drain()
        writer.write_eof()
