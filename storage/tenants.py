"""Tenants and their API keys. A key is shown once and stored as a hash."""

import hashlib
import secrets
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql import func

from storage.async_database import AsyncDatabase
from storage.database import PlatformTx
from storage.model import KeyId, Principal, TenantId, new_key_id, new_tenant_id
from storage.tables import api_keys, tenants

KEYS_CHANNEL = "millrace_keys"  # a key has changed
KEY_PREFIX = "mk_"
SCOPES = ("jobs:read", "jobs:write", "operate:read", "operate")
IMPLIED = {"operate": ("operate:read", "jobs:read"), "operate:read": ("jobs:read",)}

_WHO_HAVE = "SELECT id, tenant_id, scopes, hash FROM api_keys WHERE hash = ANY(%(hashes)s) AND revoked_at IS NULL"


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """A valid key: whose it is, and its first characters, for people to tell keys apart."""

    principal: Principal
    tenant_name: str
    hint: str


def granted(scopes: Iterable[str]) -> frozenset[str]:
    """The scopes with those that they imply: who operates sees all, and who sees all sees jobs."""
    return frozenset(implied for scope in scopes for implied in (scope, *IMPLIED.get(scope, ())))


def ensure(tx: PlatformTx, name: str) -> TenantId:
    """The id of the tenant with this name, who is made if there is none."""
    tx.execute(insert(tenants).values(id=new_tenant_id(), name=name).on_conflict_do_nothing())
    return TenantId(tx.execute(select(tenants.c.id).where(tenants.c.name == name)).scalar_one())


def create_key(tx: PlatformTx, tenant_id: TenantId, scopes: Collection[str]) -> str:
    """Make a key for the tenant and return it: it cannot be read again."""
    key = KEY_PREFIX + secrets.token_urlsafe(32)
    tx.execute(
        insert(api_keys).values(
            id=new_key_id(), tenant_id=tenant_id, hash=key_hash(key), hint=key[:7], scopes=sorted(set(scopes))
        )
    )
    return key


def revoke_key(tx: PlatformTx, key_id: KeyId) -> bool:
    """Make the key worthless at once; False if there is no such key."""
    done = tx.execute(update(api_keys).where(api_keys.c.id == key_id).values(revoked_at=func.now()))
    return done.rowcount == 1


def keys_of(tx: PlatformTx, tenant_name: str) -> list[tuple[KeyId, str, list[str], bool]]:
    """The tenant's keys, newest first: id, first characters, scopes, whether revoked."""
    rows = tx.execute(
        select(api_keys)
        .join(tenants, tenants.c.id == api_keys.c.tenant_id)
        .where(tenants.c.name == tenant_name)
        .order_by(api_keys.c.id.desc())
    )
    return [(KeyId(row.id), row.hint, list(row.scopes), row.revoked_at is not None) for row in rows]


def who_has(tx: PlatformTx, key: str) -> Principal | None:
    """Whom the key belongs to, or None if it is unknown or revoked."""
    return _holders(tx.sql(_WHO_HAVE, hashes=[key_hash(key)])).get(key_hash(key))


async def who_have(database: AsyncDatabase, keys: Sequence[str]) -> list[Principal | None]:
    """The same of many keys, in one statement."""
    hashes = [key_hash(key) for key in keys]
    found = _holders(await database.sql(_WHO_HAVE, hashes=hashes))
    return [found.get(one) for one in hashes]


def _holders(rows: Iterable[Any]) -> dict[bytes, Principal]:
    return {
        bytes(row.hash): Principal(tenant_id=TenantId(row.tenant_id), key_id=KeyId(row.id), scopes=granted(row.scopes))
        for row in rows
    }


def key_of(tx: PlatformTx, key_id: KeyId) -> Key | None:
    """The key with this id, or None if it is unknown or revoked."""
    row = tx.execute(
        select(api_keys.c.tenant_id, api_keys.c.scopes, api_keys.c.hint, tenants.c.name)
        .join(tenants, tenants.c.id == api_keys.c.tenant_id)
        .where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
    ).one_or_none()
    if row is None:
        return None
    who = Principal(tenant_id=TenantId(row.tenant_id), key_id=key_id, scopes=granted(row.scopes))
    return Key(principal=who, tenant_name=row.name, hint=row.hint)


def good_keys(tx: PlatformTx, key_ids: Collection[KeyId]) -> set[KeyId]:
    """Those of the keys that are there and not revoked."""
    asked = select(api_keys.c.id).where(api_keys.c.id.in_(key_ids), api_keys.c.revoked_at.is_(None))
    return {KeyId(key_id) for (key_id,) in tx.execute(asked)}


def find(tx: PlatformTx, name: str) -> TenantId | None:
    """The id of the tenant with this name."""
    found = tx.execute(select(tenants.c.id).where(tenants.c.name == name)).scalar_one_or_none()
    return None if found is None else TenantId(found)


def all_of_them(tx: PlatformTx) -> list[tuple[TenantId, str]]:
    """Every tenant's id and name, by name."""
    rows = tx.execute(select(tenants.c.id, tenants.c.name).order_by(tenants.c.name.collate("C")))
    return [(TenantId(row.id), row.name) for row in rows]


def key_hash(key: str) -> bytes:
    """What is kept of a key."""
    return hashlib.sha256(key.encode()).digest()
