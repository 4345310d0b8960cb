"""Jobs that are to end before their time: canceled by their owner, past their deadline, or rejected for a result."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from storage import events
from storage.database import PlatformTx, Tx
from storage.ending import FORGET_OUTPUTS, News, canceled_news, end_attempt, end_steps, error_json, lock_job
from storage.errors import JobEnded
from storage.model import Claim, JobId, JobState, Json, Outcome, PublicError, StepState, TenantId
from storage.steps import STOPPED

_STOP_JOB = """
UPDATE jobs SET stop_as = %(state)s, stop_at = clock_timestamp(), error = %(error)s::jsonb
WHERE tenant_id = %(tenant)s AND id = %(job)s
"""

_STOP_STEPS = """
UPDATE steps SET state = %(state)s, error = %(error)s::jsonb, held_for = NULL, finished_at = clock_timestamp()
WHERE tenant_id = %(tenant)s AND job_id = %(job)s AND state IN ('waiting', 'scheduled', 'queued', 'retrying')
RETURNING name
"""

_OVERDUE = """
SELECT tenant_id, id FROM jobs
WHERE finished_at IS NULL AND stop_as IS NULL AND deadline_at <= now() ORDER BY deadline_at LIMIT %(limit)s
"""


def reject(tx: Tx, claim: Claim, result: Json) -> None:
    """End a step whose result meets its `stop_when`, and with it the job, as failed: its outputs are withheld.

    Nothing of the job starts any more. A job that was being stopped already is withheld all the same. Raises LeaseLost.
    """
    job = lock_job(tx, claim.job_id)
    assert claim.stop_when is not None
    error = PublicError(code=claim.stop_when.code, message=claim.stop_when.message)
    end_attempt(tx, claim, StepState.FAILED, Outcome.FAILED, result=result, error=error)
    news: News = [("step.failed", {"step": claim.name, "attempt": claim.attempt, "error": asdict(error)})]
    if job.stop_as == JobState.CANCELED:  # it ends as its owner was told; its outputs go, and are not shown until then
        tx.sql(FORGET_OUTPUTS, job=claim.job_id)
        end_steps(tx, claim.job_id, news, ended=1, unmet=1)
    else:
        _stop(tx, claim.job_id, JobState.FAILED, reason=error, news=news, ended=1)


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
    return _stop(tx, job_id, JobState.CANCELED)


def expire(tx: Tx, job_id: JobId) -> bool:
    """End the job if its deadline has passed, as `cancel` does; returns whether that was so."""
    job = lock_job(tx, job_id)
    if job is None or job.finished or job.stop_as is not None or not job.overdue:
        return False
    _stop(tx, job_id, JobState.EXPIRED)
    return True


def overdue(tx: PlatformTx, *, limit: int) -> list[tuple[TenantId, JobId]]:
    """Jobs whose deadline has passed, longest ago first. Not locked: `expire` them one by one."""
    return [(TenantId(row.tenant_id), JobId(row.id)) for row in tx.sql(_OVERDUE, limit=limit)]


def _stop(
    tx: Tx, job_id: JobId, as_: JobState, *, reason: PublicError | None = None, news: Sequence[Any] = (), ended: int = 0
) -> JobState:
    """End all steps that do not run, besides the `ended` ones that `news` tells of, and have the running ones stop."""
    state, error = STOPPED[as_]
    tx.sql(_STOP_JOB, job=job_id, state=as_.value, error=error_json(reason or error))
    stopped = [row.name for row in tx.sql(_STOP_STEPS, job=job_id, state=state.value, error=error_json(error))]
    ended += len(stopped)
    told = [*news, *canceled_news(stopped, state, error)]
    now = end_steps(tx, job_id, told, ended=ended, unmet=ended)
    if now is not as_:
        events.append(tx, job_id, [("job.stopping", {"as": as_.value})])
    return now
