"""Jobs that are to end before their time: canceled by their owner, or past their deadline."""

from storage import events
from storage.database import PlatformTx, Tx
from storage.ending import canceled_news, end_steps, error_json, lock_job
from storage.errors import JobEnded
from storage.model import JobId, JobState, StepState, TenantId
from storage.steps import STOPPED

_STOP_JOB = """
UPDATE jobs SET stop_as = %(state)s, stop_at = clock_timestamp(), error = %(error)s::jsonb
WHERE tenant_id = %(tenant)s AND id = %(job)s
"""

_STOP_STEPS = """
UPDATE steps SET state = %(state)s, error = %(error)s::jsonb, finished_at = clock_timestamp()
WHERE tenant_id = %(tenant)s AND job_id = %(job)s AND state IN ('waiting', 'scheduled', 'queued', 'retrying')
RETURNING name
"""

_OVERDUE = """
SELECT tenant_id, id FROM jobs
WHERE finished_at IS NULL AND stop_as IS NULL AND deadline_at <= now() ORDER BY deadline_at LIMIT %(limit)s
"""


def cancel(tx: Tx, job_id: JobId) -> JobState | None:
    """Cancel the job: at once, or as soon as its running steps have stopped; nothing of it starts any more.

    Returns the job's state as it now stands, None if the tenant has no such job. To cancel a second time changes
    nothing. Raises JobEnded if the job had ended before.
    """
    job = lock_job(tx, job_id)
    if job is None:
        return None
    if job.finished and job.state != JobState.CANCELED:
        raise JobEnded(job.state)
    if job.finished or job.stop_as is not None:
        return JobState(job.state)
    return _stop(tx, job_id, StepState.CANCELED)


def expire(tx: Tx, job_id: JobId) -> bool:
    """End the job if its deadline has passed, as `cancel` does; returns whether that was so."""
    job = lock_job(tx, job_id)
    if job is None or job.finished or job.stop_as is not None or not job.overdue:
        return False
    _stop(tx, job_id, StepState.EXPIRED)
    return True


def overdue(tx: PlatformTx, *, limit: int) -> list[tuple[TenantId, JobId]]:
    """Jobs whose deadline has passed, longest ago first. Not locked: `expire` them one by one."""
    return [(TenantId(row.tenant_id), JobId(row.id)) for row in tx.sql(_OVERDUE, limit=limit)]


def _stop(tx: Tx, job_id: JobId, state: StepState) -> JobState:
    error = STOPPED[state]
    tx.sql(_STOP_JOB, job=job_id, state=state.value, error=error_json(error))
    ended = tx.sql(_STOP_STEPS, job=job_id, state=state.value, error=error_json(error)).all()
    news = canceled_news([row.name for row in ended], state, error)
    now = end_steps(tx, job_id, news, ended=len(ended), unmet=len(ended))
    if now.value != state.value:
        events.append(tx, job_id, [("job.stopping", {"as": state.value})])
    return now
