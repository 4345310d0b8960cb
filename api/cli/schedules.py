"""`millrace schedules`: work by the clock, made, watched and changed."""

import json
from typing import Any, BinaryIO

import click

from api.cli import schedule_firings, schedule_sights, schedule_terms
from api.cli.progress import printable
from api.cli.run import Run
from api.cli.schedule_choice import EACH_JSON, JSON, WHICH, found, id_of
from api.client import Schedule

STATES = ("active", "paused", "ended")


@click.group(invoke_without_command=True)
@click.pass_context
def schedules(context: click.Context) -> None:
    """Work by the clock: jobs that are submitted again and again, or later. Without a command: list them.

    SCHEDULE is a schedule's id or your name for it.

    \b
    Example:
      millrace schedules create --name nightly --cron '0 3 * * *' --timezone Europe/Berlin --job job.json
    """
    if context.invoked_subcommand is None:
        context.invoke(list_all)


@schedules.command("list")
@click.option("--state", type=click.Choice(STATES), help="Only schedules in this state.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many.")
@EACH_JSON
@click.pass_obj
def list_all(run: Run, state: str | None, limit: int, as_json: bool) -> None:
    """List your schedules, newest first.

    \b
    Example:
      millrace schedules list --state paused
    """
    with run.client() as client:
        listed = list(client.schedules.list(state, limit))
    if as_json:
        for one in listed:
            click.echo(json.dumps(one.raw))
    elif listed:
        schedule_sights.show_all(run.out, listed)
    else:
        click.echo(f"There are no {'' if state is None else f'{state} '}schedules.", err=True)


@schedules.command()
@WHICH
@JSON
@click.pass_obj
def show(run: Run, which: str, as_json: bool) -> None:
    """Show one schedule: when it fires, how it stands, what it submits.

    \b
    Example:
      millrace schedules show nightly
    """
    with run.client() as client:
        _tell(run, found(client, which), as_json)


@schedules.command()
@schedule_terms.terms
@JSON
@click.pass_obj
def create(run: Run, /, file: BinaryIO | None, as_json: bool, **given: Any) -> None:
    """Make a schedule: one of --cron, --every and --at, and --job or --template; or all of it by --file.

    What options say goes before what the file says.

    \b
    Examples:
      millrace schedules create --every 15m --job job.json
      millrace schedules create --file nightly.toml --name nightly-2
    """
    document = schedule_terms.document(file, given)
    if not document:
        raise click.UsageError("Nothing to do: give --cron, --every or --at, and --job; or --file.")
    with run.client() as client:
        _tell(run, client.schedules.create(document), as_json)


@schedules.command()
@WHICH
@schedule_terms.terms
@click.option("--reset", metavar="FIELD", multiple=True, help="Set a field back to its default; may be repeated.")
@JSON
@click.pass_obj
def update(run: Run, /, which: str, file: BinaryIO | None, reset: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Change a schedule: what is not given stays as it is.

    --cron, --every or --at takes the place of the one that was there, --job or --template that of the whole job. FILE
    is a JSON merge patch. If somebody else changes the schedule meanwhile, nothing is done.

    \b
    Examples:
      millrace schedules update nightly --cron '0 4 * * *'
      millrace schedules update nightly --reset end_at
    """
    changes = {**dict.fromkeys(field.replace("-", "_") for field in reset), **schedule_terms.document(file, given)}
    if not changes:
        raise click.UsageError("Nothing to change: give an option, --reset or --file.")
    with run.client() as client:
        before = found(client, which)
        if given["job"] or given["template"]:
            changes["job"] = schedule_terms.replacing(before.document["job"], changes["job"])
        _tell(run, client.schedules.update(before.id, changes, version=before.version), as_json)


@schedules.command()
@WHICH
@click.pass_obj
def delete(run: Run, which: str) -> None:
    """Delete a schedule and its runs; its jobs go on.

    \b
    Example:
      millrace schedules delete nightly
    """
    with run.client() as client:
        schedule_id = id_of(client, which)
        client.schedules.delete(schedule_id)
    click.echo(f"{schedule_id}  deleted")


@schedules.command()
@WHICH
@click.option("--reason", metavar="TEXT", help="For those who find it paused.")
@click.pass_obj
def pause(run: Run, which: str, reason: str | None) -> None:
    """Let a schedule fire no more, until it is resumed.

    Triggers and backfills still work.

    \b
    Example:
      millrace schedules pause nightly --reason 'the shop is closed'
    """
    with run.client() as client:
        _tell_state(client.schedules.pause(id_of(client, which), reason))


@schedules.command()
@WHICH
@click.pass_obj
def resume(run: Run, which: str) -> None:
    """Let a schedule fire again, from now on.

    What came while it was paused is not made up for; see backfill.

    \b
    Example:
      millrace schedules resume nightly
    """
    with run.client() as client:
        _tell_state(client.schedules.resume(id_of(client, which)))


for command in schedule_firings.COMMANDS:
    schedules.add_command(command)

COMMANDS = (schedules,)


def _tell(run: Run, one: Schedule, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(one.raw))
    else:
        schedule_sights.show(run.out, one)


def _tell_state(one: Schedule) -> None:
    why = f": {one.paused_reason}" if one.paused_reason else ""
    click.echo(f"{one.id}  {printable(one.state + why)}")
