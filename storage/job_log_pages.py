"""The log of a job as it is read: its own events, and the lines that were kept with it, in the order of their times.

What the events say is not kept a second time as a line, see `storage.telemetry.log_keeping`.
"""

import heapq
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from storage.database import PlatformTx, Tx
from storage.job_logs import ERROR, LEVELS, MESSAGE, PRIVATE
from storage.model import JobId, Json

_KEPT = """
SELECT l.id, l.at, l.level, l.process, l.step_id, s.name AS step, l.attempt, l.event, l.fields
FROM job_logs l
LEFT JOIN steps s ON s.tenant_id = l.tenant_id AND s.id = l.step_id
WHERE l.tenant_id = %(tenant)s AND l.job_id = %(job)s AND l.id > %(after)s AND l.level = ANY(%(levels)s::text[])
ORDER BY l.id LIMIT %(limit)s
"""

# The worker of an attempt that still runs stands in the step's own row.
_EVENTS = """
SELECT item.*, s.kind, COALESCE(a.worker, CASE WHEN s.attempt = item.attempt THEN s.worker END) AS worker,
       CASE WHEN item.type <> 'step.running' THEN extract(epoch FROM a.finished_at - a.started_at)::float END
         AS seconds,
       j.request_id, j.schedule_id
FROM (
  SELECT tenant_id, job_id, seq, at, type, data, data ->> 'step' AS step, (data ->> 'attempt')::int AS attempt,
         CASE WHEN type IN ('step.failed', 'job.failed') THEN 'error'
              WHEN type IN ('step.retrying', 'step.expired', 'job.expired') THEN 'warning' ELSE 'info' END AS level
  FROM events WHERE tenant_id = %(tenant)s AND job_id = %(job)s AND seq > %(after)s AND type <> 'step.progress'
) AS item
LEFT JOIN jobs j ON j.tenant_id = item.tenant_id AND j.id = item.job_id AND item.seq = 1
LEFT JOIN steps s ON s.tenant_id = item.tenant_id AND s.job_id = item.job_id AND s.name = item.step
LEFT JOIN attempts a ON a.tenant_id = s.tenant_id AND a.step_id = s.id AND a.number = item.attempt
WHERE item.level = ANY(%(levels)s::text[])
ORDER BY item.seq LIMIT %(limit)s
"""

CURSOR = r"^(\d{1,9})\.(\d{1,18})$"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cursor:
    """How far a reader has come: the number of the last event, and of the last line that was kept."""

    event: int = 0
    line: int = 0

    def __str__(self) -> str:
        return f"{self.event}.{self.line}"


@dataclass(frozen=True, kw_only=True, slots=True)
class LogLine:
    """A line; `id` is one of the job's log alone, `step` is the step's name.

    `process` is None of what no single process stands for. `private` names the fields that are for operators.
    """

    id: str
    at: datetime
    level: str
    process: str | None
    step: str | None
    attempt: int | None
    event: str
    text: str = ""
    fields: Json
    error: Json = None
    private: frozenset[str] = frozenset()
    reached: Cursor
    is_event: bool = False


def cursor(text: str) -> Cursor | None:
    """The cursor that was written so; None if it is none."""
    found = re.fullmatch(CURSOR, text, re.ASCII)
    return None if found is None else Cursor(event=int(found[1]), line=int(found[2]))


def page(
    tx: Tx | PlatformTx, job_id: JobId, after: Cursor, limit: int, *, least: str = LEVELS[0]
) -> tuple[Sequence[LogLine], Cursor]:
    """At most `limit` lines of the tenant's job that came after the cursor, of level `least` or above; the next cursor.

    A line that was kept later may be older than one on the page before.
    """
    asked = {"job": job_id, "limit": limit, "levels": list(LEVELS[LEVELS.index(least) :])}
    events = [_event(row) for row in tx.sql(_EVENTS, after=after.event, **asked)]
    kept = [_kept(row) for row in tx.sql(_KEPT, after=after.line, **asked)]
    found = list(heapq.merge(events, kept, key=lambda line: line.at))[:limit]
    reached = Cursor(
        event=max([after.event, *(line.reached.event for line in found)]),
        line=max([after.line, *(line.reached.line for line in found)]),
    )
    return sorted(found, key=lambda line: line.at), reached


def _event(row: Any) -> LogLine:
    fields = {name: value for name, value in row.data.items() if name not in ("step", "attempt", "error")}
    error = row.data.get("error")
    told = {
        "request": row.request_id,
        "schedule": row.schedule_id,
        "kind": row.kind,
        "seconds": None if row.seconds is None else round(row.seconds, 3),
        "code": error and error.get("code"),
        "reason": error and error.get("message"),
    }
    return LogLine(
        id=f"e{row.seq}",
        at=row.at,
        level=row.level,
        process=row.worker,
        step=row.step,
        attempt=row.attempt,
        event=row.type,
        fields=fields | {name: value for name, value in told.items() if value is not None},
        reached=Cursor(event=row.seq),
        is_event=True,
    )


def _kept(row: Any) -> LogLine:
    fields = dict(row.fields)
    text, error, private = fields.pop(MESSAGE, ""), fields.pop(ERROR, None), fields.pop(PRIVATE, ())
    return LogLine(
        id=f"l{row.id}",
        at=row.at,
        level=row.level,
        process=row.process,
        step=row.step,
        attempt=row.attempt,
        event=row.event,
        text=text,
        fields=fields,
        error=error,
        private=frozenset(private),
        reached=Cursor(line=row.id),
    )
