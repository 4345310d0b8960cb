"""The job's document, as the command line is given it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import click


def name_of(spec: BinaryIO | None) -> Path:
    """What work without a file is called on the screen."""
    name = getattr(spec, "name", None)
    return Path(name if isinstance(name, str) and name != "<stdin>" else "job")


def document(spec: BinaryIO) -> Mapping[str, Any]:
    """Read it; a wrong one is a wrong command line. Raises BadParameter."""
    try:
        read = json.loads(spec.read(), parse_constant=_no_number)
    except (ValueError, RecursionError) as exc:
        raise click.BadParameter(f"is not JSON: {exc}", param_hint="--job") from exc
    if not isinstance(read, dict):
        raise click.BadParameter('must be a JSON object, such as {"steps": …}', param_hint="--job")
    return read


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is not a number in JSON")
