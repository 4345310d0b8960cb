"""`python -m tests.bench.flower`: Flower's memory while a day's tasks go by, as fast as they can be told of."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import httpx2
import psutil
from celery import Celery

from deploy.local.ports import claimed
from deploy.local.servers import embedded_servers
from storage.model import new_job_id, new_step_id

ENDS: tuple[tuple[str, dict[str, str]], ...] = (
    ("task-received", {"name": "image.resize", "args": "()"}),
    ("task-started", {}),
    ("task-succeeded", {}),
)
LOGIN = ("operator", "bench")


@click.command()
@click.option("--tasks", default=60_000, show_default=True)
@click.option("--every", default=5_000, show_default=True, help="measure after so many")
def bench(tasks: int, every: int) -> None:
    """Print Flower's resident memory after every so many tasks; it keeps 10,000 of them."""
    with (
        tempfile.TemporaryDirectory() as folder,
        embedded_servers(Path(folder), {"valkey"}) as servers,
        claimed(Path(folder) / "flower.json", ("flower",), ()) as ports,
    ):
        env = {
            **os.environ,
            **servers.env,
            "FLOWER_PORT": str(ports["flower"]),
            "FLOWER_DB": str(Path(folder) / "flower"),
            "FLOWER_BASIC_AUTH": ":".join(LOGIN),
        }
        env.pop("DATABASE_URL", None)
        flower = subprocess.Popen([sys.executable, "-m", "deploy.flower"], env=env, stderr=subprocess.DEVNULL)
        try:
            _measure(flower.pid, servers.env["CELERY_BROKER_URL"], ports["flower"], tasks, every)
        finally:
            flower.terminate()
            flower.wait()


def _measure(pid: int, broker: str, port: int, tasks: int, every: int) -> None:
    with Celery("bench", broker=broker, set_as_current=False) as app, app.events.default_dispatcher() as dispatcher:
        dispatcher.hostname = "images@bench"
        last = _tell(dispatcher, 1)
        _wait_for(port, last, tell=lambda: _tell(dispatcher, 1))
        print(f"{'tasks':>8} {'RSS MiB':>8}")
        for done in range(every, tasks + 1, every):
            last = _tell(dispatcher, every)
            _wait_for(port, last)
            print(f"{done:>8,} {psutil.Process(pid).memory_info().rss / 2**20:>8.0f}", flush=True)


def _tell(dispatcher: Any, tasks: int) -> str:
    last = ""
    for _ in range(tasks):
        last = new_step_id()
        kwargs = f"{{'job': '{new_job_id()}', 'tenant': 'ten_bench'}}"
        for kind, fields in ENDS:
            dispatcher.send(kind, uuid=last, kwargs=kwargs, runtime=0.1, **fields)
    return last


def _wait_for(port: int, task: str, tell: Callable[[], str] | None = None) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            url = f"http://127.0.0.1:{port}/api/task/info/{task}"
            if httpx2.get(url, auth=LOGIN, timeout=10).status_code == 200:
                return
        except httpx2.TransportError:
            pass
        if tell is not None:
            task = tell()
        time.sleep(0.2)
    raise SystemExit("Flower has not heard of the last task within a minute")


if __name__ == "__main__":
    bench()
