"""Deliveries as their owners see them: read, sent again, written for a test; a trigger on events writes the others.

What the loop asks that delivers them is in storage.delivering.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from storage.database import PlatformTx, Tx
from storage.model import JobId, Json, TenantId
from storage.webhook_model import (
    Delivery,
    DeliveryId,
    DeliveryState,
    EndpointId,
    EventType,
    Try,
)

# A body may have megabytes: many rows are read without it.
WITHOUT_BODY = (
    "d.tenant_id, d.id, d.endpoint_id, d.url, d.lane, d.type, d.message_id, d.job_id, d.data, d.happened_at, d.state,"
    " d.next_at, d.tries, d.log, NULL AS body, d.ended_at"
)

# {state} is a condition of its own, so that the index of those that were not taken can be used.
_PAGE = f"""
SELECT {WITHOUT_BODY} FROM deliveries d
WHERE d.tenant_id = %(tenant)s AND d.endpoint_id = %(endpoint)s AND (%(before)s::text IS NULL OR d.id < %(before)s)
  AND {{state}}
ORDER BY d.id DESC LIMIT %(limit)s
"""  # noqa: S608 - constants, as below

_OF_JOB = f"""
SELECT {WITHOUT_BODY} FROM deliveries d
WHERE d.tenant_id = %(tenant)s AND d.job_id = %(job)s AND (%(before)s::text IS NULL OR d.id < %(before)s)
  AND {{state}} AND NOT EXISTS (  -- what a developer listens to is nobody else's business
    SELECT FROM webhook_endpoints e WHERE e.tenant_id = d.tenant_id AND e.id = d.endpoint_id AND e.url IS NULL
  )
ORDER BY d.id DESC LIMIT %(limit)s
"""  # noqa: S608

# A claim of its own: what a try that is under way has to say does not count any more.
_AGAIN = """
state = 'pending', tries = 0, claim = claim + 1, ended_at = NULL
"""

_REDELIVER = f"""
UPDATE deliveries SET {_AGAIN}, next_at = clock_timestamp()
WHERE tenant_id = %(tenant)s AND id = %(delivery)s
RETURNING *, pg_notify('millrace_webhooks', tenant_id)
"""  # noqa: S608 - constants

# A microsecond after each other: they go in the order in which they came.
_REDELIVER_SINCE = f"""
UPDATE deliveries d SET {_AGAIN}, next_at = old.next_at
FROM (
  SELECT id, statement_timestamp() + make_interval(secs => row_number() OVER (ORDER BY id) / 1e6) AS next_at FROM (
    SELECT id FROM deliveries
    WHERE tenant_id = %(tenant)s AND endpoint_id = %(endpoint)s AND happened_at >= %(since)s
      AND state = ANY (%(states)s::text[])
    ORDER BY id LIMIT %(limit)s FOR UPDATE
  ) AS locked
) AS old
WHERE d.tenant_id = %(tenant)s AND d.id = old.id
"""  # noqa: S608 - constants

_INSERT_TEST = """
INSERT INTO deliveries (tenant_id, id, endpoint_id, lane, type, message_id, data)
SELECT tenant_id, new_typeid('dlv'), id, id, 'webhook.test', new_typeid('msg'), jsonb_build_object('endpoint', id)
FROM webhook_endpoints WHERE tenant_id = %(tenant)s AND id = %(endpoint)s
RETURNING *, pg_notify('millrace_webhooks', tenant_id)
"""

_INSERT_DISABLED = """
WITH message AS (SELECT new_typeid('msg') AS id), written AS (
  INSERT INTO deliveries (tenant_id, id, endpoint_id, lane, type, message_id, data)
  SELECT e.tenant_id, new_typeid('dlv'), e.id, e.id, 'webhook.disabled', message.id, %(data)s::jsonb
  FROM webhook_endpoints e, message
  WHERE e.tenant_id = %(tenant)s AND e.id <> %(endpoint)s AND 'webhook.disabled' = ANY (e.types)
    AND e.disabled_at IS NULL AND (e.listening_until IS NULL OR e.listening_until > now())
  RETURNING id
)
SELECT count(*) AS told, pg_notify('millrace_webhooks', %(tenant)s) FROM written
"""

_FORGET_OLD = """
DELETE FROM deliveries d USING (
  SELECT tenant_id, id FROM deliveries
  WHERE ended_at < now() - make_interval(secs => %(seconds)s) ORDER BY ended_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
) AS old
WHERE d.tenant_id = old.tenant_id AND d.id = old.id
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Redelivered:
    """How many go again; `more` says that there may be others."""

    count: int
    more: bool


def find(tx: Tx, delivery_id: DeliveryId) -> Delivery | None:
    """The tenant's delivery, or None."""
    found = tx.sql("SELECT * FROM deliveries WHERE tenant_id = %(tenant)s AND id = %(id)s", id=delivery_id)
    row = found.one_or_none()
    return None if row is None else delivery_of(row)


def page(
    tx: Tx, endpoint_id: EndpointId, *, state: DeliveryState | None, before: DeliveryId | None, limit: int
) -> list[Delivery]:
    """At most `limit` of what goes to an endpoint, newest first, from below `before`, without bodies."""
    asked = tx.sql(_PAGE.format(state=_of(state)), endpoint=endpoint_id, before=before, limit=limit)
    return [delivery_of(row) for row in asked]


def page_of_job(
    tx: Tx, job_id: JobId, *, state: DeliveryState | None = None, before: DeliveryId | None, limit: int
) -> list[Delivery]:
    """At most `limit` of what tells of a job, to whomever, newest first, from below `before`, without bodies."""
    asked = tx.sql(_OF_JOB.format(state=_of(state)), job=job_id, before=before, limit=limit)
    return [delivery_of(row) for row in asked]


def redeliver(tx: Tx, delivery_id: DeliveryId) -> Delivery | None:
    """Have it sent again, at once, with all its tries before it and the same message id.

    None if the tenant has no such delivery. To a disabled endpoint it would be canceled: ask first.
    """
    row = tx.sql(_REDELIVER, delivery=delivery_id).one_or_none()
    return None if row is None else delivery_of(row)


def redeliver_since(
    tx: Tx, endpoint_id: EndpointId, since: datetime, *, states: Collection[DeliveryState], limit: int
) -> Redelivered:
    """Have at most `limit` of the endpoint's deliveries in these states sent again, whose events are not older."""
    given = {"since": since, "states": [state.value for state in states], "limit": limit}
    done = tx.sql(_REDELIVER_SINCE, endpoint=endpoint_id, **given).rowcount
    announce(tx)
    return Redelivered(count=done, more=done == limit)


def insert_test(tx: Tx, endpoint_id: EndpointId) -> Delivery | None:
    """Write a `webhook.test` for an endpoint, whatever it asked for. None if the tenant has no such endpoint."""
    row = tx.sql(_INSERT_TEST, endpoint=endpoint_id).one_or_none()
    return None if row is None else delivery_of(row)


def insert_disabled(tx: Tx, endpoint_id: EndpointId, reason: str) -> int:
    """Tell the tenant's other endpoints that want to know that this one has been disabled; returns how many."""
    data = json.dumps({"endpoint": endpoint_id, "reason": reason})
    return int(tx.sql(_INSERT_DISABLED, endpoint=endpoint_id, data=data).one().told)


def announce(tx: Tx) -> None:
    """Wake whoever delivers when the transaction commits."""
    tx.sql("SELECT pg_notify('millrace_webhooks', %(tenant)s)")


def forget_old(tx: PlatformTx, *, older_than_seconds: float, limit: int) -> int:
    """Delete at most `limit` deliveries that ended longer ago than that; returns how many."""
    return int(tx.sql(_FORGET_OLD, seconds=older_than_seconds, limit=limit).rowcount)


def delivery_of(row: Any) -> Delivery:
    """The delivery of a row with all its columns."""
    return Delivery(
        tenant_id=TenantId(row.tenant_id),
        id=DeliveryId(row.id),
        endpoint_id=None if row.endpoint_id is None else EndpointId(row.endpoint_id),
        url=row.url,
        lane=row.lane,
        type=EventType(row.type),
        message_id=row.message_id,
        job_id=None if row.job_id is None else JobId(row.job_id),
        data=row.data,
        happened_at=row.happened_at,
        state=DeliveryState(row.state),
        next_at=row.next_at,
        tries=row.tries,
        log=tuple(_try(one) for one in row.log),
        body=row.body,
        ended_at=row.ended_at,
    )


def _of(state: DeliveryState | None) -> str:
    return "true" if state is None else f"d.state = '{state.value}'"


def _try(logged: Json) -> Try:
    return Try(
        at=datetime.fromisoformat(logged["at"]),
        status=logged["status"],
        error=logged["error"],
        seconds=logged["seconds"],
    )
