"""Many steps in one statement: claimed together, and ended with success together. One alone is a group as well.

The rules are those of storage.steps: jobs' rows are locked first, in the order of their keys; only the holder of the
newest attempt writes. Each statement is whole by itself, so it needs no transaction around it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from storage.database import PlatformTx, Tx
from storage.model import Claim, JobId, JobInput, JobState, Json, StepId, StopWhen, TenantId, Used
from storage.telemetry import metric_ends

Asked = tuple[TenantId, JobId, StepId]


@dataclass(frozen=True, kw_only=True, slots=True)
class Success:
    """What an attempt ended with, how long it took its slot, and how long ago it was done.

    `ran_seconds` None: all the time from its claim until now.
    """

    claim: Claim
    result: Json
    ran_seconds: float | None = None
    ago_seconds: float = 0.0


# A row that another transaction has just changed is looked at again once that has committed: what counts is the lock
# and the condition on the row itself, not what this statement saw at its beginning. LATERAL: row by row through the
# key, whatever the planner believes of the tables, and in this order.
_CLAIM = """
WITH asked AS (
  SELECT * FROM unnest(%(tenants)s::text[], %(jobs)s::text[], %(steps)s::text[]) AS a (tenant_id, job_id, id)
), held AS MATERIALIZED (
  SELECT j.*
  FROM (
    SELECT tenant_id, job_id FROM asked GROUP BY tenant_id, job_id ORDER BY tenant_id COLLATE "C", job_id COLLATE "C"
  ) AS a CROSS JOIN LATERAL (
    SELECT tenant_id, id, state, input, trace FROM jobs
    WHERE jobs.tenant_id = a.tenant_id AND jobs.id = a.job_id
      AND stop_as IS NULL AND (deadline_at IS NULL OR deadline_at > clock_timestamp())
    FOR NO KEY UPDATE
  ) AS j
), claimed AS (
  UPDATE steps s
  SET state = 'running', attempt = s.attempt + 1, worker = %(worker)s, slot = %(slot)s, progress = 0,
      started_at = clock_timestamp(), first_started_at = COALESCE(s.first_started_at, clock_timestamp()),
      error = NULL, held_for = NULL, lease_until = clock_timestamp() + make_interval(secs => %(lease)s)
  FROM asked a JOIN held h ON h.tenant_id = a.tenant_id AND h.id = a.job_id
  WHERE s.tenant_id = a.tenant_id AND s.id = a.id AND s.job_id = a.job_id AND s.state = 'queued'
    AND NOT EXISTS (SELECT FROM queues q WHERE q.name = s.queue AND q.paused_at IS NOT NULL)
  RETURNING s.tenant_id, s.job_id, s.id, s.position, s.name, s.kind, s.attempt, s.failures, s.max_attempts, s.losses,
    s.max_losses, s.params, s.uses, s.file_from, s.stop_when, s.result, h.input, h.trace, h.state AS job_state,
    extract(epoch FROM clock_timestamp() - s.first_started_at)::float AS tried_seconds,
    extract(epoch FROM clock_timestamp() - GREATEST(s.run_at, CASE WHEN s.attempt > 1 THEN (
      SELECT max(finished_at) FROM attempts WHERE attempts.tenant_id = s.tenant_id AND attempts.step_id = s.id
    ) END))::float AS waited_seconds
), counted AS (
  SELECT tenant_id, job_id, count(*) AS steps, (min(job_state) = 'queued')::int AS begins
  FROM claimed GROUP BY tenant_id, job_id
), begun AS (
  UPDATE jobs j
  SET state = 'running', event_seq = j.event_seq + c.steps + c.begins,
      started_at = CASE WHEN c.begins = 1 THEN clock_timestamp() ELSE j.started_at END
  FROM counted c WHERE j.tenant_id = c.tenant_id AND j.id = c.job_id
  RETURNING j.tenant_id, j.id, j.event_seq - c.steps AS before, c.begins
), written AS (
  INSERT INTO events (tenant_id, job_id, seq, type, data, at)
  SELECT tenant_id, id, before, 'job.running', '{}', clock_timestamp() FROM begun WHERE begins = 1
  UNION ALL
  SELECT c.tenant_id, c.job_id, b.before + row_number() OVER (PARTITION BY c.tenant_id, c.job_id ORDER BY c.position),
         'step.running', jsonb_build_object('step', c.name, 'attempt', c.attempt), clock_timestamp()
  FROM claimed c JOIN begun b ON b.tenant_id = c.tenant_id AND b.id = c.job_id
)
SELECT claimed.*, pg_notify('millrace_events', job_id), CASE WHEN cardinality(uses) > 0 THEN (
  SELECT jsonb_agg(jsonb_build_object('step_id', u.id, 'name', u.name, 'kind', u.kind, 'attempt', u.attempt,
                                      'file_from', u.file_from, 'result', u.result) ORDER BY u.position)
  FROM steps u WHERE u.tenant_id = claimed.tenant_id AND u.job_id = claimed.job_id AND u.name = ANY (claimed.uses)
) END AS used
FROM claimed
"""

# Jobs that are being stopped are left out: their steps end one by one, see storage.steps.
_SUCCEED = """
WITH given AS (
  SELECT * FROM jsonb_to_recordset(%(ends)s::jsonb)
    AS g (tenant_id text, job_id text, id text, attempt int, result jsonb, ran float, ago float)
), held AS MATERIALIZED (
  SELECT j.*
  FROM (
    SELECT tenant_id, job_id FROM given GROUP BY tenant_id, job_id ORDER BY tenant_id COLLATE "C", job_id COLLATE "C"
  ) AS g CROSS JOIN LATERAL (
    SELECT tenant_id, id FROM jobs
    WHERE jobs.tenant_id = g.tenant_id AND jobs.id = g.job_id AND stop_as IS NULL
    FOR NO KEY UPDATE
  ) AS j
), ended AS (
  UPDATE steps s
  SET state = 'succeeded', error = NULL, lease_until = NULL, result = NULLIF(g.result, 'null'), progress = 1,
      started_at = GREATEST(s.started_at, statement_timestamp() - make_interval(secs => g.ago + g.ran)),
      finished_at = CASE WHEN g.ran IS NULL THEN clock_timestamp()
                         ELSE GREATEST(s.started_at, statement_timestamp() - make_interval(secs => g.ago)) END
  FROM given g JOIN held h ON h.tenant_id = g.tenant_id AND h.id = g.job_id
  WHERE s.tenant_id = g.tenant_id AND s.id = g.id AND s.job_id = g.job_id AND s.attempt = g.attempt
    AND s.state = 'running'
  RETURNING s.tenant_id, s.job_id, s.id, s.position, s.name, s.attempt, s.worker, s.started_at, s.finished_at
), tried AS (
  INSERT INTO attempts (tenant_id, step_id, number, outcome, worker, started_at, finished_at)
  SELECT tenant_id, id, attempt, 'succeeded', worker, started_at, finished_at FROM ended
), behind AS (
  SELECT w.tenant_id, w.id, count(*) AS done
  FROM ended e JOIN steps w
    ON w.tenant_id = e.tenant_id AND w.job_id = e.job_id AND w.state = 'waiting' AND e.name = ANY (w.uses)
  GROUP BY w.tenant_id, w.id
), readied AS (
  UPDATE steps s
  SET waiting_on = s.waiting_on - b.done, state = CASE WHEN s.waiting_on = b.done THEN 'queued' ELSE s.state END,
      run_at = CASE WHEN s.waiting_on = b.done THEN clock_timestamp() ELSE s.run_at END
  FROM behind b WHERE s.tenant_id = b.tenant_id AND s.id = b.id AND s.state = 'waiting'
  RETURNING s.state
), announced AS (
  SELECT pg_notify('millrace_ready', '') FROM readied WHERE state = 'queued' LIMIT 1
), counted AS (
  SELECT tenant_id, job_id, count(*) AS steps FROM ended GROUP BY tenant_id, job_id
), closed AS (
  UPDATE jobs j
  SET steps_open = j.steps_open - c.steps,
      state = CASE WHEN j.steps_open > c.steps THEN j.state WHEN j.steps_unmet > 0 THEN 'failed' ELSE 'succeeded' END,
      finished_at = CASE WHEN j.steps_open > c.steps THEN NULL ELSE clock_timestamp() END,
      event_seq = j.event_seq + c.steps + (j.steps_open = c.steps)::int
  FROM counted c WHERE j.tenant_id = c.tenant_id AND j.id = c.job_id
  RETURNING j.tenant_id, j.id, j.state, j.event_seq, c.steps, j.finished_at IS NOT NULL AS done,
    extract(epoch FROM j.finished_at - j.created_at)::float AS seconds
), written AS (
  INSERT INTO events (tenant_id, job_id, seq, type, data, at)
  SELECT e.tenant_id, e.job_id,
         c.event_seq - c.done::int - c.steps
           + row_number() OVER (PARTITION BY e.tenant_id, e.job_id ORDER BY e.position),
         'step.succeeded', jsonb_build_object('step', e.name, 'attempt', e.attempt), clock_timestamp()
  FROM ended e JOIN closed c ON c.tenant_id = e.tenant_id AND c.id = e.job_id
  UNION ALL
  SELECT tenant_id, id, event_seq, 'job.' || state, '{}', clock_timestamp() FROM closed WHERE done
)
SELECT e.id, extract(epoch FROM e.finished_at - e.started_at)::float AS ran_seconds, e.job_id,
       CASE WHEN c.done THEN c.state END AS job_state, c.seconds AS job_seconds,
       pg_notify('millrace_events', e.job_id), (SELECT count(*) FROM announced)
FROM ended e JOIN closed c ON c.tenant_id = e.tenant_id AND c.id = e.job_id
"""


# The hint of a step whose queue is paused is used up: it is sent again when the queue goes on.
_KEEP_FOR_LATER = """
UPDATE steps SET published_at = NULL
WHERE (tenant_id, id) IN (SELECT * FROM unnest(%(tenants)s::text[], %(steps)s::text[])) AND state = 'queued'
  AND EXISTS (SELECT FROM queues WHERE queues.name = steps.queue AND paused_at IS NOT NULL)
"""


def claim(tx: Tx | PlatformTx, asked: Sequence[Asked], *, worker: str, slot: int, lease_seconds: float) -> list[Claim]:
    """Take those of the steps that are queued, in the order in which they are asked for, for one slot of a worker.

    Left out is what is taken, ended or unknown, whose queue is paused, and whose job is being stopped or past its
    deadline.
    """
    rows = tx.sql(
        _CLAIM,
        tenants=[tenant for tenant, _, _ in asked],
        jobs=[job for _, job, _ in asked],
        steps=[step for _, _, step in asked],
        worker=worker,
        slot=slot,
        lease=lease_seconds,
    )
    claims = {(row.tenant_id, row.job_id, row.id): _claim(row) for row in rows}
    return [claims[one] for one in dict.fromkeys(asked) if one in claims]


def keep_for_later(tx: Tx | PlatformTx, asked: Sequence[Asked]) -> None:
    """Call it of steps that could not be claimed."""
    tx.sql(_KEEP_FOR_LATER, tenants=[tenant for tenant, _, _ in asked], steps=[step for _, _, step in asked])


def succeed(tx: Tx | PlatformTx, ended: Sequence[Success]) -> frozenset[StepId]:
    """End these steps with their results, ready what waited for them, and end the jobs whose last steps they were.

    Returns those that it has ended: of the others a newer attempt holds the step, or the job is being stopped.
    """
    by_id: Mapping[str, Claim] = {one.claim.step_id: one.claim for one in ended}
    rows = tx.sql(_SUCCEED, ends=json.dumps([_given(one) for one in ended])).all()
    told: set[str] = set()
    for row in rows:
        metric_ends.succeeded(tx, by_id[row.id], seconds=row.ran_seconds)
        if row.job_state is not None and row.job_id not in told:
            told.add(row.job_id)
            metric_ends.job(tx, JobState(row.job_state), seconds=row.job_seconds)
    return frozenset(StepId(row.id) for row in rows)


def _given(one: Success) -> Json:
    return {
        "tenant_id": one.claim.tenant_id,
        "job_id": one.claim.job_id,
        "id": one.claim.step_id,
        "attempt": one.claim.attempt,
        "result": one.result,
        "ran": one.ran_seconds,
        "ago": one.ago_seconds,
    }


def _claim(row: Any) -> Claim:
    return Claim(
        tenant_id=TenantId(row.tenant_id),
        job_id=JobId(row.job_id),
        step_id=StepId(row.id),
        name=row.name,
        kind=row.kind,
        attempt=row.attempt,
        failures=row.failures,
        max_attempts=row.max_attempts,
        losses=row.losses,
        max_losses=row.max_losses,
        tried_seconds=row.tried_seconds,
        params=row.params,
        input=None if row.input is None else JobInput(**row.input),
        uses=tuple(Used(**{**one, "step_id": StepId(one["step_id"])}) for one in row.used or ()),
        file_from=row.file_from,
        stop_when=StopWhen(**row.stop_when) if row.stop_when else None,
        kept=row.result,
        waited_seconds=row.waited_seconds,
        trace=row.trace,
    )
