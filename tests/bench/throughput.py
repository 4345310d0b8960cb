"""1,000 small jobs by 16 clients at once, from the first request to the last job's end."""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import psycopg

from deploy.local.stack import Running
from tests.bench.processes import cpu_seconds, spent

JOBS = 1000
CLIENTS = 16
ECHO = {"steps": {"say": {"kind": "echo", "message": "hello"}}}


def measure(running: Running) -> dict[str, float | int]:
    """Jobs per second, end to end and submitting alone; exactly-once by the attempts; CPU ms per job by process."""
    with httpx2.Client(base_url=running.api, headers={"Authorization": f"Bearer {running.key}"}) as client:
        earlier = _count(running)
        livez = _rate(lambda: client.get("/livez"), JOBS)
        _rate(lambda: client.post("/v1/jobs", json=ECHO), 50)
        _finished(running, earlier + 50)
        before, began = cpu_seconds(running), time.monotonic()
        ids: list[str] = []
        submit_rate = _rate(
            lambda: ids.append(client.post("/v1/jobs", json=ECHO).raise_for_status().json()["id"]), JOBS
        )
        _finished(running, earlier + 50 + JOBS)
        took = time.monotonic() - began
    used = spent(before, cpu_seconds(running))
    attempts, succeeded = _attempts(running, ids)
    return {
        "jobs accepted": len(set(ids)),
        "jobs succeeded": succeeded,
        "attempts": attempts,
        "jobs/s end to end": JOBS / took,
        "jobs/s submitted": submit_rate,
        "GET /livez per s, same clients (for comparison)": livez,
        **{f"CPU ms per job: {name}": seconds / JOBS * 1000 for name, seconds in sorted(used.items())},
        "CPU ms per job: all": sum(used.values()) / JOBS * 1000,
    }


def _rate(call: object, times: int) -> float:
    assert callable(call)
    began = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda _: call(), range(times)))
    return times / (time.monotonic() - began)


def _finished(running: Running, count: int) -> None:
    deadline = time.monotonic() + 120
    while _count(running) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{count} jobs were not done after 120 s")
        time.sleep(0.02)


def _count(running: Running) -> int:
    with psycopg.connect(running.urls["database"]) as connection:
        row = connection.execute("SELECT count(*) FROM jobs WHERE finished_at IS NOT NULL").fetchone()
    return int(row[0]) if row else 0


def _attempts(running: Running, ids: list[str]) -> tuple[int, int]:
    with psycopg.connect(running.urls["database"]) as connection:
        attempts = connection.execute(
            "SELECT count(*) FROM attempts a JOIN steps s ON s.id = a.step_id WHERE s.job_id = ANY(%s)", [ids]
        ).fetchone()
        jobs = connection.execute(
            "SELECT count(*) FROM jobs WHERE id = ANY(%s) AND state = 'succeeded'", [ids]
        ).fetchone()
    assert attempts is not None
    assert jobs is not None
    return int(attempts[0]), int(jobs[0])


def quantile(values: list[float], share: float) -> float:
    """The value below which this share of the values lies."""
    return statistics.quantiles(values, n=1000, method="inclusive")[round(share * 1000) - 1]
