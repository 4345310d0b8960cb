"""How long ended jobs are kept, by final state and tenant, and their removal with all that belongs to them."""

import json
from collections.abc import Mapping
from datetime import datetime

from storage import removals, renditions
from storage.database import PlatformTx, Tx
from storage.ending import lock_job
from storage.errors import JobNotEnded
from storage.model import TERMINAL_JOB_STATES, JobId, JobState, TenantId

Reached = dict[tuple[TenantId | None, JobState], datetime]
"""Up to where jobs of a final state have been looked at, by the time of their end; None: of all without own times."""

# Whoever submits a job takes its unique key before its renditions: the key comes first here, too.
_FREE_KEY = "DELETE FROM unique_keys WHERE tenant_id = %(tenant)s AND job_id = %(job)s"

_DELETE_JOB = """
WITH freed AS (DELETE FROM unique_keys WHERE tenant_id = %(tenant)s AND job_id = %(job)s)
DELETE FROM jobs WHERE tenant_id = %(tenant)s AND id = %(job)s
"""

_OLD = """
SELECT tenant_id, id, finished_at FROM jobs
WHERE state = %(state)s AND finished_at < now() - make_interval(secs => %(seconds)s) AND {whose}
  AND finished_at >= coalesce(%(since)s::timestamptz, '-infinity')
ORDER BY finished_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
"""


def delete(tx: Tx, job_id: JobId) -> bool:
    """Delete an ended job with its steps, attempts and events, and give its objects to removal, with the renditions
    that no other job has.

    False if the tenant has no such job. Raises JobNotEnded.
    """
    job = lock_job(tx, job_id)
    if job is None:
        return False
    if not job.finished:
        raise JobNotEnded(job.state)
    tx.sql(_FREE_KEY, job=job_id)
    renditions.release(tx, job_id)
    _delete(tx, job_id)
    return True


def delete_old(
    tx: PlatformTx, kept_seconds: Mapping[JobState, float], *, limit: int, reached: Reached | None = None
) -> int:
    """Delete at most `limit` jobs that have been ended for longer than they are kept; returns how many.

    `kept_seconds` holds for tenants who have no time of their own for a state; what is missing is kept for ever.
    Give the same `reached` to several calls, an empty one to the first: what is kept is then passed over once.
    """
    reached = {} if reached is None else reached
    own = {
        TenantId(row.id): row.retention for row in tx.sql("SELECT id, retention FROM tenants WHERE retention <> '{}'")
    }
    deleted = 0
    for state in sorted(TERMINAL_JOB_STATES):
        others = [tenant for tenant, times in own.items() if state in times]
        asked = {tenant: own[tenant][state] for tenant in others if own[tenant][state] is not None}
        for tenant, seconds in [*asked.items(), *([(None, kept_seconds[state])] if state in kept_seconds else [])]:
            whose = "tenant_id = %(tenant)s" if tenant else "tenant_id <> ALL(%(others)s::text[])"
            rows = tx.sql(
                _OLD.format(whose=whose),
                state=state,
                seconds=seconds,
                limit=limit - deleted,
                tenant=tenant,
                others=others,
                since=reached.get((tenant, state)),
            ).all()
            if rows:
                reached[tenant, state] = rows[-1].finished_at
            deleted += _delete_all(tx, [(TenantId(row.tenant_id), JobId(row.id)) for row in rows])
    return deleted


def keep(tx: PlatformTx, tenant_id: TenantId, times: Mapping[JobState, float | None]) -> None:
    """Set how many seconds a tenant's ended jobs are kept, by state; None: for ever. Other states stay as they are."""
    given = json.dumps({state.value: seconds for state, seconds in times.items()})
    tx.sql(
        "UPDATE tenants SET retention = retention || %(given)s::jsonb WHERE id = %(tenant)s",
        given=given,
        tenant=tenant_id,
    )


def _delete_all(tx: PlatformTx, found: list[tuple[TenantId, JobId]]) -> int:
    for tenant_id, job_id in found:
        _delete(tx.of(tenant_id), job_id)
    return len(found)


def _delete(tx: Tx, job_id: JobId) -> None:
    removals.plan(tx, job_id)
    tx.sql(_DELETE_JOB, job=job_id)
