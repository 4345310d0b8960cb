"""What happened to a job, numbered within the job; every new event is announced on a channel."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from storage.database import Tx
from storage.model import JobId, Json
from storage.tables import events

EVENTS_CHANNEL = "millrace_events"  # payload: the job's id
READY_CHANNEL = "millrace_ready"  # payload: empty; some step may run now

# The update of the job's counter is also the lock that puts the events of one job in order, without gaps.
_APPEND = """
WITH numbered AS (
  UPDATE jobs SET event_seq = event_seq + %(count)s
  WHERE tenant_id = %(tenant)s AND id = %(job)s
  RETURNING event_seq - %(count)s AS before
), written AS (
  INSERT INTO events (tenant_id, job_id, seq, type, data, at)
  SELECT %(tenant)s, %(job)s, numbered.before + item.number, item.value ->> 'type', item.value -> 'data',
         clock_timestamp()
  FROM numbered, jsonb_array_elements(%(items)s::jsonb) WITH ORDINALITY AS item (value, number)
)
SELECT pg_notify('millrace_events', %(job)s)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that happened to a job; `seq` counts from 1 within the job, without gaps."""

    job_id: JobId
    seq: int
    type: str
    data: Json
    at: datetime


def append(tx: Tx, job_id: JobId, items: Sequence[tuple[str, Json]]) -> None:
    """Write events (type, data) of a job in this order; they are announced when the transaction commits."""
    if not items:
        return
    listed = json.dumps([{"type": kind, "data": data} for kind, data in items])
    tx.sql(_APPEND, job=job_id, count=len(items), items=listed)


def announce_ready(tx: Tx) -> None:
    """Wake the relay when the transaction commits."""
    tx.sql("SELECT pg_notify('millrace_ready', '')")


def after(tx: Tx, job_id: JobId, seq: int, *, limit: int = 1000) -> list[Event]:
    """The job's events with a number above `seq`, oldest first, at most `limit`."""
    rows = tx.execute(
        select(events.c.seq, events.c.type, events.c.data, events.c.at)
        .where(events.c.tenant_id == tx.tenant_id, events.c.job_id == job_id, events.c.seq > seq)
        .order_by(events.c.seq)
        .limit(limit)
    )
    return [_event(job_id, row) for row in rows]


def _event(job_id: JobId, row: Any) -> Event:
    return Event(job_id=job_id, seq=row.seq, type=row.type, data=row.data, at=row.at)
