"""`millrace dead-letters` and `replay`: what failed for good, and doing it again."""

import json
from collections.abc import Sequence

import click

from api.cli import tables
from api.cli.overview import at
from api.cli.progress import printable
from api.cli.run import Run
from api.cli.tables import Cell, Column
from api.client import DeadLetters, Replayed

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


COMMANDS = (dead_letters, replay)


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
