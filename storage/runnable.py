"""What the platform's loops ask of all tenants' steps: what may run, what was lost, whose lease ran out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from storage.database import PlatformTx
from storage.model import Claim, JobId, StepId, TenantId


@dataclass(frozen=True, kw_only=True, slots=True)
class Runnable:
    """A step that may run now, as the relay needs it to send the hint; `losses` of workers it has had."""

    tenant_id: TenantId
    job_id: JobId
    step_id: StepId
    kind: str
    queue: str
    priority: int
    losses: int = 0


_MAKE_DUE = """
WITH due AS (
  UPDATE steps SET state = 'queued', published_at = NULL
  WHERE (tenant_id, id) IN (
    SELECT tenant_id, id FROM steps WHERE state IN ('scheduled', 'retrying') AND run_at <= now()
    ORDER BY run_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
  )
  RETURNING id
)
SELECT count(*) FROM due
"""

# Each queue of the broker holds at most `window` hints at a time: the rest waits here, where priority decides, where a
# wiped broker costs little, and where every count stays flat however long the backlog is.
_ROOM = """
SELECT queue, (
  SELECT count(*) FROM (
    SELECT FROM steps
    WHERE state = 'queued' AND published_at IS NOT NULL AND steps.queue = asked.queue LIMIT %(window)s
  ) AS sent
) AS sent, (
  SELECT count(*) FROM (
    SELECT FROM steps
    WHERE state = 'queued' AND published_at IS NULL AND steps.queue = asked.queue LIMIT %(many)s
  ) AS unsent
) AS unsent, first.priority, extract(epoch FROM now() - first.run_at)::float AS waits_seconds
FROM unnest(%(queues)s::text[]) AS asked (queue) CROSS JOIN LATERAL (
  SELECT priority, run_at FROM steps
  WHERE state = 'queued' AND published_at IS NULL AND steps.queue = asked.queue ORDER BY priority, run_at LIMIT 1
) AS first
WHERE NOT EXISTS (SELECT FROM queues WHERE name = asked.queue AND paused_at IS NOT NULL)
"""

# SKIP LOCKED: any number of relays take different steps. The rows stay locked until the hints are out and the
# transaction commits; a crash in between sends a second hint, never none. A crash of the database that loses the marks
# costs a second hint as well, so the commit need not wait for the disk.
_PUBLISH = """
UPDATE steps SET published_at = now()
WHERE (tenant_id, id) IN (
  SELECT tenant_id, id FROM steps WHERE state = 'queued' AND published_at IS NULL AND queue = %(queue)s
  ORDER BY priority, run_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
RETURNING tenant_id, job_id, id, kind, queue, priority, losses, run_at, set_config('synchronous_commit', 'off', true)
"""

# What arrives where nothing waits goes at once, before anybody asks for the rooms: see take_lone.
_PUBLISH_LONE = """
UPDATE steps SET published_at = now()
WHERE (tenant_id, id) IN (
  SELECT lone.tenant_id, lone.id
  FROM unnest(%(queues)s::text[]) AS asked (queue) CROSS JOIN LATERAL (
    SELECT tenant_id, id FROM steps
    WHERE state = 'queued' AND published_at IS NULL AND steps.queue = asked.queue
    ORDER BY priority, run_at LIMIT 1 FOR UPDATE SKIP LOCKED
  ) AS lone
  WHERE NOT EXISTS (SELECT FROM queues WHERE name = asked.queue AND paused_at IS NOT NULL)
    AND NOT EXISTS (
      SELECT FROM steps WHERE state = 'queued' AND published_at IS NULL AND steps.queue = asked.queue AND id <> lone.id
    )
    AND NOT EXISTS (
      SELECT FROM steps WHERE state = 'queued' AND published_at IS NOT NULL AND steps.queue = asked.queue
    )
)
RETURNING tenant_id, job_id, id, kind, queue, priority, losses, run_at, set_config('synchronous_commit', 'off', true)
"""

_UNPUBLISH = """
UPDATE steps SET published_at = NULL
WHERE (tenant_id, id) IN (
  SELECT tenant_id, id FROM steps
  WHERE state = 'queued' AND published_at < now() - make_interval(secs => %(seconds)s) AND queue = ANY(%(queues)s)
  ORDER BY priority, run_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
"""

# In the order of the index: the planner believes that most of what is queued was sent, and would read the whole table.
_UNPUBLISH_ALL = """
UPDATE steps SET published_at = NULL
WHERE (tenant_id, id) IN (
  SELECT tenant_id, id FROM steps WHERE state = 'queued' AND published_at IS NOT NULL
  ORDER BY queue, published_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
"""

# Brokers serve each queue and priority in order: a hint is lost if one that was sent well after it has been taken.
_UNPUBLISH_OVERTAKEN = """
WITH front AS (
  SELECT queue, priority, max(published_at) AS sent FROM steps WHERE state = 'running' GROUP BY queue, priority
)
UPDATE steps SET published_at = NULL
WHERE (tenant_id, id) IN (
  SELECT s.tenant_id, s.id FROM steps s JOIN front f ON f.queue = s.queue AND f.priority = s.priority
  WHERE s.state = 'queued' AND s.published_at < f.sent - make_interval(secs => %(seconds)s)
  ORDER BY s.priority, s.run_at LIMIT %(limit)s FOR UPDATE OF s SKIP LOCKED
)
"""

_WAITING_QUEUES = """
SELECT queue FROM unnest(%(queues)s::text[]) AS queue WHERE EXISTS (
  SELECT FROM steps
  WHERE state = 'queued' AND steps.queue = queue.queue AND published_at < now() - make_interval(secs => %(seconds)s)
)
"""

_GIVE_BACK = """
UPDATE steps SET published_at = NULL
WHERE (tenant_id, id) IN (
  SELECT tenant_id, id FROM steps
  WHERE state = 'queued' AND published_at IS NOT NULL
    AND (tenant_id, id) IN (SELECT * FROM unnest(%(tenants)s::text[], %(steps)s::text[]))
  ORDER BY tenant_id, id FOR UPDATE
)
"""

_RENEW = """
UPDATE steps SET lease_until = clock_timestamp() + make_interval(secs => %(lease)s)
WHERE (tenant_id, id) IN (
  SELECT tenant_id, id FROM steps
  WHERE state = 'running' AND worker = %(worker)s
    AND (tenant_id, id) IN (SELECT * FROM unnest(%(tenants)s::text[], %(steps)s::text[]))
  ORDER BY tenant_id, id FOR UPDATE
)
"""

_EXPIRED = """
SELECT * FROM steps
WHERE state = 'running' AND lease_until < now() ORDER BY lease_until LIMIT %(limit)s
"""

_HELD_BY = """
SELECT *, extract(epoch FROM clock_timestamp() - started_at)::float AS ran_seconds FROM steps
WHERE state = 'running' AND worker = %(worker)s
"""

_HELD_STEP = f"{_HELD_BY} AND tenant_id = %(tenant)s AND id = %(step)s"

_UNWANTED = f"""
{_HELD_BY}
  AND (tenant_id, id) IN (SELECT * FROM unnest(%(tenants)s::text[], %(steps)s::text[]))
  AND EXISTS (
    SELECT FROM jobs WHERE jobs.tenant_id = steps.tenant_id AND jobs.id = steps.job_id
      AND stop_as IS NOT NULL AND stop_at <= clock_timestamp() - make_interval(secs => %(seconds)s)
  )
"""  # noqa: S608 - a constant


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """A claim that a worker holds, the process number of its child that works on it, and for how long it has."""

    claim: Claim
    slot: int | None
    ran_seconds: float


def make_due_queued(tx: PlatformTx, *, limit: int) -> int:
    """Queue the steps whose time has come; returns how many."""
    return int(tx.sql(_MAKE_DUE, limit=limit).scalar_one())


@dataclass(frozen=True, kw_only=True, slots=True)
class Room:
    """What a queue has to send: how many steps are sent and not taken, up to the window, and unsent, up to `many`.

    The most urgent of the unsent ones has this priority and has waited for so long.
    """

    sent: int
    unsent: int
    priority: int
    waits_seconds: float


def room(tx: PlatformTx, queues: Sequence[str], *, window: int, many: int = 1) -> dict[str, Room]:
    """Those of the queues that have steps to be sent, and are not paused."""
    rows = tx.sql(_ROOM, queues=list(queues), window=window, many=many)
    return {
        row.queue: Room(sent=row.sent, unsent=row.unsent, priority=row.priority, waits_seconds=row.waits_seconds)
        for row in rows
    }


def take_to_publish(tx: PlatformTx, queue: str, *, limit: int) -> list[Runnable]:
    """Mark queued steps as sent and return them, most urgent first; send the hints before the commit."""
    return _runnable(tx.sql(_PUBLISH, queue=queue, limit=limit))


def take_lone(tx: PlatformTx, queues: Sequence[str]) -> list[Runnable]:
    """As `take_to_publish`, of each of the queues that is not paused and in which just one step is queued: that one."""
    return _runnable(tx.sql(_PUBLISH_LONE, queues=list(queues)))


def _runnable(found: Iterable[Any]) -> list[Runnable]:
    rows = sorted(found, key=lambda row: (row.priority, row.run_at, row.id))
    return [
        Runnable(
            tenant_id=TenantId(row.tenant_id),
            job_id=JobId(row.job_id),
            step_id=StepId(row.id),
            kind=row.kind,
            queue=row.queue,
            priority=row.priority,
            losses=row.losses,
        )
        for row in rows
    ]


def seconds_to_next(tx: PlatformTx) -> float | None:
    """Seconds until the next scheduled or retrying step is due (0 if it is now); None if there is none."""
    value = tx.sql(
        "SELECT extract(epoch FROM min(run_at) - now()) FROM steps WHERE state IN ('scheduled', 'retrying')"
    ).scalar_one()
    return None if value is None else max(0.0, float(value))


def queues_with_old_hints(tx: PlatformTx, queues: Sequence[str], *, older_than_seconds: float) -> list[str]:
    """Those of the queues with steps whose hint was sent longer ago than that and that nobody has taken."""
    return [row.queue for row in tx.sql(_WAITING_QUEUES, queues=list(queues), seconds=older_than_seconds)]


def unpublish(tx: PlatformTx, queues: Sequence[str], *, older_than_seconds: float, limit: int) -> int:
    """Have the hints of these queues sent again, where they are older than that; returns how many."""
    done = tx.sql(_UNPUBLISH, queues=list(queues), seconds=older_than_seconds, limit=limit)
    return int(done.rowcount)


def unpublish_all(tx: PlatformTx, *, limit: int) -> int:
    """Have the hints of queued steps sent again, whatever their age: the broker has forgotten them. How many it was."""
    return int(tx.sql(_UNPUBLISH_ALL, limit=limit).rowcount)


def unpublish_overtaken(tx: PlatformTx, *, by_seconds: float, limit: int) -> int:
    """Have hints sent again that were overtaken: one sent `by_seconds` after them has been taken. Returns how many."""
    return int(tx.sql(_UNPUBLISH_OVERTAKEN, seconds=by_seconds, limit=limit).rowcount)


def give_back_hints(tx: PlatformTx, hints: Sequence[tuple[TenantId, StepId]]) -> int:
    """Have the hints that a stopping worker holds, but has not begun, sent again; returns how many."""
    done = tx.sql(_GIVE_BACK, tenants=[tenant for tenant, _ in hints], steps=[step for _, step in hints])
    if done.rowcount:
        tx.sql("SELECT pg_notify('millrace_ready', '')")
    return int(done.rowcount)


def renew(tx: PlatformTx, worker: str, held: Sequence[tuple[TenantId, StepId]], *, lease_seconds: float) -> int:
    """Renew the leases of a worker's running steps in one statement; returns how many it still holds."""
    done = tx.sql(
        _RENEW,
        worker=worker,
        lease=lease_seconds,
        tenants=[tenant for tenant, _ in held],
        steps=[step for _, step in held],
    )
    return int(done.rowcount)


def expired_leases(tx: PlatformTx, *, limit: int) -> list[Claim]:
    """The running steps whose lease ran out, longest ago first. Not locked: end them one by one, fenced."""
    return [_claim(row) for row in tx.sql(_EXPIRED, limit=limit)]


def held_by(tx: PlatformTx, worker: str, tenant_id: TenantId, step_id: StepId) -> Held | None:
    """What a worker holds of a step, or None."""
    row = tx.sql(_HELD_STEP, worker=worker, tenant=tenant_id, step=step_id).one_or_none()
    return None if row is None else _held(row)


def all_held(tx: PlatformTx, worker: str) -> list[Held]:
    """Everything that the worker holds."""
    return [_held(row) for row in tx.sql(_HELD_BY, worker=worker)]


def unwanted(tx: PlatformTx, worker: str, held: Sequence[tuple[TenantId, StepId]], *, for_seconds: float) -> list[Held]:
    """Those of a worker's running steps whose job is being stopped, and has been for that long."""
    listed = {"tenants": [tenant for tenant, _ in held], "steps": [step for _, step in held]}
    rows = tx.sql(_UNWANTED, worker=worker, seconds=for_seconds, **listed)
    return [_held(row) for row in rows]


def _held(row: Any) -> Held:
    return Held(claim=_claim(row), slot=row.slot, ran_seconds=row.ran_seconds)


def _claim(row: Any) -> Claim:
    return Claim(
        tenant_id=TenantId(row.tenant_id),
        job_id=JobId(row.job_id),
        step_id=StepId(row.id),
        name=row.name,
        kind=row.kind,
        attempt=row.attempt,
        failures=row.failures,
        max_attempts=row.max_attempts,
        losses=row.losses,
        max_losses=row.max_losses,
        tried_seconds=0,
        params=None,
        input=None,
        uses=(),
    )
