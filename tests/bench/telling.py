"""`python -m tests.bench.telling`: what telling costs a job, in one process that tells now and is quiet now.

The API's app, the relay and the work on a group run here one after the other, on real servers, a few jobs at a time;
after each few the telling is switched. So a machine that is slower in one second than in the next is slower for both,
and what is left to chance is small. What is counted is this process's CPU. Left out are what does not tell: the server
of HTTP, Celery, the database, the broker.

Telling: log lines at INFO into a file, numbers, and traces of 1 % of the jobs over OTLP. Quiet: errors only, no
numbers, no traces.
"""

import asyncio
import logging
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import click
import redis
from fastapi import FastAPI

from api import settings as api_settings
from api.app import create_app
from scheduler.hints import Hints
from scheduler.relay import publish
from storage import heap
from storage.database import Database
from storage.migrate import upgrade
from storage.step_groups import Asked
from storage.telemetry import metric_store, start, traces
from storage.tenants import create_key, ensure
from tasks import grouped, process
from tasks import settings as worker_settings
from tasks.names import KINDS
from tests.bench import servers
from tests.bench.turn import BODY
from tests.tracing.collector import collector

TOGETHER = 32  # jobs that are sent at the same time, as (f) does
PARTS = ("api", "relay", "worker")
WAYS = ("logs", "numbers", "traces")
WARM = 20

_QUEUED = "SELECT tenant_id, job_id, id FROM steps WHERE state = 'queued'"


@dataclass(kw_only=True, slots=True)
class Way:
    """The way of jobs through this process; `seconds` of CPU by whether it tells and by part."""

    app: FastAPI
    key: str
    database: Database
    hints: Hints
    broker: "redis.Redis"
    worker: process.Process
    tracing: object
    switched: Collection[str]  # of WAYS: what is quiet when it does not tell; the others always are
    seconds: dict[tuple[bool, str], list[float]] = field(default_factory=lambda: defaultdict(list))

    def tell(self, is_on: bool) -> None:
        on = self.switched if is_on else ()
        logging.getLogger().setLevel(logging.INFO if "logs" in on else logging.ERROR)
        metric_store._here.is_on = "numbers" in on
        traces._Here.tracing = self.tracing if "traces" in on else None  # type: ignore[assignment]

    async def go(self, is_on: bool) -> None:
        """TOGETHER jobs, from their requests to their ends."""
        self.tell(is_on)
        began = time.process_time()
        await asyncio.gather(*(self._submit() for _ in range(TOGETHER)))
        self._note(is_on, "api", began)
        self._timed(is_on, "relay", lambda: publish(self.database, self.hints))
        with self.database.platform_read() as tx:
            asked: list[Asked] = [(row.tenant_id, row.job_id, row.id) for row in tx.sql(_QUEUED)]
        assert len(asked) == TOGETHER
        self._timed(is_on, "worker", lambda: grouped.perform(self.worker, KINDS["echo"], asked))
        self.broker.delete("default")

    def _timed(self, is_on: bool, part: str, act: Callable[[], object]) -> None:
        began = time.process_time()
        act()
        self._note(is_on, part, began)

    def _note(self, is_on: bool, part: str, began: float) -> None:
        self.seconds[is_on, part].append((time.process_time() - began) / TOGETHER)

    async def _submit(self) -> None:
        headers = {"host": "x", "content-type": "application/json", "content-length": str(len(BODY))}
        headers["authorization"] = f"Bearer {self.key}"
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/v1/jobs",
            "raw_path": b"/v1/jobs",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
            "state": {},
        }
        answered: list[int] = []

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": BODY, "more_body": False}

        async def send(message: object) -> None:
            assert isinstance(message, dict)
            if message["type"] == "http.response.start":
                answered.append(message["status"])

        await self.app(scope, receive, send)
        assert answered == [202]


@click.command()
@click.option("--rounds", default=400, show_default=True, help=f"Of {TOGETHER} jobs, each way.")
@click.option("--beside", default=3.0, show_default=True, help="CPU ms of a job in the whole platform: `make bench f`.")
@click.option("--of", multiple=True, default=WAYS, type=click.Choice(WAYS), help="Which ways of telling; all.")
def bench(rounds: int, beside: float, of: tuple[str, ...]) -> None:
    """Print the CPU of a job by part, telling and quiet, and what the difference is of `--beside`."""
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        started = opened.enter_context(servers.started(folder, "redis"))
        endpoint = opened.enter_context(collector()).endpoint
        tracing = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_TRACES_SAMPLER": "parentbased_traceidratio"}
        os.environ |= {**started.env, **tracing, "OTEL_TRACES_SAMPLER_ARG": "0.01", "LOG_FORMAT": "json"}
        said = os.dup(2)
        with (folder / "log").open("wb") as log:
            os.dup2(log.fileno(), 2)
        way = _made(opened, of)
        asyncio.run(_run(way, rounds))
        os.dup2(said, 2)
    more = 0.0
    for part in PARTS:
        on, off = (1000 * statistics.median(way.seconds[is_on, part]) for is_on in (True, False))
        more += on - off
        print(f"{part:>7}: telling {on:.3f}, quiet {off:.3f} CPU ms a job, difference {on - off:.3f}")
    print(f"    all: difference {more:.3f}, {100 * more / beside:.1f} % of {beside:g}")


def _made(opened: ExitStack, switched: Collection[str]) -> Way:
    upgrade(os.environ["DATABASE_URL"])
    database = Database(api_settings.from_env(os.environ).database)
    opened.callback(database.close)
    with database.platform() as tx:
        key = create_key(tx, ensure(tx, "bench"), {"jobs:read", "jobs:write"})
    start.start("worker", os.environ)
    worker = process.open_process(worker_settings.from_env(os.environ), "bench@here")
    hints = Hints()
    hints.begin_epoch()
    opened.callback(hints.close)
    broker = opened.enter_context(redis.Redis.from_url(os.environ["CELERY_BROKER_URL"]))
    app = create_app(api_settings.from_env(os.environ))
    return Way(
        app=app,
        key=key,
        database=database,
        hints=hints,
        broker=broker,
        worker=worker,
        tracing=traces._Here.tracing,
        switched=switched,
    )


async def _run(way: Way, rounds: int) -> None:
    async with way.app.router.lifespan_context(way.app):
        for number in range(2 * WARM):
            await way.go(number % 2 == 0)
        heap.settled()
        way.seconds.clear()
        for number in range(rounds):
            for is_on in (True, False) if number % 2 else (False, True):
                await way.go(is_on)


if __name__ == "__main__":
    bench(prog_name="python -m tests.bench.telling")
