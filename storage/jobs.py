"""Jobs: written once with their steps, read as documents, listed newest first."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import func, select

from storage.async_database import AsyncDatabase
from storage.database import PlatformTx, Tx
from storage.job_rows import attempt_of, job_of, step_of
from storage.model import Attempt, Job, JobId, JobState, Json, NewJob, NewStep, Step, StepState, TenantId
from storage.tables import attempts, jobs, steps

# One round trip: the jobs, their steps, their first events, and the announcement, all or nothing. Of the events nobody
# is told: whoever could wait for them has yet to hear of the job.
_INSERT = """
WITH given AS (
  SELECT * FROM jsonb_to_recordset(%(jobs)s::jsonb)
    AS item (tenant text, id text, priority int, input jsonb, metadata jsonb, deadline float, "unique" jsonb,
             schedule text, fire_time timestamptz, notify jsonb, template text, trace text,
             request text, batch text, line int, steps jsonb)
), job AS (
  INSERT INTO jobs (tenant_id, id, state, priority, input, metadata, steps_total, steps_open, event_seq,
                    deadline_seconds, deadline_at, unique_key, schedule_id, fire_time, notify, template, trace,
                    request_id, batch_id, batch_line)
  SELECT tenant, id, 'queued', priority, NULLIF(input, 'null'), metadata, jsonb_array_length(steps),
         jsonb_array_length(steps), 1, deadline, now() + make_interval(secs => deadline), NULLIF("unique", 'null'),
         schedule, fire_time, NULLIF(notify, 'null'), template, trace, request,
         batch, line
  FROM given
  RETURNING id, created_at, deadline_at
), step AS (
  INSERT INTO steps (tenant_id, id, job_id, position, name, kind, queue, priority, params, uses, waiting_on, state,
                     max_attempts, max_losses, file_from, stop_when)
  SELECT given.tenant, item.id, given.id, item.position, item.name, item.kind, item.queue, given.priority, item.params,
         item.uses, cardinality(item.uses), CASE WHEN cardinality(item.uses) = 0 THEN 'queued' ELSE 'waiting' END,
         item.max_attempts, item.max_losses, item.file_from, NULLIF(item.stop_when, 'null')
  FROM given, jsonb_to_recordset(given.steps)
    AS item (id text, position int, name text, kind text, queue text, params jsonb, uses text[], max_attempts int,
             max_losses int, file_from text, stop_when jsonb)
), event AS (
  INSERT INTO events (tenant_id, job_id, seq, type, data) SELECT tenant, id, 1, 'job.queued', '{}' FROM given
)
SELECT id, created_at, deadline_at, (SELECT pg_notify('millrace_ready', '')) AS woken FROM job
"""


MOST_TOLD_BYTES = 1_000_000

_RESULT_BYTES = """
SELECT coalesce(sum(octet_length(result::text)), 0) FROM steps WHERE tenant_id = %(tenant)s AND job_id = %(job)s
"""


class Asked(NamedTuple):
    """A step as the job's document has it."""

    kind: str
    params: Json
    use: list[str]
    stop_when: Json


def insert(tx: Tx, new: NewJob) -> Job:
    """Write a job and its steps; those that use no other are queued, and the relay is woken at the commit.

    Returns the job as it now stands.
    """
    return _born(new, tx.sql(_INSERT, jobs=json.dumps([_given(tx.tenant_id, new)])).one())


async def insert_many(database: AsyncDatabase, new: Sequence[tuple[TenantId, NewJob]]) -> list[Job]:
    """Write many jobs, of any tenants, as `insert` does: in one statement. Returns them as they now stand."""
    written = await database.sql(_INSERT, jobs=json.dumps([_given(tenant_id, job) for tenant_id, job in new]))
    rows = {row.id: row for row in written}
    return [_born(job, rows[job.id]) for _, job in new]


def _born(new: NewJob, written: Any) -> Job:
    return Job(
        id=new.id,
        state=JobState.QUEUED,
        priority=new.priority,
        input=new.input,
        error=None,
        metadata=new.metadata,
        created_at=written.created_at,
        started_at=None,
        finished_at=None,
        deadline_at=written.deadline_at,
        stopping=None,
        progress=0.0,
        fired=new.fired,
        notify=new.notify,
        template=new.template,
        batch=new.batch,
        steps=tuple(_written(step, written.created_at) for step in new.steps),
    )


def insert_all(tx: PlatformTx, new: Sequence[tuple[TenantId, NewJob]]) -> None:
    """Write many jobs, of any tenants, as `insert` does: in one statement."""
    if new:
        tx.sql(_INSERT, jobs=json.dumps([_given(tenant_id, job) for tenant_id, job in new]))


def written_out(tenant_id: TenantId, new: NewJob) -> str:
    """A job as `insert_written` takes it: one line of JSON."""
    return json.dumps(_given(tenant_id, new))


def insert_written(tx: Tx, written: Sequence[str]) -> None:
    """Write many jobs of a tenant, as `insert` does: in one statement."""
    if written:
        tx.sql(_INSERT, jobs=f"[{','.join(written)}]")


def _given(tenant_id: TenantId, new: NewJob) -> Json:
    return {
        "tenant": tenant_id,
        "id": new.id,
        "priority": new.priority,
        "input": asdict(new.input) if new.input else None,
        "metadata": new.metadata,
        "deadline": new.deadline_seconds,
        "unique": asdict(new.unique) if new.unique else None,
        "schedule": new.fired.schedule_id if new.fired else None,
        "fire_time": new.fired.fire_time.isoformat() if new.fired else None,
        "notify": asdict(new.notify) if new.notify else None,
        "template": new.template,
        "trace": new.trace,
        "request": new.request_id,
        "batch": new.batch.id if new.batch else None,
        "line": new.batch.line if new.batch else None,
        "steps": [_given_step(position, step) for position, step in enumerate(new.steps)],
    }


def _given_step(position: int, step: NewStep) -> Json:
    return {
        "position": position,
        "id": step.id,
        "name": step.name,
        "kind": step.kind,
        "queue": step.queue,
        "params": step.params,
        "uses": step.uses,
        "max_attempts": step.max_attempts,
        "max_losses": step.max_losses,
        "file_from": step.file_from,
        "stop_when": asdict(step.stop_when) if step.stop_when else None,
    }


def _written(step: NewStep, created_at: datetime) -> Step:
    return Step(
        id=step.id,
        name=step.name,
        kind=step.kind,
        queue=step.queue,
        state=StepState.WAITING if step.uses else StepState.QUEUED,
        uses=step.uses,
        attempt=0,
        failures=0,
        losses=0,
        progress=0.0,
        result=None,
        error=None,
        created_at=created_at,
        run_at=created_at,
        started_at=None,
        finished_at=None,
    )


def find(tx: Tx, job_id: JobId) -> Job | None:
    """The tenant's job with its steps and their attempts, or None."""
    row = tx.execute(_selected().where(jobs.c.tenant_id == tx.tenant_id, jobs.c.id == job_id)).one_or_none()
    if row is None:
        return None
    return job_of(row, _steps_of(tx, job_id))


def find_to_tell(tx: Tx, job_id: JobId) -> Job | None:
    """The tenant's job as others are told of it: without its steps if their results exceed MOST_TOLD_BYTES."""
    row = tx.execute(_selected().where(jobs.c.tenant_id == tx.tenant_id, jobs.c.id == job_id)).one_or_none()
    if row is None:
        return None
    size = int(tx.sql(_RESULT_BYTES, job=job_id).scalar_one())
    return job_of(row, _steps_of(tx, job_id) if size <= MOST_TOLD_BYTES else ())


def asked_of(tx: Tx, job_id: JobId) -> dict[str, Asked]:
    """What the job's document asked of its steps, by name; none if the tenant has no such job."""
    asked = select(steps.c.name, steps.c.kind, steps.c.params, steps.c.uses, steps.c.stop_when)
    rows = tx.execute(asked.where(steps.c.tenant_id == tx.tenant_id, steps.c.job_id == job_id))
    return {row.name: Asked(row.kind, row.params, row.uses, row.stop_when) for row in rows}


def filenames(tx: Tx, job_ids: Sequence[JobId]) -> dict[JobId, str]:
    """What the clients called the files of these jobs, where they have one."""
    asked = select(jobs.c.id, jobs.c.input["filename"].astext.label("filename"))
    rows = tx.execute(asked.where(jobs.c.tenant_id == tx.tenant_id, jobs.c.id.in_(job_ids)))
    return {JobId(row.id): row.filename for row in rows if row.filename is not None}


def facts(tx: Tx, job_id: JobId) -> Json:
    """What expressions may say of the job: {id, metadata, created_at, input}; null if the tenant has no such job."""
    asked = select(jobs.c.metadata, jobs.c.created_at, jobs.c.input)
    row = tx.execute(asked.where(jobs.c.tenant_id == tx.tenant_id, jobs.c.id == job_id)).one_or_none()
    if row is None:
        return None
    file = row.input and {name: row.input[name] for name in ("filename", "content_type", "bytes")}
    return {"id": job_id, "metadata": row.metadata, "created_at": row.created_at.isoformat(), "input": file}


def is_terminal(tx: Tx, job_id: JobId) -> bool | None:
    """Whether the job has ended; None if the tenant has no such job."""
    found = tx.execute(select(jobs.c.finished_at).where(jobs.c.tenant_id == tx.tenant_id, jobs.c.id == job_id))
    row = found.one_or_none()
    return None if row is None else row.finished_at is not None


def those(tx: Tx, job_ids: Sequence[JobId]) -> list[Job]:
    """These of the tenant's jobs without their steps, newest first."""
    asked = _selected().where(jobs.c.tenant_id == tx.tenant_id, jobs.c.id.in_(job_ids)).order_by(jobs.c.id.desc())
    return [job_of(row, ()) for row in tx.execute(asked)]


def _selected() -> Any:
    progress = (
        select(func.avg(steps.c.progress))
        .where(steps.c.tenant_id == jobs.c.tenant_id, steps.c.job_id == jobs.c.id)
        .scalar_subquery()
        .label("progress")
    )
    return select(jobs, progress)


def _steps_of(tx: Tx, job_id: JobId) -> list[Step]:
    of_job = (steps.c.tenant_id == tx.tenant_id, steps.c.job_id == job_id)
    tried = tx.execute(
        select(attempts)
        .join(steps, (steps.c.tenant_id == attempts.c.tenant_id) & (steps.c.id == attempts.c.step_id))
        .where(*of_job)
        .order_by(attempts.c.step_id, attempts.c.number)
    )
    by_step: dict[str, list[Attempt]] = defaultdict(list)
    for row in tried:
        by_step[row.step_id].append(attempt_of(row))
    rows = tx.execute(select(steps).where(*of_job).order_by(steps.c.position))
    return [step_of(row, by_step[row.id]) for row in rows]
