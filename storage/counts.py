"""The exact numbers of every queue and priority, at a cost that does not grow with the rows behind them.

Counters, and the journal of what is not folded into them yet (see storage.journal), add up to what the steps say. The
one source for the API, /metrics, the scaler and KEDA.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from storage import workers
from storage.database import PlatformTx
from storage.journal import ARRIVED, BUCKET, FLOW_SECONDS, GROWTH, SHORTEST, TALLY

ENOUGH = 20  # attempts of the last five minutes, that they and not the last hour's say how long one takes

MOST_SENT = 2_000  # hints of a queue that are looked at, the oldest: the relay sends half as many at a time

# What is sent is asked for queue by queue and in the order of the index: the planner takes state and published_at to be
# independent, since almost all that ended was sent, and would rather read a deep table as a whole.
# What is due but not queued yet is runnable already: the relay is about to see it.
_STATES = f"""
WITH counted AS (
  SELECT queue, priority, waiting, scheduled, queued, running, retrying FROM step_counts
  UNION ALL
  SELECT queue, priority, {TALLY} FROM step_changes GROUP BY queue, priority
), due AS (
  SELECT queue, priority, min(run_at) AS oldest,
         count(*) FILTER (WHERE state = 'scheduled') AS scheduled,
         count(*) FILTER (WHERE state = 'retrying') AS retrying
  FROM steps WHERE state IN ('scheduled', 'retrying') AND run_at <= now() GROUP BY queue, priority
), sent AS (
  SELECT queue, priority, min(run_at) AS oldest FROM (SELECT DISTINCT queue FROM counted) AS known, LATERAL (
    SELECT priority, run_at FROM steps
    WHERE state = 'queued' AND published_at IS NOT NULL AND steps.queue = known.queue
    ORDER BY published_at LIMIT {MOST_SENT}
  ) AS hints GROUP BY queue, priority
), summed AS (
  SELECT queue, priority, sum(waiting) AS waiting, sum(scheduled) AS scheduled, sum(queued) AS queued,
         sum(running) AS running, sum(retrying) AS retrying
  FROM counted GROUP BY queue, priority
)
SELECT queue, priority, sum(waiting)::bigint AS waiting, sum(running)::bigint AS running,
       (sum(queued) + coalesce(sum(due.scheduled), 0) + coalesce(sum(due.retrying), 0))::bigint AS runnable,
       (sum(summed.scheduled) - coalesce(sum(due.scheduled), 0))::bigint AS scheduled,
       (sum(summed.retrying) - coalesce(sum(due.retrying), 0))::bigint AS retrying,
       extract(epoch FROM clock_timestamp() - min(least(sent.oldest, due.oldest, (
         SELECT min(run_at) FROM steps
         WHERE state = 'queued' AND published_at IS NULL
           AND steps.queue = summed.queue AND steps.priority = summed.priority
       ))))::float AS oldest_seconds
FROM summed LEFT JOIN due USING (queue, priority) LEFT JOIN sent USING (queue, priority)
GROUP BY GROUPING SETS ((queue, priority), (queue))
"""  # noqa: S608 - constants, as below

# Of whole intervals only: a rate is over the last 55 to 60 seconds, or 295 to 300.
_FLOW = f"""
WITH asked AS (
  SELECT date_bin('{FLOW_SECONDS} s', now() - interval '1 minute', 'epoch') + interval '{FLOW_SECONDS} s' AS minute,
         date_bin('{FLOW_SECONDS} s', now() - interval '5 minutes', 'epoch') + interval '{FLOW_SECONDS} s' AS five
), flowed AS (
  SELECT queue, priority, at, arrived, ended FROM step_flow, asked WHERE at >= five
  UNION ALL
  SELECT queue, priority, at, {ARRIVED}, (was IS NOT DISTINCT FROM 'running')::int
  FROM step_changes, asked WHERE at >= five
), over AS (
  SELECT minute, extract(epoch FROM now() - minute)::float AS in_1m, extract(epoch FROM now() - five)::float AS in_5m
  FROM asked
)
SELECT queue, priority,
       greatest(coalesce(sum(arrived) FILTER (WHERE at >= minute), 0), 0) / in_1m AS arrivals_1m,
       coalesce(sum(ended) FILTER (WHERE at >= minute), 0) / in_1m AS completions_1m,
       greatest(sum(arrived), 0) / in_5m AS arrivals_5m, sum(ended) / in_5m AS completions_5m
FROM flowed, over GROUP BY GROUPING SETS ((queue, priority, in_1m, in_5m), (queue, in_1m, in_5m))
"""  # noqa: S608

# The last hour is read for those only of which there was too little in five minutes.
_SERVICE = f"""
WITH recent AS (
  SELECT queue, priority, bucket, sum(attempts) AS attempts, sum(seconds) AS seconds, sum(squares) AS squares
  FROM (
    SELECT queue, priority, bucket, attempts, seconds, squares FROM service_times
    WHERE at >= now() - interval '5 minutes'
    UNION ALL
    SELECT queue, priority, {BUCKET}, 1, seconds, seconds * seconds FROM step_changes
    WHERE seconds IS NOT NULL AND at >= now() - interval '5 minutes'
  ) AS served
  GROUP BY queue, priority, bucket
), enough AS (
  SELECT queue, priority FROM recent GROUP BY queue, priority HAVING sum(attempts) >= {ENOUGH}
), older AS (
  SELECT queue, priority, bucket, sum(attempts) AS attempts, sum(seconds) AS seconds, sum(squares) AS squares
  FROM (
    SELECT queue, priority, at, bucket, attempts, seconds, squares FROM service_times
    WHERE at >= now() - interval '1 hour' AND at < now() - interval '5 minutes'
    UNION ALL
    SELECT queue, priority, at, {BUCKET}, 1, seconds, seconds * seconds FROM step_changes
    WHERE seconds IS NOT NULL AND at < now() - interval '5 minutes'
  ) AS served
  WHERE NOT EXISTS (SELECT FROM enough WHERE enough.queue = served.queue AND enough.priority = served.priority)
  GROUP BY queue, priority, bucket
)
SELECT queue, priority, bucket, attempts::bigint, seconds, squares, true AS recent FROM recent
UNION ALL
SELECT queue, priority, bucket, attempts::bigint, seconds, squares, false FROM older
"""  # noqa: S608

# Of each schedule the next firing; one that is due sooner is looked at for another reason.
_DUE = """
SELECT queue, ceil(extract(epoch FROM at - now()))::int AS in_seconds, sum(steps)::bigint AS steps
FROM (
  (
    SELECT queue, run_at AS at, 1 AS steps FROM steps
    WHERE state IN ('scheduled', 'retrying') AND run_at > now() AND run_at <= now() + make_interval(secs => %(within)s)
    ORDER BY run_at LIMIT 10000
  ) UNION ALL (
    SELECT queue, due_at, steps::int
    FROM (
      SELECT due_at, starts FROM schedules
      WHERE due_at > now() AND due_at <= now() + make_interval(secs => %(within)s) AND due_at >= next_at
      ORDER BY due_at LIMIT 10000
    ) AS firing, jsonb_each_text(starts) AS starting (queue, steps)
  )
) AS soon
GROUP BY queue, in_seconds ORDER BY in_seconds
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceTime:
    """How long attempts take a slot, in seconds; `p95_seconds` is at most 5 % off, or a millisecond.

    Of the last five minutes, or, where these had fewer than ENOUGH, of the last hour.
    """

    attempts: int
    mean_seconds: float
    stddev_seconds: float
    p95_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What there is to do. Rates are per second, over the last minute and the last five.

    `runnable` may run now and does not yet; `waiting` waits for other steps, `scheduled` and `retrying` for their time.
    `oldest_seconds` is the age of the oldest runnable step, None if there is none. A step arrives when it becomes
    runnable; a completion is an attempt that ended, however it did.
    """

    runnable: int = 0
    running: int = 0
    waiting: int = 0
    scheduled: int = 0
    retrying: int = 0
    oldest_seconds: float | None = None
    arrivals_1m: float = 0.0
    arrivals_5m: float = 0.0
    completions_1m: float = 0.0
    completions_5m: float = 0.0
    service: ServiceTime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueCounts:
    """A queue: its load as a whole and by priority (the rank), and the slots of the workers that serve it."""

    name: str
    paused_at: datetime | None
    workers: int
    slots: int
    load: Load
    by_priority: Mapping[int, Load]


@dataclass(frozen=True, kw_only=True, slots=True)
class DueSoon:
    """Steps of a queue that become runnable in so many seconds (rounded up)."""

    queue: str
    in_seconds: int
    steps: int


def read(tx: PlatformTx, queues: Iterable[str]) -> dict[str, QueueCounts]:
    """The numbers of these queues, by name; of one moment, if the transaction is a snapshot."""
    loads = _loads(tx)
    served = workers.serving(tx)
    paused = {row.name: row.paused_at for row in tx.sql("SELECT name, paused_at FROM queues")}
    return {
        name: QueueCounts(
            name=name,
            paused_at=paused.get(name),
            workers=served[name].workers if name in served else 0,
            slots=served[name].slots if name in served else 0,
            load=loads.get((name, None), Load()),
            by_priority={
                priority: load
                for (queue, priority), load in sorted(loads.items(), key=str)
                if queue == name and priority is not None
            },
        )
        for name in queues
    }


def due_soon(tx: PlatformTx, *, within_seconds: float) -> list[DueSoon]:
    """What waits for its time, or for its schedule, and becomes runnable within so many seconds, the soonest first."""
    rows = tx.sql(_DUE, within=within_seconds)
    return [DueSoon(queue=row.queue, in_seconds=row.in_seconds, steps=row.steps) for row in rows]


def _loads(tx: PlatformTx) -> dict[tuple[str, int | None], Load]:
    """By queue and priority; None stands for all priorities together."""
    flows = {(row.queue, row.priority): row for row in tx.sql(_FLOW)}
    services = _service_times(tx.sql(_SERVICE))
    return {(row.queue, row.priority): _load(row, flows, services) for row in tx.sql(_STATES)}


def _load(row: Any, flows: Mapping[Any, Any], services: Mapping[Any, ServiceTime]) -> Load:
    key = (row.queue, row.priority)
    flow = flows.get(key)
    return Load(
        runnable=row.runnable,
        running=row.running,
        waiting=row.waiting,
        scheduled=row.scheduled,
        retrying=row.retrying,
        oldest_seconds=None if row.oldest_seconds is None else max(0.0, row.oldest_seconds),
        arrivals_1m=float(flow.arrivals_1m) if flow else 0.0,
        arrivals_5m=float(flow.arrivals_5m) if flow else 0.0,
        completions_1m=float(flow.completions_1m) if flow else 0.0,
        completions_5m=float(flow.completions_5m) if flow else 0.0,
        service=services.get(key),
    )


def _service_times(rows: Iterable[Any]) -> dict[tuple[str, int | None], ServiceTime]:
    recent: dict[tuple[str, int | None], list[Any]] = defaultdict(list)
    hour: dict[tuple[str, int | None], list[Any]] = defaultdict(list)
    for row in rows:
        for key in ((row.queue, row.priority), (row.queue, None)):
            hour[key].append(row)
            if row.recent:
                recent[key].append(row)
    found = {}
    for key, of_hour in hour.items():
        enough = sum(row.attempts for row in recent[key]) >= ENOUGH
        found[key] = _service_time(recent[key] if enough else of_hour)
    return found


def _service_time(buckets: Iterable[Any]) -> ServiceTime:
    ordered = sorted(buckets, key=lambda row: row.bucket)
    attempts = sum(row.attempts for row in ordered)
    mean = sum(row.seconds for row in ordered) / attempts
    variance = sum(row.squares for row in ordered) / attempts - mean * mean
    below, p95 = 0, 0.0
    for row in ordered:
        below += row.attempts
        p95 = SHORTEST * GROWTH ** (row.bucket + 0.5)
        if below >= 0.95 * attempts:
            break
    return ServiceTime(
        attempts=attempts, mean_seconds=mean, stddev_seconds=math.sqrt(max(0.0, variance)), p95_seconds=p95
    )
