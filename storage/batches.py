"""Batches of jobs: written with their jobs in one transaction, counted by an index, ended when no job is left to end.

The end of a job writes nothing of its batch: whoever looks, sees in the index `ix_jobs_of_batch` how its jobs stand.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from storage.batch_ids import BatchId
from storage.batch_model import Batch, LineError, NewBatch
from storage.database import PlatformTx, Tx
from storage.model import JobId, JobState, Json, Notify, TenantId

_INSERT = """
INSERT INTO batches (tenant_id, id, name, metadata, notify, accepted, existing, refused, finished_at)
VALUES (%(tenant)s, %(batch)s, %(name)s, %(metadata)s::jsonb, %(notify)s::jsonb, %(accepted)s, %(existing)s,
        %(refused)s, NULL)
RETURNING *
"""

_INSERT_ERRORS = """
INSERT INTO batch_errors (tenant_id, batch_id, line, code, detail, flaws, job_id)
SELECT %(tenant)s, %(batch)s, line, code, detail, flaws, job
FROM jsonb_to_recordset(%(errors)s::jsonb) AS item (line int, code text, detail text, flaws jsonb, job text)
"""

_PAGE = """
SELECT * FROM batches WHERE tenant_id = %(tenant)s AND (%(before)s::text IS NULL OR id < %(before)s)
ORDER BY id DESC LIMIT %(limit)s
"""

_STATES = """
SELECT batch_id, state, count(*) AS jobs FROM jobs
WHERE tenant_id = %(tenant)s AND batch_id = ANY (%(batches)s::text[]) GROUP BY batch_id, state
"""

_ERRORS = """
SELECT line, code, detail, flaws, job_id FROM batch_errors
WHERE tenant_id = %(tenant)s AND batch_id = %(batch)s AND line > %(after)s ORDER BY line LIMIT %(limit)s
"""

_CANCEL = """
UPDATE batches SET canceled_at = coalesce(canceled_at, clock_timestamp())
WHERE tenant_id = %(tenant)s AND id = %(batch)s AND finished_at IS NULL
"""

# With a limit it stays a question of its own for each batch, and in this order it is one look into ix_jobs_of_batch:
# the states of jobs that have not ended (queued, running, scheduled) stand beside each other in the alphabet.
_AN_OPEN_JOB = """
SELECT true FROM jobs j
WHERE j.tenant_id = b.tenant_id AND j.batch_id = b.id AND j.state BETWEEN 'queued' AND 'scheduled'
ORDER BY j.state, j.id LIMIT 1
"""

# All jobs of a batch are committed with it: who sees the batch, and none of them open, sees that it has ended. Its row
# is written here once, whoever looks at the same time: what is told of its end is told once.
_FINISH = f"""
WITH ended AS (
  SELECT b.tenant_id, b.id FROM batches b
  WHERE b.finished_at IS NULL AND ({_AN_OPEN_JOB}) IS NULL
  ORDER BY b.created_at LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE batches b SET finished_at = clock_timestamp()
FROM ended WHERE b.tenant_id = ended.tenant_id AND b.id = ended.id AND b.finished_at IS NULL
RETURNING b.*
"""  # noqa: S608 - constants

# Those that wait before those that run, and of these the newest first: it has the least chance to begin meanwhile.
_TO_CANCEL = """
SELECT found.tenant_id, found.id FROM (
  SELECT tenant_id, id FROM batches WHERE canceled_at IS NOT NULL AND finished_at IS NULL
) AS b CROSS JOIN LATERAL (
  SELECT j.tenant_id, j.id FROM jobs j
  WHERE j.tenant_id = b.tenant_id AND j.batch_id = b.id AND j.state IN ('scheduled', 'queued', 'running')
    AND j.stop_as IS NULL
  ORDER BY j.state, j.id DESC LIMIT %(limit)s
) AS found
LIMIT %(limit)s
"""

# It locks the endpoint's key: one that is deleted at this moment must not fail what is told.
_TELL = """
WITH message AS (SELECT 'msg_' || substr(%(batch)s, 5) || '_finished' AS id), told AS (
  INSERT INTO deliveries (tenant_id, id, endpoint_id, url, lane, type, message_id, data)
  SELECT %(tenant)s, new_typeid('dlv'), target.id, target.url, target.lane, 'batch.finished', message.id,
         %(data)s::jsonb
  FROM message, (
    SELECT id, NULL::text AS url, id AS lane FROM (
      SELECT e.id FROM webhook_endpoints e
      WHERE e.tenant_id = %(tenant)s AND e.disabled_at IS NULL AND 'batch.finished' = ANY (e.types)
        AND (e.listening_until IS NULL OR e.listening_until > now())
      FOR KEY SHARE
    ) AS wanting
    UNION ALL
    SELECT NULL, %(url)s::text, %(tenant)s || ' ' || left(md5(%(host)s), 3) WHERE %(url)s::text IS NOT NULL
  ) AS target
  RETURNING tenant_id
)
SELECT count(*) AS told, pg_notify('millrace_webhooks', %(tenant)s), pg_notify('millrace_events', %(batch)s) FROM told
"""

_FORGET_OLD = """
DELETE FROM batches WHERE (tenant_id, id) IN (
  SELECT tenant_id, id FROM batches b
  WHERE finished_at < now() - make_interval(secs => %(seconds)s)
    AND (SELECT true FROM jobs j WHERE j.tenant_id = b.tenant_id AND j.batch_id = b.id LIMIT 1) IS NULL
  LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
"""


def insert(tx: Tx, new: NewBatch) -> Batch:
    """Write a batch, in the transaction that writes its jobs."""
    row = tx.sql(
        _INSERT,
        batch=new.id,
        name=new.name,
        metadata=json.dumps(new.metadata),
        notify=None if new.notify is None else json.dumps(asdict(new.notify)),
        accepted=new.accepted,
        existing=new.existing,
        refused=new.refused,
    ).one()
    return _batch(row, {JobState.QUEUED: new.accepted} if new.accepted else {})


def insert_errors(tx: Tx, batch_id: BatchId, errors: Sequence[LineError]) -> None:
    """Write what became of lines that are no jobs."""
    if errors:
        tx.sql(_INSERT_ERRORS, batch=batch_id, errors=json.dumps([_given(error) for error in errors]))


def find(tx: Tx, batch_id: BatchId) -> Batch | None:
    """The tenant's batch with the states of its jobs, or None. Two questions: ask in a snapshot."""
    row = tx.sql("SELECT * FROM batches WHERE tenant_id = %(tenant)s AND id = %(batch)s", batch=batch_id).one_or_none()
    return None if row is None else _batch(row, _states(tx, [batch_id])[batch_id])


def page(tx: Tx, *, before: BatchId | None, limit: int) -> list[Batch]:
    """At most `limit` of the tenant's batches, newest first, from below `before`. Ask in a snapshot."""
    rows = tx.sql(_PAGE, before=before, limit=limit).all()
    states = _states(tx, [row.id for row in rows])
    return [_batch(row, states[row.id]) for row in rows]


def is_finished(tx: Tx, batch_id: BatchId) -> bool | None:
    """Whether its end has been written; None if the tenant has no such batch."""
    asked = "SELECT finished_at IS NOT NULL FROM batches WHERE tenant_id = %(tenant)s AND id = %(batch)s"
    found: bool | None = tx.sql(asked, batch=batch_id).scalar_one_or_none()
    return found


def errors(tx: Tx, batch_id: BatchId, *, after: int, limit: int) -> list[LineError]:
    """At most `limit` of its lines that became no jobs, by their number, from above `after`."""
    return [
        LineError(
            line=row.line,
            code=row.code,
            detail=row.detail,
            flaws=tuple((flaw["pointer"], flaw["detail"]) for flaw in row.flaws),
            job_id=None if row.job_id is None else JobId(row.job_id),
        )
        for row in tx.sql(_ERRORS, batch=batch_id, after=after, limit=limit)
    ]


def cancel(tx: Tx, batch_id: BatchId) -> bool:
    """Note that its jobs are to be canceled, see `to_cancel`. False if it is finished, or not there."""
    return bool(tx.sql(_CANCEL, batch=batch_id).rowcount)


def to_cancel(tx: PlatformTx, *, limit: int) -> list[tuple[TenantId, JobId]]:
    """Jobs of batches that were told to end. Not locked: cancel them one by one."""
    return [(TenantId(row.tenant_id), JobId(row.id)) for row in tx.sql(_TO_CANCEL, limit=limit)]


def finish(tx: PlatformTx, *, limit: int) -> list[tuple[TenantId, Batch]]:
    """End at most `limit` batches whose last job has ended; each is returned once, to whoever came first."""
    return [
        (TenantId(row.tenant_id), _batch(row, _states(tx.of(TenantId(row.tenant_id)), [row.id])[row.id]))
        for row in tx.sql(_FINISH, limit=limit).all()
    ]


def tell(tx: Tx, batch: Batch, data: Json) -> int:
    """Write the deliveries of its `batch.finished`, in the transaction that ends it; returns how many."""
    notify = batch.notify
    url, host = (None, "") if notify is None else (notify.url, notify.host)
    return int(tx.sql(_TELL, batch=batch.id, data=json.dumps(data), url=url, host=host).one().told)


def forget_old(tx: PlatformTx, *, older_than_seconds: float, limit: int) -> int:
    """Delete at most `limit` batches that ended longer ago than that, and none of whose jobs is left."""
    return int(tx.sql(_FORGET_OLD, seconds=older_than_seconds, limit=limit).rowcount)


def _states(tx: Tx, ids: Sequence[str]) -> Mapping[str, Mapping[JobState, int]]:
    found: dict[str, dict[JobState, int]] = defaultdict(dict)
    for row in tx.sql(_STATES, batches=list(ids)) if ids else ():
        found[row.batch_id][JobState(row.state)] = row.jobs
    return found


def _given(error: LineError) -> Json:
    flaws = [{"pointer": pointer, "detail": detail} for pointer, detail in error.flaws]
    return {"line": error.line, "code": error.code, "detail": error.detail, "flaws": flaws, "job": error.job_id}


def _batch(row: Any, states: Mapping[JobState, int]) -> Batch:
    return Batch(
        id=BatchId(row.id),
        name=row.name,
        metadata=row.metadata,
        notify=None if row.notify is None else Notify(**row.notify),
        accepted=row.accepted,
        existing=row.existing,
        refused=row.refused,
        created_at=row.created_at,
        canceled_at=row.canceled_at,
        finished_at=row.finished_at,
        states=states,
    )
