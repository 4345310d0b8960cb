"""Which steps are to be sent to the broker, of all tenants: what the relay asks before it sends hints."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from storage.database import PlatformTx
from storage.model import JobId, StepId, TenantId


@dataclass(frozen=True, kw_only=True, slots=True)
class Runnable:
    """A step that may run now, as the relay needs it to send the hint; `losses` of workers it has had.

    `trace` is its job's traceparent, where that is sampled and was asked for.
    """

    tenant_id: TenantId
    job_id: JobId
    step_id: StepId
    kind: str
    queue: str
    priority: int
    losses: int = 0
    trace: str | None = None


# Each queue of the broker holds at most `window` hints at a time: the rest waits here, where priority decides, where a
# wiped broker costs little, and where every count stays flat however long the backlog is. What is counted is ordered as
# its index is: without, the planner takes every queue to be as deep as the deepest one, and reads the whole table for
# one that is empty.
_ROOM = """
SELECT queue, (
  SELECT count(*) FROM (
    SELECT FROM steps
    WHERE state = 'queued' AND published_at IS NOT NULL AND steps.queue = asked.queue
    ORDER BY published_at LIMIT %(window)s
  ) AS sent
) AS sent, (
  SELECT count(*) FROM (
    SELECT FROM steps
    WHERE state = 'queued' AND published_at IS NULL AND steps.queue = asked.queue
    ORDER BY priority, run_at LIMIT %(many)s
  ) AS unsent
) AS unsent, first.priority, extract(epoch FROM now() - first.run_at)::float AS waits_seconds
FROM unnest(%(queues)s::text[]) AS asked (queue) CROSS JOIN LATERAL (
  SELECT priority, run_at FROM steps
  WHERE state = 'queued' AND published_at IS NULL AND steps.queue = asked.queue ORDER BY priority, run_at LIMIT 1
) AS first
WHERE NOT EXISTS (SELECT FROM queues WHERE name = asked.queue AND paused_at IS NOT NULL)
"""

# A sampled traceparent's last digit is odd.
_SENT = """
RETURNING tenant_id, job_id, id, kind, queue, priority, losses, run_at, set_config('synchronous_commit', 'off', true),
  CASE WHEN %(traced)s THEN (
    SELECT trace FROM jobs WHERE jobs.tenant_id = steps.tenant_id AND jobs.id = steps.job_id AND trace ~ '[13579bdf]$'
  ) END AS trace
"""

# SKIP LOCKED: any number of relays take different steps. The rows stay locked until the hints are out and the
# transaction commits; a crash in between sends a second hint, never none. A crash of the database that loses the marks
# costs a second hint as well, so the commit need not wait for the disk.
_PUBLISH = f"""
UPDATE steps SET published_at = now()
WHERE (tenant_id, id) IN (
  SELECT tenant_id, id FROM steps WHERE state = 'queued' AND published_at IS NULL AND queue = %(queue)s
  ORDER BY priority, run_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
{_SENT}
"""  # noqa: S608 - a constant

# What arrives where nothing waits goes at once, before anybody asks for the rooms: see take_lone. Counts with a limit,
# and no NOT EXISTS: for that the planner would gather all that waits in a deep queue. JSON and no array: by how many an
# array has the planner would choose a plan anew each time, for eight times what the rest takes.
_PUBLISH_LONE = f"""
UPDATE steps SET published_at = now()
WHERE (tenant_id, id) IN (
  SELECT lone.tenant_id, lone.id
  FROM jsonb_array_elements_text(%(queues)s::jsonb) AS asked (queue) CROSS JOIN LATERAL (
    SELECT tenant_id, id FROM steps
    WHERE state = 'queued' AND published_at IS NULL AND steps.queue = asked.queue
    ORDER BY priority, run_at LIMIT 1 FOR UPDATE SKIP LOCKED
  ) AS lone
  WHERE NOT EXISTS (SELECT FROM queues WHERE name = asked.queue AND paused_at IS NOT NULL)
    AND (
      SELECT count(*) FROM (
        SELECT FROM steps WHERE state = 'queued' AND published_at IS NULL AND steps.queue = asked.queue
        ORDER BY priority, run_at LIMIT 2
      ) AS unsent
    ) = 1
    AND (
      SELECT count(*) FROM (
        SELECT FROM steps WHERE state = 'queued' AND published_at IS NOT NULL AND steps.queue = asked.queue
        ORDER BY published_at LIMIT 1
      ) AS sent
    ) = 0
)
{_SENT}
"""  # noqa: S608 - a constant


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


def take_to_publish(tx: PlatformTx, queue: str, *, limit: int, traced: bool = False) -> list[Runnable]:
    """Mark queued steps as sent and return them, most urgent first; send the hints before the commit."""
    return _runnable(tx.sql(_PUBLISH, queue=queue, limit=limit, traced=traced))


def take_lone(tx: PlatformTx, queues: Sequence[str], *, traced: bool = False) -> list[Runnable]:
    """As `take_to_publish`, of each of the queues that is not paused and in which just one step is queued: that one."""
    return _runnable(tx.sql(_PUBLISH_LONE, queues=json.dumps(list(queues)), traced=traced))


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
            trace=row.trace,
        )
        for row in rows
    ]
