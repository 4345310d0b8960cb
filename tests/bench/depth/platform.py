"""The whole platform with an empty and with a deep database behind it, each in turn: drain, submit, latency, pages."""

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psycopg

from deploy.local.settings import from_env
from deploy.local.stack import Running, running_platform
from tests import pools
from tests.bench import latency
from tests.bench.client import Orders, post, send
from tests.bench.depth import fill as filling
from tests.bench.depth import pages
from tests.bench.processes import cpu_seconds, spent

CLIENTS = 16
BODY = b'{"steps": {"say": {"kind": "echo", "message": "hello"}}}'
IDLE_SECONDS = 20
NAMES = ("empty", "deep")

Figures = dict[str, float]


def compare(folder: Path, parts: Sequence[str], *, jobs: int, requests: int, rounds: int) -> None:
    """Start each platform `rounds` times, in turn; print medians, and the ratios deep / empty."""
    seen: dict[str, list[Figures]] = {name: [] for name in NAMES}
    for number in range(rounds):
        for name in NAMES if number % 2 == 0 else NAMES[::-1]:
            with _platform(folder / name) as running:
                figures: Figures = {}
                for part in parts:
                    figures |= PARTS[part](running, jobs, requests)
                seen[name].append(figures)
    print(f"{'medians of ' + str(rounds):<52} {'empty':>10} {'deep':>10} {'ratio':>7}")
    for what in seen["deep"][0]:
        empty, deep = (statistics.median(one[what] for one in seen[name]) for name in NAMES)
        print(f"{what:<52} {empty:10.2f} {deep:10.2f} {deep / empty if empty else 0:7.3f}")


def _drain(running: Running, jobs: int, _requests: int) -> Figures:
    """Jobs per second of so many echoes that wait, from their release to the last one's end."""
    url = running.urls["database"]
    with _client(running) as client, psycopg.connect(url, autocommit=True) as connection:
        for _ in range(100):  # everything is loaded now
            client.post("/v1/jobs", content=BODY, headers={"Content-Type": "application/json"}).raise_for_status()
        _until_drained(connection)
        client.post("/v1/queues/default/pause").raise_for_status()
        tenants = [row[0] for row in connection.execute("SELECT id FROM tenants ORDER BY created_at LIMIT 3")]
        filling.fill(url, (tenants * 3)[:3], finished=0, queued=jobs, shape="echo", alive=True)
        before, since = cpu_seconds(running), time.monotonic()
        client.post("/v1/queues/default/resume").raise_for_status()
        _until_drained(connection)
        took = time.monotonic() - since
    used = spent(before, cpu_seconds(running))
    return {"drain, jobs/s": jobs / took, "drain, CPU ms per job": 1000 * sum(used.values()) / jobs}


# The least of an index each, so that looking costs nothing.
_LEFT = """
SELECT (SELECT min(run_at) FROM steps
        WHERE queue = 'default' AND priority = 3 AND state = 'queued' AND published_at IS NULL) IS NOT NULL,
       (SELECT min(published_at) FROM steps
        WHERE queue = 'default' AND state = 'queued' AND published_at IS NOT NULL) IS NOT NULL,
       (SELECT min(worker) FROM steps WHERE state = 'running') IS NOT NULL
"""


def _until_drained(connection: "psycopg.Connection[tuple[object, ...]]") -> None:
    deadline = time.monotonic() + 120
    while any(connection.execute(_LEFT).fetchone() or ()):
        if time.monotonic() > deadline:
            raise TimeoutError("the queue was not drained after 120 s")
        time.sleep(0.02)


def _submit(running: Running, _jobs: int, requests: int) -> Figures:
    """Jobs accepted per second over HTTP, while nothing works on them."""
    request = post("/v1/jobs", BODY, key=running.key)
    with _client(running) as client:
        client.post("/v1/queues/default/pause").raise_for_status()
        send(Orders(url=running.api, requests=[request], count=200, clients=CLIENTS))
        rate = send(Orders(url=running.api, requests=[request], count=requests, clients=CLIENTS)).rate
        one = send(Orders(url=running.api, requests=[request], count=requests // 4, clients=1)).rate
        client.post("/v1/queues/default/resume").raise_for_status()
    with psycopg.connect(running.urls["database"], autocommit=True) as connection:
        _until_drained(connection)
    return {f"submit, {CLIENTS} clients, jobs/s": rate, "submit, 1 client, jobs/s": one}


def _latency(running: Running, _jobs: int, _requests: int) -> Figures:
    return {f"idle: {name}": float(value) for name, value in latency.of_running(running, 200).items() if name != "jobs"}


def _pages(running: Running, _jobs: int, _requests: int) -> Figures:
    with _client(running) as client:
        return pages.measure(client)


def _idle(running: Running, _jobs: int, _requests: int) -> Figures:
    """Percent of a core that each process takes while nothing happens, full windows in the broker included."""
    time.sleep(3)
    before = cpu_seconds(running)
    time.sleep(IDLE_SECONDS)
    used = spent(before, cpu_seconds(running))
    shown = ("scheduler", "postgres", "valkey", "api", "scaler")
    return {f"idle, % of a core: {name}": 100 * used.get(name, 0.0) / IDLE_SECONDS for name in shown}


PARTS: Mapping[str, Callable[[Running, int, int], Figures]] = {
    "idle": _idle,
    "latency": _latency,
    "pages": _pages,
    "submit": _submit,
    "drain": _drain,
}


@contextmanager
def _platform(home: Path) -> Iterator[Running]:
    """Only `default` has workers: what waits at depth is for other queues, so that latency is that of an idle one."""
    chosen = home / "pools"
    if not chosen.exists():
        pools.fixed(chosen, without=("ai", "images", "calls"))
    settings = from_env({**os.environ, "POOLS_DIR": str(chosen)})
    with running_platform(home, settings=settings, say=lambda _: None) as running:
        yield running


def _client(running: Running) -> httpx2.Client:
    return httpx2.Client(base_url=running.api, headers={"Authorization": f"Bearer {running.key}"}, timeout=60)
