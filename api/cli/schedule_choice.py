"""Which schedule is meant: an id, or the caller's own name for it."""

import click

from api.client import Millrace, MillraceError, Schedule
from api.client.schedules import ID

WHICH = click.argument("which", metavar="SCHEDULE")
JSON = click.option("--json", "as_json", is_flag=True, help="Print the document.")
EACH_JSON = click.option("--json", "as_json", is_flag=True, help="Print each document on a line of its own.")


def found(client: Millrace, which: str) -> Schedule:
    """The schedule of this id or name. Raises MillraceError."""
    if ID.fullmatch(which):
        return client.schedules.get(which)
    named = client.schedules.named(which)
    if named is None:
        raise MillraceError(f"you have no schedule {which!r}; `millrace schedules list` shows them")
    return named


def id_of(client: Millrace, which: str) -> str:
    """The id of the schedule of this id or name. Raises MillraceError."""
    return which if ID.fullmatch(which) else found(client, which).id
