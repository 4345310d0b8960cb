"""What the living workers work on now."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.database import PlatformTx

MOST = 5000  # steps, of all workers: an answer has an end

_RUNNING = """
SELECT steps.worker, tenants.name AS tenant, steps.job_id, steps.name, steps.kind, steps.attempt, steps.started_at,
       extract(epoch FROM clock_timestamp() - steps.started_at)::float AS seconds, steps.progress
FROM steps JOIN tenants ON tenants.id = steps.tenant_id
WHERE steps.state = 'running' AND steps.worker = ANY(%(workers)s)
ORDER BY steps.started_at, steps.id LIMIT %(most)s
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """A step that a worker works on: its tenant's name, its own, which attempt it is, since when."""

    tenant: str
    job: str
    step: str
    kind: str
    attempt: int
    started_at: datetime
    seconds: float
    progress: float


def running(tx: PlatformTx, workers: Sequence[str]) -> Mapping[str, Sequence[Running]]:
    """By worker, the longest first; at most MOST in all."""
    found: dict[str, list[Running]] = defaultdict(list)
    for row in tx.sql(_RUNNING, workers=list(workers), most=MOST):
        found[row.worker].append(
            Running(
                tenant=row.tenant,
                job=row.job_id,
                step=row.name,
                kind=row.kind,
                attempt=row.attempt,
                started_at=row.started_at,
                seconds=row.seconds,
                progress=row.progress,
            )
        )
    return found
