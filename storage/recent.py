"""What workers did lately, across tenants, for an operator's view that was away meanwhile."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.database import PlatformTx
from storage.model import JobId, Outcome, StepId, TenantId

# By the index of ended jobs and that of leases: neither grows with what ended long ago.
_LATELY = """
WITH chosen AS (
  (
    SELECT tenant_id, id FROM unnest(ARRAY['succeeded', 'failed', 'canceled', 'expired']) AS ended (state),
      LATERAL (
        SELECT tenant_id, id, finished_at FROM jobs
        WHERE jobs.state = ended.state AND finished_at IS NOT NULL
          AND finished_at > now() - make_interval(secs => %(seconds)s)
        ORDER BY finished_at DESC LIMIT %(limit)s
      ) AS newest
    ORDER BY finished_at DESC LIMIT %(limit)s
  )
  UNION
  SELECT tenant_id, job_id FROM steps WHERE state = 'running'
), lately AS (
  SELECT s.tenant_id, s.job_id, s.id, s.kind, s.queue, a.number, a.worker, a.outcome, a.started_at, a.finished_at,
         a.error ->> 'code' AS code
  FROM chosen
  JOIN steps s ON s.tenant_id = chosen.tenant_id AND s.job_id = chosen.id
  JOIN attempts a ON a.tenant_id = s.tenant_id AND a.step_id = s.id
  UNION ALL
  SELECT tenant_id, job_id, id, kind, queue, attempt, worker, NULL, started_at, NULL, NULL
  FROM steps WHERE state = 'running'
)
SELECT * FROM lately WHERE worker IS NOT NULL ORDER BY started_at DESC LIMIT %(limit)s
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recent:
    """An attempt at a step; `outcome` and `finished_at` are None while it runs, `code` is its error's."""

    tenant_id: TenantId
    job_id: JobId
    step_id: StepId
    kind: str
    queue: str
    number: int
    worker: str
    outcome: Outcome | None
    started_at: datetime
    finished_at: datetime | None
    code: str | None


def attempts(tx: PlatformTx, *, seconds: float, limit: int) -> Sequence[Recent]:
    """The newest attempts of jobs that ended in so many seconds, or of which a step runs; the oldest first."""
    found = [
        Recent(
            tenant_id=TenantId(row.tenant_id),
            job_id=JobId(row.job_id),
            step_id=StepId(row.id),
            kind=row.kind,
            queue=row.queue,
            number=row.number,
            worker=row.worker,
            outcome=None if row.outcome is None else Outcome(row.outcome),
            started_at=row.started_at,
            finished_at=row.finished_at,
            code=row.code,
        )
        for row in tx.sql(_LATELY, seconds=seconds, limit=limit)
    ]
    return found[::-1]
