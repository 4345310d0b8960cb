"""The processes that live, besides the workers (storage.workers): schedulers, scalers, KEDA's scaler, the API."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from storage.database import PlatformTx
from storage.model import Json

LIFE_SECONDS = 20.0  # a process that has said nothing for so long is not counted any more
EVERY_SECONDS = 5.0  # how often it says that it lives

_SEEN = """
INSERT INTO processes (name, role, version, metrics_url, seen_until, detail)
VALUES (%(name)s, %(role)s, %(version)s, %(metrics_url)s, clock_timestamp() + make_interval(secs => %(seconds)s),
        %(detail)s::jsonb)
ON CONFLICT (name) DO UPDATE
SET seen_until = excluded.seen_until, metrics_url = excluded.metrics_url, detail = excluded.detail
"""

_LIVING = "SELECT * FROM processes WHERE seen_until > clock_timestamp() ORDER BY started_at, name"


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What a process says of itself; `metrics_url`: where its numbers are served, None: nowhere, or with others'.

    `detail` depends on the role: {"loops": [names]} of a scheduler.
    """

    name: str
    role: str
    version: str
    metrics_url: str | None
    detail: Json


@dataclass(frozen=True, kw_only=True, slots=True)
class Living:
    """A process that has said lately that it lives."""

    name: str
    role: str
    version: str
    metrics_url: str | None
    started_at: datetime
    detail: Mapping[str, Json]


def seen(tx: PlatformTx, known: Known, *, for_seconds: float = LIFE_SECONDS) -> None:
    """Note that the process lives, and count it as living for so long."""
    tx.sql(
        _SEEN,
        name=known.name,
        role=known.role,
        version=known.version,
        metrics_url=known.metrics_url,
        seconds=for_seconds,
        detail=json.dumps(known.detail),
    )


def gone(tx: PlatformTx, name: str) -> None:
    """Forget the process, which has ended."""
    tx.sql("DELETE FROM processes WHERE name = %(name)s", name=name)


def living(tx: PlatformTx) -> list[Living]:
    """All of them, the oldest first."""
    return [
        Living(
            name=row.name,
            role=row.role,
            version=row.version,
            metrics_url=row.metrics_url,
            started_at=row.started_at,
            detail=row.detail,
        )
        for row in tx.sql(_LIVING)
    ]


def forget_dead(tx: PlatformTx) -> int:
    """Delete those that have said nothing for an hour; returns how many."""
    return int(tx.sql("DELETE FROM processes WHERE seen_until < now() - interval '1 hour'").rowcount)
