"""What a job works on, as the command line is given it: a file of this machine, or a URL."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import click

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """A URL from which the platform fetches the file."""

    url: str

    @property
    def name(self) -> str:
        """What it is called on the screen."""
        return PurePosixPath(unquote(urlsplit(self.url).path)).name or self.url


def photo(value: str) -> Path | Address:
    """A file that is there, or an http or https URL. Raises BadParameter."""
    if value.startswith(("http://", "https://")):
        return Address(url=value)
    return Path(_FILE.convert(value, None, None))


def document_for(given: Path | Address | None, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The job's document, with the URL as its input where it is one."""
    return {**document, "input": {"url": given.url}} if isinstance(given, Address) else document


def file_of(given: Path | Address | None) -> Path | None:
    """The file that is to be sent, if it is one of this machine."""
    return given if isinstance(given, Path) else None
