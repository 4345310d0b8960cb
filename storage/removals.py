"""Objects that are to be deleted: written down in the transaction that makes them superfluous, deleted afterwards.

A removal that stands for a job or an upload whose file is still being put is dropped in the transaction that writes the
row. Neither's id comes again: what was given to removal is never needed later.
"""

from dataclasses import dataclass

from storage.database import PlatformTx, Tx
from storage.image_model import UploadId, is_upload_id
from storage.keys import job_prefix, outputs_prefix, upload_key
from storage.model import JobId, TenantId

Owner = JobId | UploadId


@dataclass(frozen=True, kw_only=True, slots=True)
class Removal:
    """The objects of a job or an upload, or a job's outputs only, are to go; `stands`: its row is still there."""

    tenant_id: TenantId
    owner_id: Owner
    outputs_only: bool
    stands: bool

    @property
    def is_due(self) -> bool:
        """Whether there is something to delete: a job or an upload that was written after all keeps its file."""
        return self.outputs_only or not self.stands

    @property
    def place(self) -> str:
        """The folder whose objects are to go, which ends with a slash; or the key of the one object that is to."""
        if is_upload_id(self.owner_id):
            return upload_key(self.tenant_id, UploadId(self.owner_id))
        of = outputs_prefix if self.outputs_only else job_prefix
        return of(self.tenant_id, JobId(self.owner_id))


_PLAN = """
INSERT INTO removals (tenant_id, job_id, outputs_only, due_at)
VALUES (%(tenant)s, %(owner)s, %(outputs_only)s, now() + make_interval(secs => %(seconds)s))
ON CONFLICT (tenant_id, job_id, outputs_only) DO UPDATE SET due_at = LEAST(removals.due_at, excluded.due_at)
"""

_NEXT = """
SELECT r.tenant_id, r.job_id AS owner_id, r.outputs_only, j.id IS NOT NULL OR u.id IS NOT NULL AS stands
FROM removals r
LEFT JOIN jobs j ON j.tenant_id = r.tenant_id AND j.id = r.job_id
LEFT JOIN uploads u ON u.tenant_id = r.tenant_id AND u.id = r.job_id
WHERE r.due_at <= now() ORDER BY r.due_at LIMIT 1 FOR UPDATE OF r SKIP LOCKED
"""

_DONE = """
DELETE FROM removals WHERE tenant_id = %(tenant)s AND job_id = %(owner)s AND outputs_only = %(outputs_only)s
"""

_PUT_OFF = """
UPDATE removals SET due_at = now() + make_interval(secs => %(seconds)s)
WHERE tenant_id = %(tenant)s AND job_id = %(owner)s AND outputs_only = %(outputs_only)s
"""


def plan(tx: Tx, owner: Owner, *, outputs_only: bool = False, due_in_seconds: float = 0) -> None:
    """Have the objects of a job or an upload deleted, when that much time has passed."""
    tx.sql(_PLAN, owner=owner, outputs_only=outputs_only, seconds=due_in_seconds)


def withdraw(tx: Tx, owner: Owner) -> bool:
    """Keep its objects after all; waits for a removal that is under way. False if none was planned (any more)."""
    done = tx.sql("DELETE FROM removals WHERE tenant_id = %(tenant)s AND job_id = %(owner)s", owner=owner)
    return bool(done.rowcount)


def take_next(tx: PlatformTx) -> Removal | None:
    """The removal that has been due for longest, locked: delete its objects, then call `done` in this transaction."""
    tx.sql("SET LOCAL idle_in_transaction_session_timeout = '10min'")  # deleting many objects takes its time
    row = tx.sql(_NEXT).one_or_none()
    if row is None:
        return None
    owner = UploadId(row.owner_id) if is_upload_id(row.owner_id) else JobId(row.owner_id)
    return Removal(tenant_id=TenantId(row.tenant_id), owner_id=owner, outputs_only=row.outputs_only, stands=row.stands)


def done(tx: PlatformTx, removal: Removal) -> None:
    tx.sql(_DONE, tenant=removal.tenant_id, owner=removal.owner_id, outputs_only=removal.outputs_only)


def put_off(tx: PlatformTx, removal: Removal, *, seconds: float) -> None:
    """Try again later: the store did not answer."""
    tx.sql(
        _PUT_OFF,
        tenant=removal.tenant_id,
        owner=removal.owner_id,
        outputs_only=removal.outputs_only,
        seconds=seconds,
    )
