"""`make bench-profile`: where the time goes while jobs are submitted and worked on, by process and by statement.

py-spy samples the API, the scheduler and a worker process a hundred times a second; PostgreSQL counts its statements.
Needs the right to trace processes: root, or `kernel.yama.ptrace_scope` 0.
"""

import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
import psutil

from tests.bench import servers
from tests.bench.client import Orders, send
from tests.bench.turn import Turn, millrace

SPY = Path(sys.executable).parent / "py-spy"
CLIENTS = 16
TOP = 25

_STATEMENTS = """
SELECT calls, round((total_exec_time + total_plan_time)::numeric), round(mean_exec_time::numeric, 3), plans,
       round(mean_plan_time::numeric, 3), rows, wal_bytes::bigint,
       regexp_replace(query, '\\s+', ' ', 'g')
FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
WHERE d.datname = current_database() AND query NOT ILIKE '%%pg_stat_statements%%' ORDER BY 2 DESC LIMIT 20
"""


@click.command()
@click.option("--jobs", default=3000, show_default=True)
@click.option("--load", type=click.Choice(["whole", "drain"]), default="whole", show_default=True)
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), default=Path(tempfile.gettempdir()))
def profile(jobs: int, load: str, folder: Path) -> None:
    """Profile JOBS echo jobs, submitted over HTTP meanwhile (whole) or waiting already (drain).

    Prints the top of each and keeps the stacks, a line each, in FOLDER: as flame graphs read them.
    """
    with (
        tempfile.TemporaryDirectory() as own,
        servers.started(Path(own), "redis", statements=True) as started,
        millrace(started) as turn,
    ):
        turn.rows("CREATE EXTENSION pg_stat_statements")
        turn.fill(200)
        turn.ended(200)
        if load == "drain":
            turn.pause()
            turn.fill(jobs)
        turn.rows("SELECT pg_stat_statements_reset()")
        files = {name: folder / f"millrace-{load}-{name}.txt" for name in _processes(turn)}
        before, began = turn.cpu(), time.monotonic()
        with _spied(_processes(turn), files):
            if load == "drain":
                turn.pause(paused=False)
            else:
                send(Orders(url=turn.running.api, requests=[turn.request()], count=jobs, clients=CLIENTS))
            turn.ended(200 + jobs)
        seconds, after = time.monotonic() - began, turn.cpu()
        print(f"{load}: {jobs} jobs in {seconds:.1f} s; CPU ms per job, py-spy's part included in nobody's:")
        print("  " + "  ".join(f"{name} {1000 * (after[name] - before[name]) / jobs:.2f}" for name in before))
        for name, file in files.items():
            _print_stacks(name, file)
        _print_statements(turn)


def _processes(turn: Turn) -> Mapping[str, int]:
    """The API, the scheduler, and a process of the worker's pool, or the worker itself where it has none."""
    worker = next(pid for name, pid in turn.running.processes.items() if name.startswith("worker-"))
    children = psutil.Process(worker).children()
    inside = children[0].pid if children else worker
    return {"api": turn.running.processes["api"], "scheduler": turn.running.processes["scheduler"], "worker": inside}


@contextmanager
def _spied(pids: Mapping[str, int], files: Mapping[str, Path]) -> Iterator[None]:
    spies = [
        subprocess.Popen(
            [SPY, "record", "-r", "100", "-f", "raw", "-o", files[name], "-p", str(pid), "-d", "600", "--nonblocking"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for name, pid in pids.items()
    ]
    try:
        yield
    finally:
        for spy in spies:
            spy.send_signal(2)  # it writes what it has
        for spy in spies:
            spy.wait(60)


def _print_stacks(name: str, file: Path) -> None:
    """The functions in which, and those below which, most samples were taken: per cent of the samples at work."""
    if not file.exists():
        print(f"\n{name}: py-spy may not look at it here")
        return
    own: Counter[str] = Counter()
    below: Counter[str] = Counter()
    for line in file.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        own[frames[-1]] += int(count)
        for frame in dict.fromkeys(frames):
            below[frame] += int(count)
    total = max(1, own.total())
    print(f"\n{name}: {total} samples at work; {file}")
    for frame in [frame for frame, count in below.items() if count > 0.9 * total]:
        del below[frame]  # how the process was started tells nothing
    for title, found in (("in", own), ("in and below", below)):
        print(f"  {title}")
        for frame, samples in found.most_common(TOP):
            print(f"    {100 * samples / total:5.1f} %  {frame}")


def _print_statements(turn: Turn) -> None:
    """What each statement took, its planning included; one that is planned at each call keeps no plan."""
    titles = ("calls", "ms", "ms each", "plans", "ms each", "rows", "WAL bytes")
    print("\ndatabase\n" + " ".join(f"{title:>9}" for title in titles) + "  statement")
    rows: Sequence[tuple[object, ...]] = turn.rows(_STATEMENTS)
    for *figures, query in rows:
        print(" ".join(f"{figure!s:>9}" for figure in figures) + f"  {str(query)[:150]}")


if __name__ == "__main__":
    profile(prog_name="python -m tests.bench.profile")
