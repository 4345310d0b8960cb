"""The keys with which tenants sign the addresses of pictures that are made on the fly; several are valid at once."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from storage.database import PlatformTx, Tx
from storage.image_model import ImageKey, ImageKeyId
from storage.model import TenantId
from storage.sealing import Keyring, Sealed

_INSERT = """
INSERT INTO image_keys (tenant_id, id, sealed, key_id) VALUES (%(tenant)s, %(id)s, %(sealed)s, %(key)s) RETURNING *
"""

_SEALED_OTHERWISE = """
SELECT * FROM image_keys
WHERE key_id <> %(key)s AND (tenant_id, id) > (%(tenant)s, %(after)s)
ORDER BY tenant_id, id LIMIT %(limit)s FOR UPDATE
"""


def seal(keyring: Keyring, tenant_id: TenantId, key_id: ImageKeyId, secret: bytes) -> Sealed:
    """A key as it is stored."""
    return keyring.seal(secret, place=place(tenant_id, key_id))


def opened(keyring: Keyring, key: ImageKey) -> bytes:
    """What the key signs with. Raises SecretUnreadable."""
    return keyring.open(key.sealed, place=place(key.tenant_id, key.id))


def place(tenant_id: TenantId, key_id: ImageKeyId) -> str:
    """What a key is sealed for."""
    return f"{tenant_id}/image_keys/{key_id}"


def create(tx: Tx, key_id: ImageKeyId, sealed: Sealed) -> ImageKey:
    """Store a new key."""
    return _key(tx.sql(_INSERT, id=key_id, sealed=sealed.data, key=sealed.key_id).one())


def of_tenant(tx: Tx) -> Sequence[ImageKey]:
    """All keys of the tenant, newest first, those that are retired among them."""
    return [_key(row) for row in tx.sql("SELECT * FROM image_keys WHERE tenant_id = %(tenant)s ORDER BY id DESC")]


def count(tx: Tx) -> int:
    """How many keys the tenant has, those that are retired among them."""
    return int(tx.sql("SELECT count(*) FROM image_keys WHERE tenant_id = %(tenant)s").scalar_one())


def retire(tx: Tx, key_id: ImageKeyId, at: datetime | None) -> ImageKey | None:
    """Have the key open nothing from that moment on, past or to come; None: it stays. None if there is no such key."""
    row = tx.sql(
        "UPDATE image_keys SET retired_at = %(at)s WHERE tenant_id = %(tenant)s AND id = %(id)s RETURNING *",
        id=key_id,
        at=at,
    ).one_or_none()
    return None if row is None else _key(row)


def delete(tx: Tx, key_id: ImageKeyId) -> bool:
    """Forget a key. False if the tenant has no such key."""
    return bool(tx.sql("DELETE FROM image_keys WHERE tenant_id = %(tenant)s AND id = %(id)s", id=key_id).rowcount)


def of_id(tx: PlatformTx, key_id: ImageKeyId) -> ImageKey | None:
    """The key of this id, and so its tenant, whether it is retired or not; None if there is none."""
    row = tx.sql("SELECT * FROM image_keys WHERE id = %(id)s", id=key_id).one_or_none()
    return None if row is None else _key(row)


def sealed_otherwise(
    tx: PlatformTx, key_id: str, *, after: tuple[TenantId, ImageKeyId] | None, limit: int
) -> list[ImageKey]:
    """At most `limit` keys, locked, that another key than this one seals, by tenant and id."""
    tenant, behind = after or ("", "")
    return [_key(row) for row in tx.sql(_SEALED_OTHERWISE, key=key_id, tenant=tenant, after=behind, limit=limit)]


def put_sealed(tx: Tx, key_id: ImageKeyId, sealed: Sealed) -> None:
    """Store the same key as another of the operator's keys seals it."""
    tx.sql(
        "UPDATE image_keys SET sealed = %(sealed)s, key_id = %(key)s WHERE tenant_id = %(tenant)s AND id = %(id)s",
        id=key_id,
        sealed=sealed.data,
        key=sealed.key_id,
    )


def _key(row: Any) -> ImageKey:
    return ImageKey(
        tenant_id=TenantId(row.tenant_id),
        id=ImageKeyId(row.id),
        sealed=Sealed(key_id=row.key_id, data=bytes(row.sealed)),
        created_at=row.created_at,
        retired_at=row.retired_at,
    )
