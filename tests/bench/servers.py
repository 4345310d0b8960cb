"""The servers that all stacks of a run share, Millrace and its rivals in turn, outside of what each turn starts."""

import dataclasses
import itertools
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
import redis
from kombu import Connection
from sqlalchemy.engine import make_url

from deploy.local import home as homes
from deploy.local import seaweed, servers
from deploy.local.part import Part
from deploy.local.ports import claimed
from deploy.local.running import running
from deploy.local.settings import Settings
from storage.migrate import upgrade
from tests.bench.processes import family_seconds
from tests.faults import rabbit
from tests.waiting import until

_TEMPLATE = "bench_template"
STATEMENTS = (
    "shared_preload_libraries=pg_stat_statements",
    "pg_stat_statements.track=all",
    "pg_stat_statements.track_planning=on",
    "track_io_timing=on",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Servers:
    """PostgreSQL, a broker and S3, durable as `make up` has them; `pids` by part.

    `broker` is "redis" or "rabbitmq"; `env` leads Millrace to them.
    """

    folder: Path
    broker: str
    env: Mapping[str, str]
    pids: Mapping[str, int]
    numbers: Iterator[int]

    @property
    def broker_url(self) -> str:
        return self.env["CELERY_BROKER_URL"]

    @property
    def rival_broker_url(self) -> str:
        """The same server, another of its databases."""
        return self.broker_url.removesuffix("/0") + "/1" if self.broker == "redis" else self.broker_url

    def rival_env(self, database_url: str = "") -> dict[str, str]:
        return {"RIVAL_BROKER_URL": self.rival_broker_url, "RIVAL_DATABASE_URL": database_url}

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def cpu(self) -> dict[str, float]:
        """CPU seconds of the servers so far."""
        names = {"postgres": "database", "valkey": "broker", "rabbit": "broker", "s3": "objects"}
        return {name: family_seconds(self.pids[part]) for part, name in names.items() if part in self.pids}

    @contextmanager
    def database(self, *, migrated: bool = True) -> Iterator[str]:
        """The URL of a fresh database, which is gone afterwards; the broker is emptied as well."""
        name = f"bench_{next(self.numbers)}"
        with psycopg.connect(self.env["DATABASE_URL"], autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE if migrated else 'template0'}")  # type: ignore[arg-type,unused-ignore]
            self._empty()
            yield _sibling(self.env["DATABASE_URL"], name)
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type,unused-ignore]
            admin.execute("CHECKPOINT")  # what this turn wrote is not the next one's burden

    def waiting(self, queue: str) -> Callable[[], int]:
        """A question, cheap for the server: how many of Celery's messages wait in this queue or are unacknowledged.

        RabbitMQ leaves the few out that a worker holds.
        """
        if self.broker == "redis":
            client = redis.Redis.from_url(self.rival_broker_url)
            return lambda: int(client.llen(queue)) + int(client.hlen("unacked"))
        channel: Any = Connection(self.rival_broker_url).default_channel  # the stated type is that of every transport
        return lambda: int(channel.queue_declare(queue, passive=True).message_count)

    def _empty(self) -> None:
        if self.broker == "redis":
            with redis.Redis.from_url(self.broker_url) as client:
                client.flushall()


@contextmanager
def started(folder: Path, broker: str, *, statements: bool = False) -> Iterator[Servers]:
    """Run them while the body runs; with `statements` PostgreSQL counts what each statement takes."""
    home = folder / "servers"
    which = {"postgres", "s3"} | ({"valkey"} if broker == "redis" else set())
    names = (*servers.ports_of(which), *(rabbit.PORTS if broker == "rabbitmq" else ()))
    with homes.held(home), claimed(home / "ports.json", names, seaweed.PORTS) as ports:
        parts, env = servers.plan(Settings(home=home), which, ports, durable=True)
        if broker == "rabbitmq":
            more, env["CELERY_BROKER_URL"] = rabbit.parts(home, ports)
            parts += more
        if statements:
            parts = [_counting(part) if part.name == "postgres" else part for part in parts]
        pids: dict[str, int] = {}
        with running(home, parts, say=lambda _: None, changed=pids.update):
            with psycopg.connect(env["DATABASE_URL"], autocommit=True) as admin:
                admin.execute(f"CREATE DATABASE {_TEMPLATE}")  # type: ignore[arg-type,unused-ignore]
            upgrade(_sibling(env["DATABASE_URL"], _TEMPLATE))
            yield Servers(folder=folder, broker=broker, env=env, pids=pids, numbers=itertools.count(1))


@contextmanager
def process(
    argv: Sequence[str], env: Mapping[str, str], log: Path, *, port: int | None = None, ends: bool = False
) -> Iterator[int]:
    """Run a Python module with arguments while the body runs.

    With `port` the body begins when it listens there, with `ends` when it has done its work.
    """
    whole = {**os.environ, **env, "PYTHONUNBUFFERED": "1"}
    with log.open("ab") as said:
        made = subprocess.Popen([sys.executable, "-m", *argv], env=whole, stdout=said, stderr=said)
    try:
        if port is not None:
            until(lambda: made.poll() is not None or _listens(port), seconds=60)
            assert made.poll() is None, log.read_text()[-2000:]
        if ends and made.wait(60) != 0:
            raise RuntimeError(log.read_text()[-2000:])
        yield made.pid
    finally:
        left = psutil.Process(made.pid).children(recursive=True) if made.poll() is None else []
        if made.poll() is None:
            made.terminate()
            made.wait(30)
        for one in psutil.wait_procs(left, timeout=5)[1]:
            one.kill()


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


def _counting(part: Part) -> Part:
    return dataclasses.replace(part, argv=(*part.argv, *(word for value in STATEMENTS for word in ("-c", value))))


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _sibling(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)
