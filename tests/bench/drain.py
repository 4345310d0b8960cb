"""(a) How fast a queue of waiting `echo` jobs is worked off, from its release to the last job's end."""

import time
from functools import partial
from typing import Any

import psycopg

from tests.bench.options import Options
from tests.bench.processes import family_seconds
from tests.bench.rivals import queue, table
from tests.bench.rounds import Figures, cpu_ms, quantiles, summary, take_turns
from tests.bench.servers import Servers, process
from tests.bench.turn import millrace
from tests.waiting import until

CELERY = ("celery", "-A", "tests.bench.rivals.queue", "worker", "-P", "prefork", "-c", "2", "-Q", queue.WARM_QUEUE)
PROCRASTINATE = ("procrastinate", "--app", "tests.bench.rivals.table.app")

_SECONDS = "SELECT extract(epoch FROM max(finished_at) - %(since)s)::float FROM jobs"
_ATTEMPTS = (
    "SELECT 1000 * extract(epoch FROM finished_at - started_at)::float FROM attempts WHERE started_at > %(since)s"
)
_PROCRASTINATE = """
SELECT count(*) FILTER (WHERE type = 'started'), count(*) FILTER (WHERE type = 'succeeded'),
       extract(epoch FROM max(at) - min(at) FILTER (WHERE type = 'started'))::float
FROM procrastinate_events WHERE type IN ('started', 'succeeded')
"""


def measure(servers: Servers, options: Options) -> dict[str, Any]:
    """Jobs per second and CPU ms per job, beside stock Celery on the same broker and procrastinate on the same
    PostgreSQL, each with two processes that work.
    """
    rivals = {"celery": partial(_celery, servers, options)}
    if servers.broker == "redis":  # it has no broker: once is enough
        rivals["procrastinate"] = partial(_procrastinate, servers, options)
    chosen = {name: run for name, run in rivals.items() if options.wants(name)}
    seen = take_turns({"millrace": partial(millrace_turn, servers, options), **chosen}, options.rounds)
    return summary(seen, {f"millrace / {name}": ("jobs/s", "millrace", name) for name in chosen})


def millrace_turn(servers: Servers, options: Options) -> Figures:
    """A turn of ours."""
    warm, jobs = options.warm, options.jobs
    with millrace(servers) as turn:
        turn.fill(warm)
        turn.ended(warm)
        turn.pause()
        turn.fill(jobs)
        _analyze(turn.database_url)
        before, since = turn.cpu(), turn.now()
        turn.pause(paused=False)
        turn.ended(warm + jobs)
        used = cpu_ms(before, turn.cpu(), jobs)
        turn.check(warm + jobs)
        [(seconds,)] = turn.rows(_SECONDS, since=since)
        attempts = [float(row[0]) for row in turn.rows(_ATTEMPTS, since=since)]
    return {"jobs/s": jobs / float(seconds), **quantiles(attempts, "attempt"), **used}


def _celery(servers: Servers, options: Options) -> Figures:
    """Its tasks wait in a queue that the worker is told to consume when the clock starts."""
    with servers.database(migrated=False), process(CELERY, servers.rival_env(), servers.log("celery")) as pid:
        url = servers.rival_broker_url
        until(partial(queue.is_ready, url), seconds=60)
        queue.publish(url, queue.WARM_QUEUE, options.warm)
        _until_none(servers.waiting(queue.WARM_QUEUE))
        queue.publish(url, "bench", options.jobs)
        left = servers.waiting("bench")
        before, began = {**servers.cpu(), "workers": family_seconds(pid)}, time.perf_counter()
        queue.consume(url, "bench")
        _until_none(left)
        seconds = time.perf_counter() - began
        used = cpu_ms(before, {**servers.cpu(), "workers": family_seconds(pid)}, options.jobs)
    return {"jobs/s": options.jobs / seconds, **used}


def _procrastinate(servers: Servers, options: Options) -> Figures:
    """Its workers cannot be told to wait: the clock starts with the first job that one of them begins."""
    with servers.database(migrated=False) as url:
        env = {"RIVAL_DATABASE_URL": url}
        with process((*PROCRASTINATE, "schema", "--apply"), env, servers.log("procrastinate"), ends=True):
            pass
        table.fill(url, options.jobs)
        _analyze(url)
        worker = (*PROCRASTINATE, "worker", "-q", "bench", "-c", "4")
        log = servers.log("procrastinate")
        with (
            process(worker, env, log) as one,
            process(worker, env, log) as two,
            psycopg.connect(url, autocommit=True) as connection,
        ):

            def cpu() -> dict[str, float]:
                return {**servers.cpu(), "workers": family_seconds(one) + family_seconds(two)}

            while not connection.execute("SELECT FROM procrastinate_events WHERE type = 'started' LIMIT 1").fetchall():
                time.sleep(0.01)
            before = cpu()
            while True:
                row = connection.execute(_PROCRASTINATE).fetchone()
                assert row is not None
                if row[1] >= options.jobs:
                    break
                time.sleep(0.25)
            used = cpu_ms(before, cpu(), options.jobs)
    return {"jobs/s": options.jobs / row[2], **used}


def _until_none(left: Any) -> None:
    deadline = time.monotonic() + 170
    while left():
        if time.monotonic() > deadline:
            raise TimeoutError("the rival's queue did not run empty in 170 s")
        time.sleep(0.02)


def _analyze(url: str) -> None:
    """What autovacuum does within a minute, so that no turn's luck decides when."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ANALYZE")
