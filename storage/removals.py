"""Objects that are to be deleted: written down in the transaction that makes them superfluous, deleted afterwards.

A removal that stands for a job whose upload is still under way is dropped in the transaction that writes the job.
"""

from dataclasses import dataclass

from storage.database import PlatformTx, Tx
from storage.keys import job_prefix, outputs_prefix
from storage.model import JobId, TenantId


@dataclass(frozen=True, kw_only=True, slots=True)
class Removal:
    """All objects of a job, or its outputs only, are to go; `stands` says that the job's row is still there."""

    tenant_id: TenantId
    job_id: JobId
    outputs_only: bool
    stands: bool

    @property
    def prefix(self) -> str:
        """The folder whose objects are to go."""
        of = outputs_prefix if self.outputs_only else job_prefix
        return of(self.tenant_id, self.job_id)


_PLAN = """
INSERT INTO removals (tenant_id, job_id, outputs_only, due_at)
VALUES (%(tenant)s, %(job)s, %(outputs_only)s, now() + make_interval(secs => %(seconds)s))
ON CONFLICT (tenant_id, job_id, outputs_only) DO UPDATE SET due_at = LEAST(removals.due_at, excluded.due_at)
"""

_NEXT = """
SELECT r.tenant_id, r.job_id, r.outputs_only, j.id IS NOT NULL AS stands
FROM removals r LEFT JOIN jobs j ON j.tenant_id = r.tenant_id AND j.id = r.job_id
WHERE r.due_at <= now() ORDER BY r.due_at LIMIT 1 FOR UPDATE OF r SKIP LOCKED
"""


def plan(tx: Tx, job_id: JobId, *, outputs_only: bool = False, due_in_seconds: float = 0) -> None:
    """Have the job's objects deleted, when that much time has passed."""
    tx.sql(_PLAN, job=job_id, outputs_only=outputs_only, seconds=due_in_seconds)


def withdraw(tx: Tx, job_id: JobId) -> bool:
    """Keep the job's objects after all; waits for a removal that is under way. False if none was planned (any more)."""
    done = tx.sql("DELETE FROM removals WHERE tenant_id = %(tenant)s AND job_id = %(job)s", job=job_id)
    return bool(done.rowcount)


def take_next(tx: PlatformTx) -> Removal | None:
    """The removal that has been due for longest, locked: delete its objects, then call `done` in this transaction."""
    tx.sql("SET LOCAL idle_in_transaction_session_timeout = '10min'")  # deleting many objects takes its time
    row = tx.sql(_NEXT).one_or_none()
    if row is None:
        return None
    return Removal(
        tenant_id=TenantId(row.tenant_id), job_id=JobId(row.job_id), outputs_only=row.outputs_only, stands=row.stands
    )


def done(tx: PlatformTx, removal: Removal) -> None:
    tx.sql(
        "DELETE FROM removals WHERE tenant_id = %(tenant)s AND job_id = %(job)s AND outputs_only = %(outputs_only)s",
        tenant=removal.tenant_id,
        job=removal.job_id,
        outputs_only=removal.outputs_only,
    )


def put_off(tx: PlatformTx, removal: Removal, *, seconds: float) -> None:
    """Try again later: the store did not answer."""
    tx.sql(
        "UPDATE removals SET due_at = now() + make_interval(secs => %(seconds)s)"
        " WHERE tenant_id = %(tenant)s AND job_id = %(job)s AND outputs_only = %(outputs_only)s",
        tenant=removal.tenant_id,
        job=removal.job_id,
        outputs_only=removal.outputs_only,
        seconds=seconds,
    )
