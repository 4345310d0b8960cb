"""A platform that a test can break in nine ways, and what its overview and its doctor say of it."""

import contextlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import redis
from psycopg.conninfo import make_conninfo
from sqlalchemy.engine import make_url

from deploy.doctor import masking, printing
from deploy.doctor.examination import examine
from deploy.local.servers import Urls
from deploy.local.settings import from_env
from deploy.local.stack import Running, running_platform
from scheduler.pools import FOLDER
from tests import pools
from tests.e2e.slow_way import SlowWay, slow_way
from tests.faults.proxy import Proxy, proxied
from tests.sink import Sink, sink

NAMED_WITHIN_SECONDS = 15.0  # of its being visible; and as long until it is not named any more
PAUSE_SECONDS = 0.2  # between two looks at what is looked at every three seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Drill:
    """A platform with ways to its servers that can be broken; `third` and `hook` are third parties.

    Of its pools `images` is not there at first, and `default` has a worker and may have no other.
    """

    running: Running
    http: httpx2.Client
    database: SlowWay
    broker: Proxy
    objects: Proxy
    third: Sink
    hook: Sink
    folder: Path

    def job(self, document: Mapping[str, Any]) -> str:
        answer = self.http.post("/v1/jobs", json=document)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def photo(self, content: bytes) -> str:
        headers = {"Content-Type": "image/jpeg"}
        answer = self.http.post("/v1/jobs?template=thumbnails", content=content, headers=headers)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def succeeded(self, job_id: str) -> None:
        """Wait for the job's end, which must be a good one."""
        job = self.http.get(f"/v1/jobs/{job_id}?wait=30").json()
        assert job["state"] == "succeeded", job

    def add_pool(self, name: str) -> None:
        """Give the pool its one worker; the scaler obeys as soon as it sees the file."""
        pools.write(self.folder / f"{name}.yaml", FOLDER / f"{name}.yaml", minReplicaCount=1, maxReplicaCount=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What was said of a cause, and how long that took."""

    seconds: float
    sentence: str


def overview(drill: Drill) -> list[tuple[str, str, str]]:
    """Code, subject and sentence of each cause that the page is told."""
    found = drill.http.get("/v1/overview")
    assert found.status_code == 200, found.text
    return [(one["code"], one["subject"], one["sentence"]) for one in found.json()["causes"]]


def doctor(drill: Drill) -> list[tuple[str, str, str]]:
    """The same of the doctor's JSON. It runs in this process: to start one takes seconds, and nine drills need many."""
    env = {**os.environ, **drill.running.env}
    findings = [masking.masked(finding, masking.secrets_in(env)) for finding in examine(env)]
    document = json.loads(printing.as_json(findings, "the drill"))
    return [
        (one["code"], one["facts"]["subject"], one["sentence"])
        for one in document["findings"]
        if one["code"] is not None
    ]


def both(ask: Callable[..., Told], drill: Drill, *given: str) -> list[Told]:
    """Ask the page's overview and the doctor, beside each other."""
    with ThreadPoolExecutor(2) as pool:
        return [asked.result() for asked in [pool.submit(ask, drill, look, *given) for look in (overview, doctor)]]


def named(drill: Drill, look: Callable[[Drill], list[tuple[str, str, str]]], code: str, subject: str) -> Told:
    """Look until the cause is named."""
    began = time.monotonic()
    while True:
        causes = look(drill)
        for one, whose, sentence in causes:
            if (one, whose) == (code, subject):
                return Told(seconds=time.monotonic() - began, sentence=sentence)
        assert time.monotonic() - began < NAMED_WITHIN_SECONDS, f"{code} of {subject} is not named: {causes}"
        time.sleep(PAUSE_SECONDS)


def not_named(drill: Drill, look: Callable[[Drill], list[tuple[str, str, str]]], code: str) -> Told:
    """Look until it is not named any more."""
    began = time.monotonic()
    while code in (found := {one: sentence for one, _, sentence in look(drill)}):
        assert time.monotonic() - began < NAMED_WITHIN_SECONDS, f"still: {found[code]}"
        time.sleep(PAUSE_SECONDS)
    return Told(seconds=time.monotonic() - began, sentence="")


@contextlib.contextmanager
def drilled(home: Path, servers: Urls) -> Iterator[Drill]:
    """Run everything on servers of this run, behind ways that can be broken."""
    with contextlib.ExitStack() as opened:
        enter = opened.enter_context
        database_url = enter(_database(servers))
        opened.callback(_forget_messages, servers)
        folder = pools.fixed(home / "pools", without=("ai", "images"))
        _crowd(folder)
        database = enter(slow_way(_port(database_url)))
        broker, objects = enter(proxied(_port(servers.broker))), enter(proxied(_port(servers.s3)))
        third, hook = enter(sink()), enter(sink())
        env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "DATABASE_"))},
            **servers.env,
            "DATABASE_URL": _by_way_of(database_url, database.port),
            "CELERY_BROKER_URL": _by_way_of(servers.broker, broker.port),
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{objects.port}",
            "MILLRACE_HOME": str(home),
            "POOLS_DIR": str(folder),
            "OUTBOUND_ALLOW": f"{third.host},{hook.host}",
            "LEASE_SECONDS": "6",
            "CANCEL_GRACE_SECONDS": "0.5",
            "STOP_GRACE_SECONDS": "1",
        }
        running = enter(running_platform(home, settings=from_env(env), say=lambda _: None))
        headers = {"Authorization": f"Bearer {running.key}"}
        http = enter(httpx2.Client(base_url=running.api, headers=headers, timeout=40))
        yield Drill(
            running=running,
            http=http,
            database=database,
            broker=broker,
            objects=objects,
            third=third,
            hook=hook,
            folder=folder,
        )


def _crowd(folder: Path) -> None:
    """Let the pool `default` ask for a replica for every step, at once; and have one."""
    trigger = {"scalerAddress": "nowhere:1", "pool": "default", "scale": "depth", "value": "1"}
    pools.write(
        folder / "default.yaml",
        FOLDER / "default.yaml",
        minReplicaCount=1,
        maxReplicaCount=1,
        pollingInterval=1,
        triggers=[{"type": "external", "name": "depth", "metadata": trigger}],
    )


@contextlib.contextmanager
def _database(servers: Urls) -> Iterator[str]:
    assert servers.database is not None
    name = f"drill_{secrets.token_hex(6)}"
    with psycopg.connect(make_conninfo(servers.database), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE millrace_template STRATEGY file_copy")  # type: ignore[arg-type,unused-ignore]
        yield make_url(servers.database).set(database=name).render_as_string(hide_password=False)
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type,unused-ignore]


def _forget_messages(servers: Urls) -> None:
    assert servers.broker is not None
    with redis.Redis.from_url(servers.broker) as client:
        client.flushall()


def _port(url: str | None) -> int:
    port = make_url(url or "").port
    assert port is not None
    return port


def _by_way_of(url: str | None, port: int) -> str:
    return make_url(url or "").set(host="127.0.0.1", port=port).render_as_string(hide_password=False)


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Columns that stand below each other, as wide as a terminal lets them."""
    width = max(120, shutil.get_terminal_size().columns)
    sizes = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return ["  ".join(word.ljust(size) for word, size in zip(row, sizes, strict=True))[:width].rstrip() for row in rows]
