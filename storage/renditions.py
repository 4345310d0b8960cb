"""Finished pictures that all jobs of a tenant share, by a digest of source, parameters and engine.

A row stands before its object is written, and goes after it: no object is ever without one. While a job is linked to a
finished rendition, its object stays. What is to go is given up first, by a transaction that holds its row while no
other job is linked; the object goes later, with the row, while that is locked. Whoever begins to use the rendition
meanwhile waits for either, and finds that it is to be made.
"""

import logging
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

from storage.database import PlatformTx, Tx
from storage.errors import LeaseLost, ObjectStoreUnavailable
from storage.image_model import Digest, Facts, Rendition
from storage.keys import rendition_key
from storage.model import JobId, TenantId
from storage.telemetry.metrics import CACHE_REQUESTS

log = logging.getLogger(__name__)

MAKING_SECONDS = 86_400.0  # after which nobody is still making a rendition that has been begun
AGAIN_SECONDS = 60.0  # after the object store did not answer
TOUCHED_SECONDS = 600.0  # a use is noted if the one before is longer ago

# A job that ends or is being deleted holds its row, and then wants those of its renditions: so it comes first here.
_LOCK_JOB = """
SELECT finished_at IS NOT NULL AS finished FROM jobs WHERE tenant_id = %(tenant)s AND id = %(job)s FOR SHARE
"""

_BEGIN = """
INSERT INTO renditions AS r (tenant_id, digest)
SELECT %(tenant)s, digest FROM unnest(%(digests)s::text[]) AS given (digest) ORDER BY digest COLLATE "C"
ON CONFLICT (tenant_id, digest) DO UPDATE SET used_at = clock_timestamp(), gone_at = NULL
RETURNING *
"""

_LINK = """
INSERT INTO job_renditions (tenant_id, digest, job_id)
SELECT %(tenant)s, digest, %(job)s FROM unnest(%(digests)s::text[]) AS given (digest) ORDER BY digest COLLATE "C"
ON CONFLICT DO NOTHING
"""

_FIND = """
SELECT *, used_at < now() - make_interval(secs => %(seconds)s) AS is_stale FROM renditions
WHERE tenant_id = %(tenant)s AND digest = ANY(%(digests)s) AND made_at IS NOT NULL
"""

# What somebody holds is in use, or on its way out.
_TOUCH = """
UPDATE renditions SET used_at = clock_timestamp()
WHERE tenant_id = %(tenant)s AND digest IN (
  SELECT digest FROM renditions WHERE tenant_id = %(tenant)s AND digest = ANY(%(digests)s) AND made_at IS NOT NULL
  FOR NO KEY UPDATE SKIP LOCKED
)
"""

_FINISH = """
UPDATE renditions
SET made_at = COALESCE(made_at, clock_timestamp()), width = %(width)s, height = %(height)s, frames = %(frames)s,
    bytes = %(bytes)s, content_type = %(content_type)s, engine = %(engine)s
WHERE tenant_id = %(tenant)s AND digest = %(digest)s AND gone_at IS NULL
"""

_UNDO = """
INSERT INTO renditions (tenant_id, digest, gone_at) VALUES (%(tenant)s, %(digest)s, now()) ON CONFLICT DO NOTHING
"""

_LOCK_OF_JOB = """
SELECT r.digest FROM renditions r JOIN job_renditions l ON l.tenant_id = r.tenant_id AND l.digest = r.digest
WHERE l.tenant_id = %(tenant)s AND l.job_id = %(job)s ORDER BY r.digest FOR UPDATE OF r
"""

# A statement of its own, after the locks: it sees the links of those for whom they waited.
_RELEASE = """
UPDATE renditions r SET made_at = NULL, gone_at = now()
WHERE r.tenant_id = %(tenant)s AND r.digest = ANY(%(digests)s) AND NOT EXISTS (
  SELECT FROM job_renditions l WHERE l.tenant_id = r.tenant_id AND l.digest = r.digest AND l.job_id <> %(job)s
)
"""

_UNLINK = "DELETE FROM job_renditions WHERE tenant_id = %(tenant)s AND job_id = %(job)s"

_LOCK_OLD = """
SELECT tenant_id, digest FROM renditions r
WHERE gone_at IS NULL
  AND used_at < now() - make_interval(secs => CASE WHEN made_at IS NULL THEN %(making)s ELSE %(seconds)s END)
  AND used_at < now() - make_interval(secs => LEAST(%(making)s, %(seconds)s))  -- for the index
  AND NOT EXISTS (SELECT FROM job_renditions l WHERE l.tenant_id = r.tenant_id AND l.digest = r.digest)
LIMIT %(limit)s FOR UPDATE SKIP LOCKED
"""

_GIVE_UP = """
UPDATE renditions r SET made_at = NULL, gone_at = now()
FROM unnest(%(tenants)s::text[], %(digests)s::text[]) AS old (tenant, digest)
WHERE r.tenant_id = old.tenant AND r.digest = old.digest AND NOT EXISTS (
  SELECT FROM job_renditions l WHERE l.tenant_id = r.tenant_id AND l.digest = r.digest
)
"""

_LOCK_DUE = """
SELECT tenant_id, digest FROM renditions
WHERE gone_at <= now() AND (%(tenant)s::text IS NULL OR tenant_id = %(tenant)s)
ORDER BY gone_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
"""

_REMOVE = """
DELETE FROM renditions r USING unnest(%(tenants)s::text[], %(digests)s::text[]) AS gone (tenant, digest)
WHERE r.tenant_id = gone.tenant AND r.digest = gone.digest
"""

_PUT_OFF = """
UPDATE renditions r SET gone_at = now() + make_interval(secs => %(seconds)s)
FROM unnest(%(tenants)s::text[], %(digests)s::text[]) AS left_ (tenant, digest)
WHERE r.tenant_id = left_.tenant AND r.digest = left_.digest
"""


def find(tx: Tx, digests: Collection[str], *, to_begin: bool = False) -> dict[str, Rendition]:
    """Those of these renditions that are finished; their use is noted.

    Nothing keeps their objects but that: see `begin`. `to_begin`: that is what follows in this transaction, and notes
    the use itself; until then no row is locked, since locks are taken in one order.
    """
    if not digests:
        return {}
    rows = tx.sql(_FIND, digests=list(digests), seconds=TOUCHED_SECONDS).all()
    if not to_begin and (stale := [row.digest for row in rows if row.is_stale]):
        tx.sql(_TOUCH, digests=stale)
    return {row.digest: _rendition(row) for row in rows}


def begin(tx: Tx, job_id: JobId, digests: Collection[str]) -> dict[str, Rendition]:
    """Link all of these renditions to the job; returns those that are finished, the others are to be made.

    Waits for those that are being removed. Commit before the first object is written. Raises LeaseLost if the tenant
    has no such job (any more), or it has ended.
    """
    if not digests:
        return {}
    job = tx.sql(_LOCK_JOB, job=job_id).one_or_none()
    if job is None or job.finished:
        raise LeaseLost(job_id)
    wanted = sorted(set(digests))
    rows = tx.sql(_BEGIN, digests=wanted).all()
    tx.sql(_LINK, job=job_id, digests=wanted)
    made = {row.digest: _rendition(row) for row in rows if row.made_at is not None}
    tx.after_commit(partial(CACHE_REQUESTS.add, "renditions", "hit", by=len(made)))
    tx.after_commit(partial(CACHE_REQUESTS.add, "renditions", "miss", by=len(wanted) - len(made)))
    return made


def finish(tx: Tx, digest: Digest, facts: Facts) -> bool:
    """Note that the rendition's object is there. False if it was given up meanwhile, and its object is to go: commit
    in either case.
    """
    done = tx.sql(
        _FINISH,
        digest=digest,
        width=facts.width,
        height=facts.height,
        frames=facts.frames,
        bytes=facts.bytes,
        content_type=facts.content_type,
        engine=facts.engine,
    )
    if not done.rowcount:
        tx.sql(_UNDO, digest=digest)
    return bool(done.rowcount)


def miss(tx: Tx, digest: Digest) -> None:
    """Note that the rendition's object is not there, whoever took it: the next job that wants it makes it again."""
    tx.sql("UPDATE renditions SET made_at = NULL WHERE tenant_id = %(tenant)s AND digest = %(digest)s", digest=digest)


def release(tx: Tx, job_id: JobId) -> None:
    """Unlink the job, whose row is locked, from its renditions; those that no other job uses are to go at once."""
    digests = [row.digest for row in tx.sql(_LOCK_OF_JOB, job=job_id)]
    if digests:
        tx.sql(_RELEASE, job=job_id, digests=digests)
        tx.sql(_UNLINK, job=job_id)


def forget_old(tx: PlatformTx, *, older_than_seconds: float, limit: int) -> int:
    """Give up at most `limit` renditions that no job has: those that nobody has used for so long, and those that their
    writers never finished. Returns how many; their objects go with `remove`.
    """
    rows = tx.sql(_LOCK_OLD, seconds=older_than_seconds, making=MAKING_SECONDS, limit=limit).all()
    if rows:
        tx.sql(_GIVE_UP, **_places(rows))
    return len(rows)


def remove(
    tx: PlatformTx, delete: Callable[[Sequence[str]], None], *, limit: int, tenant_id: TenantId | None = None
) -> int:
    """Delete at most `limit` renditions that were given up, of one tenant or of all: first the objects, whose keys
    `delete` is given.

    Returns how many have gone. If `delete` raises ObjectStoreUnavailable they are put off.
    """
    tx.sql("SET LOCAL idle_in_transaction_session_timeout = '10min'")  # as removals do
    rows = tx.sql(_LOCK_DUE, tenant=tenant_id, limit=limit).all()
    if not rows:
        return 0
    try:
        delete([rendition_key(TenantId(row.tenant_id), Digest(row.digest)) for row in rows])
    except ObjectStoreUnavailable as exc:
        log.warning("renditions.objects_left count=%s reason=%s", len(rows), exc)
        tx.sql(_PUT_OFF, seconds=AGAIN_SECONDS, **_places(rows))
        return 0
    tx.sql(_REMOVE, **_places(rows))
    return len(rows)


def _places(rows: Sequence[Any]) -> dict[str, list[str]]:
    return {"tenants": [row.tenant_id for row in rows], "digests": [row.digest for row in rows]}


def _rendition(row: Any) -> Rendition:
    return Rendition(
        digest=Digest(row.digest),
        key=rendition_key(row.tenant_id, Digest(row.digest)),
        facts=Facts(
            width=row.width,
            height=row.height,
            frames=row.frames,
            bytes=row.bytes,
            content_type=row.content_type,
            engine=row.engine,
        ),
    )
