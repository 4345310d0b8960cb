"""The journal of changes of steps' states: written by triggers, folded into the counters that storage.counts reads.

A change is a row of its own, in the transaction that makes it: no two transactions wait for each other on a counter.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from storage.database import Database, PlatformTx

FLOW_SECONDS = 5  # the intervals in which arrivals and ends are counted
LARGE_BYTES = 4_000_000
SHORTEST, GROWTH = 0.001, 1.1  # the histogram of service times: first bucket in seconds, each bucket to the one before

BUCKET = f"floor(ln(greatest(seconds, {SHORTEST}) / {SHORTEST}) / ln({GROWTH}))::int"

STATES = ("waiting", "scheduled", "queued", "running", "retrying")  # the open ones; those that ended are not counted

TALLY = ", ".join(
    f"count(*) FILTER (WHERE became = '{state}') - count(*) FILTER (WHERE was = '{state}') AS {state}"
    for state in STATES
)

# A step that is put off when its turn came (see storage.holds) has not arrived: it does when it comes again.
ARRIVED = (
    "(became IS NOT DISTINCT FROM 'queued')::int"
    " - (was IS NOT DISTINCT FROM 'queued' AND became IS NOT DISTINCT FROM 'scheduled')::int"
)

_ADDED = ", ".join(f"{state} = c.{state} + excluded.{state}" for state in STATES)

_FOLD = f"""
WITH gone AS (
  DELETE FROM step_changes WHERE ctid = ANY(ARRAY(SELECT ctid FROM step_changes LIMIT %(limit)s))
  RETURNING queue, priority, was, became, at, seconds
), counted AS (
  INSERT INTO step_counts AS c (queue, priority, {", ".join(STATES)})
  SELECT queue, priority, {TALLY} FROM gone GROUP BY queue, priority
  ON CONFLICT (queue, priority) DO UPDATE SET {_ADDED}
), flowed AS (
  INSERT INTO step_flow AS f (queue, priority, at, arrived, ended)
  SELECT queue, priority, date_bin('{FLOW_SECONDS} s', at, 'epoch'),
         sum({ARRIVED}), count(*) FILTER (WHERE was = 'running')
  FROM gone WHERE became = 'queued' OR was IN ('queued', 'running') GROUP BY 1, 2, 3
  ON CONFLICT (at, queue, priority)
  DO UPDATE SET arrived = f.arrived + excluded.arrived, ended = f.ended + excluded.ended
), served AS (
  INSERT INTO service_times AS s (queue, priority, at, bucket, attempts, seconds, squares)
  SELECT queue, priority, date_trunc('minute', at), {BUCKET}, count(*), sum(seconds), sum(seconds * seconds)
  FROM gone WHERE seconds IS NOT NULL GROUP BY 1, 2, 3, 4
  ON CONFLICT (at, queue, priority, bucket)
  DO UPDATE SET attempts = s.attempts + excluded.attempts, seconds = s.seconds + excluded.seconds,
                squares = s.squares + excluded.squares
)
SELECT count(*) FROM gone
"""  # noqa: S608 - constants, as below

# One statement sees steps, counters and journal at one moment: what it finds missing is, whatever changes meanwhile.
_CORRECT = f"""
WITH truth AS (
  SELECT queue, priority, state, count(*) AS steps FROM steps WHERE state IN {STATES} GROUP BY 1, 2, 3
), believed AS (
  SELECT queue, priority, state, steps FROM step_counts, LATERAL (
    VALUES {", ".join(f"('{state}', {state})" for state in STATES)}
  ) AS by_state (state, steps)
  UNION ALL
  SELECT queue, priority, became, 1 FROM step_changes WHERE became IN {STATES}
  UNION ALL
  SELECT queue, priority, was, -1 FROM step_changes WHERE was IN {STATES}
), missing AS (
  SELECT queue, priority, state, sum(steps)::bigint AS steps
  FROM (SELECT * FROM truth UNION ALL SELECT queue, priority, state, -steps FROM believed) AS both_sides
  GROUP BY 1, 2, 3 HAVING sum(steps) <> 0
), corrected AS (
  INSERT INTO step_counts AS c (queue, priority, {", ".join(STATES)})
  SELECT queue, priority,
         {", ".join(f"coalesce(sum(steps) FILTER (WHERE state = '{state}'), 0)" for state in STATES)}
  FROM missing GROUP BY queue, priority
  ON CONFLICT (queue, priority) DO UPDATE SET {_ADDED}
)
SELECT queue, priority, state, steps FROM missing ORDER BY 1, 2, 3
"""  # noqa: S608

# Whoever folds holds this until its transaction ends.
_LOCK = "hashtext('millrace fold')"


@dataclass(frozen=True, kw_only=True, slots=True)
class Correction:
    """A counter that was wrong, and by how many steps."""

    queue: str
    priority: int
    state: str
    steps: int


def fold(tx: PlatformTx, *, limit: int) -> int:
    """Move up to `limit` changes from the journal into the counters; returns how many, 0 while another is at it."""
    if not tx.sql(f"SELECT pg_try_advisory_xact_lock({_LOCK})").scalar_one():
        return 0
    return int(tx.sql(_FOLD, limit=limit).scalar_one())


def correct(tx: PlatformTx) -> Sequence[Correction]:
    """Count the steps themselves and set right what differs, as after a restore that ran no triggers."""
    tx.sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    rows = tx.sql(_CORRECT)
    return [Correction(queue=r.queue, priority=r.priority, state=r.state, steps=r.steps) for r in rows]


def forget_old(tx: PlatformTx) -> None:
    """Delete what is older than anything that is asked."""
    for table in ("step_flow", "service_times"):
        tx.sql(f"DELETE FROM {table} WHERE at < now() - interval '2 hours'")  # noqa: S608


def vacuum(database: Database) -> None:
    """Give back the room of folded changes now: the journal turns over faster than autovacuum comes round.

    One that has grown large, while nobody folded, is cut; that waits for no lock that it cannot have.
    """
    with database.platform_read() as tx:
        is_large = tx.sql("SELECT pg_relation_size('step_changes') > %(most)s", most=LARGE_BYTES).scalar_one()
        tx.sql("VACUUM (TRUNCATE on) step_changes" if is_large else "VACUUM step_changes")
