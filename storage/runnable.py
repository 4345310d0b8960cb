"""What the platform's loops ask of all tenants' steps: what is due, what was lost, whose lease ran out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from storage.database import PlatformTx
from storage.model import Claim, JobId, StepId, TenantId

_MAKE_DUE = """
WITH due AS (
  UPDATE steps SET state = 'queued', published_at = NULL
  WHERE (tenant_id, id) IN (
    SELECT tenant_id, id FROM steps WHERE state IN ('scheduled', 'retrying') AND run_at <= now()
    ORDER BY run_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
  )
  RETURNING id
)
SELECT (SELECT count(*) FROM due) AS steps, (
  SELECT extract(epoch FROM min(run_at) - now())::float FROM steps
  WHERE state IN ('scheduled', 'retrying') AND run_at > now()
) AS seconds_to_next
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Due:
    """How many steps were queued, their time having come, and in how many seconds the next one's does, if any."""

    steps: int
    seconds_to_next: float | None


def make_due_queued(tx: PlatformTx, *, limit: int) -> Due:
    """Queue the scheduled and retrying steps whose time has come; whoever holds one of them is left to do so."""
    row = tx.sql(_MAKE_DUE, limit=limit).one()
    return Due(steps=row.steps, seconds_to_next=0.0 if row.steps == limit else row.seconds_to_next)


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
