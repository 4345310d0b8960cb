"""A step from claim to end. Only the holder of the newest attempt may write; the job's row is locked first, always."""

import json
from dataclasses import asdict
from typing import Any

from storage import events
from storage.database import Tx
from storage.errors import LeaseLost
from storage.jobs import job_input
from storage.model import Claim, JobId, Json, Outcome, PublicError, StepId, StepState, Used

DEPENDENCY_FAILED = PublicError(
    code="dependency_failed", message="a step that this step uses did not succeed, so it was not started"
)

# Times are clock_timestamp(): now() is when the transaction began, before it waited for the job's lock.
_LOCK_JOB = "SELECT state, input FROM jobs WHERE tenant_id = %(tenant)s AND id = %(job)s FOR NO KEY UPDATE"

_CLAIM = """
UPDATE steps
SET state = 'running', attempt = attempt + 1, worker = %(worker)s, started_at = clock_timestamp(), progress = 0,
    error = NULL, lease_until = clock_timestamp() + make_interval(secs => %(lease)s)
WHERE tenant_id = %(tenant)s AND id = %(step)s AND job_id = %(job)s AND state = 'queued'
RETURNING name, kind, attempt, max_attempts, params, uses
"""

_BEGIN_JOB = """
UPDATE jobs SET state = 'running', started_at = clock_timestamp() WHERE tenant_id = %(tenant)s AND id = %(job)s
"""

_USED = """
SELECT id, name, kind, result FROM steps
WHERE tenant_id = %(tenant)s AND job_id = %(job)s AND name = ANY(%(names)s) ORDER BY position
"""

_END = """
WITH ended AS (
  UPDATE steps
  SET state = %(state)s, result = %(result)s::jsonb, error = %(error)s::jsonb, lease_until = NULL,
      progress = CASE WHEN %(state)s = 'succeeded' THEN 1 ELSE progress END,
      run_at = CASE WHEN %(state)s = 'retrying' THEN clock_timestamp() + make_interval(secs => %(delay)s)
                    ELSE run_at END,
      finished_at = CASE WHEN %(state)s = 'retrying' THEN NULL ELSE clock_timestamp() END
  WHERE tenant_id = %(tenant)s AND id = %(step)s AND attempt = %(attempt)s AND state = 'running'
  RETURNING id, attempt, worker, started_at
)
INSERT INTO attempts (tenant_id, step_id, number, outcome, worker, started_at, finished_at, error)
SELECT %(tenant)s, id, attempt, %(outcome)s, worker, started_at, clock_timestamp(), %(error)s::jsonb FROM ended
RETURNING step_id
"""

_READY_NEXT = """
UPDATE steps
SET waiting_on = waiting_on - 1, state = CASE WHEN waiting_on = 1 THEN 'queued' ELSE state END,
    run_at = CASE WHEN waiting_on = 1 THEN clock_timestamp() ELSE run_at END
WHERE tenant_id = %(tenant)s AND job_id = %(job)s AND state = 'waiting' AND %(name)s = ANY(uses)
RETURNING state
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

_END_STEPS_OF_JOB = """
UPDATE jobs
SET steps_open = steps_open - %(ended)s, steps_unmet = steps_unmet + %(unmet)s,
    error = COALESCE(error, %(error)s::jsonb),
    state = CASE WHEN steps_open > %(ended)s THEN state
                 WHEN steps_unmet + %(unmet)s > 0 THEN 'failed' ELSE 'succeeded' END,
    finished_at = CASE WHEN steps_open > %(ended)s THEN NULL ELSE clock_timestamp() END
WHERE tenant_id = %(tenant)s AND id = %(job)s
RETURNING state, finished_at IS NOT NULL AS done
"""

_PROGRESS = """
UPDATE steps SET progress = %(progress)s
WHERE tenant_id = %(tenant)s AND id = %(step)s AND attempt = %(attempt)s AND state = 'running'
RETURNING id
"""

_STILL_HELD = """
SELECT id FROM steps
WHERE tenant_id = %(tenant)s AND id = %(step)s AND attempt = %(attempt)s AND state = 'running'
  AND (%(any_lease)s OR lease_until < clock_timestamp())
FOR UPDATE
"""


def claim(tx: Tx, job_id: JobId, step_id: StepId, *, worker: str, lease_seconds: float) -> Claim | None:
    """Take a queued step; None if there is nothing to take (taken, ended or unknown: the hint was old)."""
    job = tx.sql(_LOCK_JOB, job=job_id).one_or_none()
    if job is None:
        return None
    row = tx.sql(_CLAIM, job=job_id, step=step_id, worker=worker, lease=lease_seconds).one_or_none()
    if row is None:
        return None
    news: list[tuple[str, Json]] = [("step.running", {"step": row.name, "attempt": row.attempt})]
    if job.state == "queued":
        tx.sql(_BEGIN_JOB, job=job_id)
        news.insert(0, ("job.running", {}))
    events.append(tx, job_id, news)
    return Claim(
        tenant_id=tx.tenant_id,
        job_id=job_id,
        step_id=step_id,
        name=row.name,
        kind=row.kind,
        attempt=row.attempt,
        max_attempts=row.max_attempts,
        params=row.params,
        input=job_input(job.input),
        uses=_used(tx, job_id, row.uses),
    )


def report(tx: Tx, claim: Claim, progress: float, data: Json) -> None:
    """Note how far a running step is (0..1) and tell those who watch; raises LeaseLost."""
    tx.sql(_LOCK_JOB, job=claim.job_id)
    if not _fenced(tx, _PROGRESS, claim, progress=progress).all():
        raise LeaseLost(f"{claim.step_id} attempt {claim.attempt}")
    events.append(tx, claim.job_id, [("step.progress", {"step": claim.name, "progress": progress, **data})])


def succeed(tx: Tx, claim: Claim, result: Json) -> None:
    """End a step with its result, ready the steps that waited for it, and end the job if it was the last.

    Raises LeaseLost if a newer attempt holds the step.
    """
    tx.sql(_LOCK_JOB, job=claim.job_id)
    _end(tx, claim, StepState.SUCCEEDED, Outcome.SUCCEEDED, result=result)
    news: list[tuple[str, Json]] = [("step.succeeded", {"step": claim.name, "attempt": claim.attempt})]
    readied = tx.sql(_READY_NEXT, job=claim.job_id, name=claim.name).all()
    if any(row.state == StepState.QUEUED for row in readied):
        events.announce_ready(tx)
    _end_of_job(tx, claim.job_id, news, ended=1, unmet=0, error=None)


def fail(tx: Tx, claim: Claim, error: PublicError, *, outcome: Outcome = Outcome.FAILED) -> None:
    """End a step for good without success; the steps behind it are canceled. Raises LeaseLost."""
    tx.sql(_LOCK_JOB, job=claim.job_id)
    _end(tx, claim, StepState.FAILED, outcome, error=error)
    reason = json.dumps(asdict(DEPENDENCY_FAILED))
    behind = [row.name for row in tx.sql(_CANCEL_DEPENDENTS, job=claim.job_id, name=claim.name, error=reason)]
    news: list[tuple[str, Json]] = [
        ("step.failed", {"step": claim.name, "attempt": claim.attempt, "error": asdict(error)})
    ]
    news += [("step.canceled", {"step": name, "error": asdict(DEPENDENCY_FAILED)}) for name in behind]
    of_job = PublicError(code="step_failed", message=f"step {claim.name!r} failed: {error.message}")
    _end_of_job(tx, claim.job_id, news, ended=1 + len(behind), unmet=1 + len(behind), error=of_job)


def retry(
    tx: Tx, claim: Claim, error: PublicError, *, delay_seconds: float, outcome: Outcome = Outcome.RETRIED
) -> None:
    """Give a step back to be tried again after a delay. Raises LeaseLost."""
    tx.sql(_LOCK_JOB, job=claim.job_id)
    _end(tx, claim, StepState.RETRYING, outcome, error=error, delay_seconds=delay_seconds)
    data = {"step": claim.name, "attempt": claim.attempt, "error": asdict(error), "delay_seconds": delay_seconds}
    events.append(tx, claim.job_id, [("step.retrying", data)])
    events.announce_ready(tx)


def lose(tx: Tx, claim: Claim, error: PublicError, *, only_if_expired: bool) -> bool:
    """Take a running step from the worker that held it: queue it again, or fail it if that was its last attempt.

    With `only_if_expired` a lease that was renewed in the meantime is left alone. Returns whether it was taken.
    """
    tx.sql(_LOCK_JOB, job=claim.job_id)
    held = _fenced(tx, _STILL_HELD, claim, any_lease=not only_if_expired).one_or_none()
    if held is None:
        return False
    if claim.attempt < claim.max_attempts:
        retry(tx, claim, error, delay_seconds=0, outcome=Outcome.LOST)
    else:
        fail(tx, claim, error, outcome=Outcome.LOST)
    return True


def _used(tx: Tx, job_id: JobId, names: list[str]) -> tuple[Used, ...]:
    if not names:
        return ()
    rows = tx.sql(_USED, job=job_id, names=names)
    return tuple(Used(step_id=StepId(row.id), name=row.name, kind=row.kind, result=row.result) for row in rows)


def _fenced(tx: Tx, statement: str, claim: Claim, **parameters: Any) -> Any:
    return tx.sql(statement, step=claim.step_id, attempt=claim.attempt, **parameters)


def _end(
    tx: Tx,
    claim: Claim,
    state: StepState,
    outcome: Outcome,
    *,
    result: Json = None,
    error: PublicError | None = None,
    delay_seconds: float = 0,
) -> None:
    ended = _fenced(
        tx,
        _END,
        claim,
        state=state.value,
        outcome=outcome.value,
        result=None if result is None else json.dumps(result),
        error=None if error is None else json.dumps(asdict(error)),
        delay=delay_seconds,
    )
    if not ended.all():
        raise LeaseLost(f"{claim.step_id} attempt {claim.attempt}")


def _end_of_job(
    tx: Tx, job_id: JobId, news: list[tuple[str, Json]], *, ended: int, unmet: int, error: PublicError | None
) -> None:
    row = tx.sql(
        _END_STEPS_OF_JOB,
        job=job_id,
        ended=ended,
        unmet=unmet,
        error=None if error is None else json.dumps(asdict(error)),
    ).one()
    if row.done:
        news = [*news, (f"job.{row.state}", {})]
    events.append(tx, job_id, news)
