"""What every command has to go on."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import click
from rich.console import Console

from api.cli.progress import printable
from api.client import Millrace, MillraceError


@dataclass(kw_only=True, slots=True)
class Run:
    """Where the platform is, for whom one acts, and two consoles (progress goes to standard error)."""

    url: str | None
    key: str | None
    tenant: str | None = None
    out: Console = field(default_factory=lambda: Console(highlight=False))
    err: Console = field(default_factory=lambda: Console(highlight=False, stderr=True))

    @contextmanager
    def client(self) -> Iterator[Millrace]:
        """The client; what it raises on purpose becomes one readable block and exit status 1."""
        try:
            with Millrace(self.url, self.key, tenant=self.tenant) as client:
                yield client
        except MillraceError as exc:
            self.fail(str(exc))
            sys.exit(1)

    def fail(self, message: str) -> None:
        """Say what went wrong, without what could steer a terminal."""
        click.echo("error: " + "\n".join(map(printable, message.splitlines())), err=True)
