"""`Idempotency-Key` on requests that create: the same key and payload get the same answer, once made."""

import asyncio
import hashlib
import json
import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Header

from api.errors import Refused
from api.service import Service
from storage import idempotency
from storage.database import Tx
from storage.errors import StorageError
from storage.model import Json, TenantId

LOCK_SECONDS = 15.0  # how long a request that died holds its key; one that lives renews it
log = logging.getLogger(__name__)

KEY_HEADER = "Idempotency-Key"
_ALLOWED = re.compile(r"[!-~]{1,255}")  # what can be seen of ASCII

KeyHeader = Annotated[
    str | None,
    Header(
        alias=KEY_HEADER,
        description="1 to 255 visible ASCII characters, your own: sent again with the same payload within 24 hours, "
        "the request gets the same answer and does nothing twice.",
        json_schema_extra={"pattern": f"^{_ALLOWED.pattern}$"},
    ),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """A key that is ours to answer: `token` shows that nobody has taken it over."""

    service: Service
    tenant_id: TenantId
    key: str
    token: str

    def answer(self, tx: Tx, fingerprint: bytes, given: Json) -> None:
        """Keep the answer, in the transaction that makes it true."""
        idempotency.answer(tx, self.key, self.token, fingerprint, given)

    @asynccontextmanager
    async def renewed(self) -> AsyncIterator[None]:
        """Keep the key while the block runs, however long that is."""
        renewing = asyncio.create_task(self._keep_renewing())
        try:
            yield
        finally:
            renewing.cancel()

    async def release(self) -> None:
        """Free the key: the request failed and may be tried again."""
        await self.service.blocking(self._release)

    async def _keep_renewing(self) -> None:
        while True:
            await asyncio.sleep(LOCK_SECONDS / 3)
            try:
                await self.service.blocking(self._renew)
            except StorageError as exc:  # if it goes on like this the key is lost, and `answer` will notice
                log.warning("idempotency.renew_failed reason=%s", exc)

    def _renew(self) -> None:
        with self.service.database.begin(self.tenant_id) as tx:
            idempotency.renew(tx, self.key, self.token, lock_seconds=LOCK_SECONDS)

    def _release(self) -> None:
        with self.service.database.begin(self.tenant_id) as tx:
            idempotency.release(tx, self.key, self.token)


async def once(
    service: Service, tenant_id: TenantId, key: str | None, payload: Json, act: Callable[[Tx], Json]
) -> Json:
    """What `act` gives, as JSON, in a transaction of its own; with a key it is done once for this key and payload.

    The payload names what is asked, too, so that a key of one route is no key of another. A request that is cut off
    changes nothing about it: it is done, or refused, to the end. Raises what `act` raises, IdempotencyInFlight and
    IdempotencyMismatch.
    """
    checked(key)
    fingerprint = hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).digest()
    if key is None:
        return await service.to_its_end(service.blocking(_act, service, tenant_id, act, None, fingerprint))
    held = await hold(service, tenant_id, key)
    if held is None:
        return await replay(service, tenant_id, key, fingerprint)
    return await service.to_its_end(_act_held(held, act, fingerprint))


def checked(key: str | None) -> str | None:
    """The key, if it is well formed or not given. Raises Refused (400)."""
    if key is not None and not _ALLOWED.fullmatch(key):
        detail = "Idempotency-Key must be 1 to 255 visible ASCII characters without spaces"
        raise Refused(400, "idempotency_key_malformed", detail)
    return key


async def hold(service: Service, tenant_id: TenantId, key: str) -> Held | None:
    """Take the key; None if it has been answered before. Raises IdempotencyInFlight."""
    token = await service.blocking(_reserve, service, tenant_id, key)
    return None if token is None else Held(service=service, tenant_id=tenant_id, key=key, token=token)


async def replay(service: Service, tenant_id: TenantId, key: str, fingerprint: bytes) -> Json:
    """The answer of the first request with this key. Raises IdempotencyMismatch."""
    return await service.blocking(_replay, service, tenant_id, key, fingerprint)


async def _act_held(held: Held, act: Callable[[Tx], Json], fingerprint: bytes) -> Json:
    try:
        async with held.renewed():
            return await held.service.blocking(_act, held.service, held.tenant_id, act, held, fingerprint)
    except Exception:
        try:
            await held.release()  # which leaves a key that is answered: the commit may have come through
        except StorageError as exc:  # it frees itself after LOCK_SECONDS
            log.warning("idempotency.release_failed reason=%s", exc)
        raise


def _act(
    service: Service, tenant_id: TenantId, act: Callable[[Tx], Json], held: Held | None, fingerprint: bytes
) -> Json:
    with service.database.begin(tenant_id) as tx:
        given = act(tx)
        if held is not None:
            held.answer(tx, fingerprint, given)
    return given


def _reserve(service: Service, tenant_id: TenantId, key: str) -> str | None:
    with service.database.begin(tenant_id) as tx:
        return idempotency.reserve(tx, key, lock_seconds=LOCK_SECONDS)


def _replay(service: Service, tenant_id: TenantId, key: str, fingerprint: bytes) -> Json:
    with service.database.read(tenant_id) as tx:
        return idempotency.replay(tx, key, fingerprint)
