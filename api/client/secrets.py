"""The API's documents about secrets as frozen dataclasses, and `Millrace.secrets`, which asks for them."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from api.client.answers import Document, Paged, understood
from api.client.connection import Connection
from api.client.failures import MillraceError

_ASKABLE = re.compile(r"[A-Za-z0-9_]{1,100}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Secret:
    """What is shown of a secret: all but its value. `version` is 1 for a new one and goes up with every new value."""

    name: str
    version: int
    created_at: datetime
    updated_at: datetime
    raw: Document = field(repr=False, default_factory=dict)


class Secrets:
    """What a client does with secrets, which are named; nobody is shown their values."""

    def __init__(self, connection: Connection, paged: Paged) -> None:
        self._connection = connection
        self._paged = paged

    def put(self, name: str, value: str) -> Secret:
        """Keep a value under this name, in place of the one before if there is one.

        Tried up to three times where the connection breaks, so that a version may be left out. Raises ApiError with
        code invalid_request, too_many_secrets, secret_key_missing.
        """
        return secret(self._connection.put(_path(name), json.dumps({"value": value}).encode()))

    def get(self, name: str) -> Secret:
        """When the secret was made and changed."""
        return secret(self._connection.get(_path(name)))

    def all(self, limit: int | None = None) -> Iterator[Secret]:
        """Your secrets by name; at most `limit`, default all."""
        yield from self._paged("/v1/secrets", {}, limit, page)

    def delete(self, name: str) -> None:
        """Forget a secret; steps that need it fail until there is another one of this name."""
        self._connection.delete(_path(name))


def secret(document: Any) -> Secret:
    """Read a secret's document. Raises MillraceError where it is none."""
    return understood(_secret, document)


def page(document: Any) -> tuple[Sequence[Secret], str | None]:
    """Read a page of secrets and the cursor of the next one. Raises MillraceError where it is none."""
    return understood(lambda it: ([_secret(one) for one in it["data"]], it["next_cursor"]), document)


def _secret(it: Document) -> Secret:
    return Secret(
        name=it["name"],
        version=it["version"],
        created_at=datetime.fromisoformat(it["created_at"]),
        updated_at=datetime.fromisoformat(it["updated_at"]),
        raw=it,
    )


def _path(name: str) -> str:
    if not _ASKABLE.fullmatch(name):
        raise MillraceError(f"{name!r} is not the name of a secret; they have lower-case letters, digits and '_'")
    return f"/v1/secrets/{name}"
