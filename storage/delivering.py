"""What the loop that delivers asks: what is to be tried now, and what became of it; all fenced by the claim's number.

A delivery that is tried keeps its state and has its `next_at` moved to the end of a lease: if whoever tries it dies, it
is due again then. A lane is one place that messages go to, and no lane waits for another.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from storage.database import PlatformTx, Tx
from storage.deliveries import WITHOUT_BODY, delivery_of
from storage.model import TenantId
from storage.webhook_model import Claimed, Endpoint, EndpointId, Try
from storage.webhooks import endpoint_of

MAX_LOG = 20  # tries that are kept of each delivery


@dataclass(frozen=True, kw_only=True, slots=True)
class UnderWay:
    """What is being tried by whoever asks: how many deliveries in which lanes, and of which tenants.

    Of the lanes in `narrow`, and of an endpoint that fails, one goes at a time, of the others `per_lane`; of those in
    `resting` none, but of an endpoint only until it is changed: it comes with its `updated_at`. A tenant has
    `per_tenant` at a time.
    """

    lanes: Mapping[str, int] = field(default_factory=dict)
    tenants: Mapping[TenantId, int] = field(default_factory=dict)
    narrow: Collection[str] = ()
    resting: Mapping[str, datetime | None] = field(default_factory=dict)
    per_lane: int = 4
    per_tenant: int = 50


# A loose index scan: one look into ix_deliveries_pending for each lane, however many deliveries wait in it. What it
# finds there is also what is due first in that lane. What is under way comes as JSON objects, whose keys are found by
# bisection: arrays would be gone through for each lane, in a plan that does not know how long they are.
_LANES = """
WITH RECURSIVE lanes AS (
  (SELECT lane, tenant_id, endpoint_id, next_at FROM deliveries WHERE state = 'pending' ORDER BY lane, next_at LIMIT 1)
  UNION ALL
  SELECT following.* FROM lanes CROSS JOIN LATERAL (
    SELECT d.lane, d.tenant_id, d.endpoint_id, d.next_at FROM deliveries d
    WHERE d.state = 'pending' AND d.lane > lanes.lane ORDER BY d.lane, d.next_at LIMIT 1
  ) AS following
), moving AS (
  SELECT l.lane, l.tenant_id, l.next_at, coalesce((%(lanes)s::jsonb ->> l.lane)::int, 0) AS busy,
    coalesce((%(tenants)s::jsonb ->> l.tenant_id)::int, 0) AS of_tenant,
    CASE WHEN e.failing_since IS NOT NULL OR %(narrow)s::jsonb ? l.lane THEN 1 ELSE %(per_lane)s END AS most
  FROM lanes l
  LEFT JOIN webhook_endpoints e ON e.tenant_id = l.tenant_id AND e.id = l.endpoint_id
  WHERE (l.endpoint_id IS NULL OR (e.url IS NOT NULL AND e.disabled_at IS NULL))
    AND (NOT %(resting)s::jsonb ? l.lane OR e.updated_at > (%(resting)s::jsonb ->> l.lane)::timestamptz)
)
"""

# Of the lanes that have room, those that have waited longest; of a tenant's no more than it may have at a time, and
# whoever has least under way comes first. Only then are rows locked, and of those what a tenant may have is taken. The
# clock is asked once: a condition that may change from row to row is not looked up in an index.
_TAKE = f"""
{_LANES}, due AS (
  SELECT lane, of_tenant, most - busy AS room FROM (
    SELECT m.*, row_number() OVER (PARTITION BY m.tenant_id ORDER BY m.next_at) + of_tenant AS nth FROM moving m
    WHERE m.next_at <= (SELECT clock_timestamp()) AND m.busy < m.most
  ) AS ranked
  WHERE nth <= %(per_tenant)s ORDER BY nth, next_at LIMIT %(limit)s
), found AS (
  SELECT first.*, due.of_tenant, row_number() OVER (PARTITION BY due.lane ORDER BY first.next_at, first.id) AS place
  FROM due CROSS JOIN LATERAL (
    SELECT d.tenant_id, d.id, d.next_at FROM deliveries d
    WHERE d.state = 'pending' AND d.lane = due.lane AND d.next_at <= (SELECT clock_timestamp())
    ORDER BY d.next_at, d.id LIMIT due.room FOR UPDATE SKIP LOCKED
  ) AS first
), taken AS (
  SELECT tenant_id, id, next_at FROM (
    SELECT f.*, row_number() OVER (PARTITION BY tenant_id ORDER BY place, next_at, id) + of_tenant AS nth FROM found f
  ) AS shared
  WHERE nth <= %(per_tenant)s ORDER BY nth, next_at LIMIT %(limit)s
)
UPDATE deliveries d SET claim = d.claim + 1, next_at = clock_timestamp() + make_interval(secs => %(lease)s)
FROM taken WHERE d.tenant_id = taken.tenant_id AND d.id = taken.id
RETURNING {WITHOUT_BODY}, d.claim, octet_length(d.body) AS body_bytes, taken.next_at AS was_due
"""  # noqa: S608 - constants, as below

_SECONDS_TO_NEXT = f"""
{_LANES}
SELECT extract(epoch FROM min(next_at) - clock_timestamp())::float FROM moving
WHERE busy < most AND of_tenant < %(per_tenant)s
"""  # noqa: S608

_ENDPOINTS = """
SELECT e.* FROM webhook_endpoints e
JOIN (SELECT DISTINCT * FROM unnest(%(tenants)s::text[], %(endpoints)s::text[]) AS asked (tenant_id, id)) AS asked
  USING (tenant_id, id)
"""

_TAKE_OF = """
UPDATE deliveries d SET claim = d.claim + 1, next_at = clock_timestamp() + make_interval(secs => %(lease)s)
FROM (
  SELECT tenant_id, id, next_at FROM deliveries
  WHERE tenant_id = %(tenant)s AND lane = %(endpoint)s AND state = 'pending'
    AND next_at <= (SELECT clock_timestamp())
  ORDER BY next_at, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
) AS taken
WHERE d.tenant_id = taken.tenant_id AND d.id = taken.id
RETURNING d.*, octet_length(d.body) AS body_bytes, taken.next_at AS was_due
"""

_FENCE = "tenant_id = %(tenant)s AND id = %(delivery)s AND claim = %(claim)s AND state = 'pending'"

_BODY = f"SELECT body FROM deliveries WHERE {_FENCE}"  # noqa: S608

_KEEP_BODY = f"UPDATE deliveries SET body = coalesce(body, %(body)s) WHERE {_FENCE} RETURNING body"  # noqa: S608

# The newest tries are kept.
_LOGGED = f"""
log = (
  SELECT coalesce(jsonb_agg(one ORDER BY place), '[]')
  FROM jsonb_array_elements(log || %(tried)s::jsonb) WITH ORDINALITY AS tries (one, place)
  WHERE place > jsonb_array_length(log) + 1 - {MAX_LOG}
)
"""  # noqa: S608

_END = f"""
UPDATE deliveries SET state = %(state)s, next_at = NULL, ended_at = clock_timestamp(), tries = tries + 1, {_LOGGED}
WHERE {_FENCE}
"""  # noqa: S608

_AGAIN = f"""
UPDATE deliveries
SET next_at = clock_timestamp() + make_interval(secs => %(seconds)s), tries = tries + 1, {_LOGGED}
WHERE {_FENCE}
"""  # noqa: S608

_GIVE_BACK = f"""
UPDATE deliveries SET next_at = clock_timestamp() + make_interval(secs => %(seconds)s) WHERE {_FENCE}
RETURNING CASE WHEN %(seconds)s <= 0 THEN pg_notify('millrace_webhooks', tenant_id) END
"""  # noqa: S608

# Not at every message of a busy endpoint.
_WORKED = """
UPDATE webhook_endpoints SET delivered_at = clock_timestamp(), failing_since = NULL
WHERE tenant_id = %(tenant)s AND id = %(endpoint)s
  AND (failing_since IS NOT NULL OR delivered_at IS NULL OR delivered_at < clock_timestamp() - interval '1 second')
"""

_FAILED = """
UPDATE webhook_endpoints SET failing_since = coalesce(failing_since, clock_timestamp())
WHERE tenant_id = %(tenant)s AND id = %(endpoint)s AND disabled_at IS NULL
RETURNING failing_since, failing_since <= clock_timestamp() - make_interval(secs => %(seconds)s) AS is_long
"""

# The newest first: an endpoint may have had a million of them before it began to fail.
_FAILURES = """
SELECT count(*) FROM (
  SELECT FROM deliveries d, jsonb_array_elements(d.log) AS one
  WHERE d.tenant_id = %(tenant)s AND d.endpoint_id = %(endpoint)s AND (one ->> 'at')::timestamptz >= %(since)s
  ORDER BY d.id DESC LIMIT %(most)s
) AS failures
"""

_STRAY = f"""
{_LANES.split(", moving AS", maxsplit=1)[0]}
SELECT e.tenant_id, e.id FROM lanes l
JOIN webhook_endpoints e ON e.tenant_id = l.tenant_id AND e.id = l.endpoint_id
WHERE e.disabled_at IS NOT NULL
"""  # noqa: S608


def take_due(tx: PlatformTx, under_way: UnderWay, *, limit: int, lease_seconds: float) -> list[Claimed]:
    """At most `limit` deliveries that are due and have room, in the order in which they are to be started.

    Without their bodies, which may be large: ask for each when it is sent.
    """
    rows = tx.sql(_TAKE, limit=limit, lease=lease_seconds, **_room(under_way)).all()
    known = _endpoints(tx, [(row.tenant_id, row.endpoint_id) for row in rows if row.endpoint_id is not None])
    return [_claimed(row, known) for row in sorted(rows, key=lambda row: (row.was_due, row.id))]


def take_of(tx: Tx, endpoint: Endpoint, *, limit: int, lease_seconds: float) -> list[Claimed]:
    """The same for one endpoint alone, such as a listener, whom take_due passes over."""
    rows = tx.sql(_TAKE_OF, endpoint=endpoint.id, limit=limit, lease=lease_seconds).all()
    known = {(endpoint.tenant_id, endpoint.id): endpoint}
    return [_claimed(row, known) for row in sorted(rows, key=lambda row: (row.was_due, row.id))]


def seconds_to_next(tx: PlatformTx, under_way: UnderWay) -> float | None:
    """How long until something is due in a lane that has room: negative if it is; None if nothing waits."""
    seconds: float | None = tx.sql(_SECONDS_TO_NEXT, **_room(under_way)).scalar_one()
    return seconds


def body(tx: Tx, claimed: Claimed) -> str | None:
    """What has been kept to be sent; None if there is none, or the delivery is not ours any more."""
    kept: str | None = tx.sql(_BODY, **_fence(claimed)).scalar_one_or_none()
    return kept


def keep_body(tx: Tx, claimed: Claimed, body: str) -> str | None:
    """Store what is sent, before it is; returns what to send, or None if the delivery is not ours any more."""
    kept: str | None = tx.sql(_KEEP_BODY, body=body, **_fence(claimed)).scalar_one_or_none()
    return kept


def delivered(tx: Tx, claimed: Claimed, tried: Try) -> bool:
    """It has arrived. False if the delivery is not ours any more: then nothing is written, as below."""
    if not tx.sql(_END, state="delivered", tried=_logged(tried), **_fence(claimed)).rowcount:
        return False
    if claimed.endpoint is not None:
        tx.sql(_WORKED, endpoint=claimed.endpoint.id)
    return True


def failed(tx: Tx, claimed: Claimed, tried: Try, *, again_in_seconds: float | None) -> bool:
    """It has not arrived: it is tried again then, or never."""
    if again_in_seconds is None:
        done = tx.sql(_END, state="failed", tried=_logged(tried), **_fence(claimed))
    else:
        done = tx.sql(_AGAIN, seconds=again_in_seconds, tried=_logged(tried), **_fence(claimed))
    return bool(done.rowcount)


def give_back(tx: Tx, claimed: Claimed, *, seconds: float = 0.0) -> bool:
    """It has not been tried after all: it is due at once, or after so many seconds."""
    return bool(tx.sql(_GIVE_BACK, seconds=seconds, **_fence(claimed)).rowcount)


def note_failure(tx: Tx, endpoint_id: EndpointId, *, long_seconds: float, many: int) -> bool:
    """Write down that the endpoint fails; True if it has only failed for that long, and at least that often.

    Call it after `failed`, in the same transaction. False for one that is disabled, or gone.
    """
    row = tx.sql(_FAILED, endpoint=endpoint_id, seconds=long_seconds).one_or_none()
    if row is None or not row.is_long:
        return False
    return int(tx.sql(_FAILURES, endpoint=endpoint_id, since=row.failing_since, most=many).scalar_one()) >= many


def stray(tx: PlatformTx) -> list[tuple[TenantId, EndpointId]]:
    """The disabled endpoints for which deliveries wait all the same: see storage.webhooks.cancel_pending."""
    return [(TenantId(row.tenant_id), EndpointId(row.id)) for row in tx.sql(_STRAY)]


def _room(under_way: UnderWay) -> dict[str, Any]:
    return {
        "lanes": json.dumps(dict(under_way.lanes)),
        "tenants": json.dumps(dict(under_way.tenants)),
        "narrow": json.dumps(dict.fromkeys(under_way.narrow)),
        "resting": json.dumps({lane: as_of and as_of.isoformat() for lane, as_of in under_way.resting.items()}),
        "per_lane": under_way.per_lane,
        "per_tenant": under_way.per_tenant,
    }


def _endpoints(
    tx: PlatformTx, asked: Collection[tuple[TenantId, EndpointId]]
) -> dict[tuple[TenantId, EndpointId], Endpoint]:
    if not asked:
        return {}
    rows = tx.sql(_ENDPOINTS, tenants=[tenant for tenant, _ in asked], endpoints=[endpoint for _, endpoint in asked])
    return {(endpoint.tenant_id, endpoint.id): endpoint for endpoint in map(endpoint_of, rows)}


def _claimed(row: Any, known: Mapping[tuple[TenantId, EndpointId], Endpoint]) -> Claimed:
    delivery = delivery_of(row)
    endpoint = None if delivery.endpoint_id is None else known[delivery.tenant_id, delivery.endpoint_id]
    return Claimed(delivery=delivery, claim=row.claim, endpoint=endpoint, body_bytes=row.body_bytes)


def _fence(claimed: Claimed) -> dict[str, Any]:
    return {"delivery": claimed.delivery.id, "claim": claimed.claim}


def _logged(tried: Try) -> str:
    given = {"at": tried.at.isoformat(), "status": tried.status, "error": tried.error, "seconds": tried.seconds}
    return json.dumps([given])
