"""Webhook endpoints: written, read, changed by their owners; disabled by them, or by failing for days.

An endpoint's row may be locked while a delivery's is held, and never the other way round: who holds an endpoint takes
only the deliveries that nobody else has locked.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from storage.database import PlatformTx, Tx
from storage.model import TenantId
from storage.sealing import Keyring, Sealed
from storage.webhook_model import (
    Endpoint,
    EndpointId,
    EventType,
    NewEndpoint,
    SigningSecret,
    SigningSecrets,
)

MAX_SECRETS = 5  # that sign at the same time, however often they are rotated
CANCELED_AT_ONCE = 10_000  # deliveries of an endpoint that is disabled; the loop that delivers cancels the rest

_INSERT = """
INSERT INTO webhook_endpoints (tenant_id, id, url, description, types, ed25519, sealed, key_id, disabled_at,
                               disabled_reason, listening_until)
VALUES (%(tenant)s, %(endpoint)s, %(url)s, %(description)s, %(types)s::text[], %(ed25519)s, %(sealed)s, %(key)s,
        CASE WHEN %(disabled)s::text IS NOT NULL THEN now() END, %(disabled)s,
        clock_timestamp() + make_interval(secs => %(listening)s))
RETURNING *
"""

_PAGE = """
SELECT * FROM webhook_endpoints
WHERE tenant_id = %(tenant)s AND url IS NOT NULL AND (%(before)s::text IS NULL OR id < %(before)s)
ORDER BY id DESC LIMIT %(limit)s
"""

# Whether it has failed at another address says nothing of the new one.
_CHANGE = """
UPDATE webhook_endpoints
SET url = COALESCE(%(url)s, url), description = COALESCE(%(description)s, description),
    types = COALESCE(%(types)s::text[], types),
    failing_since = CASE WHEN url = COALESCE(%(url)s, url) THEN failing_since END, updated_at = clock_timestamp()
WHERE tenant_id = %(tenant)s AND id = %(endpoint)s
RETURNING *
"""

_ENABLE = """
UPDATE webhook_endpoints
SET disabled_at = NULL, disabled_reason = NULL,
    failing_since = CASE WHEN disabled_at IS NULL THEN failing_since END, updated_at = clock_timestamp()
WHERE tenant_id = %(tenant)s AND id = %(endpoint)s
RETURNING *
"""

_DISABLE = """
UPDATE webhook_endpoints
SET disabled_at = COALESCE(disabled_at, clock_timestamp()), disabled_reason = %(reason)s,
    updated_at = clock_timestamp()
WHERE tenant_id = %(tenant)s AND id = %(endpoint)s
RETURNING *
"""

_CANCEL = """
UPDATE deliveries d SET state = 'canceled', next_at = NULL, ended_at = clock_timestamp()
FROM (
  SELECT tenant_id, id FROM deliveries
  WHERE lane = %(endpoint)s AND state = 'pending' AND tenant_id = %(tenant)s
  LIMIT %(limit)s FOR UPDATE SKIP LOCKED
) AS pending
WHERE d.tenant_id = pending.tenant_id AND d.id = pending.id
"""

_SEALED_OTHERWISE = """
SELECT * FROM webhook_endpoints
WHERE sealed IS NOT NULL AND key_id <> %(key)s AND (tenant_id, id) > (%(tenant)s, %(endpoint)s)
ORDER BY tenant_id, id LIMIT %(limit)s FOR NO KEY UPDATE
"""

_FORGET_LISTENERS = """
DELETE FROM webhook_endpoints e USING (
  SELECT tenant_id, id FROM webhook_endpoints
  WHERE listening_until < now() - make_interval(secs => %(seconds)s) LIMIT %(limit)s FOR UPDATE SKIP LOCKED
) AS gone
WHERE e.tenant_id = gone.tenant_id AND e.id = gone.id
"""


def seal(keyring: Keyring, tenant_id: TenantId, endpoint_id: EndpointId, signing: SigningSecrets) -> Sealed:
    """An endpoint's signing secrets as they are stored: a JSON list, bound to the endpoint."""
    listed: list[dict[str, str | None]] = [
        {"secret": one.secret, "until": None if one.until is None else one.until.isoformat()} for one in signing.secrets
    ]
    if signing.key is not None:
        listed.append({"key": signing.key})
    return keyring.seal(json.dumps(listed).encode(), place=place(tenant_id, endpoint_id))


def opened(keyring: Keyring, endpoint: Endpoint, *, now: datetime) -> SigningSecrets:
    """The endpoint's signing secrets, without those whose time is over; none for a listener.

    Raises SecretUnreadable.
    """
    if endpoint.sealed is None:
        return SigningSecrets(secrets=())
    listed = json.loads(keyring.open(endpoint.sealed, place=place(endpoint.tenant_id, endpoint.id)))
    secrets = [
        SigningSecret(secret=one["secret"], until=one["until"] and datetime.fromisoformat(one["until"]))
        for one in listed
        if "secret" in one
    ]
    return SigningSecrets(
        secrets=[one for one in secrets if one.until is None or one.until > now],
        key=next((one["key"] for one in listed if "key" in one), None),
    )


def place(tenant_id: TenantId, endpoint_id: EndpointId) -> str:
    """What an endpoint's secrets are sealed for."""
    return f"{tenant_id}/webhooks/{endpoint_id}"


def insert(tx: Tx, new: NewEndpoint) -> Endpoint:
    """Write an endpoint; what happens from the commit on is delivered to it."""
    row = tx.sql(
        _INSERT,
        endpoint=new.id,
        url=new.url,
        description=new.description,
        types=list(new.types),
        ed25519=new.ed25519,
        sealed=None if new.sealed is None else new.sealed.data,
        key=None if new.sealed is None else new.sealed.key_id,
        disabled=new.disabled_reason,
        listening=new.listening_seconds,
    ).one()
    return endpoint_of(row)


def count(tx: Tx) -> int:
    """How many endpoints the tenant has, without listeners."""
    counted = tx.sql("SELECT count(*) FROM webhook_endpoints WHERE tenant_id = %(tenant)s AND url IS NOT NULL")
    return int(counted.scalar_one())


def find(tx: Tx, endpoint_id: EndpointId) -> Endpoint | None:
    """The tenant's endpoint, a listener too, or None."""
    found = tx.sql("SELECT * FROM webhook_endpoints WHERE tenant_id = %(tenant)s AND id = %(id)s", id=endpoint_id)
    row = found.one_or_none()
    return None if row is None else endpoint_of(row)


def lock(tx: Tx, endpoint_id: EndpointId) -> Endpoint | None:
    """The same, and nobody else changes it until the transaction ends."""
    asked = "SELECT * FROM webhook_endpoints WHERE tenant_id = %(tenant)s AND id = %(id)s FOR NO KEY UPDATE"
    row = tx.sql(asked, id=endpoint_id).one_or_none()
    return None if row is None else endpoint_of(row)


def page(tx: Tx, *, before: EndpointId | None, limit: int) -> list[Endpoint]:
    """At most `limit` of the tenant's endpoints, newest first, from below `before`; no listeners."""
    return [endpoint_of(row) for row in tx.sql(_PAGE, before=before, limit=limit)]


def change(
    tx: Tx,
    endpoint_id: EndpointId,
    *,
    url: str | None = None,
    description: str | None = None,
    types: Sequence[EventType] | None = None,
) -> Endpoint | None:
    """Change what is given; what still waits goes to the new URL. None if the tenant has no such endpoint."""
    given = {"url": url, "description": description, "types": None if types is None else list(types)}
    row = tx.sql(_CHANGE, endpoint=endpoint_id, **given).one_or_none()
    return None if row is None else endpoint_of(row)


def rotate(
    tx: Tx, keyring: Keyring, endpoint_id: EndpointId, secret: str, *, now: datetime, old_until: datetime
) -> Endpoint | None:
    """Sign with this secret from now on, and until `old_until` with the one before as well.

    None if the tenant has no such endpoint. Raises SecretUnreadable.
    """
    endpoint = lock(tx, endpoint_id)
    if endpoint is None:
        return None
    before = opened(keyring, endpoint, now=now)
    older = [SigningSecret(secret=one.secret, until=one.until or old_until) for one in before.secrets]
    # Whoever drops a secret at once drops those before it as well.
    live = [one for one in older if one.until is not None and one.until > now and old_until > now]
    secrets = [SigningSecret(secret=secret, until=None), *live][:MAX_SECRETS]
    return put_sealed(
        tx, endpoint_id, seal(keyring, tx.tenant_id, endpoint_id, SigningSecrets(secrets=secrets, key=before.key))
    )


def put_sealed(tx: Tx, endpoint_id: EndpointId, sealed: Sealed) -> Endpoint | None:
    """Store the endpoint's secrets; lock it before you read them."""
    row = tx.sql(
        "UPDATE webhook_endpoints SET sealed = %(sealed)s, key_id = %(key)s, updated_at = clock_timestamp()"
        " WHERE tenant_id = %(tenant)s AND id = %(endpoint)s RETURNING *",
        endpoint=endpoint_id,
        sealed=sealed.data,
        key=sealed.key_id,
    ).one_or_none()
    return None if row is None else endpoint_of(row)


def sealed_otherwise(
    tx: PlatformTx, key_id: str, *, after: tuple[TenantId, EndpointId] | None, limit: int
) -> list[Endpoint]:
    """At most `limit` endpoints, locked, whose secrets another key than this one seals, by tenant and id."""
    tenant, endpoint = after or ("", "")
    rows = tx.sql(_SEALED_OTHERWISE, key=key_id, tenant=tenant, endpoint=endpoint, limit=limit)
    return [endpoint_of(row) for row in rows]


def enable(tx: Tx, endpoint_id: EndpointId) -> Endpoint | None:
    """Deliver to it again what happens from now on. None if the tenant has no such endpoint."""
    row = tx.sql(_ENABLE, endpoint=endpoint_id).one_or_none()
    return None if row is None else endpoint_of(row)


def disable(tx: Tx, endpoint_id: EndpointId, reason: str) -> Endpoint | None:
    """Deliver nothing to it any more, and cancel what waits. None if the tenant has no such endpoint."""
    row = tx.sql(_DISABLE, endpoint=endpoint_id, reason=reason).one_or_none()
    if row is None:
        return None
    cancel_pending(tx, endpoint_id, limit=CANCELED_AT_ONCE)
    return endpoint_of(row)


def cancel_pending(tx: Tx, endpoint_id: EndpointId, *, limit: int) -> int:
    """Cancel at most `limit` deliveries that wait and that nobody has locked; returns how many."""
    return int(tx.sql(_CANCEL, endpoint=endpoint_id, limit=limit).rowcount)


def delete(tx: Tx, endpoint_id: EndpointId) -> bool:
    """Delete an endpoint with all its deliveries. False if the tenant has no such endpoint."""
    # First those: whoever writes a result holds its delivery, and then waits for the endpoint.
    tx.sql("DELETE FROM deliveries WHERE tenant_id = %(tenant)s AND endpoint_id = %(endpoint)s", endpoint=endpoint_id)
    gone = tx.sql(
        "DELETE FROM webhook_endpoints WHERE tenant_id = %(tenant)s AND id = %(endpoint)s", endpoint=endpoint_id
    )
    return bool(gone.rowcount)


def keep_listening(tx: Tx, endpoint_id: EndpointId, *, seconds: float) -> bool:
    """A listener is there for that long from now on. False if it has been forgotten."""
    done = tx.sql(
        "UPDATE webhook_endpoints SET listening_until = clock_timestamp() + make_interval(secs => %(seconds)s)"
        " WHERE tenant_id = %(tenant)s AND id = %(endpoint)s AND listening_until IS NOT NULL",
        endpoint=endpoint_id,
        seconds=seconds,
    )
    return bool(done.rowcount)


def forget_listeners(tx: PlatformTx, *, older_than_seconds: float, limit: int) -> int:
    """Delete at most `limit` listeners that went away longer ago than that; returns how many."""
    return int(tx.sql(_FORGET_LISTENERS, seconds=older_than_seconds, limit=limit).rowcount)


def endpoint_of(row: Any) -> Endpoint:
    """The endpoint of a row with all its columns."""
    return Endpoint(
        tenant_id=TenantId(row.tenant_id),
        id=EndpointId(row.id),
        url=row.url,
        description=row.description,
        types=tuple(EventType(one) for one in row.types),
        ed25519=row.ed25519,
        sealed=None if row.sealed is None else Sealed(key_id=row.key_id, data=bytes(row.sealed)),
        disabled_at=row.disabled_at,
        disabled_reason=row.disabled_reason,
        failing_since=row.failing_since,
        delivered_at=row.delivered_at,
        listening_until=row.listening_until,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
