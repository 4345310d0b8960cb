"""`python -m tests.bench.calls`: many calls to a slow host on one worker, with another host's calls behind them.

Prints how long they took against the least that the budget allows, how soon the other host's began, what a waiting call
costs in memory, and what a host that is down for a minute sees.
"""

import os
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import click
import httpx2
import psutil
import psycopg

from deploy.local.settings import from_env
from deploy.local.stack import Running, find_running, running_platform
from scheduler.pools import FOLDER
from tests import pools
from tests.slow_host import SlowHost, slow_host

OTHERS = 20
TO_OPEN = 5  # failures after which a host is left alone
PROBES = 4  # at most within a minute: after 5, 10, 20 and 40 seconds
MIB = 1024 * 1024


@click.command()
@click.option("--calls", default=500, show_default=True)
@click.option("--budget", default=50, show_default=True, help="Calls to one host at the same time.")
@click.option("--seconds", default=2.0, show_default=True, help="What the host takes.")
@click.option("--down", default=60.0, show_default=True, help="Then: for how long it is down; 0: not at all.")
def calls(calls: int, budget: int, seconds: float, down: float) -> None:
    """Send CALLS calls to a host that takes its time, and OTHERS to another one."""
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        slow, quick = opened.enter_context(slow_host(seconds)), opened.enter_context(slow_host(0))
        running = opened.enter_context(_platform(folder, budget))
        worker = psutil.Process(_worker(folder))
        client = opened.enter_context(
            httpx2.Client(base_url=running.api, headers={"Authorization": f"Bearer {running.key}"}, timeout=60)
        )
        _send(client, quick, 5)  # what a first call loads is loaded
        _wait(running, 5)
        quick.at.clear()
        failed = _slow(client, running, worker, slow, quick, calls=calls, budget=budget, seconds=seconds)
        if down:
            failed += _down(client, running, slow, calls=calls, seconds=down)
    sys.exit("; ".join(failed) or None)


def _slow(
    client: httpx2.Client,
    running: Running,
    worker: psutil.Process,
    slow: SlowHost,
    quick: SlowHost,
    *,
    calls: int,
    budget: int,
    seconds: float,
) -> list[str]:
    idle, peak = worker.memory_info().rss, _Peak(worker)
    began = time.monotonic()
    _send(client, slow, calls)
    sent = time.monotonic()
    _send(client, quick, OTHERS)
    sent_others = time.monotonic()
    _wait(running, 5 + calls + OTHERS)
    took, least = time.monotonic() - began, calls / budget * seconds
    memory = (peak.end() - idle) / MIB
    behind = max(quick.at) - sent_others
    ratio = took / least
    print(f"{calls} calls of {seconds:g} s, {budget} at a time: {took:.1f} s, {ratio:.2f} of the least, {least:.0f} s")
    print(f"  at once: {slow.most} at most; asked: {len(slow.at)} times for {len(set(slow.keys))} steps")
    print(f"  sent within {sent - began:.1f} s; the last of another host's {OTHERS} began {behind:.2f} s after")
    print(f"  memory: {memory:.1f} MiB more, {memory / slow.most * 100:.1f} MiB for 100 waiting calls")
    bars = {
        "time": took <= 1.5 * least,
        "other host": behind <= 1,
        "budget": slow.most <= budget,
        "once": len(slow.at) == calls,
    }
    return [f"missed: {name}" for name, met in bars.items() if not met]


def _down(client: httpx2.Client, running: Running, slow: SlowHost, *, calls: int, seconds: float) -> list[str]:
    """The host is down while calls come in; then it is there again."""
    slow.is_down, slow.seconds = True, 0.0
    slow.at.clear()
    began, before = time.monotonic(), _done(running)
    sender = threading.Thread(target=_send_slowly, args=(client, slow, calls, seconds))
    sender.start()
    time.sleep(seconds)
    seen = [round(at - began, 1) for at in slow.at]
    slow.is_down = False
    back = time.monotonic()
    sender.join()
    first = _first_after(slow, back)
    _wait(running, before + calls)
    print(f"down for {seconds:g} s under {calls} calls: seen {len(seen)} requests, at {seen}")
    print(f"  back: first asked {first:.1f} s after, all calls done {time.monotonic() - back:.1f} s after")
    return ["missed: probes only"] if len(seen) > TO_OPEN + PROBES else []


def _send(client: httpx2.Client, host: SlowHost, count: int) -> None:
    with ThreadPoolExecutor(8) as executor:
        list(executor.map(lambda _: _submit(client, host), range(count)))


def _send_slowly(client: httpx2.Client, host: SlowHost, count: int, seconds: float) -> None:
    for _ in range(count):
        _submit(client, host)
        time.sleep(seconds / count)


def _submit(client: httpx2.Client, host: SlowHost) -> None:
    call = {"kind": "http.call", "url": host.url, "max_attempts": 20}
    client.post("/v1/jobs", json={"steps": {"call": call}}).raise_for_status()


def _first_after(host: SlowHost, moment: float) -> float:
    while True:
        if later := [at for at in host.at if at > moment]:
            return later[0] - moment
        time.sleep(0.05)


def _done(running: Running) -> int:
    with psycopg.connect(running.urls["database"]) as connection:
        row = connection.execute(
            "SELECT count(*) FROM jobs WHERE state = 'succeeded' AND schedule_id IS NULL"
        ).fetchone()
    assert row is not None
    return int(row[0])


def _wait(running: Running, count: int) -> None:
    deadline = time.monotonic() + 600
    while _done(running) < count:
        assert time.monotonic() < deadline, f"{_done(running)} of {count} were done"
        time.sleep(0.1)


class _Peak:
    """The highest resident size while it is watched."""

    def __init__(self, process: psutil.Process) -> None:
        self._process, self._stop, self._most = process, threading.Event(), 0
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def end(self) -> int:
        self._stop.set()
        self._thread.join()
        return self._most

    def _watch(self) -> None:
        while not self._stop.wait(0.05):
            self._most = max(self._most, self._process.memory_info().rss)


def _platform(folder: Path, budget: int) -> AbstractContextManager[Running]:
    made = folder / "pools"
    made.mkdir()
    pools.write(made / "calls.yaml", FOLDER / "calls.yaml", minReplicaCount=1, maxReplicaCount=1)
    env = {
        **os.environ,
        "POOLS_DIR": str(made),
        "OUTBOUND_ALLOW": "127.0.0.1",
        "CALLS_PER_HOST": str(budget),
        "CALLS_PER_TENANT": str(2 * budget),
        "CALLS_TO_HOST": str(2 * budget),
    }
    return running_platform(folder / "home", settings=from_env(env), say=lambda _: None)


def _worker(folder: Path) -> int:
    found = find_running(folder / "home")
    assert found is not None
    return next(pid for name, pid in found.processes.items() if name.startswith("worker-"))


if __name__ == "__main__":
    calls()
