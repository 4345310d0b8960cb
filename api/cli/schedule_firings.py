"""`millrace schedules trigger`, `backfill`, `runs` and `preview`: firings, asked for and told."""

import json
import sys
from typing import Any, BinaryIO, Literal

import click

from api.cli import schedule_sights, schedule_terms
from api.cli.run import Run
from api.cli.schedule_choice import EACH_JSON, JSON, WHICH, found, id_of
from api.client.schedules import OVERLAPS, Overlap

OUTCOMES = ("started", "buffered", "skipped", "missed", "failed")


@click.command()
@WHICH
@click.option("--overlap", type=click.Choice(OVERLAPS), help="Instead of the schedule's own rule.")
@JSON
@click.pass_obj
def trigger(run: Run, which: str, overlap: Overlap | None, as_json: bool) -> None:
    """Fire a schedule now.

    Exit status 0 when a job is started, or will be as soon as the one before has ended; 1 when not.

    \b
    Example:
      millrace schedules trigger nightly --overlap allow
    """
    with run.client() as client:
        fired = client.schedules.trigger(id_of(client, which), overlap=overlap)
    click.echo(json.dumps(fired.raw) if as_json else schedule_sights.outcome(fired))
    sys.exit(0 if fired.outcome in {"started", "buffered"} else 1)


@click.command()
@WHICH
@click.option("--from", "first", metavar="TIME", required=True, help="The first moment, in the schedule's zone.")
@click.option("--to", "last", metavar="TIME", required=True, help="The last moment, which is included.")
@click.option(
    "--overlap",
    type=click.Choice(("buffer_all", "allow")),
    default="buffer_all",
    show_default=True,
    help="All at once?",
)
@JSON
@click.pass_obj
def backfill(
    run: Run, which: str, first: str, last: str, overlap: Literal["buffer_all", "allow"], as_json: bool
) -> None:
    """Start a job for each nominal time of the past that has none.

    One after the other, oldest first; with --overlap allow all at once.

    \b
    Example:
      millrace schedules backfill nightly --from 2026-03-01T00:00:00 --to 2026-03-31T23:59:59
    """
    with run.client() as client:
        done = client.schedules.backfill(id_of(client, which), first, last, overlap=overlap)
    if as_json:
        click.echo(json.dumps(done.raw))
    else:
        times = "1 nominal time" if done.nominal_times == 1 else f"{done.nominal_times} nominal times"
        click.echo(f"{times}; {done.accepted} had no job and will be started.")


@click.command()
@WHICH
@click.option("--outcome", type=click.Choice(OUTCOMES), help="Only firings that ended like this.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many.")
@EACH_JSON
@click.pass_obj
def runs(run: Run, which: str, outcome: str | None, limit: int, as_json: bool) -> None:
    """List what became of a schedule's firings, the latest first.

    \b
    Example:
      millrace schedules runs nightly --outcome missed
    """
    with run.client() as client:
        listed = list(client.schedules.runs(id_of(client, which), outcome, limit))
    if as_json:
        for one in listed:
            click.echo(json.dumps(one.raw))
    elif listed:
        schedule_sights.show_runs(run.out, listed)
    else:
        click.echo("There are no such runs." if outcome else "It has not fired yet.", err=True)


@click.command()
@click.argument("which", metavar="[SCHEDULE]", required=False)
@schedule_terms.when
@click.option("--count", type=click.IntRange(1, 100), default=5, show_default=True, help="How many firings.")
@click.option("--after", metavar="TIME", help="Only firings after this time (default: now).")
@JSON
@click.pass_obj
def preview(
    run: Run, /, which: str | None, file: BinaryIO | None, count: int, after: str | None, as_json: bool, **given: Any
) -> None:
    """Tell when a schedule fires, or would, in words and by the clock.

    \b
    Examples:
      millrace schedules preview --cron '30 2 * * *' --timezone Europe/Berlin
      millrace schedules preview nightly --count 10
    """
    document = schedule_terms.document(file, given)
    if bool(which) == bool(document):
        raise click.UsageError("Give a SCHEDULE, or one of --cron, --every, --at and --file.")
    with run.client() as client:
        asked = found(client, which).document if which else document
        told = client.schedules.preview(asked, count=count, after=after)
    if as_json:
        click.echo(json.dumps(told.raw))
    else:
        schedule_sights.show_preview(run.out, told)


COMMANDS = (trigger, backfill, runs, preview)
