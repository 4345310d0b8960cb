"""Seals with the current SECRET_KEY what older ones have sealed, little by little.

What the current key seals is passed over: whoever was stopped begins anew and goes on where it was.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from storage import image_keys, secrets, webhooks
from storage.database import Database, PlatformTx, Tx
from storage.errors import SecretUnreadable
from storage.image_model import ImageKeyId
from storage.model import TenantId
from storage.sealing import Keyring, Sealed
from storage.webhook_model import EndpointId

BATCH = 100  # rows that are locked at the same time


@dataclass(frozen=True, kw_only=True, slots=True)
class Resealed:
    """How many values were sealed anew, and what could not be opened and is left: its place, and why."""

    count: int
    left: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    """A sealed value, and where it stands."""

    tenant_id: TenantId
    name: str
    place: str
    sealed: Sealed


Find = Callable[[PlatformTx, str, tuple[TenantId, str] | None], list[_Row]]
Put = Callable[[Tx, str, Sealed], None]


def reseal_secrets(database: Database, keyring: Keyring) -> Resealed:
    """Seal the secrets of all tenants with the current key."""
    return _reseal(database, keyring, _secrets, secrets.put_sealed)


def reseal_webhooks(database: Database, keyring: Keyring) -> Resealed:
    """Seal what signs the messages to all tenants' webhooks with the current key."""
    return _reseal(database, keyring, _webhooks, _put_webhook)


def reseal_image_keys(database: Database, keyring: Keyring) -> Resealed:
    """Seal what signs the addresses of all tenants' pictures with the current key."""
    return _reseal(database, keyring, _image_keys, _put_image_key)


def _reseal(database: Database, keyring: Keyring, find: Find, put: Put) -> Resealed:
    count, left = 0, list[str]()
    after: tuple[TenantId, str] | None = None
    while True:
        with database.platform() as tx:
            rows = find(tx, keyring.current_id, after)
            for row in rows:
                try:
                    plain = keyring.open(row.sealed, place=row.place)
                except SecretUnreadable as exc:
                    left.append(f"{row.place}: {exc}")
                    continue
                put(tx.of(row.tenant_id), row.name, keyring.seal(plain, place=row.place))
                count += 1
        if len(rows) < BATCH:
            return Resealed(count=count, left=left)
        after = rows[-1].tenant_id, rows[-1].name


def _secrets(tx: PlatformTx, key_id: str, after: tuple[TenantId, str] | None) -> list[_Row]:
    found = secrets.sealed_otherwise(tx, key_id, after=after, limit=BATCH)
    return [
        _Row(tenant_id=one.tenant_id, name=one.name, place=secrets.place(one.tenant_id, one.name), sealed=one.sealed)
        for one in found
    ]


def _webhooks(tx: PlatformTx, key_id: str, after: tuple[TenantId, str] | None) -> list[_Row]:
    behind = None if after is None else (after[0], EndpointId(after[1]))
    found = webhooks.sealed_otherwise(tx, key_id, after=behind, limit=BATCH)
    return [
        _Row(tenant_id=one.tenant_id, name=one.id, place=webhooks.place(one.tenant_id, one.id), sealed=one.sealed)
        for one in found
        if one.sealed is not None  # the query sees to it
    ]


def _image_keys(tx: PlatformTx, key_id: str, after: tuple[TenantId, str] | None) -> list[_Row]:
    behind = None if after is None else (after[0], ImageKeyId(after[1]))
    found = image_keys.sealed_otherwise(tx, key_id, after=behind, limit=BATCH)
    return [
        _Row(tenant_id=one.tenant_id, name=one.id, place=image_keys.place(one.tenant_id, one.id), sealed=one.sealed)
        for one in found
    ]


def _put_image_key(tx: Tx, name: str, sealed: Sealed) -> None:
    image_keys.put_sealed(tx, ImageKeyId(name), sealed)


def _put_webhook(tx: Tx, name: str, sealed: Sealed) -> None:
    webhooks.put_sealed(tx, EndpointId(name), sealed)
