"""What firing costs: 100,000 schedules of which 1,000 are due each second.

`python -m tests.bench.schedules` runs one firing loop in a process of its own against a fresh database, and reads how
late each firing was, the CPU time of the loop and of the database, and how many statements there were per firing.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import click
import psutil
from sqlalchemy import event
from sqlalchemy.engine import Engine

from deploy.local.servers import embedded_servers
from scheduler.fire import fire
from storage.database import Database, PlatformTx
from storage.migrate import upgrade
from storage.settings import from_env
from storage.tenants import ensure

TENANTS = 100

_FILL = """
INSERT INTO schedules (tenant_id, id, document, starts, next_at, due_at)
SELECT (%(tenants)s::text[])[1 + n %% cardinality(%(tenants)s::text[])],
       'sch_' || lpad(n::text, 26, '0'),
       jsonb_build_object(
         'name', NULL, 'cron', NULL, 'every', %(every)s::int, 'anchor', to_jsonb(at), 'at', NULL, 'timezone', 'UTC',
         'job', %(job)s::jsonb, 'jitter_seconds', 0, 'start_at', NULL, 'end_at', NULL, 'exclude', '[]'::jsonb,
         'overlap', %(overlap)s::text, 'catch_up', 'all', 'catch_up_seconds', 86400, 'pause_on_failure', false,
         'max_runs', NULL),
       '{"default": 1}', at, at
FROM generate_series(0, %(count)s::int - 1) AS n,
     LATERAL (SELECT date_trunc('second', now()) + make_interval(secs => 15 + n %% %(every)s::int)) AS moment (at)
"""

_LATE = """
SELECT count(*) AS firings, count(DISTINCT nominal_at) AS seconds,
       percentile_cont(ARRAY[0.5, 0.99, 1]) WITHIN GROUP (ORDER BY extract(epoch FROM fired_at - nominal_at)) AS late
FROM firings WHERE fired_at >= %(began)s AND nominal_at >= %(began)s
"""


@click.group()
def main() -> None:
    """Measure the firing loop."""


@main.command()
@click.option("--schedules", "count", default=100_000, show_default=True)
@click.option("--due", default=1000, show_default=True, help="Firings a second.")
@click.option("--seconds", default=60, show_default=True)
@click.option("--overlap", default="skip", show_default=True)
@click.option("--durable/--not-durable", default=False, help="Whether the database waits for its disk.")
def load(count: int, due: int, seconds: int, overlap: str, durable: bool) -> None:
    """One loop for so long over that many schedules."""
    with tempfile.TemporaryDirectory() as name, embedded_servers(Path(name), durable=durable) as urls:
        settings = from_env(urls.env)
        upgrade(settings.direct_url)
        database = Database(settings)
        with database.platform() as tx:
            _fill(tx, count, count // due, overlap)
        with database.platform_read() as tx:
            tx.sql("VACUUM ANALYZE schedules")
        words = [sys.executable, "-m", "tests.bench.schedules", "loop"]
        began = time.monotonic()
        loop = subprocess.Popen(words, env={**os.environ, **urls.env}, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        time.sleep(18)  # the first were due, and it has come into its stride
        with database.platform_read() as tx:
            start = tx.sql("SELECT clock_timestamp()").scalar_one()
        before = _cpu(loop.pid)
        time.sleep(seconds)
        after = _cpu(loop.pid)
        with database.platform_read() as tx:
            row = tx.sql(_LATE, began=start).one()
            jobs = tx.sql("SELECT count(*) FROM jobs").scalar_one()
            overdue = tx.sql(
                "SELECT count(*) FROM schedules WHERE due_at < clock_timestamp() - interval '1 s'"
            ).scalar_one()
        told, _ = loop.communicate(b"\n")
        database.close()
    statements, fired = (int(word) for word in told.split())
    used = {part: after[part] - before[part] for part in after}
    print(f"{count:,} schedules, {due:,} due a second, {time.monotonic() - began:.0f} s in all")
    print(f"  {row.firings / seconds:,.0f} firings a second, {jobs:,} jobs, {overdue} overdue by over 1 s at the end")
    print("  late: p50 {:.3f} s, p99 {:.3f} s, longest {:.3f} s".format(*row.late))
    for part, cpu in used.items():
        print(f"  CPU of the {part:<9} {cpu / seconds:6.1%} of a core, {cpu / row.firings * 1e6:,.0f} µs a firing")
    print(f"  {statements / max(fired, 1):.3f} statements a firing")


@main.command()
def loop() -> None:
    """The measured process: fires until its standard input ends, then tells its statements and its firings."""
    stop, statements, fired = threading.Event(), 0, 0
    database = Database(from_env(os.environ))

    def count_statement(*_: object) -> None:
        nonlocal statements
        statements += 1

    def count_firings(done: object) -> None:
        nonlocal fired
        fired += len(done.firings)  # type: ignore[attr-defined]

    event.listen(Engine, "before_cursor_execute", count_statement)
    running = threading.Thread(target=fire, args=(database, stop), kwargs={"tell": count_firings})
    running.start()
    sys.stdin.buffer.read()
    stop.set()
    running.join()
    print(statements, fired)


def _fill(tx: PlatformTx, count: int, every: int, overlap: str) -> None:
    tenants = [ensure(tx, f"tenant{number}") for number in range(TENANTS)]
    job = '{"steps": {"say": {"kind": "echo", "message": "{{schedule.fire_time}}"}}}'
    tx.sql(_FILL, tenants=tenants, every=every, count=count, job=job, overlap=overlap)


def _cpu(pid: int) -> dict[str, float]:
    """CPU seconds so far of the loop's process, and of all processes of the database."""
    servers = [one for one in psutil.process_iter(["name"]) if one.info["name"] == "postgres"]
    return {"loop": _seconds(psutil.Process(pid)), "database": sum(map(_seconds, servers))}


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


if __name__ == "__main__":
    main(prog_name="python -m tests.bench.schedules")
