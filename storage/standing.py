"""How the platform stands, besides its queues: what waits to be sent, what failed, which processes live.

Each question costs at most what its bound says, however many rows there are: see `MOST` and `WINDOW_HALF`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from storage.database import PlatformTx

MOST = 20_000  # rows that are looked at for a number: at most 0.1 s; of more than that nobody is told
MOST_HELD = 5_000  # steps that are looked at for breakers, those that go soonest
MOST_LANES = 5_000  # places that webhooks go to, of which each is looked at: about 20 µs
WINDOW_HALF = 500  # steps: the relay keeps the hints of 1000 per queue in the broker (scheduler.relay)
DOWN = "the latest calls to "  # how a reason begins for which a step is held, see tasks.budget_rules

# The relay is to blame for a step that was not sent only while the broker has room for it: behind a full window the
# rest waits in the database on purpose. One look into ix_steps_to_publish for each queue and priority.
_RELAY_LAG = """
SELECT max(extract(epoch FROM clock_timestamp() - run_at))::float AS seconds FROM (
  SELECT (
    SELECT min(run_at) FROM steps
    WHERE state = 'queued' AND published_at IS NULL AND steps.queue = asked.queue AND steps.priority = rank
  ) AS run_at
  FROM unnest(%(queues)s::text[]) AS asked (queue), unnest(%(ranks)s::smallint[]) AS rank
  WHERE NOT EXISTS (SELECT FROM queues WHERE name = asked.queue AND paused_at IS NOT NULL)
    AND (
      SELECT count(*) FROM (
        SELECT FROM steps
        WHERE state = 'queued' AND published_at IS NOT NULL AND steps.queue = asked.queue
        ORDER BY published_at LIMIT %(half)s
      ) AS sent
    ) < %(half)s
  UNION ALL
  SELECT min(run_at) FROM steps WHERE state IN ('scheduled', 'retrying') AND run_at <= now()
) AS unsent
"""

# A step whose result met its stop_when has failed as its owner wished: that is no dead letter (see storage.replays).
_DEAD = """
SELECT kind, count(*) AS steps FROM (
  SELECT tenant_id, job_id, kind FROM steps WHERE state = 'failed' LIMIT %(most)s
) AS failed
WHERE NOT EXISTS (
  SELECT FROM jobs WHERE jobs.tenant_id = failed.tenant_id AND jobs.id = failed.job_id AND stop_as = 'failed'
)
GROUP BY kind ORDER BY kind
"""

# What waits for somebody who listens, or for an endpoint that is disabled, is not late.
_DELIVERIES = """
SELECT count(*) AS pending, extract(epoch FROM clock_timestamp() - min(happened_at))::float AS oldest_seconds
FROM (SELECT tenant_id, endpoint_id, happened_at FROM deliveries WHERE state = 'pending' LIMIT %(most)s) AS d
LEFT JOIN webhook_endpoints e ON e.tenant_id = d.tenant_id AND e.id = d.endpoint_id
WHERE d.endpoint_id IS NULL OR (e.url IS NOT NULL AND e.disabled_at IS NULL)
"""

# One look into ix_deliveries_pending for each lane, of which there is one for each endpoint and for each host that jobs
# notify: it finds what is due first there, however many wait behind it; whatever was taken has a later next_at. A
# receiver that fails is left alone on purpose.
_LATE = """
WITH RECURSIVE lanes AS (
  (SELECT lane, tenant_id, endpoint_id, tries, next_at, 1 AS place FROM deliveries
   WHERE state = 'pending' ORDER BY lane, next_at LIMIT 1)
  UNION ALL
  SELECT following.*, place + 1 FROM lanes CROSS JOIN LATERAL (
    SELECT d.lane, d.tenant_id, d.endpoint_id, d.tries, d.next_at FROM deliveries d
    WHERE d.state = 'pending' AND d.lane > lanes.lane ORDER BY d.lane, d.next_at LIMIT 1
  ) AS following
  WHERE place < %(most)s
)
SELECT extract(epoch FROM clock_timestamp() - min(l.next_at))::float AS seconds FROM lanes l
LEFT JOIN webhook_endpoints e ON e.tenant_id = l.tenant_id AND e.id = l.endpoint_id
WHERE CASE WHEN l.endpoint_id IS NULL THEN l.tries = 0
      ELSE e.url IS NOT NULL AND e.disabled_at IS NULL AND e.failing_since IS NULL END
"""

_FAILING = """
SELECT count(*) AS endpoints FROM webhook_endpoints
WHERE url IS NOT NULL AND disabled_at IS NULL AND failing_since IS NOT NULL
"""

_HOSTS_DOWN = """
SELECT DISTINCT split_part(substr(held_for, length(%(down)s) + 1), ' ', 1) AS host FROM (
  SELECT held_for FROM steps WHERE state IN ('scheduled', 'retrying') ORDER BY run_at LIMIT %(most)s
) AS soonest
WHERE starts_with(held_for, %(down)s) ORDER BY host
"""

_PROCESSES = """
SELECT role, count(*) AS processes FROM processes WHERE seen_until > clock_timestamp() GROUP BY role
UNION ALL
SELECT 'worker', count(*) FROM workers WHERE seen_until > clock_timestamp()
ORDER BY role
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pending:
    """Webhook deliveries that wait, at most MOST of them, and since when the oldest does; 0 if none."""

    deliveries: int
    oldest_seconds: float


def relay_lag_seconds(tx: PlatformTx, queues: Iterable[str], ranks: Iterable[int]) -> float:
    """Age of the oldest step that may run, is not paused and was not sent although its queue's window has room; or 0.

    About 0.1 ms for each of the queues and ranks of priorities.
    """
    found = tx.sql(_RELAY_LAG, queues=list(queues), ranks=list(ranks), half=WINDOW_HALF).one()
    return max(0.0, found.seconds or 0.0)


def dead_letters(tx: PlatformTx) -> Mapping[str, int]:
    """Steps that failed for good and are kept, by kind: of at most MOST that are looked at."""
    return {row.kind: int(row.steps) for row in tx.sql(_DEAD, most=MOST)}


def pending_deliveries(tx: PlatformTx) -> Pending:
    """What webhooks have still to be told, of at most MOST that are looked at."""
    row = tx.sql(_DELIVERIES, most=MOST).one()
    return Pending(deliveries=int(row.pending), oldest_seconds=max(0.0, row.oldest_seconds or 0.0))


def late_delivery_seconds(tx: PlatformTx) -> float:
    """For how long a delivery has been due, at most, whose receiver does not fail; of MOST_LANES receivers; or 0."""
    return max(0.0, tx.sql(_LATE, most=MOST_LANES).one().seconds or 0.0)


def failing_endpoints(tx: PlatformTx) -> int:
    """Webhook endpoints whose latest deliveries failed and that are not disabled; all endpoints are looked at."""
    return int(tx.sql(_FAILING).one().endpoints)


def hosts_down(tx: PlatformTx) -> Sequence[str]:
    """The hosts ("name:port") that steps wait for because the latest calls to them failed, by MOST_HELD steps."""
    return [row.host for row in tx.sql(_HOSTS_DOWN, down=DOWN, most=MOST_HELD)]


def processes(tx: PlatformTx) -> Mapping[str, int]:
    """How many processes live, by role; a worker counts once, however many slots it has."""
    return {row.role: int(row.processes) for row in tx.sql(_PROCESSES)}
