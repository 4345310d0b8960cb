"""Answers kept by Idempotency-Key: reserve before the work, answer in the transaction that does it."""

import json
import secrets

from storage.database import PlatformTx, Tx
from storage.errors import IdempotencyInFlight, IdempotencyMismatch
from storage.model import Json

KEPT_HOURS = 24

_RESERVE = """
INSERT INTO idempotency (tenant_id, key, token, locked_until)
VALUES (%(tenant)s, %(key)s, %(token)s, now() + make_interval(secs => %(seconds)s))
ON CONFLICT (tenant_id, key) DO UPDATE
SET token = excluded.token, locked_until = excluded.locked_until, fingerprint = NULL, answer = NULL, created_at = now()
WHERE (idempotency.answer IS NULL AND idempotency.locked_until < now())
   OR idempotency.created_at < now() - make_interval(hours => %(hours)s)
RETURNING key
"""


def reserve(tx: Tx, key: str, *, lock_seconds: float) -> str | None:
    """Take the key for a new request and return the token of it; None if it is answered already (call `replay`).

    Raises IdempotencyInFlight while another request holds it. A request that does not `renew` holds it for
    `lock_seconds`.
    """
    token = secrets.token_urlsafe(12)
    taken = tx.sql(_RESERVE, key=key, token=token, seconds=lock_seconds, hours=KEPT_HOURS)
    if taken.one_or_none() is not None:
        return token
    row = tx.sql("SELECT answer FROM idempotency WHERE tenant_id = %(tenant)s AND key = %(key)s", key=key).one_or_none()
    if row is None or row.answer is None:
        raise IdempotencyInFlight(key)
    return None


def renew(tx: Tx, key: str, token: str, *, lock_seconds: float) -> bool:
    """Hold the key for another `lock_seconds`; False if another request has taken it over."""
    done = tx.sql(
        "UPDATE idempotency SET locked_until = now() + make_interval(secs => %(seconds)s)"
        " WHERE tenant_id = %(tenant)s AND key = %(key)s AND token = %(token)s",
        key=key,
        token=token,
        seconds=lock_seconds,
    )
    return done.rowcount == 1


def replay(tx: Tx, key: str, fingerprint: bytes) -> Json:
    """The answer that was given to this key; IdempotencyMismatch if the payload is another one."""
    row = tx.sql(
        "SELECT fingerprint, answer FROM idempotency WHERE tenant_id = %(tenant)s AND key = %(key)s", key=key
    ).one_or_none()
    if row is None or row.answer is None:
        raise IdempotencyInFlight(key)
    if bytes(row.fingerprint) != fingerprint:
        raise IdempotencyMismatch(key)
    return row.answer


def answer(tx: Tx, key: str, token: str, fingerprint: bytes, given: Json) -> None:
    """Keep the answer, in the transaction that makes it true.

    Raises IdempotencyInFlight if the request took so long that another one has taken the key over.
    """
    done = tx.sql(
        "UPDATE idempotency"
        " SET fingerprint = %(fingerprint)s, answer = %(answer)s::jsonb, token = NULL, locked_until = NULL"
        " WHERE tenant_id = %(tenant)s AND key = %(key)s AND token = %(token)s",
        key=key,
        token=token,
        fingerprint=fingerprint,
        answer=json.dumps(given),
    )
    if done.rowcount != 1:
        raise IdempotencyInFlight(key)


def forget_old(tx: PlatformTx, *, limit: int) -> int:
    """Delete up to `limit` keys that are older than they are kept; returns how many."""
    done = tx.sql(
        "DELETE FROM idempotency WHERE (tenant_id, key) IN (SELECT tenant_id, key FROM idempotency"
        " WHERE created_at < now() - make_interval(hours => %(hours)s) LIMIT %(limit)s FOR UPDATE SKIP LOCKED)",
        hours=KEPT_HOURS,
        limit=limit,
    )
    return int(done.rowcount)


def release(tx: Tx, key: str, token: str) -> None:
    """Free a key whose request failed, so that it may be tried again."""
    tx.sql(
        "DELETE FROM idempotency WHERE tenant_id = %(tenant)s AND key = %(key)s AND token = %(token)s",
        key=key,
        token=token,
    )
