"""What a schedule is to be, as the command line is given it: options, or a whole document in a file."""

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import click

from api.cli import specs
from api.client.schedules import OVERLAPS

CATCH_UPS = ("none", "last", "all")
RULES = ("cron", "every", "at")
EXAMPLE = '{"cron": "0 3 * * *", "job": {…}}'

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_SPAN = re.compile(r"(\d{1,9})([smhd]?)", re.ASCII)

F = TypeVar("F", bound=Callable[..., Any])


def _seconds(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    """Seconds of what is written 90, 90s, 15m, 6h or 1d."""
    if text is None:
        return None
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise click.BadParameter(f"{text!r} is no length of time; write seconds, or such as 15m, 6h, 1d")
    return int(found[1]) * _UNITS[found[2]]


_WHEN = (
    click.option("--cron", metavar="PATTERN", help="Minute, hour, day of month, month, day of week: '0 3 * * *'."),
    click.option("--every", metavar="TIME", callback=_seconds, help="An interval: seconds, or such as 15m, 6h, 1d."),
    click.option("--at", metavar="TIME", help="Once: 2026-12-24T18:00:00, or with Z or an offset."),
    click.option("--anchor", metavar="TIME", help="With --every: a moment at which it fires (default: now)."),
    click.option("--timezone", metavar="ZONE", help="Such as Europe/Berlin (default: UTC)."),
    click.option("--start-at", metavar="TIME", help="It does not fire before."),
    click.option("--end-at", metavar="TIME", help="It does not fire after."),
    click.option("--exclude", metavar="DATE", multiple=True, help="A day on which it does not fire; may be repeated."),
)
_WHAT = (
    click.option("--name", metavar="NAME", help="Your own name for it."),
    click.option("--template", metavar="NAME", help="The job: a template that needs no file."),
    click.option("--job", metavar="FILE", type=click.File("rb"), help="The job's document, JSON; - reads it here."),
    click.option(
        "--jitter", "jitter_seconds", metavar="TIME", callback=_seconds, help="Each firing waits up to so long."
    ),
    click.option("--overlap", type=click.Choice(OVERLAPS), help="While an earlier firing's job runs (default: skip)."),
    click.option(
        "--catch-up", type=click.Choice(CATCH_UPS), help="Which missed firings are made up for (default: last)."
    ),
    click.option("--catch-up-for", "catch_up_seconds", metavar="TIME", callback=_seconds, help="How late they may be."),
    click.option("--pause-on-failure/--no-pause-on-failure", default=None, help="Pause it when a job of it fails."),
    click.option("--max-runs", type=click.IntRange(1), help="It ends after so many firings."),
)
_FILE = click.option(
    "--file", metavar="FILE", type=click.File("rb"), help="All of it, as JSON or TOML; - reads JSON here."
)


def when(command: F) -> F:
    """Adds the options that say when a schedule fires, and --file."""
    return _with(command, (*_WHEN, _FILE))


def terms(command: F) -> F:
    """Adds the options for every field of a schedule, and --file."""
    return _with(command, (*_WHEN, *_WHAT, _FILE))


def document(file: BinaryIO | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """The schedule's fields: those of the file, and over them those of options. Raises BadParameter, UsageError."""
    made = dict(_read(file)) if file else {}
    fields = {name: value for name, value in given.items() if value is not None and value != ()}
    if "template" in fields and "job" in fields:
        raise click.UsageError("--template and --job both say what to do; give one of them.")
    if len(rules := [f"--{rule}" for rule in RULES if rule in fields]) > 1:
        raise click.UsageError(f"{' and '.join(rules)} both say when; give one of them.")
    if "template" in fields:
        fields["job"] = {"template": fields.pop("template")}
    elif "job" in fields:
        fields["job"] = dict(specs.document(fields["job"]))
    if "exclude" in fields:
        fields["exclude"] = list(fields["exclude"])
    return made | fields


def replacing(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON merge patch that makes one object the other; nulls in the new one get lost, as merge patches have it."""
    gone: dict[str, Any] = {name: None for name in old if name not in new}
    for name, value in new.items():
        before = old.get(name)
        gone[name] = replacing(before, value) if isinstance(value, dict) and isinstance(before, dict) else value
    return gone


def _with(command: F, options: tuple[Callable[[F], F], ...]) -> F:
    for option in reversed(options):
        command = option(command)
    return command


def _read(file: BinaryIO) -> Mapping[str, Any]:
    if Path(str(getattr(file, "name", ""))).suffix.lower() != ".toml":
        return specs.document(file, "--file", EXAMPLE)
    try:
        read: Mapping[str, Any] = json.loads(json.dumps(tomllib.load(file), default=_text, allow_nan=False))
    except (ValueError, RecursionError) as exc:
        raise click.BadParameter(f"is not TOML that can be sent: {exc}", param_hint="--file") from exc
    return read


def _text(value: object) -> str:
    """TOML's own dates and times as the API takes them."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    raise ValueError(f"{value!r} is nothing that JSON has")
