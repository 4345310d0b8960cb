"""A step from claim to end. Only the holder of the newest attempt may write; the job's row is locked first, always."""

import json
import time
from dataclasses import asdict
from typing import Any

from storage import events, step_groups
from storage.database import Tx
from storage.ending import News, canceled_news, end_attempt, end_steps, error_json, lock_job
from storage.errors import JobStopping, LeaseLost
from storage.model import Claim, JobId, JobState, Json, Outcome, PublicError, StepId, StepState, Used
from storage.step_groups import Success
from storage.telemetry import metric_ends

DEPENDENCY_FAILED = PublicError(
    code="dependency_failed", message="a step that this step uses did not succeed, so it was not started"
)

# How steps end whose job is stopped, by how the job will end.
STOPPED = {
    JobState.CANCELED: (StepState.CANCELED, PublicError(code="job_canceled", message="the job was canceled")),
    JobState.EXPIRED: (
        StepState.EXPIRED,
        PublicError(code="deadline_passed", message="the job's deadline passed before it was done"),
    ),
    JobState.FAILED: (
        StepState.CANCELED,
        PublicError(code="job_stopped", message="the result of another step met its stop_when and ended the job"),
    ),
}

_USED = """
SELECT id, name, kind, attempt, file_from, result FROM steps
WHERE tenant_id = %(tenant)s AND job_id = %(job)s AND name = ANY(%(names)s) ORDER BY position
"""

# Everything that stands on a step that did not succeed, however far behind it.
_CANCEL_DEPENDENTS = """
WITH RECURSIVE behind (name) AS (
  SELECT %(name)s::text
  UNION
  SELECT s.name FROM steps s JOIN behind b ON b.name = ANY(s.uses)
  WHERE s.tenant_id = %(tenant)s AND s.job_id = %(job)s
)
UPDATE steps SET state = 'canceled', error = %(error)s::jsonb, finished_at = clock_timestamp()
WHERE tenant_id = %(tenant)s AND job_id = %(job)s AND state = 'waiting' AND name IN (SELECT name FROM behind)
RETURNING name
"""

_PROGRESS = """
UPDATE steps SET progress = %(progress)s
WHERE tenant_id = %(tenant)s AND id = %(step)s AND attempt = %(attempt)s AND state = 'running'
RETURNING id
"""

_BEGUN = """
UPDATE steps SET started_at = GREATEST(started_at, clock_timestamp() - make_interval(secs => %(seconds)s))
WHERE tenant_id = %(tenant)s AND id = %(step)s AND attempt = %(attempt)s AND state = 'running'
"""

_KEEP = """
UPDATE steps SET result = %(result)s::jsonb
WHERE tenant_id = %(tenant)s AND id = %(step)s AND attempt = %(attempt)s AND state = 'running'
RETURNING id
"""

_CHECK = """
SELECT j.stop_as FROM steps s JOIN jobs j ON j.tenant_id = s.tenant_id AND j.id = s.job_id
WHERE s.tenant_id = %(tenant)s AND s.id = %(step)s AND s.attempt = %(attempt)s AND s.state = 'running'
"""


def claim(tx: Tx, job_id: JobId, step_id: StepId, *, worker: str, slot: int, lease_seconds: float) -> Claim | None:
    """Take a queued step for the process `slot` of a worker; None if there is nothing to take.

    The hint was old (the step is taken, ended or unknown), or its queue is paused, or its job is being stopped or past
    its deadline.
    """
    asked = [(tx.tenant_id, job_id, step_id)]
    found = step_groups.claim(tx, asked, worker=worker, slot=slot, lease_seconds=lease_seconds)
    if not found:
        step_groups.keep_for_later(tx, asked)
        return None
    return found[0]


def report(tx: Tx, claim: Claim, progress: float, data: Json) -> None:
    """Note how far a running step is (0..1) and tell those who watch; raises LeaseLost and JobStopping."""
    job = lock_job(tx, claim.job_id)
    if not _fenced(tx, _PROGRESS, claim, progress=progress).all():
        raise LeaseLost(f"{claim.step_id} attempt {claim.attempt}")
    if job.stop_as is not None:
        raise JobStopping(claim.job_id)
    events.append(tx, claim.job_id, [("step.progress", {"step": claim.name, "progress": progress, **data})])


def keep(tx: Tx, claim: Claim, result: Json) -> None:
    """Note what a running step has done so far, for its next attempt. Raises LeaseLost."""
    lock_job(tx, claim.job_id)
    if not _fenced(tx, _KEEP, claim, result=None if result is None else json.dumps(result)).all():
        raise LeaseLost(f"{claim.step_id} attempt {claim.attempt}")


def begun(tx: Tx, claim: Claim, *, at: float) -> None:
    """Before its end is written: its turn came at this time of time.monotonic(), and not with its claim.

    A step that somebody else has is left, and one whose job is being stopped: of that nothing begins any more.
    """
    job = lock_job(tx, claim.job_id)
    if job is not None and job.stop_as is None:
        _fenced(tx, _BEGUN, claim, seconds=max(0.0, time.monotonic() - at))


def check(tx: Tx, claim: Claim) -> None:
    """Return if the work on the step is still wanted; raises LeaseLost and JobStopping."""
    row = _fenced(tx, _CHECK, claim).one_or_none()
    if row is None:
        raise LeaseLost(f"{claim.step_id} attempt {claim.attempt}")
    if row.stop_as is not None:
        raise JobStopping(claim.job_id)


def succeed(tx: Tx, claim: Claim, result: Json) -> None:
    """End a step with its result, ready the steps that waited for it, and end the job if it was the last.

    Raises LeaseLost if a newer attempt holds the step.
    """
    if step_groups.succeed(tx, [Success(claim=claim, result=result)]):
        return
    lock_job(tx, claim.job_id)  # of a job that is being stopped; what waits for this step is about to end
    end_attempt(tx, claim, StepState.SUCCEEDED, Outcome.SUCCEEDED, result=result)
    news: News = [("step.succeeded", {"step": claim.name, "attempt": claim.attempt})]
    end_steps(tx, claim.job_id, news, ended=1, unmet=0)


def fail(tx: Tx, claim: Claim, error: PublicError, *, outcome: Outcome = Outcome.FAILED) -> None:
    """End a step for good without success; the steps behind it are canceled. Raises LeaseLost."""
    lock_job(tx, claim.job_id)
    end_attempt(tx, claim, StepState.FAILED, outcome, error=error)
    metric_ends.dead(tx, claim, error)
    reason = error_json(DEPENDENCY_FAILED)
    behind = [row.name for row in tx.sql(_CANCEL_DEPENDENTS, job=claim.job_id, name=claim.name, error=reason)]
    news: News = [("step.failed", {"step": claim.name, "attempt": claim.attempt, "error": asdict(error)})]
    news += canceled_news(behind, StepState.CANCELED, DEPENDENCY_FAILED)
    of_job = PublicError(
        code="step_failed", message=f"step {claim.name!r} failed: {error.message}", fingerprint=error.fingerprint
    )
    end_steps(tx, claim.job_id, news, ended=1 + len(behind), unmet=1 + len(behind), error=of_job)


def retry(
    tx: Tx, claim: Claim, error: PublicError, *, delay_seconds: float, counts: bool = True, kept: Json = None
) -> None:
    """Give a step back to be tried again after a delay, unless its job is being stopped. Raises LeaseLost.

    `counts` says whether it was a failure of the step; `kept` is what the next attempt need not do again.
    """
    job = lock_job(tx, claim.job_id)
    if job is not None and job.stop_as is not None:
        end_stopped(tx, claim)
        return
    end_attempt(
        tx,
        claim,
        StepState.RETRYING,
        Outcome.RETRIED,
        result=kept,
        error=error,
        delay_seconds=delay_seconds,
        counts=counts,
    )
    data = {"step": claim.name, "attempt": claim.attempt, "error": asdict(error), "delay_seconds": delay_seconds}
    events.append(tx, claim.job_id, [("step.retrying", data)])
    events.announce_ready(tx)


def end_stopped(tx: Tx, claim: Claim) -> None:
    """End a running step of a job that is being stopped, in the way in which the job will end. Raises LeaseLost."""
    job = lock_job(tx, claim.job_id)
    if job is None or job.stop_as is None:  # it has ended without us, and was deleted or told to run again
        raise LeaseLost(f"{claim.step_id} attempt {claim.attempt}")
    state, error = STOPPED[JobState(job.stop_as)]
    end_attempt(tx, claim, state, Outcome.CANCELED, error=error)
    end_steps(tx, claim.job_id, canceled_news([claim.name], state, error), ended=1, unmet=1)


def used(tx: Tx, job_id: JobId, names: list[str]) -> tuple[Used, ...]:
    """The steps of these names, in the order of the document, with their results."""
    if not names:
        return ()
    rows = tx.sql(_USED, job=job_id, names=names)
    return tuple(
        Used(
            step_id=StepId(row.id),
            name=row.name,
            kind=row.kind,
            attempt=row.attempt,
            file_from=row.file_from,
            result=row.result,
        )
        for row in rows
    )


def _fenced(tx: Tx, statement: str, claim: Claim, **parameters: Any) -> Any:
    return tx.sql(statement, step=claim.step_id, attempt=claim.attempt, **parameters)
