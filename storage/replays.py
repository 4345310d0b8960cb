"""Steps that failed for good, grouped by reason, and jobs that are told to run again."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any

from storage import events, removals, unique
from storage.database import Tx
from storage.ending import lock_job
from storage.errors import JobNotEnded, NothingToRetry, StepsNotRetried
from storage.model import JobId, JobState, Json
from storage.telemetry.metrics import JOBS_ACCEPTED


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetterFilter:
    """Which failed steps are meant; None: any."""

    kind: str | None = None
    fingerprint: str | None = None
    code: str | None = None
    failed_after: datetime | None = None
    failed_before: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetters:
    """Steps of one kind that failed for one reason; `message` and `newest_job` are examples."""

    kind: str
    fingerprint: str
    code: str
    message: str
    count: int
    oldest: datetime
    newest: datetime
    newest_job: JobId


MOST_JOBS = 100_000  # that one replay looks at

_RESET_STEPS = """
UPDATE steps
SET state = CASE WHEN again.missing = 0 THEN 'queued' ELSE 'waiting' END, waiting_on = again.missing,
    params = COALESCE(%(params)s::jsonb -> steps.name, params), result = NULL, error = NULL, progress = 0,
    failures = 0, losses = 0, held_for = NULL, run_at = clock_timestamp(), published_at = NULL, first_started_at = NULL,
    started_at = NULL, finished_at = NULL
FROM (
  SELECT s.id, (
    SELECT count(*) FROM steps u
    WHERE u.tenant_id = s.tenant_id AND u.job_id = s.job_id AND u.name = ANY(s.uses)
      AND (%(whole)s OR u.state <> 'succeeded')
  ) AS missing
  FROM steps s WHERE s.tenant_id = %(tenant)s AND s.job_id = %(job)s AND (%(whole)s OR s.state <> 'succeeded')
) AS again
WHERE steps.tenant_id = %(tenant)s AND steps.id = again.id
RETURNING steps.name, steps.position
"""

_RESET_JOB = """
UPDATE jobs
SET state = 'queued', steps_open = %(count)s, steps_unmet = 0, error = NULL, stop_as = NULL, stop_at = NULL,
    started_at = NULL, finished_at = NULL, deadline_at = now() + make_interval(secs => deadline_seconds)
WHERE tenant_id = %(tenant)s AND id = %(job)s
"""

_MATCHING = """
FROM steps
WHERE tenant_id = %(tenant)s AND state = 'failed'
  AND NOT EXISTS (  -- a condition that holds is an outcome, not a failure
    SELECT FROM jobs WHERE jobs.tenant_id = steps.tenant_id AND jobs.id = steps.job_id AND stop_as = 'failed'
  )
  AND (%(kind)s::text IS NULL OR kind = %(kind)s)
  AND (%(fingerprint)s::text IS NULL OR fingerprint = %(fingerprint)s)
  AND (%(code)s::text IS NULL OR error_code = %(code)s)
  AND (%(after)s::timestamptz IS NULL OR finished_at >= %(after)s)
  AND (%(before)s::timestamptz IS NULL OR finished_at < %(before)s)
"""

# Grouped by what the index has alone; then one look at a row for the words of each group.
_GROUPS = f"""
WITH groups AS (
  SELECT kind, COALESCE(fingerprint, '') AS fingerprint, min(error_code) AS code, count(*) AS steps,
         min(finished_at) AS oldest, max(finished_at) AS newest, max(job_id) AS job_id
  {_MATCHING} GROUP BY 1, 2 ORDER BY count(*) DESC, 1, 2 LIMIT %(limit)s
)
SELECT groups.*, (
  SELECT max(s.error ->> 'message') FROM steps s
  WHERE s.tenant_id = %(tenant)s AND s.job_id = groups.job_id AND s.state = 'failed' AND s.kind = groups.kind
    AND COALESCE(s.fingerprint, '') = groups.fingerprint
) AS message
FROM groups ORDER BY steps DESC, kind, fingerprint
"""  # noqa: S608 - constants, as below

# Only those that have ended: the others cannot run again yet. Not those that their owner has canceled.
_MATCHING_JOBS = f"""
SELECT DISTINCT job_id {_MATCHING}
  AND EXISTS (
    SELECT FROM jobs WHERE jobs.tenant_id = steps.tenant_id AND jobs.id = job_id AND jobs.finished_at IS NOT NULL
      AND jobs.state <> 'canceled'
  )
ORDER BY job_id LIMIT {MOST_JOBS}
"""  # noqa: S608 - constants


def retry(tx: Tx, job_id: JobId, *, whole: bool = False, params: Mapping[str, Json] | None = None) -> bool:
    """Have an ended job run again: its steps that did not succeed, or all of it with `whole`.

    `params` replaces the parameters of steps, by name. All of a canceled or rejected job runs again, since its outputs
    are gone.
    Counts of failures and losses, and the job's deadline, begin anew. False if the tenant has no such job. Raises
    JobNotEnded, NothingToRetry, StepsNotRetried, UniqueKeyTaken.
    """
    job = lock_job(tx, job_id)
    if job is None:
        return False
    if not job.finished:
        raise JobNotEnded(job.state)
    unique.take_again(tx, job_id)
    whole = whole or job.state == JobState.CANCELED or job.stop_as == JobState.FAILED
    again = tx.sql(_RESET_STEPS, job=job_id, whole=whole, params=json.dumps(params or {})).all()
    if not again:
        raise NothingToRetry(job_id)
    if idle := sorted(set(params or {}) - {row.name for row in again}):
        raise StepsNotRetried(idle)
    removals.withdraw(tx, job_id)
    tx.after_commit(partial(JOBS_ACCEPTED.add, "retry"))
    tx.sql(_RESET_JOB, job=job_id, count=len(again))
    names = [row.name for row in sorted(again, key=lambda row: int(row.position))]
    events.append(tx, job_id, [("job.queued", {"again": names})])
    events.announce_ready(tx)
    return True


def dead_letters(tx: Tx, chosen: DeadLetterFilter, *, limit: int) -> list[DeadLetters]:
    """The tenant's steps that failed for good, grouped by kind and reason, the largest groups first."""
    return [
        DeadLetters(
            kind=row.kind,
            fingerprint=row.fingerprint,
            code=row.code,
            message=row.message,
            count=row.steps,
            oldest=row.oldest,
            newest=row.newest,
            newest_job=JobId(row.job_id),
        )
        for row in tx.sql(_GROUPS, limit=limit, **_parameters(chosen))
    ]


def matching_jobs(tx: Tx, chosen: DeadLetterFilter) -> list[JobId]:
    """The ended jobs with steps among the dead letters, oldest first, MOST_JOBS at most."""
    return [JobId(row.job_id) for row in tx.sql(_MATCHING_JOBS, **_parameters(chosen))]


def share(matching: Sequence[JobId], percent: float, *, limit: int) -> list[JobId]:
    """That share of the jobs, rounded up, evenly spread over them; at most `limit`."""
    count = min(math.ceil(len(matching) * percent / 100 - 1e-9), limit)  # 8.8 % of 375 are 33, not 33.00000000000001
    return [matching[position * len(matching) // count] for position in range(count)]


def substitutes(matching: Sequence[JobId], chosen: Sequence[JobId]) -> list[JobId]:
    """The jobs that may take the place of chosen ones that cannot run again; as many as were chosen, at most."""
    taken = set(chosen)
    return list(islice((job for job in matching if job not in taken), len(chosen)))


def _parameters(chosen: DeadLetterFilter) -> dict[str, Any]:
    return {
        "kind": chosen.kind,
        "fingerprint": chosen.fingerprint,
        "code": chosen.code,
        "after": chosen.failed_after,
        "before": chosen.failed_before,
    }
