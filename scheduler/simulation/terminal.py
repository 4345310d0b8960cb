"""What the command does once its options are read: progress on stderr, the table on stdout, files in the report."""

from datetime import datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from scheduler.pools import Pool
from scheduler.simulation import plots, report
from scheduler.simulation import trace as traces
from scheduler.simulation.errors import InvalidTrace
from scheduler.simulation.study import bounds_of, compare, runner
from scheduler.simulation.trace import Trace
from scheduler.simulation.world import World


def run(
    file: Path,
    pool: Pool | None,
    *,
    service: float,
    service_spread: float,
    startup: float,
    startup_jitter: float,
    slots: int | None,
    target: float,
    least: int | None,
    most: int | None,
    scale: float,
    since: str | None,
    until: str | None,
    days: float | None,
    seed: int,
    report_to: Path | None,
) -> None:
    """Read, compare, tell. Raises InvalidTrace, InvalidWorld."""
    world = World(
        slots=slots or (pool.slots if pool else 2),
        service=service,
        spread=service_spread,
        startup=startup,
        jitter=startup_jitter,
        target=target,
        seed=seed,
    )
    trace = traces.scaled(_cut(traces.read(file), since, until, days), scale)
    bounds, line = bounds_of(trace, world, pool, least, most)
    out, err = Console(), Console(stderr=True)
    if line:
        err.print(line)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TextColumn("{task.completed:.0f} runs"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task("starting", total=None)
        with runner(trace, world, lambda _: progress.advance(task)) as runs:
            study = compare(trace, world, pool, bounds, runs, lambda words: progress.update(task, description=words))
    for table in report.tables(study):
        out.print(table)
        out.print()
    for remark in report.remarks(study):
        out.print(f"  {remark}", highlight=False)
    if report_to:
        report.write(study, report_to)
        plots.write(study, report_to)


def _cut(trace: Trace, since: str | None, until: str | None, days: float | None) -> Trace:
    begins = _moment("--from", since) if since else None
    ends = _moment("--until", until) if until else None
    if days is not None:
        ends = (max(begins, trace.origin) if begins else trace.origin) + timedelta(days=days)
    return traces.cut(trace, begins, ends) if begins or ends else trace


def _moment(option: str, text: str) -> datetime:
    try:
        return traces.moment(text)
    except ValueError:
        raise InvalidTrace(f"{option}: {text!r} is no timestamp (ISO 8601 or Unix seconds)") from None
