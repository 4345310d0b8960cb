"""How many firings there were, by what became of them, and how late they were: counted as they are written."""

import math
import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from storage.database import PlatformTx
from storage.schedule_model import NewFiring, Outcome

BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0, math.inf)  # seconds, upper bounds
UNTIMED = -1  # the bucket of firings that nobody waited for
_SLOT = secrets.randbelow(16)  # one of several rows for each number: loops that write at once seldom wait for others

_ADD = """
INSERT INTO firing_counts AS c (slot, outcome, bucket, firings, seconds)
SELECT %(slot)s, * FROM unnest(%(outcomes)s::text[], %(buckets)s::int[], %(firings)s::bigint[], %(seconds)s::float[])
ON CONFLICT (slot, outcome, bucket)
DO UPDATE SET firings = c.firings + excluded.firings, seconds = c.seconds + excluded.seconds
"""

_DUE = """
SELECT extract(epoch FROM min(due_at) - clock_timestamp())::float AS next_seconds,
       count(*) FILTER (WHERE paused_at IS NULL AND next_at IS NOT NULL) AS active,
       count(*) FILTER (WHERE paused_at IS NOT NULL) AS paused,
       count(*) FILTER (WHERE paused_at IS NULL AND next_at IS NULL) AS ended,
       (SELECT count(*) FROM firings WHERE outcome = 'buffered') AS waiting
FROM schedules
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class FiringCounts:
    """All that was decided about firings so far, by outcome: one that waited counts again when it starts.

    `by_lateness` has those that were started when they came, by bucket of BOUNDS.
    """

    by_outcome: Mapping[Outcome, int]
    by_lateness: Sequence[int]
    late_seconds: float  # the sum


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How schedules stand: `next_seconds` until the next is due, below 0 if it is overdue; None if none is."""

    next_seconds: float | None
    active: int
    paused: int
    ended: int
    waiting: int


def add(tx: PlatformTx, new: Sequence[NewFiring]) -> None:
    """Count these firings, in the transaction that writes them."""
    counted: dict[tuple[Outcome, int], tuple[int, float]] = defaultdict(lambda: (0, 0.0))
    for firing in new:
        late = firing.late_seconds if firing.outcome is Outcome.STARTED else None
        key = (firing.outcome, UNTIMED if late is None else _bucket(late))
        firings, seconds = counted[key]
        counted[key] = (firings + 1, seconds + (late or 0.0))
    if not counted:
        return
    ordered = sorted(counted)
    tx.sql(
        _ADD,
        slot=_SLOT,
        outcomes=[outcome for outcome, _ in ordered],
        buckets=[bucket for _, bucket in ordered],
        firings=[counted[key][0] for key in ordered],
        seconds=[counted[key][1] for key in ordered],
    )


def read(tx: PlatformTx) -> FiringCounts:
    """The sums over all that has been counted."""
    by_outcome = dict.fromkeys(Outcome, 0)
    by_lateness, late = [0] * len(BOUNDS), 0.0
    for row in tx.sql(
        "SELECT outcome, bucket, sum(firings)::bigint AS firings, sum(seconds)::float AS seconds"
        " FROM firing_counts GROUP BY outcome, bucket"
    ):
        by_outcome[Outcome(row.outcome)] += row.firings
        if row.bucket != UNTIMED:
            by_lateness[row.bucket] += row.firings
            late += row.seconds
    return FiringCounts(by_outcome=by_outcome, by_lateness=by_lateness, late_seconds=late)


def standing(tx: PlatformTx) -> Standing:
    """How schedules stand now."""
    row = tx.sql(_DUE).one()
    return Standing(
        next_seconds=row.next_seconds, active=row.active, paused=row.paused, ended=row.ended, waiting=row.waiting
    )


def _bucket(seconds: float) -> int:
    return next(place for place, bound in enumerate(BOUNDS) if seconds <= bound)
