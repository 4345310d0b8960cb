"""`millrace queues`, `pause` and `resume`: what there is to do, and letting nothing new start."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import click
from rich.console import Console

from api.cli import tables
from api.cli.overview import at
from api.cli.progress import printable
from api.cli.run import Run
from api.cli.tables import Cell, Column, lasting
from api.client import Load, Queue

UNSEEN = "The numbers are for keys with the scope operate:read."


@click.command()
@click.option("--by-priority", is_flag=True, help="A line for each priority of each queue.")
@click.option("--json", "as_json", is_flag=True, help="Print each queue's document on a line of its own.")
@click.pass_obj
def queues(run: Run, by_priority: bool, as_json: bool) -> None:
    """List all queues: what there is to do, how fast it comes and goes, and which are paused.

    Runnable steps may run now and do not yet; oldest is the age of the oldest of them. Later are those that wait for
    their time or their next attempt. In/s and out/s are of the last minute: steps that became runnable, and attempts
    that ended. Mean and p95 say how long an attempt takes, slots how many steps the queue's workers run at once.

    The numbers are the whole platform's; the key needs the scope `operate:read` to see them.

    \b
    Examples:
      millrace queues
      millrace queues --by-priority
    """
    with run.client() as client:
        found = client.queues()
    if as_json:
        for queue in found:
            click.echo(json.dumps(queue.raw))
        return
    (show_by_priority if by_priority else show)(run.out, found)
    if any(queue.load is None for queue in found):
        click.echo(UNSEEN, err=True)


@click.command()
@click.argument("queue", metavar="QUEUE")
@click.pass_obj
def pause(run: Run, queue: str) -> None:
    """Let nothing new start from QUEUE, for anybody.

    What runs goes on, and jobs are still accepted. The key needs the scope `operate`.

    \b
    Example:
      millrace pause images
    """
    with run.client() as client:
        done = client.pause(queue)
    since = f" since {at(done.paused_at).text}" if done.paused_at else ""
    click.echo(f"{printable(done.name)}  {_standing(done)}{since}")


@click.command()
@click.argument("queue", metavar="QUEUE")
@click.pass_obj
def resume(run: Run, queue: str) -> None:
    """Let QUEUE go on, the most urgent first.

    The key needs the scope `operate`.

    \b
    Example:
      millrace resume images
    """
    with run.client() as client:
        done = client.resume(queue)
    click.echo(f"{printable(done.name)}  {_standing(done)}")


COMMANDS = (queues, pause, resume)

NUMBERS = [
    Column(title=title, right=True)
    for title in ("runnable", "running", "later", "oldest", "in/s", "out/s", "mean", "p95")
]


def show(console: Console, found: Sequence[Queue]) -> None:
    """Print one line per queue; close together, so that it fits a terminal of 80 columns."""
    columns = [Column(title="queue"), *NUMBERS, Column(title="slots", right=True), Column(title="state", cut=True)]
    tables.show(console, columns, [_row(queue) for queue in found], gap=1)


def show_by_priority(console: Console, found: Sequence[Queue]) -> None:
    """Print one line per queue and priority."""
    columns = [Column(title="queue"), Column(title="priority"), *NUMBERS]
    tables.show(console, columns, [row for queue in found for row in _by_priority(queue)], gap=1)


def _standing(queue: Queue) -> str:
    return "paused" if queue.paused else "running"


def _row(queue: Queue) -> tuple[Cell, ...]:
    slots = "" if queue.slots is None else str(queue.slots)
    return Cell(text=printable(queue.name)), *_numbers(queue.load), Cell(text=slots), _state(queue)


def _state(queue: Queue) -> Cell:
    if queue.paused_at is None:
        return Cell(text=_standing(queue))
    age = lasting(max(0.0, (datetime.now(UTC) - queue.paused_at).total_seconds()), below=0)
    return Cell(text=f"paused {age}", plain=f"paused since {at(queue.paused_at).plain}", style="yellow")


def _by_priority(queue: Queue) -> Iterator[tuple[Cell, ...]]:
    for priority, load in queue.by_priority.items():
        yield Cell(text=printable(queue.name)), Cell(text=printable(priority)), *_numbers(load)


def _numbers(load: Load | None) -> Sequence[Cell]:
    """The cells under NUMBERS, empty where the key may not see them."""
    if load is None:
        return [Cell(text="")] * len(NUMBERS)
    service = load.service_seconds
    return [
        Cell(text=text)
        for text in (
            str(load.runnable),
            str(load.running),
            str(load.scheduled + load.retrying),
            _lasting(load.oldest_runnable_seconds),
            _rate(load.arrivals_per_second.one_minute),
            _rate(load.completions_per_second.one_minute),
            _lasting(service.mean if service else None),
            _lasting(service.p95 if service else None),
        )
    ]


def _lasting(seconds: float | None) -> str:
    return "" if seconds is None else lasting(seconds)


def _rate(per_second: float) -> str:
    return f"{per_second:.2f}" if per_second < 9.995 else f"{per_second:.0f}"
