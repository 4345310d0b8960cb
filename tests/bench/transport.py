"""The batching transport beside kombu's: draining a queue, and how soon a message starts on an idle worker.

python -m tests.bench.transport [prefork | solo | threads [rounds]]
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import redis
from celery import Celery
from kombu import Queue

from deploy.local import valkey
from tasks.transport import schemes
from tests.bench.processes import family_seconds
from tests.bench.rounds import quantile
from tests.bench.servers import free_port
from tests.waiting import until

TASKS = 20_000
PUBLISHED = 2_000
ALONE = 150
STEPS = [0, 2, 5, 7, 9]
OPTIONS = {"priority_steps": STEPS, "queue_order_strategy": "priority"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    name: str
    scheme: str
    acks: bool


VARIANTS = (
    Variant(name="kombu, acks", scheme="redis", acks=True),
    Variant(name="kombu, no acks", scheme="redis", acks=False),
    Variant(name="batching, acks", scheme="redisbatch", acks=True),
    Variant(name="batching, no acks", scheme="redisbatch", acks=False),
)
POOLS = {"prefork": ("-P", "prefork", "-c", "2"), "solo": ("-P", "solo"), "threads": ("-P", "threads", "-c", "8")}


def main(pool: str, rounds: int) -> None:
    schemes.register()
    with tempfile.TemporaryDirectory() as folder, _broker(Path(folder)) as (port, broker):
        for _ in range(rounds):
            for variant in VARIANTS:
                found = _one(Path(folder), port, broker, variant, POOLS[pool])
                print(json.dumps({"pool": pool, "transport": variant.name, **found}), flush=True)


def _one(folder: Path, port: int, broker: int, variant: Variant, words: tuple[str, ...]) -> dict[str, float]:
    client = redis.Redis(port=port)
    client.flushall()
    notes = folder / "notes"
    notes.unlink(missing_ok=True)
    options = OPTIONS | {"ack_emulation": variant.acks}
    url = f"{variant.scheme}://127.0.0.1:{port}/0"
    app = Celery("sender", broker=url, set_as_current=False)
    app.conf.update(broker_transport_options=options, task_queues=[Queue("work"), Queue("more")])
    env = os.environ | {
        "BENCH_BROKER": url,
        "BENCH_OPTIONS": json.dumps(options),
        "BENCH_NOTES": str(notes),
        "BENCH_LATE": str(int(variant.acks)),
    }
    with _worker(folder / "log", env, words) as worker, app.connection_for_write() as connection:
        producer: Any = app.amqp.Producer(connection)
        waits = _alone(app, producer, notes)
        one, many = (_publish(app, producer, batched=batched) for batched in (False, True))
        for _ in range(TASKS // PUBLISHED):
            client.eval(
                "for _, one in ipairs(redis.call('LRANGE', 'staged', 0, -1)) do redis.call('LPUSH', 'all', one) end", 0
            )
        before, cpu = notes.stat().st_size // 8, _cpu(worker, broker)
        began = time.perf_counter()
        client.rename("all", "work")
        client.zadd("work\x06\x16wake", {"1": 0})
        until(lambda: notes.stat().st_size // 8 - before >= TASKS, seconds=120)
        seconds = time.perf_counter() - began
        spent = {name: (after - cpu[name]) / TASKS * 1000 for name, after in _cpu(worker, broker).items()}
    return {
        "tasks/s": round(TASKS / seconds),
        **{f"CPU ms/task {name}": round(value, 3) for name, value in spent.items()},
        "idle p50 ms": round(quantile(waits, 0.5), 2),
        "idle p99 ms": round(quantile(waits, 0.99), 2),
        "published/s, one by one": round(one),
        "in a batch": round(many),
    }


def _publish(app: Celery, producer: Any, *, batched: bool) -> float:
    """Messages per second."""
    began = time.perf_counter()
    with producer.batch() if batched else contextlib.nullcontext():
        for _ in range(PUBLISHED // 2):
            app.send_task("nothing", (time.monotonic(),), queue="staged", producer=producer)
    return PUBLISHED / 2 / (time.perf_counter() - began)


def _alone(app: Celery, producer: Any, notes: Path) -> list[float]:
    for number in range(ALONE + 10):
        app.send_task("nothing", (time.monotonic(),), queue="work", producer=producer)
        until(partial(_has_noted, notes, number + 1), seconds=60)
        time.sleep(0.005)
    said = notes.read_text()
    return [float(said[place : place + 8]) for place in range(80, len(said), 8)]


def _has_noted(notes: Path, count: int) -> bool:
    return notes.exists() and notes.stat().st_size // 8 >= count


def _cpu(worker: int, broker: int) -> dict[str, float]:
    whole = family_seconds(worker)
    times = psutil.Process(worker).cpu_times()
    parent = times.user + times.system
    return {"parent": parent, "children": whole - parent, "broker": family_seconds(broker)}


@contextlib.contextmanager
def _worker(log: Path, env: dict[str, str], words: tuple[str, ...]) -> Iterator[int]:
    command = [sys.executable, "-m", "celery", "-A", "tests.bench.transport_app", "worker", "-Q", "work,more", *words]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, "--without-gossip", "--without-mingle"], env=env, stdout=file, stderr=file
        )
        try:
            yield process.pid
        finally:
            process.terminate()
            process.wait(60)


@contextlib.contextmanager
def _broker(folder: Path) -> Iterator[tuple[int, int]]:
    port = free_port()
    words = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--dir", str(folder)]
    process = subprocess.Popen([str(valkey.binary()), *words], stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(port=port) as client:
            until(lambda: _answers(client))
        yield port, process.pid
    finally:
        process.kill()
        process.wait()


def _answers(client: "redis.Redis") -> bool:
    with contextlib.suppress(redis.ConnectionError):
        return bool(client.ping())
    return False


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "prefork", int(sys.argv[2]) if len(sys.argv) > 2 else 1)
