"""`millrace batch`: many jobs at once from a file of JSON lines, and `millrace batches`: how they go on."""

import json
import sys
from collections.abc import Sequence
from typing import BinaryIO

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from api.cli import tables
from api.cli.overview import at
from api.cli.progress import printable
from api.cli.run import Run
from api.cli.tables import Cell, Column
from api.client import Batch, LineError, Millrace

INTERRUPTED = 130  # as shells say of a program that Ctrl-C ended
LOOK_SECONDS = 1.0  # between two looks at a batch that is watched
SHOWN_ERRORS = 20
_OUTCOMES = ("succeeded", "failed", "canceled", "expired")


@click.command()
@click.argument("file", metavar="FILE", type=click.File("rb"))
@click.option("--name", metavar="NAME", help="What the batch is called.")
@click.option("--template", metavar="NAME", help="What is done for every line that says nothing else.")
@click.option("--atomic", is_flag=True, help="Accept all of the jobs, or none.")
@click.option("--watch", is_flag=True, help="Stay until all jobs have ended, and show how far they are.")
@click.option("--json", "as_json", is_flag=True, help="Print the batch's document.")
@click.pass_obj
def batch(
    run: Run, file: BinaryIO, name: str | None, template: str | None, atomic: bool, watch: bool, as_json: bool
) -> None:
    """Submit many jobs at once: FILE has a job's document on each line; - reads them here.

    Exit status 0 when every line was accepted, and with --watch every job has succeeded; 1 when not; 2 for a wrong
    command line.

    \b
    Examples:
      millrace batch jobs.ndjson --watch
      jq -c '{input: {url: .photo}}' catalogue.ndjson | millrace batch - --template thumbnails
    """
    with run.client() as client:
        made = client.batches.submit_lines(file.read(), name=name, template=template, atomic=atomic)
        _tell_errors(made)
        if not as_json:
            click.echo(f"{made.id}  {_said(made, ('accepted', 'existing', 'refused'))}")
        is_well = not made.counts["refused"]
        if watch:
            made = _watch(run.err, client, made)
            is_well = is_well and not any(made.counts[outcome] for outcome in _OUTCOMES[1:])
            if not as_json:
                click.echo(f"{made.id}  {_said(made, _OUTCOMES)}")
    if as_json:
        click.echo(json.dumps(made.raw))
    sys.exit(0 if is_well else 1)


@click.group(invoke_without_command=True)
@click.pass_context
def batches(context: click.Context) -> None:
    """Batches of jobs, as `millrace batch` sends them. Without a command: list the newest.

    \b
    Example:
      millrace batches show bat_01k3x2v9r8e6t9c8m1n4p7q2sd
    """
    if context.invoked_subcommand is None:
        context.invoke(list_all)


@batches.command("list")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print each one's document on a line of its own.")
@click.pass_obj
def list_all(run: Run, limit: int, as_json: bool) -> None:
    """List your batches, newest first.

    \b
    Example:
      millrace batches list --limit 5
    """
    with run.client() as client:
        found = list(client.batches.all(limit))
    if as_json:
        for one in found:
            click.echo(json.dumps(one.raw))
    elif found:
        _show(run.out, found)
    else:
        click.echo("There are no batches.", err=True)


@batches.command()
@click.argument("batch_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print the batch's document.")
@click.pass_obj
def show(run: Run, batch_id: str, as_json: bool) -> None:
    """Show how far a batch is, and all lines that became no jobs.

    \b
    Example:
      millrace batches show bat_01k3x2v9r8e6t9c8m1n4p7q2sd
    """
    with run.client() as client:
        found = client.batches.get(batch_id)
        if as_json:
            click.echo(json.dumps(found.raw))
            return
        _show(run.out, [found])
        for error in client.batches.errors(batch_id):
            click.echo(_line(error))


@batches.command()
@click.argument("batch_id", metavar="ID")
@click.pass_obj
def cancel(run: Run, batch_id: str) -> None:
    """Cancel all jobs of a batch that have not ended.

    \b
    Example:
      millrace batches cancel bat_01k3x2v9r8e6t9c8m1n4p7q2sd
    """
    with run.client() as client:
        click.echo(f"{batch_id}  {client.batches.cancel(batch_id).state}")


COMMANDS = (batch, batches)


def _watch(console: Console, client: Millrace, made: Batch) -> Batch:
    """The batch once it is finished; on a terminal a bar shows how far it is. Ctrl-C leaves it to the platform."""
    told = TextColumn("{task.percentage:>3.0f} %  {task.fields[said]}")
    try:
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            told,
            console=console,
            transient=True,
            disable=not console.is_terminal,
        ) as progress:
            bar = progress.add_task((made.name and printable(made.name)) or made.id, total=1.0, said="")
            while not made.finished:
                made = client.batches.get(made.id, wait=LOOK_SECONDS)
                progress.update(bar, completed=made.progress, said=_said(made, ("running", *_OUTCOMES)))
    except KeyboardInterrupt:
        click.echo(f"\nThe work goes on without you. To look again:\n  millrace batches show {made.id}", err=True)
        sys.exit(INTERRUPTED)
    return made


def _tell_errors(made: Batch) -> None:
    for error in made.errors[:SHOWN_ERRORS]:
        click.echo(_line(error), err=True)
    if (more := made.counts["refused"] + made.counts["existing"] - SHOWN_ERRORS) > 0:
        click.echo(f"… and {more} more lines: millrace batches show {made.id}", err=True)


def _line(error: LineError) -> str:
    why = "; ".join(f"{pointer or '/'}: {detail}" for pointer, detail in error.errors) or error.detail
    return printable(f"line {error.line}: {why} ({error.code})")


def _said(one: Batch, names: Sequence[str]) -> str:
    return ", ".join(f"{one.counts[name]} {name}" for name in names if one.counts[name]) or "no jobs"


def _show(console: Console, found: Sequence[Batch]) -> None:
    columns = [
        Column(title="batch"),
        Column(title="state"),
        Column(title="ended", right=True),
        Column(title="jobs", right=True),
        Column(title="failed", right=True),
        Column(title="refused", right=True),
        Column(title="created"),
        Column(title="name", cut=True, most=30),
    ]
    rows = [
        (
            Cell(text=one.id),
            Cell(text=one.state),
            Cell(text=f"{one.progress:.0%}"),
            Cell(text=str(one.counts["accepted"])),
            Cell(text=str(one.counts["failed"])),
            Cell(text=str(one.counts["refused"])),
            at(one.created_at),
            Cell(text=printable(one.name)),
        )
        for one in found
    ]
    tables.show(console, columns, rows)
