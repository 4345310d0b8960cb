"""`millrace image-keys` and `millrace image-url`: what signs links to pictures, and such links."""

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import click
from rich.console import Console

from api.cli import tables
from api.cli.overview import at
from api.cli.run import Run
from api.cli.tables import Cell, Column
from api.client import ImageKey
from api.client.image_urls import Value

ID = click.argument("key_id", metavar="ID")


@click.group("image-keys", invoke_without_command=True)
@click.pass_context
def image_keys(context: click.Context) -> None:
    """Image keys: what signs links to pictures that are made on the fly. Without a command: list them.

    \b
    Example:
      millrace image-keys create
    """
    if context.invoked_subcommand is None:
        context.invoke(list_all)


@image_keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print each one's document on a line of its own.")
@click.pass_obj
def list_all(run: Run, as_json: bool) -> None:
    """List your image keys, newest first, without what they sign with.

    \b
    Example:
      millrace image-keys list
    """
    with run.client() as client:
        listed = client.image_keys.list()
    if as_json:
        for one in listed:
            click.echo(json.dumps(one.raw))
    elif listed:
        _show(run.out, listed)
    else:
        click.echo("There are no image keys.", err=True)


@image_keys.command()
@click.pass_obj
def create(run: Run) -> None:
    """Make a key and print it, as `millrace image-url` takes it: keep it, it is not shown again.

    \b
    Example:
      export MILLRACE_IMAGE_KEY=$(millrace image-keys create)
    """
    with run.client() as client:
        click.echo(client.image_keys.create().signing)


@image_keys.command()
@ID
@click.option("--at", "when", metavar="TIME", help="An ISO 8601 time to come, such as 2030-01-31T12:00Z; default: now.")
@click.pass_obj
def retire(run: Run, key_id: str, when: str | None) -> None:
    """Have links that the key has signed open nothing, from now or from a time to come on.

    \b
    Example:
      millrace image-keys retire imk_01k3x2v9r8e6t9c8m1n4p7q2sd --at 2030-01-31T12:00Z
    """
    try:
        moment = None if when is None else datetime.fromisoformat(when)
    except ValueError as exc:
        raise click.BadParameter(f"{when!r} is no ISO 8601 time", param_hint="--at") from exc
    if moment is not None and moment.astimezone() <= datetime.now(UTC):
        raise click.BadParameter("this time has passed; without --at the key retires now", param_hint="--at")
    with run.client() as client:
        retired = client.image_keys.retire(key_id, at=moment)
    click.echo(f"{retired.id}  retired {'' if retired.retired_at is None else at(retired.retired_at).text}".rstrip())


@image_keys.command()
@ID
@click.pass_obj
def delete(run: Run, key_id: str) -> None:
    """Forget a key: links that it has signed open nothing any more.

    \b
    Example:
      millrace image-keys delete imk_01k3x2v9r8e6t9c8m1n4p7q2sd
    """
    with run.client() as client:
        client.image_keys.delete(key_id)
    click.echo(f"{key_id}  deleted")


@click.command("image-url")
@click.argument("upload", metavar="UPLOAD")
@click.option(
    "--image-key",
    envvar="MILLRACE_IMAGE_KEY",
    show_envvar=True,
    required=True,
    help="imk_….<key>; better not on the command line.",
)
@click.option("--width", type=int, help="Pixels.")
@click.option("--height", type=int, help="Pixels.")
@click.option("--fit", help="inside, outside, cover, contain or fill.")
@click.option("--gravity", help="What `cover` keeps: a compass point, attention or entropy.")
@click.option("--format", "format_", help="auto, jpeg, png, webp, avif, gif or tiff.")
@click.option("--quality", type=int, help="1 to 100.")
@click.option("--dpr", type=float, help="Pixels of the device to one of the page.")
@click.option(
    "--operation",
    "others",
    multiple=True,
    metavar="NAME:VALUE",
    help="Any other, by its long or its short name; may be repeated.",
)
@click.option("--expires-in", type=click.IntRange(1), metavar="SECONDS", help="The link leads nowhere from then on.")
@click.pass_obj
def image_url(
    run: Run,
    /,
    upload: str,
    image_key: str,
    format_: str | None,
    others: Sequence[str],
    expires_in: int | None,
    **options: Value,
) -> None:
    """Print a signed link to a picture of an UPLOAD, which is made when somebody first asks for it.

    \b
    Examples:
      millrace image-url upl_01k3x2v9r8e6t9c8m1n4p7q2sd --width 300 --format webp
      millrace image-url upl_01k3x2v9r8e6t9c8m1n4p7q2sd --operation grayscale --operation crop:0:0:0.5:1:share
    """
    told: dict[str, Value] = {**options, "format": format_}
    for other in others:
        name, colon, value = other.partition(":")
        if told.get(name) is not None:
            raise click.UsageError(f"{name!r} is given twice.")
        told[name] = value if colon else True
    if expires_in is not None:
        told["exp"] = int(time.time()) + expires_in
    with run.client() as client:
        click.echo(client.image_url(upload, image_key, **told))


COMMANDS = (image_keys, image_url)


def _show(console: Console, found: Sequence[ImageKey]) -> None:
    columns = [Column(title="image key"), Column(title="created"), Column(title="retired")]
    rows = [
        (Cell(text=one.id), at(one.created_at), Cell(text="-") if one.retired_at is None else at(one.retired_at))
        for one in found
    ]
    tables.show(console, columns, rows)
