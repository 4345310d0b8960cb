"""`millrace secrets`: what steps send to third parties, kept, listed and forgotten; no value is ever printed."""

import json
import sys
from collections.abc import Sequence

import click
from rich.console import Console

from api.cli import tables
from api.cli.overview import at
from api.cli.progress import printable
from api.cli.run import Run
from api.cli.tables import Cell, Column
from api.client import Secret

MOST_READ = 65_536  # bytes of standard input: more than any value has

NAME = click.argument("name", metavar="NAME")


@click.group(invoke_without_command=True)
@click.pass_context
def secrets(context: click.Context) -> None:
    """Secrets: what your steps send to third parties, as {{secrets.NAME}}. Without a command: list them.

    \b
    Example:
      millrace secrets set crm < token.txt
    """
    if context.invoked_subcommand is None:
        context.invoke(list_all)


@secrets.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print each one's document on a line of its own.")
@click.pass_obj
def list_all(run: Run, as_json: bool) -> None:
    """List your secrets by name, without their values.

    \b
    Example:
      millrace secrets list
    """
    with run.client() as client:
        listed = list(client.secrets.all())
    if as_json:
        for one in listed:
            click.echo(json.dumps(one.raw))
    elif listed:
        _show(run.out, listed)
    else:
        click.echo("There are no secrets.", err=True)


@secrets.command("set")
@NAME
@click.pass_obj
def set_(run: Run, name: str) -> None:
    """Keep a value under NAME, in place of the one before if there is one.

    The value is read from standard input, without the line break at its end, or asked for on a terminal. It is no
    argument, since others see those in the list of processes.

    \b
    Examples:
      millrace secrets set crm
      millrace secrets set crm < token.txt
    """
    value = _value(name)
    with run.client() as client:
        kept = client.secrets.put(name, value)
    click.echo(f"{printable(kept.name)}  version {kept.version}")


@secrets.command()
@NAME
@click.pass_obj
def delete(run: Run, name: str) -> None:
    """Forget a secret: steps that need it fail until there is another one of this name.

    \b
    Example:
      millrace secrets delete crm
    """
    with run.client() as client:
        client.secrets.delete(name)
    click.echo(f"{name}  deleted")


COMMANDS = (secrets,)


def _value(name: str) -> str:
    if sys.stdin.isatty():
        asked: str = click.prompt(f"Value of {printable(name)}", hide_input=True, err=True)
        return asked
    raw = sys.stdin.buffer.read(MOST_READ).removesuffix(b"\n").removesuffix(b"\r")
    if not raw:
        raise click.UsageError("The value is read from standard input, and nothing came.")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        click.echo("error: the value is no text in UTF-8", err=True)
        sys.exit(1)


def _show(console: Console, found: Sequence[Secret]) -> None:
    columns = [Column(title="secret"), Column(title="version", right=True), Column(title="changed")]
    rows = [(Cell(text=printable(one.name)), Cell(text=str(one.version)), at(one.updated_at)) for one in found]
    tables.show(console, columns, rows)
