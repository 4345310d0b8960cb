"""Jobs that must not be there twice: a key of the tenant's own, and how long a job keeps it."""

from typing import Any

from storage.database import PlatformTx, Tx
from storage.errors import UniqueKeyTaken
from storage.model import JobId
from storage.unique_model import Unique, UniqueMode

# Whoever comes second waits here for the first one's commit, and then sees its job: the row is locked either way.
_TAKE = """
INSERT INTO unique_keys (tenant_id, key, job_id) VALUES (%(tenant)s, %(key)s, %(job)s)
ON CONFLICT (tenant_id, key) DO UPDATE SET key = excluded.key
RETURNING job_id
"""

_HOLDER = """
SELECT started_at IS NOT NULL AS started, finished_at IS NOT NULL AS finished,
       created_at > now() - make_interval(secs => %(ttl)s) AS young
FROM jobs WHERE tenant_id = %(tenant)s AND id = %(job)s
"""

_FORGET_OLD = """
DELETE FROM unique_keys WHERE (tenant_id, key) IN (
  SELECT tenant_id, key FROM unique_keys u
  WHERE created_at < now() - make_interval(secs => %(seconds)s)
    AND NOT EXISTS (SELECT FROM jobs j WHERE j.tenant_id = u.tenant_id AND j.id = u.job_id AND j.finished_at IS NULL)
  LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
"""


def take(tx: Tx, unique: Unique, job_id: JobId) -> JobId | None:
    """Take the key for a job that is about to be written; the job that holds it instead, or None if it is now ours."""
    holder = tx.sql(_TAKE, key=unique.key, job=job_id).scalar_one()
    if holder == job_id:
        return None
    row = tx.sql(_HOLDER, job=holder, ttl=unique.ttl_seconds or 0).one_or_none()
    if row is not None and _holds(unique.mode, row):
        return JobId(holder)
    tx.sql(
        "UPDATE unique_keys SET job_id = %(job)s, created_at = now() WHERE tenant_id = %(tenant)s AND key = %(key)s",
        key=unique.key,
        job=job_id,
    )
    return None


def last(tx: Tx, key: str) -> JobId | None:
    """The job that took the key last, whether it still holds it or not; None if it is not known (any more)."""
    asked = "SELECT job_id FROM unique_keys WHERE tenant_id = %(tenant)s AND key = %(key)s"
    found = tx.sql(asked, key=key).scalar_one_or_none()
    return None if found is None else JobId(found)


def take_again(tx: Tx, job_id: JobId) -> None:
    """Take the key of a job that is to run again, if it has one. Raises UniqueKeyTaken if another job holds it."""
    asked = "SELECT unique_key FROM jobs WHERE tenant_id = %(tenant)s AND id = %(job)s"
    kept = tx.sql(asked, job=job_id).scalar_one()
    if kept is None:
        return
    unique = Unique(key=kept["key"], mode=UniqueMode(kept["mode"]), ttl_seconds=kept["ttl_seconds"])
    if (holder := take(tx, unique, job_id)) is not None:
        raise UniqueKeyTaken(holder)


def forget_old(tx: PlatformTx, *, older_than_seconds: float, limit: int) -> int:
    """Delete keys that old whose job has ended or is gone; returns how many."""
    return int(tx.sql(_FORGET_OLD, seconds=older_than_seconds, limit=limit).rowcount)


def _holds(mode: UniqueMode, holder: Any) -> bool:
    if mode is UniqueMode.WHILE_QUEUED:
        return not holder.started and not holder.finished
    if mode is UniqueMode.WHILE_ACTIVE:
        return not holder.finished
    return bool(holder.young)
