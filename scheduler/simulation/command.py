"""`python -m scheduler simulate`: the command line; what it needs beyond ours is imported when it runs."""

import importlib
from pathlib import Path
from typing import Any

import click

from scheduler import pools
from scheduler.errors import SchedulerError
from scheduler.pools import Pool
from scheduler.simulation.errors import UnknownPool
from tasks.flaws import nearest

EXAMPLE = """
Example:

\b
    python -m scheduler simulate monday.csv --pool images --service 2.0 --report out/
"""


@click.command(epilog=EXAMPLE)
@click.argument("trace", type=click.Path(path_type=Path))
@click.option("--pool", "name", help="Whose slots, bounds and behaviour are simulated; without one, a plain pool.")
@click.option("--service", type=float, default=2.0, show_default=True, help="Seconds that a job takes on average.")
@click.option(
    "--service-spread", type=float, default=1.0, show_default=True, help="Coefficient of variation; 0: all alike."
)
@click.option("--startup", type=float, default=10.0, show_default=True, help="Seconds until a replica is ready.")
@click.option("--startup-jitter", type=float, default=0.0, show_default=True, help="Part of that, more or less.")
@click.option("--slots", type=int, help="Jobs that a replica works on at a time; default: the pool's, or 2.")
@click.option("--target", type=float, default=30.0, show_default=True, help="Longest good wait in seconds.")
@click.option("--min", "least", type=int, default=0, show_default=True, help="Replicas at least, whatever the pool's.")
@click.option("--max", "most", type=int, help="Replicas at most; default: the pool's, or 10.")
@click.option("--scale", type=float, default=1.0, show_default=True, help="Multiplies the trace's values.")
@click.option("--from", "since", help="Leave out rows before this timestamp.")
@click.option("--until", help="Leave out rows from this timestamp on.")
@click.option("--days", type=float, help="Only so many days.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the dice.")
@click.option(
    "--report",
    "report_to",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for table, numbers and plots.",
)
def simulate(trace: Path, **options: Any) -> None:
    """Compare our triggers with KEDA's on a trace of arrivals.

    TRACE is a CSV file with the columns timestamp,value: how many jobs arrived in the step that begins there. A third
    column, scheduled, says how many of them a schedule fires, known in advance. The real policy code runs on a virtual
    clock against an exact model of the queue.
    """
    try:
        run = importlib.import_module("scheduler.simulation.terminal").run
    except ModuleNotFoundError as exc:
        if exc.name and exc.name.partition(".")[0] in {"numpy", "numba", "matplotlib"}:
            raise click.ClickException(f"{exc.name} is not installed: make .venv/.installed-dev") from exc
        raise
    try:
        run(trace, pool_named(options.pop("name")), **options)
    except SchedulerError as exc:
        raise click.ClickException(str(exc)) from exc


def pool_named(name: str | None) -> Pool | None:
    """Raises UnknownPool, InvalidPool."""
    if name is None:
        return None
    found = pools.load()
    if name not in found:
        raise UnknownPool(f"there is no pool {name!r}{nearest(name, found)}; there are: {', '.join(found)}")
    return found[name]


if __name__ == "__main__":
    simulate(prog_name="python -m scheduler simulate")
