"""The whole platform with a proxy before its broker and one before its object store, for tests to break."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import psutil
import psycopg
import pytest
import redis
from sqlalchemy.engine import make_url

from deploy.local import home as homes
from deploy.local import seaweed, supervisor, valkey
from deploy.local.part import Part
from deploy.local.ports import claimed
from deploy.local.running import running
from deploy.local.settings import from_env
from deploy.local.stack import Running, find_running, running_platform
from storage.objects.boto import s3_client
from storage.objects.settings import from_env as object_settings
from tasks.names import Queue
from tests import hostile, pools
from tests.faults import rabbit
from tests.faults.proxy import Proxy, proxied
from tests.faults.store import Store, fronted
from tests.sink import Answer, Sink, sink
from tests.waiting import until

LEASE_SECONDS = 3
BROKERS = ("redis", "rabbitmq")
PACE = partial(supervisor.Pace, longest_delay=0.5, deaths_allowed=50)  # tests kill a part more often than machines do


@dataclass(frozen=True, kw_only=True, slots=True)
class Broker:
    """A broker as a test sees it, past the proxy.

    `part` is the process to kill; `notices_seconds` is how long it takes clients to find a connection dead that is
    silently so. `is_settled` once a SIGKILL would cost it nothing but what it holds.
    """

    name: str
    part: str
    parts: tuple[Part, ...]
    url: str
    notices_seconds: float
    is_settled: Callable[[], bool]
    wipe: Callable[[], None]
    waiting: Callable[[Queue], int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stack:
    """What runs: `proxy` leads to the broker, `store` to the objects, `sink` is the third party.

    `outside` has the process numbers of the broker and the object store; `started` what the platform said at its start.
    """

    home: Path
    broker: Broker
    proxy: Proxy
    store: Store
    sink: Sink
    outside: Mapping[str, int]
    started: Running
    http: httpx2.Client

    def pid(self, part: str) -> int:
        """The number that the part's process has now; waits for it while it is restarted."""
        return until(lambda: self.processes().get(part))

    def processes(self) -> dict[str, int]:
        """The current process numbers by part: api, scheduler, worker-…, postgres, flower, s3, and the broker's.

        There is one worker per pool, which is called by the pool's name alone.
        """
        found = find_running(self.home)
        running = found.processes if found else {}
        workers = {name.rpartition("-")[0]: pid for name, pid in running.items() if name.startswith("worker-")}
        return {**self.outside, **running, **workers}

    def family(self, part: str) -> list[psutil.Process]:
        """The part's process and all below it."""

        def found() -> list[psutil.Process] | None:
            with contextlib.suppress(psutil.NoSuchProcess):  # it has ended by itself in this moment
                process = psutil.Process(self.pid(part))
                return [process, *process.children(recursive=True)]
            return None

        return until(found)

    def kill(self, part: str) -> None:
        """SIGKILL the part's process and all below it; the supervisor starts it again."""
        for process in self.family(part):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def kill_child(self, part: str) -> bool:
        """SIGKILL one process of a prefork pool; False while it has none."""
        *_, youngest = self.family(part)
        if youngest.pid == self.pid(part):
            return False
        with contextlib.suppress(psutil.NoSuchProcess):
            youngest.kill()
        return True

    def log(self, part: str) -> str:
        return (self.home / "log" / f"{part}.log").read_text(errors="replace")

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Ask the database."""
        with psycopg.connect(self.started.urls["database"]) as connection:
            return connection.execute(query, parameters).fetchall()  # type: ignore[call-overload,no-any-return,unused-ignore]

    def objects(self, part: str) -> list[str]:
        """The keys in the object store that have this in them."""
        direct = {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{self.store.target}"}
        settings = object_settings({**self.started.env, **direct})
        store = s3_client(settings)
        try:
            pages = store.get_paginator("list_objects_v2").paginate(Bucket=settings.bucket)
            keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
        finally:
            store.close()
        return [key for key in keys if part in key]

    def now(self) -> datetime:
        """The time of the database, by which everything here goes."""
        [(time,)] = self.rows("SELECT clock_timestamp()")
        assert isinstance(time, datetime)
        return time

    def heal(self) -> None:
        """Take back what a test did to the network and to the third party."""
        self.sink.answers = [Answer()]
        self.proxy.mend()
        self.store.mode = "well"
        self.store.open.set()


@contextlib.contextmanager
def stack(home: Path, broker: str) -> Iterator[Stack]:
    """Run everything on this broker while the body runs."""
    with contextlib.ExitStack() as opened, pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervisor, "Pace", PACE)
        enter = opened.enter_context
        chosen, leading, outside = enter(_servers(home / "servers", broker))
        port = make_url(chosen.url).port
        assert port is not None
        proxy, third_party = enter(proxied(port)), enter(sink())
        store = enter(fronted(make_url(leading["AWS_ENDPOINT_URL_S3"]).port or 0))
        env = {
            **_inherited(),
            **leading,
            "CELERY_BROKER_URL": chosen.url.replace(f":{port}/", f":{proxy.port}/"),
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{store.port}",
            "LEASE_SECONDS": str(LEASE_SECONDS),
            "OUTBOUND_ALLOW": third_party.host,
            "CANCEL_GRACE_SECONDS": "1",
            "STOP_GRACE_SECONDS": "2.5",
            "POOLS_DIR": str(pools.fixed(home / "pools")),
            "PYTHONPATH": hostile.installed(home / "packages"),
        }
        at = home / "platform"
        started = enter(running_platform(at, settings=from_env(env), say=_to(home / "said")))
        until(chosen.is_settled)
        yield Stack(
            home=at,
            broker=chosen,
            proxy=proxy,
            store=store,
            sink=third_party,
            outside=outside,
            started=started,
            http=enter(client(started)),
        )


def client(started: Running) -> httpx2.Client:
    """An HTTP client with the key, that waits long enough for a long poll."""
    return httpx2.Client(base_url=started.api, headers={"Authorization": f"Bearer {started.key}"}, timeout=70)


@contextlib.contextmanager
def _servers(home: Path, name: str) -> Iterator[tuple[Broker, dict[str, str], Mapping[str, int]]]:
    """The broker and the object store under a supervisor of their own, as they would run elsewhere."""
    if name == "rabbitmq":
        rabbit.program()  # skips before anything starts
    broker_ports = rabbit.PORTS if name == "rabbitmq" else ("valkey",)
    with homes.held(home), claimed(home / "ports.json", (*broker_ports, *seaweed.PORTS), seaweed.PORTS) as ports:
        broker = _rabbitmq(home, ports) if name == "rabbitmq" else _redis(home, ports)
        objects, leading = seaweed.part(seaweed.binary(), home, ports, durable=False)
        processes: dict[str, int] = {}
        with running(home, [*broker.parts, objects], say=_to(home / "said"), changed=_into(processes)):
            yield broker, leading, processes


def _redis(home: Path, ports: Mapping[str, int]) -> Broker:
    part, url = valkey.part(valkey.binary(), home, ports["valkey"], durable=True)

    def wipe() -> None:
        with redis.Redis.from_url(url) as connection:
            connection.flushall()

    def waiting(queue: Queue) -> int:
        with redis.Redis.from_url(url) as connection:
            keys = [key for key in connection.keys(f"{queue}*") if connection.type(key) == b"list"]
            return sum(int(connection.llen(key)) for key in keys)

    return Broker(
        name="redis",
        part="valkey",
        parts=(part,),
        url=url,
        notices_seconds=10,
        is_settled=lambda: True,
        wipe=wipe,
        waiting=waiting,
    )


def _rabbitmq(home: Path, ports: Mapping[str, int]) -> Broker:
    parts, url = rabbit.parts(home, ports)
    return Broker(
        name="rabbitmq",
        part="rabbit",
        parts=tuple(parts),
        url=url,
        notices_seconds=20,
        is_settled=lambda: rabbit.is_settled(home),
        wipe=lambda: rabbit.purge(url, [queue for queue in Queue if queue is not Queue.AI]),  # which has no worker
        waiting=lambda queue: rabbit.waiting(url, queue),
    )


def _into(processes: dict[str, int]) -> Callable[[Mapping[str, int]], None]:
    def changed(numbers: Mapping[str, int]) -> None:
        processes.update(numbers)
        for name in processes.keys() - numbers.keys():
            del processes[name]

    return changed


def _to(file: Path) -> Callable[[str], None]:
    def say(line: str) -> None:
        with file.open("a") as opened:
            opened.write(line + "\n")

    return say


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "DATABASE_", "CELERY_"))}
