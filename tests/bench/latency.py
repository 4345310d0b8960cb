"""An idle platform: from the moment of sending a job to the arrival of its events."""

import time

import httpx2

from deploy.local.stack import Running
from tests.bench.throughput import ECHO, quantile

JOBS = 200


def measure(running: Running) -> dict[str, float | int]:
    """Milliseconds from the start of the POST until the event arrives at the client, one job after the other."""
    arrivals: dict[str, list[float]] = {"job.running": [], "job.succeeded": []}
    posts, bare = [], []
    with httpx2.Client(base_url=running.api, headers={"Authorization": f"Bearer {running.key}"}) as client:
        for number in range(JOBS + 20):
            began = time.perf_counter()
            client.get("/livez")
            bare.append(time.perf_counter() - began)
            began = time.perf_counter()
            job = client.post("/v1/jobs", json=ECHO).raise_for_status().json()
            posted = time.perf_counter() - began
            seen = _watch(client, job["id"], began)
            if number >= 20:  # the first ones warm the connections up
                posts.append(posted)
                for name, values in arrivals.items():
                    values.append(seen[name])
    return {
        "jobs": JOBS,
        "GET /livez ms p50 (for comparison)": quantile(bare, 0.5) * 1000,
        "POST answered ms p50": quantile(posts, 0.5) * 1000,
        **{
            f"submit to {name} ms {label}": quantile(values, share) * 1000
            for name, values in arrivals.items()
            for label, share in (("p50", 0.5), ("p99", 0.99))
        },
    }


def _watch(client: httpx2.Client, job_id: str, began: float) -> dict[str, float]:
    seen = {}
    with client.stream("GET", f"/v1/jobs/{job_id}/events") as response:
        for line in response.iter_lines():
            if line.startswith("event: "):
                seen[line.removeprefix("event: ")] = time.perf_counter() - began
    return seen
