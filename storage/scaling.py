"""What the scaler decides: each pool's last decision, with all that it stood on, and those that changed something."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from storage.database import PlatformTx
from storage.model import Json

KEPT_DAYS = 30

_DECIDE = """
INSERT INTO pools AS p (name, replicas, wanted, least, most, reason, inputs, dry_run, memory, decided_at)
VALUES (%(pool)s, %(replicas)s, %(wanted)s, %(least)s, %(most)s, %(reason)s, %(inputs)s, %(dry_run)s, %(memory)s,
        clock_timestamp())
ON CONFLICT (name) DO UPDATE SET
  replicas = excluded.replicas, wanted = excluded.wanted, least = excluded.least, most = excluded.most,
  reason = excluded.reason, inputs = excluded.inputs, dry_run = excluded.dry_run, memory = excluded.memory,
  decided_at = excluded.decided_at
WHERE p.dry_run OR NOT excluded.dry_run OR p.decided_at < now() - interval '1 minute'
"""

_NOTE = """
INSERT INTO scale_decisions (pool, at, replicas, wanted, reason, inputs, dry_run)
VALUES (%(pool)s, clock_timestamp(), %(replicas)s, %(wanted)s, %(reason)s, %(inputs)s, %(dry_run)s)
"""

_DECISIONS = """
SELECT * FROM scale_decisions
WHERE pool = %(pool)s AND (%(before)s::bigint IS NULL OR id < %(before)s::bigint) ORDER BY id DESC LIMIT %(limit)s
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScaleDecision:
    """From `replicas` to `wanted` for a reason; `inputs` are the numbers behind it. With `dry_run` nothing was done."""

    id: int | None
    pool: str
    at: datetime
    replicas: int
    wanted: int
    reason: str
    inputs: Json
    dry_run: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolStanding:
    """A pool as its last decision left it; `least` and `most` are the bounds of its replicas."""

    name: str
    least: int
    most: int
    last: ScaleDecision


def decide(
    tx: PlatformTx,
    pool: str,
    *,
    replicas: int,
    wanted: int,
    bounds: tuple[int, int],
    reason: str,
    inputs: Json,
    memory: Json,
    dry_run: bool,
    is_news: bool,
) -> None:
    """Write a pool's decision as its last, and among those that are kept if it is news.

    A dry run does not hide what one that acts has decided within the last minute.
    """
    asked = {"pool": pool, "replicas": replicas, "wanted": wanted, "reason": reason, "dry_run": dry_run}
    asked |= {"inputs": json.dumps(inputs)}
    tx.sql(_DECIDE, **asked, least=bounds[0], most=bounds[1], memory=json.dumps(memory))
    if is_news:
        tx.sql(_NOTE, **asked)


def memory_of(tx: PlatformTx, pool: str) -> Json:
    """What the policy remembered at the pool's last decision that was no dry run; None if there was none."""
    row = tx.sql("SELECT memory FROM pools WHERE name = %(pool)s AND NOT dry_run", pool=pool).one_or_none()
    return None if row is None else row.memory


def keep_only(tx: PlatformTx, pools: Sequence[str]) -> None:
    """Forget all other pools, which are no more; their decisions are kept for their time."""
    tx.sql("DELETE FROM pools WHERE name <> ALL(%(pools)s)", pools=list(pools))


def standing(tx: PlatformTx) -> list[PoolStanding]:
    """All pools, by name."""
    return [
        PoolStanding(name=row.name, least=row.least, most=row.most, last=_decision(row, row.name, row.decided_at))
        for row in tx.sql("SELECT *, NULL::bigint AS id FROM pools ORDER BY name")
    ]


def decisions(tx: PlatformTx, pool: str, *, before: int | None, limit: int) -> Sequence[ScaleDecision]:
    """Decisions that changed something, the newest first, from below `before`."""
    return [_decision(row, row.pool, row.at) for row in tx.sql(_DECISIONS, pool=pool, before=before, limit=limit)]


def forget_old(tx: PlatformTx) -> int:
    """Delete decisions older than KEPT_DAYS, and pools of which nothing was heard for so long; returns how many."""
    old = f"< now() - interval '{KEPT_DAYS} days'"
    gone = tx.sql(f"DELETE FROM scale_decisions WHERE at {old}").rowcount  # noqa: S608 - a constant
    return int(gone) + int(tx.sql(f"DELETE FROM pools WHERE decided_at {old}").rowcount)  # noqa: S608


def _decision(row: Any, pool: str, at: datetime) -> ScaleDecision:
    return ScaleDecision(
        id=row.id,
        pool=pool,
        at=at,
        replicas=row.replicas,
        wanted=row.wanted,
        reason=row.reason,
        inputs=row.inputs,
        dry_run=row.dry_run,
    )


def ages(tx: PlatformTx) -> dict[str, float]:
    """How many seconds ago each pool's last decision was made, by the database's clock."""
    asked = "SELECT name, extract(epoch FROM clock_timestamp() - decided_at)::float AS seconds FROM pools"
    return {row.name: max(0.0, row.seconds) for row in tx.sql(asked)}
