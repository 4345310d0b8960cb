"""`python -m tests.bench.batches`: jobs/s accepted in batches beside single POSTs, and what batches cost the rows.

One real API process on a real, durable PostgreSQL, no workers. Says nothing about pass or fail.
"""

import http.client
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import click
import psutil
import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy.engine import make_url

from deploy.local.servers import embedded_servers
from scheduler.batches import cancel_jobs, finish_all
from storage import batches, step_groups
from storage.batch_ids import BatchId
from storage.migrate import upgrade
from storage.model import JobId, StepId, TenantId
from storage.step_groups import Success
from tests.api.started import Api, started_api

ECHO = b'{"steps": {"say": {"kind": "echo", "message": "hello"}}}'
JOBS = 10_000
CLIENTS = 16


@click.command()
@click.option("--rounds", default=3, show_default=True)
@click.option("--singles", default=4000, show_default=True, help="Jobs that are sent one by one in a round.")
def bench(rounds: int, singles: int) -> None:
    """Measure."""
    with _platform() as api:
        ways: dict[str, Callable[[], tuple[int, float, float]]] = {
            "POST /v1/jobs, 1 client": lambda: _singles(api, singles // 4, 1),
            f"POST /v1/jobs, {CLIENTS} clients": lambda: _singles(api, singles, CLIENTS),
            "POST /v1/batches, 10,000 lines": lambda: _batch(api, "application/x-ndjson", b"\n".join([ECHO] * JOBS)),
            "POST /v1/batches, one document": lambda: _batch(
                api, "application/json", b'{"jobs": [%s]}' % b",".join([ECHO] * JOBS)
            ),
        }
        figures: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                figures[name].append(_measured(api, way))
        print(f"{'':34}{'jobs/s':>9}{'API CPU µs a job':>18}   (median of {rounds})")
        for name, seen in figures.items():
            rate, cpu = (statistics.median(one[part] for one in seen) for part in range(2))
            print(f"{name:34}{rate:9.0f}{cpu:18.0f}   {min(r for r, _ in seen):.0f} to {max(r for r, _ in seen):.0f}")
        print(f"RSS of the API afterwards: {psutil.Process(api.pid).memory_info().rss / 1e6:.0f} MB")
        _rows(api, rounds)


def _measured(api: Api, way: Callable[[], tuple[int, float, float]]) -> tuple[float, float]:
    jobs, seconds, cpu = way()
    return jobs / seconds, cpu / jobs * 1e6


def _singles(api: Api, jobs: int, clients: int) -> tuple[int, float, float]:
    def send() -> None:
        connection = _connection(api)
        for _ in range(jobs // clients):
            _post(connection, api, "/v1/jobs", "application/json", ECHO)
        connection.close()

    threads = [threading.Thread(target=send) for _ in range(clients)]
    with _clock(api) as spent:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return jobs // clients * clients, spent[0], spent[1]


def _batch(api: Api, kind: str, body: bytes) -> tuple[int, float, float]:
    connection = _connection(api)
    with _clock(api) as spent:
        made = _post(connection, api, "/v1/batches", kind, body)
    connection.close()
    return int(made["counts"]["accepted"]), spent[0], spent[1]


@contextmanager
def _clock(api: Api) -> Iterator[list[float]]:
    """Seconds, and CPU seconds of the API process."""
    process, spent = psutil.Process(api.pid), [0.0, 0.0]
    before, began = process.cpu_times(), time.perf_counter()
    yield spent
    after = process.cpu_times()
    spent[:] = [time.perf_counter() - began, after.user + after.system - before.user - before.system]


def _connection(api: Api) -> http.client.HTTPConnection:
    at = urlsplit(api.url)
    return http.client.HTTPConnection(at.hostname or "", at.port, timeout=120)


def _post(
    connection: http.client.HTTPConnection, api: Api, path: str, kind: str, body: bytes
) -> dict[str, dict[str, int]]:
    connection.request("POST", path, body, {"Authorization": f"Bearer {api.key}", "Content-Type": kind})
    answer = connection.getresponse()
    read = answer.read()
    assert answer.status == 202, read
    made: dict[str, dict[str, int]] = json.loads(read)
    return made


def _rows(api: Api, rounds: int) -> None:
    """What is asked of batches, and what a finish costs, with many jobs in the tables."""
    with api.database.platform() as tx:
        tx.sql("ANALYZE")
        found = tx.sql("SELECT id FROM batches ORDER BY id DESC LIMIT 1").scalar_one()
        total = tx.sql("SELECT count(*) FROM jobs").scalar_one()
    print(f"with {total} jobs in the tables, ms: ", end="")
    with api.database.snapshot(api.tenant_id) as tx:
        print(f"a batch with its counts {_ms(lambda: batches.find(tx, BatchId(found))):.2f}", end=", ")
    print(f"a look for ended batches {_ms(lambda: finish_all(api.database, '')):.2f}")
    seen: dict[str, list[float]] = {"without the index": [], "no batch": [], "of a batch": []}
    for _ in range(rounds):
        with psycopg.connect(make_conninfo(api.database.settings.url), autocommit=True) as admin:
            index = admin.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 'ix_jobs_of_batch'").fetchone()
            assert index is not None
            seen["no batch"].append(_finish(api, "batch_id IS NULL"))
            seen["of a batch"].append(_finish(api, "batch_id IS NOT NULL"))
            admin.execute("DROP INDEX ix_jobs_of_batch")
            seen["without the index"].append(_finish(api, "batch_id IS NULL"))
            admin.execute(index[0])
    with api.database.begin(api.tenant_id) as tx:
        assert batches.cancel(tx, BatchId(found))
    began = time.perf_counter()
    print(f"canceled jobs/s: {cancel_jobs(api.database, seconds=3.0) / (time.perf_counter() - began):.0f}")
    for name, figures in seen.items():
        print(f"claim and finish in groups of 50, µs a job, {name}: {', '.join(f'{one:.0f}' for one in figures)}")


def _finish(api: Api, which: str, jobs: int = 500, group: int = 50) -> float:
    with api.database.platform() as tx:
        rows = tx.sql(
            f"SELECT steps.tenant_id, job_id, steps.id FROM steps JOIN jobs ON jobs.tenant_id = steps.tenant_id"
            f" AND jobs.id = job_id WHERE steps.state = 'queued' AND {which} LIMIT {jobs}"
        ).all()
    asked = [(TenantId(row.tenant_id), JobId(row.job_id), StepId(row.id)) for row in rows]
    assert len(asked) == jobs, (which, len(asked))
    began = time.perf_counter()
    for start in range(0, jobs, group):
        with api.database.platform_read() as tx:
            claimed = step_groups.claim(tx, asked[start : start + group], worker="w", slot=0, lease_seconds=60)
            step_groups.succeed(tx, [Success(claim=one, result={}) for one in claimed])
    return (time.perf_counter() - began) / jobs * 1e6


def _ms(act: Callable[[], object], times: int = 20) -> float:
    def once() -> float:
        began = time.perf_counter()
        act()
        return (time.perf_counter() - began) * 1e3

    return statistics.median(once() for _ in range(times))


@contextmanager
def _platform() -> Iterator[Api]:
    with tempfile.TemporaryDirectory() as folder, embedded_servers(Path(folder), durable=True) as urls:
        assert urls.database is not None
        with psycopg.connect(make_conninfo(urls.database), autocommit=True) as admin:
            admin.execute("CREATE DATABASE millrace_template")
        url = make_url(urls.database).set(database="millrace_template").render_as_string(hide_password=False)
        upgrade(url)
        env = {name: value for name, value in urls.env.items() if name == "STORAGE_URL" or name.startswith("AWS_")}
        with started_api(urls, "millrace_template", env) as api:
            yield api


if __name__ == "__main__":
    bench(prog_name="python -m tests.bench.batches")
