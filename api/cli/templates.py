"""`millrace templates`, and `--set` of `millrace submit`, typed by what a template lets change."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import click
from rich.console import Console

from api.cli import specs, tables
from api.cli.overview import at
from api.cli.progress import printable
from api.cli.run import Run
from api.cli.tables import Cell, Column
from api.client import Millrace, Override, Template

EXAMPLE = '{"steps": …, "overrides": …}'
SENT = ("steps", "overrides", "description")
SHOWN = ("name", "version", "reference", "shipped", "created_at")  # of a template's document, and not sent

NAME = click.argument("name", metavar="NAME")
JSON = click.option("--json", "as_json", is_flag=True, help="Print each one's document on a line of its own.")
_NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")


@click.group(invoke_without_command=True)
@click.pass_context
def templates(context: click.Context) -> None:
    """Templates: steps of jobs under a name, and what a job may change of them. Without a command: list them.

    \b
    Example:
      millrace templates show thumbnails
    """
    if context.invoked_subcommand is None:
        context.invoke(list_all)


@templates.command("list")
@JSON
@click.pass_obj
def list_all(run: Run, as_json: bool) -> None:
    """List the templates that come with the platform, and your own, by name.

    \b
    Example:
      millrace templates list
    """
    with run.client() as client:
        listed = list(client.templates.all())
    if as_json:
        for one in listed:
            click.echo(json.dumps(one.raw))
        return
    columns = [Column(title="template"), Column(title="may be changed", wrap=True), Column(title="", wrap=True)]
    tables.show(
        run.out,
        columns,
        [
            (Cell(text=one.reference), Cell(text=", ".join(one.overrides)), Cell(text=printable(one.description)))
            for one in listed
        ],
    )


@templates.command()
@click.argument("reference", metavar="NAME[@VERSION]")
@click.option("--json", "as_json", is_flag=True, help="Print the template's document.")
@click.pass_obj
def show(run: Run, reference: str, as_json: bool) -> None:
    """Show a template: its steps, and what a job may change of them.

    \b
    Examples:
      millrace templates show responsive
      millrace templates show thumbnails@1 --json > mine.json
    """
    with run.client() as client:
        found = client.templates.get(reference)
    if as_json:
        click.echo(json.dumps(found.raw))
        return
    click.echo(f"{found.reference}  {printable(found.description)}".rstrip())
    click.echo(json.dumps(found.steps, indent=2))
    if found.overrides:
        click.echo()
        _show_overrides(run.out, found.overrides)


@templates.command()
@NAME
@JSON
@click.pass_obj
def versions(run: Run, name: str, as_json: bool) -> None:
    """List the versions of a template, newest first.

    \b
    Example:
      millrace templates versions mine
    """
    with run.client() as client:
        listed = list(client.templates.versions(name))
    if as_json:
        for one in listed:
            click.echo(json.dumps(one.raw))
        return
    columns = [Column(title="version"), Column(title="made"), Column(title="", wrap=True)]
    tables.show(run.out, columns, [_version(one) for one in listed])


@templates.command()
@NAME
@click.option(
    "--file", metavar="FILE", type=click.File("rb"), default="-", help="Its document, JSON (default: read here)."
)
@click.pass_obj
def put(run: Run, name: str, file: BinaryIO) -> None:
    """Make a template of your own, or a new version of it. The document has steps, overrides and a description.

    What `millrace templates show --json` prints may be sent as it is, under another name.

    \b
    Example:
      millrace templates put mine --file mine.json
    """
    document = specs.document(file, "--file", EXAMPLE)
    odd = [field for field in document if field not in (*SENT, *SHOWN)]
    if odd or not isinstance(document.get("steps"), dict):
        said = f"has a field {odd[0]!r}" if odd else "has no steps"
        raise click.BadParameter(f"{said}; a template is such as {EXAMPLE}", param_hint="--file")
    with run.client() as client:
        description = document.get("description", "")
        made = client.templates.put(name, document["steps"], document.get("overrides"), description=description)
    click.echo(made.reference)


@templates.command()
@NAME
@click.pass_obj
def delete(run: Run, name: str) -> None:
    """Delete a template of your own with all its versions; jobs that came of it stay.

    \b
    Example:
      millrace templates delete mine
    """
    with run.client() as client:
        client.templates.delete(name)
    click.echo(f"{name}  deleted")


COMMANDS = (templates,)


def changed(client: Millrace, document: Mapping[str, Any], settings: Sequence[str]) -> Mapping[str, Any]:
    """A document of a template with what --set says. Raises BadParameter for what the template does not let change."""
    if not settings:
        return document
    given = dict(_pair(setting) for setting in settings)
    if len(given) < len(settings):
        raise click.BadParameter("names something twice; a list is A=1,2,3", param_hint="--set")
    template = client.templates.get(document["template"])
    for name in given:
        if name not in template.overrides:
            known = ", ".join(template.overrides) or "nothing"
            detail = f"{template.reference} lets nobody change {name!r}; it lets change: {known}"
            raise click.BadParameter(detail, param_hint="--set")
    return {**document, "with": {name: _value(template.overrides[name], text) for name, text in given.items()}}


def _pair(setting: str) -> tuple[str, str]:
    name, equals, text = setting.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{setting!r} is not NAME=VALUE, such as quality=70", param_hint="--set")
    return name, text


def _value(override: Override, text: str) -> Any:
    """The value as JSON has it; what is none of its type goes as text, and the platform says what is wrong."""
    return (
        [_of_type(override.type, one) for one in text.split(",")] if override.is_list else _of_type(override.type, text)
    )


def _of_type(kind: str, text: str) -> Any:
    if kind in ("integer", "number") and _NUMBER.fullmatch(text):
        return float(text) if "." in text else int(text)
    return text == "true" if kind == "boolean" and text in ("true", "false") else text


def _version(one: Template) -> tuple[Cell, Cell, Cell]:
    made = Cell(text="") if one.created_at is None else at(one.created_at)
    return Cell(text=one.reference), made, Cell(text=printable(one.description))


def _show_overrides(console: Console, overrides: Mapping[str, Override]) -> None:
    columns = [
        Column(title="--set"),
        Column(title="takes", wrap=True),
        Column(title="default", wrap=True),
        Column(title="", wrap=True),
    ]
    rows = [
        (
            Cell(text=name),
            Cell(text=printable(_takes(one))),
            Cell(text=printable(_default(one.default))),
            Cell(text=printable(one.description)),
        )
        for name, one in overrides.items()
    ]
    tables.show(console, columns, rows)


def _takes(one: Override) -> str:
    if one.enum:
        words = " | ".join(map(str, one.enum))
    elif one.minimum is not None and one.maximum is not None:
        words = f"{one.minimum:g} to {one.maximum:g}"
    else:
        words = "true | false" if one.type == "boolean" else "text"
    return f"list of {words}" if one.is_list else words


def _default(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ",".join(map(str, value))
    return json.dumps(value) if isinstance(value, bool) else str(value)
