"""How many steps arrived in each queue, and how many attempts ended, interval by interval."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.database import PlatformTx
from storage.journal import ARRIVED, FLOW_SECONDS

POINTS = 60  # at most, of one queue
MOST_MINUTES = 110  # what storage.journal keeps, less an interval

# Whole intervals only: one that goes on would look like a drop.
_FLOW = f"""
WITH asked AS (
  SELECT date_bin(make_interval(secs => %(seconds)s), now(), 'epoch') AS until,
         date_bin(make_interval(secs => %(seconds)s), now(), 'epoch') - make_interval(secs => %(span)s) AS since
), flowed AS (
  SELECT queue, at, arrived, ended FROM step_flow, asked WHERE at >= since AND at < until
  UNION ALL
  SELECT queue, at, {ARRIVED}, (was IS NOT DISTINCT FROM 'running')::int FROM step_changes, asked
  WHERE at >= since AND at < until
), summed AS (
  SELECT queue, date_bin(make_interval(secs => %(seconds)s), at, 'epoch') AS at,
         sum(arrived) AS arrived, sum(ended) AS ended
  FROM flowed GROUP BY 1, 2
)
SELECT queue, at, greatest(coalesce(arrived, 0), 0)::bigint AS arrived, coalesce(ended, 0)::bigint AS ended
FROM asked CROSS JOIN unnest(%(queues)s::text[]) AS named (queue) CROSS JOIN LATERAL
     generate_series(since, until - make_interval(secs => %(seconds)s), make_interval(secs => %(seconds)s)) AS s (at)
LEFT JOIN summed USING (queue, at)
ORDER BY queue, at
"""  # noqa: S608 - constants


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """What came and what was done from `at` on, for as long as an interval is."""

    at: datetime
    arrived: int
    ended: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Flow:
    """Intervals of so many seconds, the oldest first, without gaps, of each queue."""

    seconds: int
    queues: Mapping[str, Sequence[Interval]]


def read(tx: PlatformTx, queues: Iterable[str], *, minutes: int) -> Flow:
    """What happened in the last minutes, at most MOST_MINUTES, without the interval that has just begun."""
    seconds = interval_seconds(minutes)
    found: dict[str, list[Interval]] = {name: [] for name in queues}
    span = minutes * 60 // seconds * seconds
    for row in tx.sql(_FLOW, queues=list(found), span=span, seconds=seconds):
        found[row.queue].append(Interval(at=row.at, arrived=row.arrived, ended=row.ended))
    return Flow(seconds=seconds, queues=found)


def interval_seconds(minutes: int) -> int:
    """The shortest that make no more than POINTS of so many minutes: whole ones of those that are counted in."""
    return -(-minutes * 60 // (POINTS * FLOW_SECONDS)) * FLOW_SECONDS
