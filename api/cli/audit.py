"""`millrace audit`: who did what."""

import json

import click

from api.cli import tables
from api.cli.overview import at
from api.cli.progress import printable
from api.cli.run import Run
from api.cli.tables import Cell, Column
from api.client import Action


@click.command()
@click.option("--action", metavar="NOUN[.VERB]", help="Only these: job.cancel, or all of a noun, job.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print each action's document on a line of its own.")
@click.pass_obj
def audit(run: Run, action: str | None, limit: int, as_json: bool) -> None:
    """List what was changed in your name, by your keys and by operators, newest first.

    What only reads is not written down, nor what your programs submit: a job is its own record.

    \b
    Examples:
      millrace audit --action queue
      millrace --tenant acme audit --action job.cancel --limit 5
    """
    with run.client() as client:
        found = client.audit.all(action, limit)
        if as_json:
            for one in found:
                click.echo(json.dumps(one.raw))
            return
        listed = list(found)
    if listed:
        columns = [Column(title=title) for title in ("when", "action", "of", "by", "from")]
        tables.show(run.out, [*columns, Column(title="what", cut=True)], [_row(one) for one in listed])
    else:
        click.echo(f"There is nothing{f' of {action}' if action else ''}.", err=True)


COMMANDS = (audit,)


def _row(one: Action) -> list[Cell]:
    whose = one.key or "a key"
    by = f"{whose}, signed in" if one.via == "session" else whose
    detail = " ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in one.detail.items())
    words = (one.action, one.target or "", f"{by} of {one.by}" if one.by else by, one.address or "", detail)
    return [at(one.at), *(Cell(text=printable(word)) for word in words)]
