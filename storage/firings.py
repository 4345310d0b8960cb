"""What became of every firing of a schedule, and what is done when a job that one started has ended."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from storage.database import PlatformTx, Tx
from storage.model import JobId, JobState, Json, ScheduleId, TenantId
from storage.schedule_model import BEHIND, Firing, NewFiring, Origin, Outcome

# One that stands there already stays as it is; a backfill takes over what was missed, skipped or failed.
_INSERT = """
INSERT INTO firings AS f (tenant_id, schedule_id, nominal_at, until_at, origin, outcome, reason, job_id, late_seconds,
                          overlap)
SELECT tenant_id, schedule_id, nominal_at, until_at, origin, outcome, reason, job_id, late_seconds, overlap
FROM jsonb_to_recordset(%(firings)s::jsonb)
  AS item (tenant_id text, schedule_id text, nominal_at timestamptz, until_at timestamptz, origin text, outcome text,
           reason text, job_id text, late_seconds double precision, overlap text)
ON CONFLICT (tenant_id, schedule_id, nominal_at) DO {conflict}
RETURNING tenant_id, schedule_id, nominal_at
"""
_KEEP = _INSERT.format(conflict="NOTHING")
_TAKE_OVER = _INSERT.format(
    conflict="""UPDATE
SET origin = excluded.origin, outcome = excluded.outcome, reason = NULL, job_id = NULL, late_seconds = NULL,
    overlap = excluded.overlap, fired_at = clock_timestamp()
WHERE f.outcome IN ('missed', 'skipped', 'failed')"""
)

_DECIDE = """
UPDATE firings f
SET outcome = d.outcome, reason = COALESCE(d.reason, f.reason), job_id = d.job_id, fired_at = clock_timestamp()
FROM jsonb_to_recordset(%(firings)s::jsonb)
  AS d (tenant_id text, schedule_id text, nominal_at timestamptz, outcome text, reason text, job_id text)
WHERE f.tenant_id = d.tenant_id AND f.schedule_id = d.schedule_id AND f.nominal_at = d.nominal_at
"""

_PAGE = """
SELECT f.*, j.state AS job_state
FROM firings f LEFT JOIN jobs j ON j.tenant_id = f.tenant_id AND j.id = f.job_id
WHERE f.tenant_id = %(tenant)s AND f.schedule_id = %(schedule)s
  AND (%(before)s::timestamptz IS NULL OR f.nominal_at < %(before)s)
  AND (%(outcome)s::text IS NULL OR f.outcome = %(outcome)s)
ORDER BY f.nominal_at DESC LIMIT %(limit)s
"""

_WITH_ENDS = "SELECT DISTINCT tenant_id, schedule_id FROM firing_ends LIMIT %(limit)s"

_OF_SCHEDULES = "({key}) IN (SELECT * FROM unnest(%(tenants)s::text[], %(schedules)s::text[]))"
_OF_ROWS = _OF_SCHEDULES.format(key="tenant_id, id")

# Whoever holds one may be frozen: nobody waits for it, its ends stay for the next time.
_LOCK = f"""
SELECT tenant_id, id, document, paused_at IS NOT NULL AS paused FROM schedules
WHERE {_OF_ROWS} ORDER BY tenant_id, id FOR UPDATE SKIP LOCKED
"""  # noqa: S608 - a constant, as below

_STANDING = f"SELECT tenant_id, id FROM schedules WHERE {_OF_ROWS}"  # noqa: S608

_TAKE = f"""
DELETE FROM firing_ends WHERE {_OF_SCHEDULES.format(key="tenant_id, schedule_id")}
RETURNING tenant_id, schedule_id, job_id, state
"""  # noqa: S608

# A statement of its own, after the locks are held: a pass that held one may have written a firing that waits.
_WAKE = f"""
UPDATE schedules s SET due_at = least(s.due_at, clock_timestamp())
WHERE {_OF_ROWS} AND EXISTS (
  SELECT FROM firings f WHERE f.tenant_id = s.tenant_id AND f.schedule_id = s.id AND f.outcome = 'buffered'
)
"""  # noqa: S608

# By now the job may have been told to run again.
_HAS_FAILED = """
SELECT state IN ('failed', 'expired') AND finished_at IS NOT NULL FROM jobs
WHERE tenant_id = %(tenant)s AND id = %(job)s
"""

_PAUSE = """
UPDATE schedules s
SET paused_at = clock_timestamp(), paused_reason = %(reason)s, version = version + 1, updated_at = clock_timestamp(),
    due_at = CASE WHEN EXISTS (
      SELECT FROM firings f WHERE f.tenant_id = s.tenant_id AND f.schedule_id = s.id AND f.outcome = 'buffered'
    ) THEN clock_timestamp() END  -- a backfill goes on
WHERE tenant_id = %(tenant)s AND id = %(schedule)s AND paused_at IS NULL
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """A job that a schedule started has ended; `document` is the schedule's."""

    tenant_id: TenantId
    schedule_id: ScheduleId
    job_id: JobId
    state: JobState
    document: Json
    pauses: bool  # the schedule is paused by that, unless the job has been told to run again


Key = tuple[TenantId, ScheduleId, datetime]


def insert(
    tx: PlatformTx, new: Sequence[tuple[TenantId, ScheduleId, NewFiring]], *, take_over: bool = False
) -> set[Key]:
    """Write firings of locked schedules; returns those that are new: there is one row for each nominal time.

    With `take_over` those count as new, too, that stand there as missed, skipped or failed.
    """
    if not new:
        return set()
    rows = tx.sql(_TAKE_OVER if take_over else _KEEP, firings=_listed(new))
    return {(TenantId(row.tenant_id), ScheduleId(row.schedule_id), row.nominal_at) for row in rows}


def decide(tx: PlatformTx, decided: Sequence[tuple[TenantId, ScheduleId, NewFiring]]) -> None:
    """Write what became of firings that stand there already."""
    if decided:
        tx.sql(_DECIDE, firings=_listed(decided))


def page(
    tx: Tx, schedule_id: ScheduleId, *, outcome: Outcome | None, before: datetime | None, limit: int
) -> list[Firing]:
    """At most `limit` of the schedule's firings, the latest nominal time first, from below `before`."""
    rows = tx.sql(_PAGE, schedule=schedule_id, outcome=outcome, before=before, limit=limit)
    return [_firing(row) for row in rows]


def take_ends(tx: PlatformTx, *, limit: int) -> list[Ended]:
    """Read the journal of ended jobs, of up to `limit` schedules that nobody else holds.

    Schedules with firings that wait are due at once, and those that are to pause on a failure are paused.
    """
    asked = _keys((row.tenant_id, row.schedule_id) for row in tx.sql(_WITH_ENDS, limit=limit))
    if not asked["schedules"]:
        return []
    locked = {(row.tenant_id, row.id): row for row in tx.sql(_LOCK, **asked)}
    standing = {(row.tenant_id, row.id) for row in tx.sql(_STANDING, **asked)}
    deleted = {*zip(asked["tenants"], asked["schedules"], strict=True)} - standing
    gone = tx.sql(_TAKE, **_keys([*locked, *deleted])).all()
    tx.sql(_WAKE, **_keys(locked))
    found = [_ended(row, of) for row in gone if (of := locked.get((row.tenant_id, row.schedule_id))) is not None]
    for one in found:
        if one.pauses and tx.sql(_HAS_FAILED, tenant=one.tenant_id, job=one.job_id).scalar():
            pause(tx, one.tenant_id, one.schedule_id, reason=f"its job {one.job_id} has {one.state}")
    return found


def _keys(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    listed = list(pairs)
    return {"tenants": [tenant for tenant, _ in listed], "schedules": [schedule for _, schedule in listed]}


def pause(tx: PlatformTx, tenant_id: TenantId, schedule_id: ScheduleId, *, reason: str) -> None:
    """Have a schedule fire no more until its owner resumes it."""
    tx.sql(_PAUSE, tenant=tenant_id, schedule=schedule_id, reason=reason)


def forget_old(tx: PlatformTx, *, older_than_seconds: float, limit: int) -> int:
    """Delete firings that were decided longer ago than that; returns how many. Those that wait stay."""
    done = tx.sql(
        "DELETE FROM firings WHERE (tenant_id, schedule_id, nominal_at) IN ("
        " SELECT tenant_id, schedule_id, nominal_at FROM firings"
        " WHERE fired_at < now() - make_interval(secs => %(seconds)s) AND outcome <> 'buffered'"
        " ORDER BY fired_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)",
        seconds=older_than_seconds,
        limit=limit,
    )
    return int(done.rowcount)


def _listed(firings: Sequence[tuple[TenantId, ScheduleId, NewFiring]]) -> str:
    return json.dumps(
        [
            {
                "tenant_id": tenant_id,
                "schedule_id": schedule_id,
                "nominal_at": one.place.isoformat(),
                "until_at": None if one.until_at is None else one.until_at.isoformat(),
                "origin": one.origin,
                "outcome": one.outcome,
                "reason": one.reason,
                "job_id": one.job_id,
                "late_seconds": one.late_seconds,
                "overlap": one.overlap,
            }
            for tenant_id, schedule_id, one in firings
        ]
    )


def _ended(row: Any, schedule: Any) -> Ended:
    state = JobState(row.state)
    failed = state in (JobState.FAILED, JobState.EXPIRED)
    return Ended(
        tenant_id=TenantId(row.tenant_id),
        schedule_id=ScheduleId(row.schedule_id),
        job_id=JobId(row.job_id),
        state=state,
        document=schedule.document,
        pauses=failed and bool(schedule.document["pause_on_failure"]) and not schedule.paused,
    )


def _firing(row: Any) -> Firing:
    return Firing(
        nominal_at=row.nominal_at if row.until_at is None else row.nominal_at - BEHIND,
        until_at=row.until_at,
        origin=Origin(row.origin),
        outcome=Outcome(row.outcome),
        reason=row.reason,
        job_id=None if row.job_id is None else JobId(row.job_id),
        job_state=None if row.job_state is None else JobState(row.job_state),
        late_seconds=row.late_seconds,
        fired_at=row.fired_at,
        place=row.nominal_at,
    )
