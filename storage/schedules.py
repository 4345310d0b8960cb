"""Schedules: written, read, changed by their owners; locked and moved on by whoever fires them.

A schedule's row is locked first, the rows of its jobs after it; whoever ends a job touches no schedule.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from operator import itemgetter
from typing import Any

from sqlalchemy.exc import IntegrityError

from storage.database import PlatformTx, Tx
from storage.errors import ScheduleNameTaken
from storage.model import JobId, Json, ScheduleId, TenantId
from storage.schedule_model import (
    MAX_WAITING,
    Locked,
    Moved,
    NewSchedule,
    Origin,
    Overlap,
    Schedule,
    ScheduleState,
    Waiting,
)

MAX_BYTES = 1_000_000  # of documents as they are stored, compressed, read in one pass
SCHEDULES_CHANNEL = "millrace_schedules"  # payload: empty; some schedule is to be looked at

_INSERT = """
INSERT INTO schedules (tenant_id, id, name, document, source, starts, next_at, due_at, paused_at, paused_reason)
VALUES (%(tenant)s, %(schedule)s, %(name)s, %(document)s::jsonb, %(source)s, %(starts)s::jsonb, %(next)s, %(due)s,
        CASE WHEN %(paused)s::text IS NOT NULL THEN now() END, %(paused)s)
ON CONFLICT (tenant_id, name) DO NOTHING
RETURNING *
"""

_CHANGE = """
UPDATE schedules
SET name = %(name)s, document = %(document)s::jsonb, starts = COALESCE(%(starts)s::jsonb, starts),
    next_at = %(next)s, due_at = %(due)s,
    paused_at = CASE WHEN %(paused)s::text IS NOT NULL THEN COALESCE(paused_at, clock_timestamp()) END,
    paused_reason = %(paused)s, version = version + 1, updated_at = clock_timestamp()
WHERE tenant_id = %(tenant)s AND id = %(schedule)s
  AND NOT EXISTS (
    SELECT FROM schedules o WHERE o.tenant_id = %(tenant)s AND o.name = %(name)s AND o.id <> %(schedule)s
  )
RETURNING *
"""

_STATE = {
    ScheduleState.ACTIVE: "paused_at IS NULL AND next_at IS NOT NULL",
    ScheduleState.PAUSED: "paused_at IS NOT NULL",
    ScheduleState.ENDED: "paused_at IS NULL AND next_at IS NULL",
}

_PAGE = """
SELECT * FROM schedules
WHERE tenant_id = %(tenant)s AND (%(before)s::text IS NULL OR id < %(before)s)
  AND (%(name)s::text IS NULL OR name = %(name)s) AND {state}
ORDER BY id DESC LIMIT %(limit)s
"""

# What a pass must know beside the row: by index, and only while it is due.
_SEEN = f"""
SELECT s.*, clock_timestamp() AS now,
  ARRAY(
    SELECT j.id FROM jobs j
    WHERE j.tenant_id = s.tenant_id AND j.schedule_id = s.id AND j.finished_at IS NULL ORDER BY j.id LIMIT 10
  ) AS running,
  (
    SELECT coalesce(jsonb_agg(jsonb_build_array(nominal_at, origin, overlap) ORDER BY nominal_at), '[]') FROM (
      SELECT nominal_at, origin, overlap FROM firings f
      WHERE f.tenant_id = s.tenant_id AND f.schedule_id = s.id AND f.outcome = 'buffered'
        AND (s.paused_at IS NULL OR f.origin <> 'schedule')  -- those are held
      ORDER BY f.overlap IS DISTINCT FROM 'allow', nominal_at LIMIT {MAX_WAITING}
    ) AS oldest
  ) AS waiting
"""  # noqa: S608 - constants, as below

_LOCK = f"{_SEEN} FROM schedules s WHERE tenant_id = %(tenant)s AND id = %(schedule)s FOR UPDATE OF s"

# Two steps: what a locked row says of its jobs and firings must be read after the lock is held. The clock is asked
# once: a condition that may change from row to row is not looked up in an index.
_LOCK_DUE = """
SELECT tenant_id, id, pg_column_size(document) AS size FROM schedules WHERE due_at <= (SELECT clock_timestamp())
ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
"""

_SEE = f"""
{_SEEN} FROM unnest(%(tenants)s::text[], %(schedules)s::text[]) WITH ORDINALITY AS due (tenant_id, id, place)
JOIN schedules s USING (tenant_id, id) ORDER BY due.place
"""

_MOVE = """
UPDATE schedules s SET next_at = m.next_at, due_at = m.due_at, runs = s.runs + m.runs,
                       latest_due = COALESCE(m.latest_due, s.latest_due)
FROM unnest(%(tenants)s::text[], %(schedules)s::text[], %(nexts)s::timestamptz[], %(dues)s::timestamptz[],
            %(latest)s::timestamptz[], %(runs)s::int[]) AS m (tenant_id, id, next_at, due_at, latest_due, runs)
WHERE s.tenant_id = m.tenant_id AND s.id = m.id
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """How a schedule is to stand from now on; `paused_reason` is None for one that is not paused."""

    name: str | None
    document: Json
    starts: dict[str, int] | None  # None: as they are
    next_at: datetime | None
    due_at: datetime | None
    paused_reason: str | None


def clock(tx: Tx) -> datetime:
    """What time it is: by the database's clock, which decides about everything that schedules do."""
    value: datetime = tx.sql("SELECT clock_timestamp()").scalar_one()
    return value


def count(tx: Tx) -> int:
    """How many schedules the tenant has."""
    return int(tx.sql("SELECT count(*) FROM schedules WHERE tenant_id = %(tenant)s").scalar_one())


def insert(tx: Tx, new: NewSchedule) -> Schedule:
    """Write a schedule; the firing loops are woken at the commit. Raises ScheduleNameTaken."""
    row = tx.sql(
        _INSERT,
        schedule=new.id,
        name=new.name,
        document=json.dumps(new.document),
        source=new.source,
        starts=json.dumps(dict(new.starts)),
        next=new.next_at,
        due=new.due_at,
        paused=new.paused_reason,
    ).one_or_none()
    if row is None:
        raise ScheduleNameTaken(new.name)
    announce(tx)
    return schedule_of(row)


def find(tx: Tx, schedule_id: ScheduleId) -> Schedule | None:
    """The tenant's schedule, or None."""
    row = tx.sql("SELECT * FROM schedules WHERE tenant_id = %(tenant)s AND id = %(id)s", id=schedule_id).one_or_none()
    return None if row is None else schedule_of(row)


def find_by_name(tx: Tx, name: str) -> Schedule | None:
    """The tenant's schedule of that name, or None."""
    row = tx.sql("SELECT * FROM schedules WHERE tenant_id = %(tenant)s AND name = %(name)s", name=name).one_or_none()
    return None if row is None else schedule_of(row)


def page(
    tx: Tx, *, state: ScheduleState | None, name: str | None, before: ScheduleId | None, limit: int
) -> list[Schedule]:
    """At most `limit` of the tenant's schedules, newest first, from below `before`."""
    asked = _PAGE.format(state="true" if state is None else _STATE[state])
    return [schedule_of(row) for row in tx.sql(asked, before=before, name=name, limit=limit)]


def lock(tx: Tx, schedule_id: ScheduleId) -> Locked | None:
    """Lock a schedule and see what there is to know of it; None if the tenant has no such schedule."""
    held = tx.sql(
        "SELECT id FROM schedules WHERE tenant_id = %(tenant)s AND id = %(schedule)s FOR UPDATE", schedule=schedule_id
    )
    return None if held.one_or_none() is None else _locked(tx.sql(_LOCK, schedule=schedule_id).one())


def lock_due(tx: PlatformTx, *, limit: int) -> tuple[list[Locked], bool]:
    """Lock up to `limit` schedules that are due and that nobody else has, and say whether there may be more.

    The longest due first, but of each tenant in turn, and no more than a process can hold at once.
    """
    held = tx.sql(_LOCK_DUE, limit=limit).all()
    turns: Counter[str] = Counter()
    ordered = []
    for place, row in enumerate(held):
        ordered.append((turns[row.tenant_id], place, row))
        turns[row.tenant_id] += 1
    taken = [row for _, _, row in sorted(ordered, key=itemgetter(0, 1))]
    sizes = accumulate(row.size for row in taken)
    taken = [row for place, (row, size) in enumerate(zip(taken, sizes, strict=True)) if not place or size <= MAX_BYTES]
    if not taken:
        return [], False
    rows = tx.sql(_SEE, tenants=[row.tenant_id for row in taken], schedules=[row.id for row in taken])
    return [_locked(row) for row in rows], len(held) == limit or len(taken) < len(held)


def change(tx: Tx, schedule_id: ScheduleId, wanted: Change) -> Schedule:
    """Have a locked schedule stand like this; the firing loops are woken. Raises ScheduleNameTaken."""
    asked = {
        "name": wanted.name,
        "document": json.dumps(wanted.document),
        "starts": None if wanted.starts is None else json.dumps(wanted.starts),
        "next": wanted.next_at,
        "due": wanted.due_at,
        "paused": wanted.paused_reason,
    }
    try:
        row = tx.sql(_CHANGE, schedule=schedule_id, **asked).one_or_none()
    except IntegrityError as exc:  # another schedule took the name while this statement waited for its commit
        raise ScheduleNameTaken(wanted.name) from exc
    if row is None:
        raise ScheduleNameTaken(wanted.name)
    announce(tx)
    return schedule_of(row)


def move(tx: PlatformTx, moved: Sequence[Moved]) -> None:
    """Move locked schedules on, all in one statement."""
    if moved:
        tx.sql(
            _MOVE,
            tenants=[one.tenant_id for one in moved],
            schedules=[one.schedule_id for one in moved],
            nexts=[one.next_at for one in moved],
            dues=[one.due_at for one in moved],
            latest=[one.latest_due for one in moved],
            runs=[one.runs for one in moved],
        )


def look_again(tx: Tx, schedule_id: ScheduleId) -> None:
    """Have a firing loop look at the schedule at once."""
    tx.sql(
        "UPDATE schedules SET due_at = least(due_at, clock_timestamp())"
        " WHERE tenant_id = %(tenant)s AND id = %(schedule)s",
        schedule=schedule_id,
    )
    announce(tx)


def delete(tx: Tx, schedule_id: ScheduleId) -> bool:
    """Delete the schedule and what is told of its firings; its jobs stay. False if the tenant has no such schedule."""
    done = tx.sql("DELETE FROM schedules WHERE tenant_id = %(tenant)s AND id = %(schedule)s", schedule=schedule_id)
    return done.rowcount == 1


def seconds_to_next(tx: PlatformTx) -> float | None:
    """Seconds until the next schedule is due (0 if one is now); None if there is none."""
    value = tx.sql("SELECT extract(epoch FROM min(due_at) - clock_timestamp()) FROM schedules").scalar_one()
    return None if value is None else max(0.0, float(value))


def announce(tx: Tx) -> None:
    """Wake the firing loops when the transaction commits."""
    tx.sql("SELECT pg_notify('millrace_schedules', '')")


def _locked(row: Any) -> Locked:
    return Locked(
        schedule=schedule_of(row),
        now=row.now,
        running=tuple(JobId(job) for job in row.running),
        waiting=tuple(
            Waiting(
                nominal_at=datetime.fromisoformat(at),
                origin=Origin(origin),
                overlap=None if overlap is None else Overlap(overlap),
            )
            for at, origin, overlap in row.waiting
        ),
    )


def schedule_of(row: Any) -> Schedule:
    """The schedule in a row of the table."""
    return Schedule(
        tenant_id=TenantId(row.tenant_id),
        id=ScheduleId(row.id),
        name=row.name,
        document=row.document,
        version=row.version,
        source=row.source,
        next_at=row.next_at,
        due_at=row.due_at,
        latest_due=row.latest_due,
        runs=row.runs,
        paused_at=row.paused_at,
        paused_reason=row.paused_reason,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
