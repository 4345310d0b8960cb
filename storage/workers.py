"""The workers that live: what they serve, with how many slots, and how many steps each works on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.database import PlatformTx

_SEEN = """
INSERT INTO workers (name, replica, queues, slots, seen_until, stopping, version, metrics_url)
VALUES (%(name)s, %(replica)s, %(queues)s, %(slots)s, clock_timestamp() + make_interval(secs => %(seconds)s),
        %(stopping)s, %(version)s, %(metrics_url)s)
ON CONFLICT (name) DO UPDATE SET seen_until = excluded.seen_until, stopping = excluded.stopping
"""

_LIVING = """
SELECT workers.*, coalesce(held.steps, 0) AS running
FROM workers
LEFT JOIN (SELECT worker, count(*) AS steps FROM steps WHERE state = 'running' GROUP BY worker) AS held
  ON held.worker = workers.name
WHERE seen_until > clock_timestamp() ORDER BY started_at, name
"""

_SLOTS = """
SELECT queue, count(*) AS workers, sum(slots)::bigint AS slots FROM workers, unnest(queues) AS queue
WHERE NOT stopping AND seen_until > clock_timestamp() GROUP BY queue
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Serving:
    """Those who serve a queue and take what is new: how many, and with how many slots in all."""

    workers: int
    slots: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Worker:
    """A worker process that is alive. `replica` is the part of its name after the @: its pod's, or its process's."""

    name: str
    replica: str
    queues: Sequence[str]
    slots: int
    started_at: datetime
    stopping: bool
    running: int
    version: str | None = None
    metrics_url: str | None = None


def serving(tx: PlatformTx) -> dict[str, Serving]:
    """Who serves each queue, by its name; not those that nobody serves."""
    return {row.queue: Serving(workers=row.workers, slots=int(row.slots)) for row in tx.sql(_SLOTS)}


def seen(
    tx: PlatformTx,
    name: str,
    *,
    queues: Sequence[str],
    slots: int,
    for_seconds: float,
    stopping: bool = False,
    version: str | None = None,
    metrics_url: str | None = None,
) -> None:
    """Note that the worker lives, and count it as living for so long; if it is `stopping`, without its slots.

    `metrics_url` is where its numbers are served, None: nowhere.
    """
    replica = name.partition("@")[2].partition("/")[0]
    tx.sql(
        _SEEN,
        name=name,
        replica=replica,
        queues=list(queues),
        slots=slots,
        seconds=for_seconds,
        stopping=stopping,
        version=version,
        metrics_url=metrics_url,
    )


def gone(tx: PlatformTx, name: str) -> None:
    """Forget the worker, which has ended."""
    tx.sql("DELETE FROM workers WHERE name = %(name)s", name=name)


def living(tx: PlatformTx) -> list[Worker]:
    """All of them, the oldest first."""
    return [
        Worker(
            name=row.name,
            replica=row.replica,
            queues=tuple(row.queues),
            slots=row.slots,
            started_at=row.started_at,
            stopping=row.stopping,
            running=row.running,
            version=row.version,
            metrics_url=row.metrics_url,
        )
        for row in tx.sql(_LIVING)
    ]


def forget_dead(tx: PlatformTx) -> int:
    """Delete those that have said nothing for an hour; returns how many."""
    return int(tx.sql("DELETE FROM workers WHERE seen_until < now() - interval '1 hour'").rowcount)
