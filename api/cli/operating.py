"""`millrace dead-letters`, `replay`, `queues`, `pause` and `resume`: for those who keep the work going."""

import json
from collections.abc import Sequence

import click

from api.cli import tables
from api.cli.overview import at
from api.cli.progress import printable
from api.cli.run import Run
from api.cli.tables import Cell, Column
from api.client import DeadLetters, Queue, Replayed

KIND = click.option("--kind", metavar="KIND", help="Only steps of this kind.")
FINGERPRINT = click.option("--fingerprint", metavar="HEX", help="Only those that failed for this reason.")


@click.command("dead-letters")
@KIND
@FINGERPRINT
@click.option("--json", "as_json", is_flag=True, help="Print each group's document on a line of its own.")
@click.pass_obj
def dead_letters(run: Run, kind: str | None, fingerprint: str | None, as_json: bool) -> None:
    """List your steps that failed for good, by reason.

    The largest groups come first; a fingerprint stands for a reason.

    \b
    Example:
      millrace dead-letters --kind http.call
    """
    with run.client() as client:
        found = client.dead_letters(kind=kind, fingerprint=fingerprint, limit=100)
    if as_json:
        for group in found:
            click.echo(json.dumps(group.raw))
    elif found:
        _show_letters(run, found)
    else:
        click.echo("There are no such dead letters." if kind or fingerprint else "There are no dead letters.", err=True)


@click.command()
@KIND
@FINGERPRINT
@click.option("--code", metavar="CODE", help="Only those with this error code.")
@click.option("--all", "everything", is_flag=True, help="All dead letters, whatever they failed for.")
@click.option(
    "--percent", type=click.FloatRange(0, 100, min_open=True), default=100.0, help="A share of them, as a canary."
)
@click.option("--limit", type=click.IntRange(1, 1000), default=1000, show_default=True, help="At most so many jobs.")
@click.pass_obj
def replay(
    run: Run,
    kind: str | None,
    fingerprint: str | None,
    code: str | None,
    everything: bool,
    percent: float,
    limit: int,
) -> None:
    """Run jobs with matching dead letters again.

    These are the jobs with a failed step that fits everything given; only what did not succeed runs again, and nothing
    is asked before. Prints the jobs that run again, and says how many matched.

    \b
    Examples:
      millrace replay --fingerprint 3f2a90c41b7d --percent 5
      millrace replay --kind http.call --code call_refused
    """
    chosen = bool(kind or fingerprint or code)
    if chosen == everything:
        raise click.UsageError("Give --kind, --fingerprint or --code, or else --all for every dead letter.")
    with run.client() as client:
        done = client.replay(kind=kind, fingerprint=fingerprint, code=code, percent=percent, limit=limit)
    for job_id in done.jobs:
        click.echo(job_id)
    click.echo(_said(done), err=True)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print each queue's document on a line of its own.")
@click.pass_obj
def queues(run: Run, as_json: bool) -> None:
    """List all queues, and which of them are paused.

    \b
    Example:
      millrace queues
    """
    with run.client() as client:
        found = client.queues()
    if as_json:
        for queue in found:
            click.echo(json.dumps(queue.raw))
        return
    columns = [Column(title="queue"), Column(title="state"), Column(title="since")]
    tables.show(run.out, columns, [_row(queue) for queue in found])


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


COMMANDS = (dead_letters, replay, queues, pause, resume)


def _show_letters(run: Run, found: Sequence[DeadLetters]) -> None:
    columns = [
        Column(title="fingerprint"),
        Column(title="kind"),
        Column(title="code"),
        Column(title="steps", right=True),
        Column(title="newest"),
        Column(title="of job"),
        Column(title="for example", cut=True),
    ]
    rows = [
        (
            *(Cell(text=printable(word)) for word in (group.fingerprint, group.kind, group.code)),
            Cell(text=str(group.count)),
            at(group.newest),
            Cell(text=printable(group.newest_job)),
            Cell(text=printable(group.message)),
        )
        for group in found
    ]
    tables.show(run.out, columns, rows)


def _said(done: Replayed) -> str:
    match = "1 job matches" if done.matching == 1 else f"{done.matching} jobs match"
    if not done.matching:
        return f"{match}."
    skipped = f", {done.skipped} could not: another job has their unique key, or they run already"
    return f"{match}; {len(done.jobs)} run again{skipped if done.skipped else ''}."


def _standing(queue: Queue) -> str:
    return "paused" if queue.paused else "running"


def _row(queue: Queue) -> tuple[Cell, ...]:
    since = at(queue.paused_at) if queue.paused_at else Cell(text="")
    style = "yellow" if queue.paused else ""
    return Cell(text=printable(queue.name)), Cell(text=_standing(queue), style=style), since
