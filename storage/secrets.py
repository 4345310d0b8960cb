"""Tenants' secrets: sealed on their way in, named but not shown, opened only for the step that sends them."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from storage.database import PlatformTx, Tx
from storage.model import TenantId
from storage.sealing import Keyring, Sealed

_INSERT = """
INSERT INTO secrets (tenant_id, name, sealed, key_id) VALUES (%(tenant)s, %(name)s, %(sealed)s, %(key)s)
ON CONFLICT (tenant_id, name) DO NOTHING
RETURNING name, version, created_at, updated_at
"""

_PUT = """
INSERT INTO secrets AS s (tenant_id, name, sealed, key_id) VALUES (%(tenant)s, %(name)s, %(sealed)s, %(key)s)
ON CONFLICT (tenant_id, name) DO UPDATE
SET sealed = excluded.sealed, key_id = excluded.key_id, version = s.version + 1, updated_at = clock_timestamp()
RETURNING name, version, created_at, updated_at
"""

_PAGE = """
SELECT name, version, created_at, updated_at FROM secrets
WHERE tenant_id = %(tenant)s AND (%(after)s::text IS NULL OR name > %(after)s)
ORDER BY name LIMIT %(limit)s
"""

# Whoever puts a new value at the same time waits, or is waited for: no old value comes back.
_SEALED_OTHERWISE = """
SELECT tenant_id, name, sealed, key_id FROM secrets
WHERE key_id <> %(key)s AND (tenant_id, name) > (%(tenant)s, %(after)s)
ORDER BY tenant_id, name LIMIT %(limit)s FOR UPDATE
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Secret:
    """What is shown of a secret; `version` is 1 for a new one and goes up with every value that is put."""

    name: str
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class SealedSecret:
    """A secret as it is stored."""

    tenant_id: TenantId
    name: str
    sealed: Sealed


def insert(tx: Tx, keyring: Keyring, name: str, value: str) -> Secret | None:
    """Seal and store a new secret; None if the tenant has one of this name."""
    row = tx.sql(_INSERT, name=name, **_columns(seal(keyring, tx.tenant_id, name, value))).one_or_none()
    return None if row is None else _secret(row)


def put(tx: Tx, keyring: Keyring, name: str, value: str) -> Secret:
    """Seal and store a value in place of the one before, if there is one."""
    return _secret(tx.sql(_PUT, name=name, **_columns(seal(keyring, tx.tenant_id, name, value))).one())


def find(tx: Tx, name: str) -> Secret | None:
    """The tenant's secret without its value, or None."""
    asked = "SELECT name, version, created_at, updated_at FROM secrets WHERE tenant_id = %(tenant)s AND name = %(name)s"
    row = tx.sql(asked, name=name).one_or_none()
    return None if row is None else _secret(row)


def page(tx: Tx, *, after: str | None, limit: int) -> list[Secret]:
    """At most `limit` of the tenant's secrets by name, from behind `after`."""
    return [_secret(row) for row in tx.sql(_PAGE, after=after, limit=limit)]


def count(tx: Tx) -> int:
    """How many secrets the tenant has."""
    return int(tx.sql("SELECT count(*) FROM secrets WHERE tenant_id = %(tenant)s").scalar_one())


def delete(tx: Tx, name: str) -> bool:
    """Forget a secret. False if the tenant has none of this name."""
    done = tx.sql("DELETE FROM secrets WHERE tenant_id = %(tenant)s AND name = %(name)s", name=name)
    return bool(done.rowcount)


def opened(tx: Tx, keyring: Keyring, names: Collection[str]) -> dict[str, str]:
    """The values of those of these secrets that the tenant has, by name. Raises SecretUnreadable."""
    if not names:
        return {}
    asked = "SELECT name, sealed, key_id FROM secrets WHERE tenant_id = %(tenant)s AND name = ANY(%(names)s)"
    return {
        row.name: keyring.open(_sealed(row), place=place(tx.tenant_id, row.name)).decode()
        for row in tx.sql(asked, names=list(names))
    }


def seal(keyring: Keyring, tenant_id: TenantId, name: str, value: str) -> Sealed:
    """A value as it is stored."""
    return keyring.seal(value.encode(), place=place(tenant_id, name))


def place(tenant_id: TenantId, name: str) -> str:
    """What a secret is sealed for."""
    return f"{tenant_id}/secrets/{name}"


def sealed_otherwise(
    tx: PlatformTx, key_id: str, *, after: tuple[TenantId, str] | None, limit: int
) -> list[SealedSecret]:
    """At most `limit` secrets, locked, that another key than this one seals, by tenant and name."""
    tenant, name = after or ("", "")
    return [
        SealedSecret(tenant_id=TenantId(row.tenant_id), name=row.name, sealed=_sealed(row))
        for row in tx.sql(_SEALED_OTHERWISE, key=key_id, tenant=tenant, after=name, limit=limit)
    ]


def put_sealed(tx: Tx, name: str, sealed: Sealed) -> None:
    """Store the same value as another key seals it: no new version."""
    tx.sql(
        "UPDATE secrets SET sealed = %(sealed)s, key_id = %(key)s WHERE tenant_id = %(tenant)s AND name = %(name)s",
        name=name,
        **_columns(sealed),
    )


def _columns(sealed: Sealed) -> dict[str, Any]:
    return {"sealed": sealed.data, "key": sealed.key_id}


def _sealed(row: Any) -> Sealed:
    return Sealed(key_id=row.key_id, data=bytes(row.sealed))


def _secret(row: Any) -> Secret:
    return Secret(name=row.name, version=row.version, created_at=row.created_at, updated_at=row.updated_at)
