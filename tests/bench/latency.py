"""(c) An idle platform: from sending a job until it runs, is done, and its client knows of it; one after the other."""

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import httpx2
import psycopg

from deploy.local.stack import Running
from tests.bench.options import Options
from tests.bench.rounds import Figures, quantiles, summary, take_turns
from tests.bench.servers import Servers
from tests.bench.turn import BODY, millrace

WARM = 20
QUIET_SECONDS = 0.1  # what follows a job's end is not the next one's burden

_TIMES = """
SELECT j.id, extract(epoch FROM j.created_at)::float, extract(epoch FROM a.started_at)::float,
       extract(epoch FROM j.finished_at)::float
FROM jobs j JOIN steps s ON s.job_id = j.id JOIN attempts a ON a.step_id = s.id
WHERE j.id = ANY(%s) AND j.finished_at IS NOT NULL
"""


def measure(servers: Servers, options: Options) -> dict[str, Any]:
    """Milliseconds from the start of the POST, by the clock of the machine and by the rows' times; CPU ms is not told,
    since an idle platform's own would be most of it.
    """
    return summary(take_turns({"millrace": partial(_millrace, servers, options)}, options.rounds), {})


def _millrace(servers: Servers, options: Options) -> Figures:
    with millrace(servers) as turn:
        return of_running(turn.running, options.idle)


def of_running(running: Running, jobs: int) -> Figures:
    """The figures of so many jobs, each sent when the one before has ended and all is quiet again.

    Of every second one the client waits for the events, which is work for the API while the job is begun.
    """
    began: dict[bool, dict[str, float]] = {False: {}, True: {}}  # by whether it is watched
    posted: list[float] = []
    arrived: dict[str, list[float]] = {"job.running": [], "job.succeeded": []}
    headers = {"Authorization": f"Bearer {running.key}", "Content-Type": "application/json"}
    with (
        httpx2.Client(base_url=running.api, headers=headers) as http,
        closing(HTTPConnection(urlsplit(running.api).netloc)) as lean,  # httpx would add a millisecond
    ):
        for number in range(WARM + jobs):
            start, watched = time.time(), number % 2 == 1
            lean.request("POST", "/v1/jobs", BODY, headers)
            answer = lean.getresponse()
            answered = time.time() - start
            job = json.loads(answer.read())["id"]
            told = _told(http, job, start) if watched else {}
            if number >= WARM:
                began[watched][job] = start
                posted.append(1000 * answered)
                for name, seconds in told.items():
                    arrived.get(name, []).append(1000 * seconds)
            time.sleep(QUIET_SECONDS)
    with psycopg.connect(running.urls["database"]) as connection:
        alone, watched_ones = (_rows(connection, some) for some in began.values())
    return {
        **quantiles(posted, "POST answered"),
        **_quantiles(alone, ""),
        **quantiles([1000 * (running - made) for _, made, running, _ in alone], "row to running"),
        **quantiles([1000 * (done - running) for _, _, running, done in alone], "running to done"),
        **_quantiles(watched_ones, "watched: "),
        **quantiles(arrived["job.running"], "submit to event running"),
        **quantiles(arrived["job.succeeded"], "submit to event succeeded"),
    }


def _rows(connection: "psycopg.Connection[Any]", began: Mapping[str, float]) -> list[Sequence[float]]:
    """When each of these jobs was sent, stood, ran and was done."""
    rows: list[Sequence[float]] = [(began[job], *times) for job, *times in connection.execute(_TIMES, [list(began)])]
    assert len(rows) == len(began), "a job has not ended"
    return rows


def _quantiles(rows: Sequence[Sequence[float]], whose: str) -> Figures:
    return {
        **quantiles([1000 * (running - start) for start, _, running, _ in rows], f"{whose}submit to running"),
        **quantiles([1000 * (done - start) for start, _, _, done in rows], f"{whose}submit to done"),
    }


def _told(client: httpx2.Client, job: str, start: float) -> dict[str, float]:
    seen = {}
    with client.stream("GET", f"/v1/jobs/{job}/events") as response:
        for line in response.iter_lines():
            if line.startswith("event: "):
                seen[line.removeprefix("event: ")] = time.time() - start
    return seen
