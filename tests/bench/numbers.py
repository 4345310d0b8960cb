"""`python -m tests.bench.numbers`: what it costs to ask for the numbers of all queues, however many rows there are."""

import statistics
import tempfile
import time
from pathlib import Path

import click

from deploy.local.servers import embedded_servers
from scheduler.count import fold_all
from storage import counts, journal
from storage.database import Database
from storage.migrate import upgrade
from storage.model import TenantId
from storage.settings import DatabaseSettings
from storage.tenants import ensure

QUEUES = ("images", "ai", "calls", "default")
LOOKS = 100

_JOBS = """
INSERT INTO jobs (tenant_id, id, state, priority, metadata, steps_total, steps_open)
SELECT %(tenant)s, 'job_' || i, 'succeeded', 3, '{}', 1, 0 FROM generate_series(%(first)s, %(last)s) AS i
"""

_STEPS = """
INSERT INTO steps (tenant_id, id, job_id, position, name, kind, queue, priority, params, uses, waiting_on, state,
                   max_attempts, run_at, published_at)
SELECT %(tenant)s, 'stp_' || i, 'job_' || i, 0, 'a', 'echo', (%(queues)s::text[])[1 + i %% 4], i %% 3 * 3, '{}', '{}',
       0, %(state)s, 3, now() - make_interval(secs => i %% 1000),
       CASE WHEN %(state)s = 'queued' AND i %% 50 = 0 THEN now() END
FROM generate_series(%(first)s, %(last)s) AS i
"""

_AN_HOUR = """
WITH of_queues AS (SELECT queue, priority FROM unnest(%(queues)s::text[]) AS queue, unnest(ARRAY[0, 3, 6]) AS priority),
flow AS (
  INSERT INTO step_flow (queue, priority, at, arrived, ended)
  SELECT queue, priority, date_bin('5 s', now(), 'epoch') - make_interval(secs => 5 * i), 10, 10
  FROM of_queues, generate_series(1, 720) AS i ON CONFLICT DO NOTHING
)
INSERT INTO service_times (queue, priority, at, bucket, attempts, seconds, squares)
SELECT queue, priority, date_trunc('minute', now()) - make_interval(mins => i), bucket, 10, 10, 10
FROM of_queues, generate_series(1, 59) AS i, generate_series(40, 60) AS bucket ON CONFLICT DO NOTHING
"""


@click.command()
@click.option("--finished", default=1_000_000, show_default=True)
@click.option("--runnable", default=100_000, show_default=True)
def numbers(finished: int, runnable: int) -> None:
    """Fill a database of its own, and ask after each stage."""
    with tempfile.TemporaryDirectory() as folder, embedded_servers(Path(folder), ["postgres"]) as urls:
        assert urls.database is not None
        upgrade(urls.database)
        database = Database(DatabaseSettings(url=urls.database, direct_url=urls.database, pool_size=2))
        with database.platform() as tx:
            tenant = ensure(tx, "bench")
        _ask(database, "empty")
        _fill(database, tenant, 1, finished, "succeeded")
        _settle(database)
        _ask(database, f"{finished:,} finished")
        _fill(database, tenant, finished + 1, finished + runnable, "queued")
        _settle(database)
        _ask(database, f"{finished:,} finished, {runnable:,} runnable")
        with database.platform() as tx:
            tx.sql(_AN_HOUR, queues=list(QUEUES))
        _ask(database, "the same, after an hour of steps of all sorts")
        _fill(database, tenant, finished + runnable + 1, finished + runnable + 1500, "succeeded")
        _ask(database, "the same, and a second's changes not folded yet")
        database.close()


def _fill(database: Database, tenant: TenantId, first: int, last: int, state: str) -> None:
    with database.platform() as tx:
        tx.sql("SET LOCAL statement_timeout = 0")
        tx.sql(_JOBS, tenant=tenant, first=first, last=last)
        tx.sql(_STEPS, tenant=tenant, queues=list(QUEUES), state=state, first=first, last=last)
    with database.platform_read() as tx:
        tx.sql("VACUUM ANALYZE steps")


def _settle(database: Database) -> None:
    """Do what the counter's loop does."""
    fold_all(database)
    journal.vacuum(database)


def _ask(database: Database, words: str) -> None:
    took = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        with database.platform_snapshot() as tx:
            counts.read(tx, QUEUES)
        took.append(1000 * (time.perf_counter() - began))
    took.sort()
    print(f"{words:<60} median {statistics.median(took):5.1f} ms   p95 {took[int(0.95 * LOOKS)]:5.1f} ms")


if __name__ == "__main__":
    numbers(prog_name="python -m tests.bench.numbers")
