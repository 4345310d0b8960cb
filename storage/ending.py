"""What all ends of an attempt at a step have in common: the lock, the fence, the job's end after its last step.

The job's row is locked first, always; times are clock_timestamp(), since now() is when the transaction began, before it
waited for that lock.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from storage import events, removals, renditions
from storage.database import Tx
from storage.errors import LeaseLost
from storage.model import Claim, JobId, JobState, Json, Outcome, PublicError, StepState
from storage.telemetry import metric_ends

News = list[tuple[str, Json]]

_LOCK_JOB = """
SELECT state, stop_as, finished_at IS NOT NULL AS finished,
       deadline_at IS NOT NULL AND deadline_at <= clock_timestamp() AS overdue
FROM jobs WHERE tenant_id = %(tenant)s AND id = %(job)s FOR NO KEY UPDATE
"""

_END = """
WITH ended AS (
  UPDATE steps
  SET state = %(state)s, error = %(error)s::jsonb, lease_until = NULL,
      failures = failures + CASE WHEN %(counts)s AND %(outcome)s IN ('failed', 'retried') THEN 1 ELSE 0 END,
      result = CASE WHEN %(state)s = 'succeeded' THEN %(result)s::jsonb
                    ELSE COALESCE(%(result)s::jsonb, result) END,  -- what earlier attempts have done is kept, and shown
      losses = losses + CASE WHEN %(outcome)s = 'lost' THEN 1 ELSE 0 END,
      progress = CASE WHEN %(state)s = 'succeeded' THEN 1 ELSE progress END,
      published_at = CASE WHEN %(state)s = 'queued' THEN NULL ELSE published_at END,
      run_at = CASE WHEN %(state)s = 'retrying' THEN clock_timestamp() + make_interval(secs => %(delay)s)
                    ELSE run_at END,  -- queued again: it keeps its place, for it has waited its turn
      finished_at = CASE WHEN %(state)s IN ('retrying', 'queued') THEN NULL ELSE clock_timestamp() END
  WHERE tenant_id = %(tenant)s AND id = %(step)s AND attempt = %(attempt)s AND state = 'running'
  RETURNING id, attempt, worker, started_at
)
INSERT INTO attempts (tenant_id, step_id, number, outcome, worker, started_at, finished_at, error)
SELECT %(tenant)s, id, attempt, %(outcome)s, worker, started_at, clock_timestamp(), %(error)s::jsonb FROM ended
RETURNING extract(epoch FROM finished_at - started_at)::float AS seconds
"""

_END_STEPS_OF_JOB = """
UPDATE jobs
SET steps_open = steps_open - %(ended)s, steps_unmet = steps_unmet + %(unmet)s,
    error = COALESCE(error, %(error)s::jsonb),
    state = CASE WHEN steps_open > %(ended)s THEN state
                 WHEN stop_as IS NOT NULL THEN stop_as
                 WHEN steps_unmet + %(unmet)s > 0 THEN 'failed' ELSE 'succeeded' END,
    finished_at = CASE WHEN steps_open > %(ended)s THEN NULL ELSE clock_timestamp() END
WHERE tenant_id = %(tenant)s AND id = %(job)s
RETURNING state, finished_at IS NOT NULL AS done, stop_as,
          extract(epoch FROM finished_at - created_at)::float AS seconds
"""

FORGET_OUTPUTS = """
UPDATE steps SET result = result - 'outputs'
WHERE tenant_id = %(tenant)s AND job_id = %(job)s AND jsonb_typeof(result) = 'object'
"""


def lock_job(tx: Tx, job_id: JobId) -> Any:
    """Lock the job's row and return it (state, stop_as, finished, overdue), or None if there is none."""
    return tx.sql(_LOCK_JOB, job=job_id).one_or_none()


def end_attempt(
    tx: Tx,
    claim: Claim,
    state: StepState,
    outcome: Outcome,
    *,
    result: Json = None,
    error: PublicError | None = None,
    delay_seconds: float = 0,
    counts: bool = True,
) -> None:
    """Write how an attempt ended and where the step stands now. Raises LeaseLost if a newer attempt holds the step."""
    ended = tx.sql(
        _END,
        step=claim.step_id,
        attempt=claim.attempt,
        state=state.value,
        outcome=outcome.value,
        result=None if result is None else json.dumps(result),
        error=error_json(error),
        delay=delay_seconds,
        counts=counts,
    )
    row = ended.one_or_none()
    if row is None:
        raise LeaseLost(f"{claim.step_id} attempt {claim.attempt}")
    metric_ends.attempt(tx, claim, outcome, error, seconds=row.seconds)


def end_steps(
    tx: Tx, job_id: JobId, news: News, *, ended: int, unmet: int, error: PublicError | None = None
) -> JobState:
    """Count steps of the job that have ended, `unmet` of them without success, and end the job after its last.

    Writes the news; outputs of a canceled or rejected job are given to removal. Returns the job's state.
    """
    row = tx.sql(_END_STEPS_OF_JOB, job=job_id, ended=ended, unmet=unmet, error=error_json(error)).one()
    state = JobState(row.state)
    if row.done:
        metric_ends.job(tx, state, seconds=row.seconds)
        news = [*news, (f"job.{state}", {})]
        if row.stop_as in (JobState.CANCELED, JobState.FAILED):
            tx.sql(FORGET_OUTPUTS, job=job_id)
            removals.plan(tx, job_id, outputs_only=True)
            renditions.release(tx, job_id)
    events.append(tx, job_id, news)
    return state


def canceled_news(names: Sequence[str], state: StepState, error: PublicError) -> News:
    """The events of steps that end without having been started."""
    return [(f"step.{state}", {"step": name, "error": asdict(error)}) for name in names]


def error_json(error: PublicError | None) -> str | None:
    return None if error is None else json.dumps(asdict(error))
