"""A pool that has no worker gets as many as its work needs, and gives them back."""

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest

from deploy.local.settings import from_env
from deploy.local.stack import Running, running_platform
from scheduler import notes
from scheduler.pools import FOLDER
from tests import pools
from tests.waiting import until

JOBS = 60
ECHO = {"steps": {"say": {"kind": "echo", "sleep_seconds": 0.3}}}
SPEC = {"minReplicaCount": 0, "maxReplicaCount": 3, "pollingInterval": 1, "cooldownPeriod": 2}


@pytest.fixture
def elastic(tmp_path: Path) -> Iterator[Running]:
    (tmp_path / "pools").mkdir()
    pools.write(tmp_path / "pools" / "default.yaml", FOLDER / "default.yaml", **SPEC)
    env = {**os.environ, "POOLS_DIR": str(tmp_path / "pools")}
    with running_platform(tmp_path / "home", settings=from_env(env), say=lambda _: None) as running:
        yield running


def test_workers_come_with_the_work_and_go_with_it(elastic: Running, tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {elastic.key}"}
    with httpx2.Client(base_url=elastic.api, headers=headers, timeout=30) as http:
        with psycopg.connect(elastic.urls["database"]) as connection:  # the platform has a job once an hour
            connection.execute("UPDATE schedules SET paused_at = now(), due_at = NULL")
        until(lambda: pool(http)["replicas"] == 0)
        before = len(decisions(http))
        with ThreadPoolExecutor(8) as threads:
            sent = list(threads.map(lambda _: http.post("/v1/jobs", json=ECHO).status_code, range(JOBS)))
        assert sent == [202] * JOBS
        until(lambda: len(notes.read(tmp_path / "home" / "workers")) >= 2, seconds=20)
        until(lambda: queue(http)["load"]["completions_per_second"]["1m"] > 0.9 * JOBS / 60, seconds=30)
        until(lambda: pool(http)["replicas"] == 0 and not notes.read(tmp_path / "home" / "workers"), seconds=30)
        found = decisions(http)[::-1][before:]
    ways = [one["wanted"] > one["replicas"] for one in found]
    assert (ways[0], ways[-1]) == (True, False)
    assert sum(one != other for one, other in pairwise(ways)) == 1, "one change of direction"
    assert "runnable at" in found[0]["reason"]
    with psycopg.connect(elastic.urls["database"]) as connection:
        # It may have run before it was paused.
        asked = "SELECT outcome FROM attempts JOIN steps s ON s.id = step_id WHERE s.kind NOT LIKE 'platform.%'"
        outcomes = Counter(row[0] for row in connection.execute(asked))
    assert outcomes == {"succeeded": JOBS}


def pool(http: httpx2.Client) -> dict[str, Any]:
    found: dict[str, Any] = until(
        lambda: answer.json() if (answer := http.get("/v1/pools/default")).is_success else None
    )
    return found


def decisions(http: httpx2.Client) -> list[dict[str, Any]]:
    """What was decided, the newest first."""
    found: list[dict[str, Any]] = http.get("/v1/pools/default/decisions").raise_for_status().json()["data"]
    return found


def queue(http: httpx2.Client) -> dict[str, Any]:
    found: dict[str, Any] = http.get("/v1/queues/default").raise_for_status().json()
    return found
