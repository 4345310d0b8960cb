"""What an operator's pages ask of the API, each with every filter: milliseconds, median and worst of a few."""

import statistics
import time
from datetime import UTC, datetime, timedelta

import httpx2

from tests.bench.depth.fill import BATCH

TIMES = 8
STATES = ("scheduled", "queued", "running", "succeeded", "failed", "canceled", "expired")


def measure(client: httpx2.Client) -> dict[str, float]:
    """By what is asked; a time is six hours ago."""
    figures = {}
    for name, path in _asked().items():
        took = [_ask(client, path) for _ in range(TIMES)]
        figures[f"ms, median: {name}"] = statistics.median(took)
        figures[f"ms, worst:  {name}"] = max(took)
    return figures


def _asked() -> dict[str, str]:
    then = datetime.now(UTC) - timedelta(hours=6)
    times = {"before": _time(then), "second": f"{_time(then)}&created_before={_time(then + timedelta(seconds=1))}"}
    lists = {
        "": "",
        **{f"state={state}": f"state={state}" for state in STATES},
        "kind=echo": "kind=echo",
        "kind=image.analyze": "kind=image.analyze",
        "batch": f"batch={BATCH}",
        "created_before": f"created_before={times['before']}",
        "a second": f"created_after={times['second']}",
        "a second, failed": f"state=failed&created_after={times['second']}",
    }
    others = ("/v1/queues", "/metrics", "/v1/overview", "/v1/dead-letters")
    return {f"/v1/jobs {name}": f"/v1/jobs?{words}" for name, words in lists.items()} | {one: one for one in others}


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _ask(client: httpx2.Client, path: str) -> float:
    began = time.perf_counter()
    client.get(path).raise_for_status()
    return 1000 * (time.perf_counter() - began)
