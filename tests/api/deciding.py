"""Does the scaler's part by hand: decisions as it writes them."""

from typing import Any

from scheduler import scale
from scheduler.hpa import Failed, Reading
from scheduler.triggers import Due, Numbers
from storage import scaling, workers
from storage.database import Database

SEEN = Numbers(12, 3, 4.5, 2.0, 1.5, 0.4, 0.1, 30, 2, due=(Due(5.0, 7),))
READINGS = (Reading("depth", 12, 5, True, True, "{0} runnable, {1:g} a replica", (12, 5)), Failed("age", "no answer"))


def decide(database: Database, pool: str = "images", *, replicas: int = 1, wanted: int = 3, **changes: Any) -> None:
    """Write a decision, as scheduler.scale does; `changes` are other arguments of scaling.decide."""
    said: dict[str, Any] = {
        "reason": f"{replicas} → {wanted}: 12 runnable, 5 a replica",
        "memory": {},
        "dry_run": False,
        "is_news": wanted != replicas,
    }
    seen = changes.pop("seen", SEEN)
    with database.platform() as tx:
        scaling.decide(
            tx,
            pool,
            replicas=replicas,
            wanted=wanted,
            bounds=(1, 10),
            inputs=scale.inputs(seen, READINGS),
            **(said | changes),
        )


def grow_old(database: Database, pool: str, seconds: float) -> None:
    """Let the pool's last decision be so much older than it is."""
    aged = "UPDATE pools SET decided_at = decided_at - make_interval(secs => %(seconds)s) WHERE name = %(pool)s"
    with database.platform() as tx:
        tx.sql(aged, pool=pool, seconds=seconds)


def serve(database: Database, *queues: str, slots: int = 4) -> None:
    """A worker of these queues comes and lives."""
    with database.platform() as tx:
        workers.seen(tx, f"images@{'-'.join(queues)}", queues=queues, slots=slots, for_seconds=60)
