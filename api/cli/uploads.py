"""`millrace uploads`: files sent once for many jobs and pictures, listed and deleted."""

import json
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.filesize import decimal

from api.cli import tables
from api.cli.overview import at
from api.cli.progress import printable
from api.cli.run import Run
from api.cli.tables import Cell, Column
from api.client import MillraceError, Upload

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(invoke_without_command=True)
@click.pass_context
def uploads(context: click.Context) -> None:
    """Uploads: files sent once for many jobs and pictures. Without a command: list the newest.

    \b
    Example:
      millrace uploads add photo.jpg
    """
    if context.invoked_subcommand is None:
        context.invoke(list_all)


@uploads.command("list")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print each one's document on a line of its own.")
@click.pass_obj
def list_all(run: Run, limit: int, as_json: bool) -> None:
    """List your uploads, newest first.

    \b
    Example:
      millrace uploads list --limit 5
    """
    with run.client() as client:
        listed = list(client.uploads.all(limit))
    if as_json:
        for one in listed:
            click.echo(json.dumps(one.raw))
    elif listed:
        _show(run.out, listed)
    else:
        click.echo("There are no uploads.", err=True)


@uploads.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=FILE)
@click.option("--expires-in", type=click.IntRange(1), metavar="SECONDS", help="Delete it then; default: keep it.")
@click.option("--json", "as_json", is_flag=True, help="Print each one's document on a line of its own.")
@click.pass_obj
def add(run: Run, files: Sequence[Path], expires_in: int | None, as_json: bool) -> None:
    """Send files, to be kept; prints the id of each.

    \b
    Examples:
      millrace uploads add a.jpg b.png
      millrace uploads add a.jpg --expires-in 86400
    """
    with run.client() as client:
        for file in files:
            try:
                sent = client.uploads.add(file, expires_in=expires_in)
            except MillraceError as exc:
                raise MillraceError(f"{file.name}: {exc}") from exc
            click.echo(json.dumps(sent.raw) if as_json else f"{sent.id}  {printable(sent.filename)}")


@uploads.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.pass_obj
def delete(run: Run, ids: Sequence[str]) -> None:
    """Delete uploads: jobs that have not read them yet fail, and links to pictures of them find nothing.

    \b
    Example:
      millrace uploads delete upl_01k3x2v9r8e6t9c8m1n4p7q2sd
    """
    with run.client() as client:
        for upload_id in ids:
            client.uploads.delete(upload_id)
            click.echo(f"{upload_id}  deleted")


COMMANDS = (uploads,)


def _show(console: Console, found: Sequence[Upload]) -> None:
    columns = [
        Column(title="upload"),
        Column(title="size", right=True),
        Column(title="type"),
        Column(title="created"),
        Column(title="expires"),
        Column(title="file", cut=True, most=40),
    ]
    rows = [
        (
            Cell(text=one.id),
            Cell(text=decimal(one.bytes)),
            Cell(text=printable(one.content_type)),
            at(one.created_at),
            Cell(text="-") if one.expires_at is None else at(one.expires_at),
            Cell(text=printable(one.filename)),
        )
        for one in found
    ]
    tables.show(console, columns, rows)
