"""The API's documents about templates as frozen dataclasses, and `Millrace.templates`, which asks for them."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from api.client.answers import Document, Paged, time, understood
from api.client.connection import Connection
from api.client.failures import MillraceError

_ASKABLE = re.compile(r"[A-Za-z0-9_-]{1,100}(@[0-9]{1,9})?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Override:
    """What a job may change of a template: `type` is that of its value, or of each value if it `is_list`.

    `default` is None where the template's steps stay as they stand.
    """

    type: str
    description: str
    default: Any
    enum: Sequence[Any]
    minimum: float | None
    maximum: float | None
    is_list: bool
    raw: Document = field(repr=False, default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Template:
    """A version of a template; `reference` names it in a job. `steps` are empty in listings.

    `created_at` is None for those that come with the platform, which are `shipped`.
    """

    name: str
    version: int
    reference: str
    shipped: bool
    description: str
    overrides: Mapping[str, Override]
    steps: Document
    created_at: datetime | None
    raw: Document = field(repr=False, default_factory=dict)


class Templates:
    """What a client does with templates: those that come with the platform, and your own."""

    def __init__(self, connection: Connection, paged: Paged) -> None:
        self._connection = connection
        self._paged = paged

    def all(self, limit: int | None = None) -> Iterator[Template]:
        """The newest versions by name, without their steps; at most `limit`, default all."""
        yield from self._paged("/v1/templates", {}, limit, page)

    def get(self, reference: str) -> Template:
        """A version, such as "thumbnails@1", or the newest of a name."""
        return template(self._connection.get(_path(reference)))

    def versions(self, name: str, limit: int | None = None) -> Iterator[Template]:
        """The versions of a template, newest first, without their steps; at most `limit`, default all."""
        yield from self._paged(f"{_path(name)}/versions", {}, limit, page)

    def put(
        self,
        name: str,
        steps: Mapping[str, Any],
        overrides: Mapping[str, Any] | None = None,
        *,
        description: str = "",
    ) -> Template:
        """Make a template of your own, or a new version of it; the same again makes none.

        Raises ApiError with code invalid_template, template_shipped, too_many_templates, too_many_versions.
        """
        wish = {"description": description, "steps": dict(steps), "overrides": dict(overrides or {})}
        return template(self._connection.put(_path(name), json.dumps(wish, allow_nan=False).encode()))

    def delete(self, name: str) -> None:
        """Delete a template of your own with all its versions. Raises ApiError with code template_in_use."""
        self._connection.delete(_path(name))


def template(document: Any) -> Template:
    """Read a template's document. Raises MillraceError where it is none."""
    return understood(_template, document)


def page(document: Any) -> tuple[Sequence[Template], str | None]:
    """Read a page of templates and the cursor of the next one. Raises MillraceError where it is none."""
    return understood(lambda it: ([_template(one) for one in it["data"]], it["next_cursor"]), document)


def _template(it: Document) -> Template:
    return Template(
        name=it["name"],
        version=it["version"],
        reference=it["reference"],
        shipped=it["shipped"],
        description=it["description"],
        overrides={name: _override(one) for name, one in it["overrides"].items()},
        steps=it.get("steps", {}),
        created_at=time(it["created_at"]),
        raw=it,
    )


def _override(it: Document) -> Override:
    return Override(
        type=it["type"],
        description=it["description"],
        default=it["default"],
        enum=tuple(it["enum"] or ()),
        minimum=it["minimum"],
        maximum=it["maximum"],
        is_list=it["max_items"] is not None,
        raw=it,
    )


def _path(reference: str) -> str:
    if not _ASKABLE.fullmatch(reference):
        raise MillraceError(f"{reference!r} is not the name of a template; they have a-z, 0-9, '_' and '-'")
    return f"/v1/templates/{reference}"
