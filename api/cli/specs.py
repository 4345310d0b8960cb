"""JSON objects, as the command line is given them: a job's document, new parameters."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import click


def name_of(spec: BinaryIO | None) -> Path:
    """What work without a file is called on the screen."""
    name = getattr(spec, "name", None)
    return Path(name if isinstance(name, str) and name != "<stdin>" else "job")


def document(spec: BinaryIO, option: str = "--job", example: str = '{"steps": …}') -> Mapping[str, Any]:
    """Read it; a wrong one is a wrong command line. Raises BadParameter."""
    try:
        read = json.loads(spec.read(), parse_constant=_no_number)
    except (ValueError, RecursionError) as exc:
        raise click.BadParameter(f"is not JSON: {exc}", param_hint=option) from exc
    if not isinstance(read, dict):
        raise click.BadParameter(f"must be a JSON object, such as {example}", param_hint=option)
    return read


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is not a number in JSON")
