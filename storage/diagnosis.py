"""Reads from the rows what may be stuck, in statements that stay quick however much is kept or waits."""

import math
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from storage import counts, scaling
from storage.database import PlatformTx
from storage.diagnosis_model import (
    Facts,
    FailingFacts,
    PoolFacts,
    ProcessFacts,
    QueueFacts,
    WebhookFacts,
)
from storage.model import TenantId
from storage.scaling import PoolStanding
from storage.standing import DOWN, MOST_HELD, WINDOW_HALF

LATELY_SECONDS = 900.0  # for so long what failed is looked at
MOST_RECEIVERS = 20  # that are named

# One round trip, since a database that is slow is to be told of as well. What was not sent yet costs ten looks into
# ix_steps_to_publish for each queue, whatever waits in it; not of a queue that is paused, and not of one whose window
# is full: there the rest waits as it should. Held steps are due within a minute, so they are the first in their index.
_STANDING = """
SELECT clock_timestamp() AS at,
  (SELECT extract(epoch FROM clock_timestamp() - min(run_at))::float FROM steps
   WHERE state IN ('scheduled', 'retrying') AND run_at <= now()) AS overdue,
  (SELECT extract(epoch FROM clock_timestamp() - min(due_at))::float FROM schedules
   WHERE due_at IS NOT NULL AND due_at <= now()) AS schedule_late,
  (SELECT count(*) FROM workers WHERE seen_until > clock_timestamp()) AS workers,
  (SELECT count(*) FROM workers
   WHERE seen_until <= clock_timestamp() AND seen_until > now() - interval '5 minutes' AND NOT stopping) AS silent,
  (SELECT count(*) FROM (SELECT losses FROM steps WHERE state = 'running' LIMIT 5000) AS held WHERE losses > 0) + (
    SELECT count(*) FROM (
      SELECT losses FROM unnest(%(queues)s::text[]) AS asked (queue), LATERAL (
        SELECT losses FROM steps WHERE state = 'queued' AND published_at IS NOT NULL AND steps.queue = asked.queue
        ORDER BY published_at LIMIT 1000
      ) AS hints
    ) AS sent WHERE losses > 0
  ) AS losing,
  (SELECT count(*) FROM (
    SELECT FROM jobs WHERE state = 'failed' AND finished_at > now() - interval '1 hour' LIMIT 10000
  ) AS failed) AS failed,
  (SELECT extract(epoch FROM clock_timestamp() - min(xact_start))::float FROM pg_stat_activity
   WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()) AS transaction,
  (SELECT count(*) FROM pg_stat_activity
   WHERE datname = current_database() AND wait_event_type = 'Lock') AS locked,
  (SELECT count(*) FROM processes) AS known_processes,
  (SELECT count(*) FROM processes WHERE seen_until > clock_timestamp() AND role IN ('scaler', 'keda')) AS scalers,
  (SELECT jsonb_object_agg(loop, kept) FROM (
    SELECT loop, count(*) AS kept FROM processes, jsonb_array_elements_text(coalesce(detail -> 'loops', '[]')) AS loop
    WHERE seen_until > clock_timestamp() GROUP BY loop
  ) AS living) AS loops,
  (SELECT jsonb_object_agg(held_for, waiting) FROM (
    SELECT held_for, count(*) AS waiting FROM (
      SELECT held_for FROM steps WHERE state IN ('scheduled', 'retrying') ORDER BY run_at LIMIT %(held)s
    ) AS soon
    WHERE starts_with(held_for, %(down)s) GROUP BY held_for
  ) AS down) AS held,
  (SELECT jsonb_object_agg(queue, seconds) FROM (
    SELECT queue, extract(epoch FROM clock_timestamp() - min(oldest)) AS seconds
    FROM unnest(%(queues)s::text[]) AS asked (queue), generate_series(0, 9) AS rank, LATERAL (
      SELECT min(run_at) AS oldest FROM steps
      WHERE state = 'queued' AND published_at IS NULL AND steps.queue = asked.queue AND steps.priority = rank
    ) AS first
    WHERE NOT EXISTS (SELECT FROM queues WHERE name = asked.queue AND paused_at IS NOT NULL) AND (
      SELECT count(*) FROM (
        SELECT FROM steps
        WHERE state = 'queued' AND published_at IS NOT NULL AND steps.queue = asked.queue
        ORDER BY published_at LIMIT %(half)s
      ) AS sent
    ) < %(half)s
    GROUP BY queue HAVING min(oldest) IS NOT NULL
  ) AS unsent) AS unsent
"""

# The latest thousand jobs that failed, and not through a condition of theirs, which is an outcome.
_FAILING = """
WITH recent AS (
  SELECT tenant_id, id FROM jobs
  WHERE state = 'failed' AND finished_at > now() - make_interval(secs => %(seconds)s)
    AND stop_as IS DISTINCT FROM 'failed'
  ORDER BY finished_at DESC LIMIT 1000
)
SELECT s.queue, s.kind, coalesce(s.error ->> 'fingerprint', '') AS fingerprint, min(s.error ->> 'code') AS code,
       max(s.error ->> 'message') AS message, count(*) AS steps, count(DISTINCT s.tenant_id) AS tenants,
       min(s.finished_at) AS oldest, max(s.finished_at) AS newest,
       (SELECT name FROM tenants WHERE id = min(s.tenant_id)) AS tenant
FROM recent JOIN steps s ON s.tenant_id = recent.tenant_id AND s.job_id = recent.id
WHERE s.state = 'failed' GROUP BY 1, 2, 3 ORDER BY steps DESC, s.kind LIMIT 20
"""

_ENDPOINTS = """
SELECT e.tenant_id, e.id, e.url, e.failing_since, waiting.deliveries,
       extract(epoch FROM clock_timestamp() - e.failing_since)::float AS seconds, waiting.tried -> -1 AS last
FROM webhook_endpoints e CROSS JOIN LATERAL (
  SELECT count(*) AS deliveries, (array_agg(log ORDER BY tries DESC))[1] AS tried FROM (
    SELECT log, tries FROM deliveries WHERE state = 'pending' AND lane = e.id ORDER BY next_at LIMIT 200
  ) AS first
) AS waiting
WHERE e.failing_since IS NOT NULL AND e.disabled_at IS NULL AND e.url IS NOT NULL AND waiting.deliveries > 0
ORDER BY e.failing_since LIMIT %(most)s
"""

# What goes to the `notify` of a job has no endpoint; of what waits a bounded part is looked at.
_NOTIFIED = """
WITH waiting AS (
  SELECT tenant_id, endpoint_id, lane, url, tries, next_at, happened_at, log FROM deliveries
  WHERE state = 'pending' ORDER BY lane, next_at LIMIT 5000
)
SELECT lane, min(tenant_id) AS tenant_id, min(url) AS url, count(*) AS deliveries, min(happened_at) AS failing_since,
       extract(epoch FROM clock_timestamp() - min(happened_at))::float AS seconds,
       (array_agg(log ORDER BY tries DESC))[1] -> -1 AS last, NULL::float AS late
FROM waiting WHERE endpoint_id IS NULL AND tries > 0 GROUP BY lane
UNION ALL
SELECT NULL, NULL, NULL, 0, NULL, NULL, NULL, extract(epoch FROM clock_timestamp() - min(w.next_at))::float
FROM waiting w LEFT JOIN webhook_endpoints e ON e.tenant_id = w.tenant_id AND e.id = w.endpoint_id
WHERE w.next_at <= now() AND e.failing_since IS NULL AND (e.id IS NULL OR e.url IS NOT NULL)
"""


def read(tx: PlatformTx, queues: Iterable[str]) -> Facts:
    """All of it, across tenants; `queues` names those that there are. Raises DatabaseUnavailable."""
    names = list(queues)
    row = tx.sql(_STANDING, queues=names, half=WINDOW_HALF, held=MOST_HELD, down=DOWN).one()
    notified = tx.sql(_NOTIFIED).all()
    endpoints = tx.sql(_ENDPOINTS, most=MOST_RECEIVERS)
    receivers = [_receiver(one, one.id) for one in endpoints] + [
        _receiver(one, None) for one in notified if one.lane is not None
    ]
    return Facts(
        at=row.at,
        queues=_queues(tx, names, row.unsent or {}),
        pools=_pools(tx),
        failing=[_failing(one) for one in tx.sql(_FAILING, seconds=LATELY_SECONDS)],
        webhooks=receivers[:MOST_RECEIVERS],
        held=_held(row.held or {}),
        processes=ProcessFacts(loops=row.loops or {}, scalers=row.scalers) if row.known_processes else None,
        workers=row.workers,
        silent_workers=row.silent,
        losing_steps=row.losing,
        overdue_seconds=row.overdue,
        schedule_late_seconds=row.schedule_late,
        webhook_late_seconds=next((one.late for one in notified if one.lane is None), None),
        failed_last_hour=row.failed,
        oldest_transaction_seconds=row.transaction,
        waiting_for_locks=row.locked,
    )


def _queues(tx: PlatformTx, names: list[str], unsent: Mapping[str, float]) -> list[QueueFacts]:
    return [
        QueueFacts(
            name=queue.name,
            paused_at=queue.paused_at,
            workers=queue.workers,
            slots=queue.slots,
            runnable=queue.load.runnable,
            running=queue.load.running,
            oldest_seconds=queue.load.oldest_seconds,
            unsent_seconds=max(0.0, unsent[queue.name]) if queue.name in unsent else None,
            ended_per_second=queue.load.completions_5m,
        )
        for queue in counts.read(tx, names).values()
    ]


def _pools(tx: PlatformTx) -> list[PoolFacts]:
    ages = scaling.ages(tx)
    return [_pool(pool, ages.get(pool.name, 0.0)) for pool in scaling.standing(tx)]


def _pool(pool: PoolStanding, age_seconds: float) -> PoolFacts:
    inputs = pool.last.inputs if isinstance(pool.last.inputs, dict) else {}
    return PoolFacts(
        name=pool.name,
        replicas=pool.last.replicas,
        wanted=pool.last.wanted,
        least=pool.least,
        most=pool.most,
        asked=_asked(inputs),
        age_seconds=age_seconds,
        reason=pool.last.reason,
        dry_run=pool.last.dry_run,
        trouble=inputs.get("trouble"),
    )


def _asked(inputs: Mapping[str, Any]) -> int | None:
    """How many replicas the pool's triggers ask for, the most of them counting as for the HPA."""
    asked = [one["value"] / one["target"] for one in inputs.get("triggers", ()) if one.get("target")]
    return math.ceil(max(asked) - 1e-9) if asked else None


def _failing(row: Any) -> FailingFacts:
    return FailingFacts(
        queue=row.queue,
        kind=row.kind,
        fingerprint=row.fingerprint,
        code=row.code or "unknown",
        message=row.message or "",
        steps=row.steps,
        tenants=row.tenants,
        oldest=row.oldest,
        newest=row.newest,
        tenant=row.tenant,
    )


def _receiver(row: Any, endpoint_id: str | None) -> WebhookFacts:
    last = row.last if isinstance(row.last, dict) else {}
    return WebhookFacts(
        tenant_id=TenantId(row.tenant_id),
        endpoint_id=endpoint_id,
        host=_host(row.url),
        failing_since=row.failing_since,
        seconds=row.seconds,
        waiting=row.deliveries,
        error=last.get("error"),
    )


def _host(url: str) -> str:
    """Of an address no more: what follows may hold a secret."""
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2] or "an address"


def _held(by_words: Mapping[str, int]) -> dict[str, int]:
    """Steps by the host that they wait for; the words are those of tasks.budget_rules."""
    held = {}
    for told, waiting in by_words.items():
        host, words, _ = told.removeprefix(DOWN).partition(" failed")
        if words:
            held[host] = waiting
    return held
