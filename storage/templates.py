"""Tenants' own templates: versions that never change; what they say is checked in tasks."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from storage.database import Tx
from storage.errors import TooManyVersions
from storage.model import Json

MAX_VERSIONS = 1000  # of one template

# Whoever changes a template waits for others who do: a number is given once.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(%(tenant)s || '/templates/' || %(name)s, 0))"

_NEWEST = """
SELECT * FROM templates WHERE tenant_id = %(tenant)s AND name = %(name)s ORDER BY version DESC LIMIT 1
"""

_FIND = """
SELECT * FROM templates
WHERE tenant_id = %(tenant)s AND name = %(name)s AND deleted_at IS NULL
  AND (%(version)s::int IS NULL OR version = %(version)s)
ORDER BY version DESC LIMIT 1
"""

_INSERT = """
INSERT INTO templates (tenant_id, name, version, description, steps, overrides, created_at)
VALUES (%(tenant)s, %(name)s, %(version)s, %(description)s, %(steps)s::json, %(overrides)s::json, clock_timestamp())
RETURNING *
"""

_PAGE = """
SELECT DISTINCT ON (name) * FROM templates
WHERE tenant_id = %(tenant)s AND deleted_at IS NULL AND (%(after)s::text IS NULL OR name > %(after)s)
ORDER BY name, version DESC LIMIT %(limit)s
"""

_VERSIONS = """
SELECT * FROM templates
WHERE tenant_id = %(tenant)s AND name = %(name)s AND deleted_at IS NULL
  AND (%(before)s::int IS NULL OR version < %(before)s)
ORDER BY version DESC LIMIT %(limit)s
"""

# Locked against those who are about to use one of them, see `find`.
_HELD = """
SELECT version FROM templates WHERE tenant_id = %(tenant)s AND name = %(name)s AND deleted_at IS NULL
ORDER BY version DESC FOR UPDATE
"""

_EMPTY = """
UPDATE templates SET deleted_at = clock_timestamp(), description = '', steps = '{}', overrides = '{}'
WHERE tenant_id = %(tenant)s AND name = %(name)s AND version = %(newest)s
"""

_USERS = """
SELECT coalesce(name, id) AS called FROM schedules
WHERE tenant_id = %(tenant)s AND split_part(document #>> '{job,template}', '@', 1) = %(name)s
ORDER BY called LIMIT %(limit)s
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnTemplate:
    """A version of a tenant's own template."""

    name: str
    version: int
    description: str
    steps: Mapping[str, Json]
    overrides: Mapping[str, Json]
    created_at: datetime


def put(
    tx: Tx, name: str, *, description: str, steps: Mapping[str, Json], overrides: Mapping[str, Json]
) -> tuple[OwnTemplate, bool]:
    """Write a new version, and say that it is one; the same as the newest one makes none. Raises TooManyVersions."""
    tx.sql(_LOCK, name=name)
    row = tx.sql(_NEWEST, name=name).one_or_none()
    wanted = {"description": description, "steps": json.dumps(steps), "overrides": json.dumps(overrides)}
    if row is not None and row.deleted_at is None and _said(row) == wanted:
        return _template(row), False
    version = 1 if row is None else row.version + 1
    if version > MAX_VERSIONS:
        raise TooManyVersions(name)
    return _template(tx.sql(_INSERT, name=name, version=version, **wanted).one()), True


def find(tx: Tx, name: str, version: int | None = None, *, hold: bool = False) -> OwnTemplate | None:
    """A version of the tenant's template, by default the newest; None if there is none.

    With `hold` nobody deletes it before the transaction ends.
    """
    row = tx.sql(f"{_FIND} FOR KEY SHARE" if hold else _FIND, name=name, version=version).one_or_none()
    return None if row is None else _template(row)


def page(tx: Tx, *, after: str | None, limit: int) -> list[OwnTemplate]:
    """The newest versions of at most `limit` of the tenant's templates by name, from behind `after`."""
    return [_template(row) for row in tx.sql(_PAGE, after=after, limit=limit)]


def versions(tx: Tx, name: str, *, before: int | None, limit: int) -> list[OwnTemplate]:
    """At most `limit` versions of a template, newest first, from below `before`."""
    return [_template(row) for row in tx.sql(_VERSIONS, name=name, before=before, limit=limit)]


def names(tx: Tx) -> list[str]:
    """How the tenant's templates are called."""
    asked = "SELECT DISTINCT name FROM templates WHERE tenant_id = %(tenant)s AND deleted_at IS NULL ORDER BY name"
    return [row.name for row in tx.sql(asked)]


def delete(tx: Tx, name: str) -> bool:
    """Forget all versions of a template but their number. False if the tenant has none of this name."""
    tx.sql(_LOCK, name=name)
    held = tx.sql(_HELD, name=name).all()
    if not held:
        return False
    tx.sql(_EMPTY, name=name, newest=held[0].version)
    old = "DELETE FROM templates WHERE tenant_id = %(tenant)s AND name = %(name)s AND version < %(newest)s"
    tx.sql(old, name=name, newest=held[0].version)
    return True


def users(tx: Tx, name: str, *, limit: int) -> list[str]:
    """At most `limit` of the tenant's schedules whose jobs come from this template: their names, or their ids."""
    return [row.called for row in tx.sql(_USERS, name=name, limit=limit)]


def _said(row: Any) -> dict[str, str]:
    return {
        "description": row.description,
        "steps": json.dumps(row.steps),
        "overrides": json.dumps(row.overrides),
    }


def _template(row: Any) -> OwnTemplate:
    return OwnTemplate(
        name=row.name,
        version=row.version,
        description=row.description,
        steps=row.steps,
        overrides=row.overrides,
        created_at=row.created_at,
    )
