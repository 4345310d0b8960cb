"""What the steps themselves say, counted one by one: what the numbers are compared with."""

from collections import Counter

from storage import counts
from storage.database import Database, PlatformTx
from storage.journal import STATES

_TRUTH = """
SELECT queue, priority, count(*) AS steps,
       CASE WHEN state IN ('scheduled', 'retrying') AND run_at <= now() THEN 'queued' ELSE state END AS stands
FROM steps GROUP BY queue, priority, stands
"""


def truth(tx: PlatformTx) -> Counter[tuple[str, int, str]]:
    """Open steps by queue, priority and state; one that is due counts as queued."""
    found: Counter[tuple[str, int, str]] = Counter()
    for row in tx.sql(_TRUTH):
        if row.stands in STATES:
            found[row.queue, row.priority, row.stands] += row.steps
    return found


def told(
    tx: PlatformTx, queues: tuple[str, ...] = ("default", "calls", "images", "ai")
) -> Counter[tuple[str, int, str]]:
    """The same, as storage.counts has it."""
    found: Counter[tuple[str, int, str]] = Counter()
    for name, queue in counts.read(tx, queues).items():
        for priority, load in queue.by_priority.items():
            by_state = {
                "waiting": load.waiting,
                "scheduled": load.scheduled,
                "queued": load.runnable,
                "running": load.running,
                "retrying": load.retrying,
            }
            found.update({(name, priority, state): steps for state, steps in by_state.items() if steps})
    return found


def check(database: Database) -> None:
    """Fail unless both are the same, seen at one moment."""
    with database.platform_snapshot() as tx:
        assert told(tx) == truth(tx)
