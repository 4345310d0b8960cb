"""What pictures look like, so that similar ones are found again: embeddings (of unit length) and perceptual hashes.

A row belongs to the step that looked, and goes with its job. Embeddings of different models are never compared.
"""

import math
import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from storage.database import PlatformTx, Tx
from storage.errors import NotStorable
from storage.model import JobId, StepId

DIMENSIONS = 1280
EXACT_UP_TO = 20_000  # pictures of a tenant: up to so many are all looked at, beyond that the index is asked
MOST_SCANNED = 200_000  # of the index, whosever they are, before all of the tenant's are looked at after all
FOLLOWED = 400  # pictures that the index keeps in view while it looks (at most 1000); fewer miss whole clusters
_HASH_BITS = 64
_ARRAY_HEAD = 20  # bytes before the elements in PostgreSQL's binary form of an array with one dimension

_WRITE = """
INSERT INTO likenesses (tenant_id, step_id, job_id, model, embedding, phash, written)
VALUES (%(tenant)s, %(step)s, %(job)s, %(model)s, %(embedding)s::real[], %(phash)s,
        pg_current_xact_id()::text::bigint)
ON CONFLICT (tenant_id, step_id) DO UPDATE
SET model = excluded.model, embedding = excluded.embedding, phash = excluded.phash, written = excluded.written
"""

_OF_JOB = """
SELECT s.id AS step_id, s.name, l.model, l.phash, l.embedding IS NOT NULL AS embedded
FROM steps s JOIN likenesses l ON l.tenant_id = s.tenant_id AND l.step_id = s.id
WHERE s.tenant_id = %(tenant)s AND s.job_id = %(job)s ORDER BY s.position
"""

_MINE = "l.tenant_id = %(tenant)s AND l.model = %(model)s AND l.embedding IS NOT NULL"

_HAVE_MANY = f"""
SELECT count(*) > %(most)s FROM (SELECT FROM likenesses l WHERE {_MINE} LIMIT %(most)s + 1) AS counted
"""  # noqa: S608 - constants, as below

_TARGET = "(SELECT embedding FROM likenesses WHERE tenant_id = %(tenant)s AND step_id = %(step)s)"

# Ordered by something that no index has: for few rows the tenant's own index and a sort are right, and lose nobody.
_NEAREST = f"""
WITH target AS MATERIALIZED (SELECT {_TARGET}::vector AS it)
SELECT l.job_id, l.step_id, s.name, 1 - (l.embedding::vector <=> (SELECT it FROM target)) AS score
FROM likenesses l JOIN steps s ON s.tenant_id = l.tenant_id AND s.id = l.step_id
WHERE {_MINE} AND l.job_id <> %(job)s
ORDER BY score DESC, l.step_id LIMIT %(limit)s
"""  # noqa: S608

# The index holds half the bits: what it puts first is ordered again by the whole ones.
_NEAREST_BY_INDEX = f"""
WITH candidates AS MATERIALIZED (
  SELECT l.job_id, l.step_id, l.embedding FROM likenesses l
  WHERE {_MINE} AND l.job_id <> %(job)s
  ORDER BY l.embedding::halfvec({DIMENSIONS}) <=> {_TARGET}::halfvec({DIMENSIONS}) LIMIT 2 * %(limit)s
)
SELECT c.job_id, c.step_id, s.name, 1 - (c.embedding::vector <=> {_TARGET}::vector) AS score
FROM candidates c JOIN steps s ON s.tenant_id = %(tenant)s AND s.id = c.step_id
ORDER BY score DESC, c.step_id LIMIT %(limit)s
"""  # noqa: S608

# For this transaction: the index goes on until it has found enough of the tenant's own. The rest keeps the planner from
# its estimates, which know nothing of vectors.
_BY_INDEX = """
SELECT set_config('hnsw.iterative_scan', 'strict_order', true), set_config('hnsw.ef_search', %(ef)s, true),
       set_config('hnsw.max_scan_tuples', %(most)s, true), set_config('enable_sort', 'off', true),
       set_config('jit', 'off', true)
"""
_WITHOUT_INDEX = "SELECT set_config('enable_sort', 'on', true), set_config('jit', 'off', true)"

_DUPLICATES = """
SELECT near.job_id, near.step_id, s.name, near.distance FROM (
  SELECT l.job_id, l.step_id, bit_count((l.phash # %(phash)s)::bit(64))::int AS distance FROM likenesses l
  WHERE l.tenant_id = %(tenant)s AND l.phash IS NOT NULL AND l.job_id <> %(job)s
) AS near JOIN steps s ON s.tenant_id = %(tenant)s AND s.id = near.step_id
WHERE near.distance <= %(most)s ORDER BY near.distance, near.step_id LIMIT %(limit)s
"""

_PGVECTOR = """
SELECT string_to_array(substring(extversion FROM '^[0-9]+[.][0-9]+'), '.')::int[] >= '{0,8}'
       AND to_regtype('halfvec') IS NOT NULL AS usable
FROM pg_extension WHERE extname = 'vector'
"""

_HORIZON = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"

_WRITTEN_SINCE = f"""
SELECT l.step_id, l.written FROM likenesses l WHERE {_MINE} AND l.written >= %(since)s LIMIT %(most)s
"""  # noqa: S608

_VECTORS = """
SELECT step_id, array_send(embedding) AS sent FROM likenesses
WHERE tenant_id = %(tenant)s AND step_id = ANY(%(steps)s) AND embedding IS NOT NULL
"""

_NAMED = """
SELECT l.job_id, l.step_id, s.name
FROM likenesses l JOIN steps s ON s.tenant_id = l.tenant_id AND s.id = l.step_id
WHERE l.tenant_id = %(tenant)s AND l.step_id = ANY(%(steps)s) AND l.embedding IS NOT NULL AND l.model = %(model)s
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Likeness:
    """What a step saw: an embedding of DIMENSIONS numbers, of any length but 0, and a hash of 64 bits, unsigned.

    `model` is "name/version" of the network that made the embedding.
    """

    job_id: JobId
    step_id: StepId
    embedding: Sequence[float] | None
    phash: int | None
    model: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """A likeness to which others are compared; `phash` as it is stored, signed."""

    job_id: JobId
    step_id: StepId
    step: str
    model: str
    embedded: bool
    phash: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """A picture that was found: cosine similarity cut to 0..1, or the share of equal bits with their `distance`."""

    job_id: JobId
    step_id: StepId
    step: str
    score: float
    distance: int | None = None


class Nearest(Protocol):
    """A search of the tenant's embeddings of one model, the job's own left out, most similar first.

    Works in a snapshot. Pictures under `least` (0..1) are not returned.
    """

    def __call__(self, tx: Tx, look: Look, *, limit: int, least: float) -> list[Match]: ...


def write(tx: Tx, likeness: Likeness) -> None:
    """Keep what a step saw, in place of what an earlier run of it saw; nothing is kept where it saw nothing.

    Raises NotStorable for an embedding of another size, of length 0, or with numbers that are not finite.
    """
    if likeness.embedding is None and likeness.phash is None:
        tx.sql("DELETE FROM likenesses WHERE tenant_id = %(tenant)s AND step_id = %(step)s", step=likeness.step_id)
        return
    tx.sql(
        _WRITE,
        step=likeness.step_id,
        job=likeness.job_id,
        model=likeness.model,
        embedding=None if likeness.embedding is None else _unit(likeness.embedding),
        phash=None if likeness.phash is None else _signed(likeness.phash),
    )


def of_job(tx: Tx, job_id: JobId) -> list[Look]:
    """What the job's steps saw, in the order of its document."""
    return [
        Look(
            job_id=job_id,
            step_id=StepId(row.step_id),
            step=row.name,
            model=row.model,
            embedded=row.embedded,
            phash=row.phash,
        )
        for row in tx.sql(_OF_JOB, job=job_id)
    ]


def duplicates(tx: Tx, look: Look, *, limit: int, max_distance: int) -> list[Match]:
    """Pictures of the tenant whose hash differs in at most so many bits, the nearest first; all are looked at."""
    rows = tx.sql(_DUPLICATES, phash=look.phash, job=look.job_id, most=max_distance, limit=limit)
    return [_match(row, score=1 - row.distance / _HASH_BITS, distance=row.distance) for row in rows]


def has_pgvector(tx: PlatformTx | Tx) -> bool:
    """Whether `nearest` works on this server: pgvector ≥ 0.8 is installed in the database, where we see it."""
    row = tx.sql(_PGVECTOR).one_or_none()
    return row is not None and bool(row.usable)


def nearest(tx: Tx, look: Look, *, limit: int, least: float) -> list[Match]:
    """The Nearest that pgvector does. Exact for tenants with up to EXACT_UP_TO pictures, else by the index."""
    asked = {"model": look.model, "job": look.job_id, "step": look.step_id, "limit": limit}
    many = tx.sql(_HAVE_MANY, model=look.model, most=EXACT_UP_TO).scalar_one()
    rows: Sequence[Any] = []
    if many:
        tx.sql(_BY_INDEX, ef=str(min(1000, max(FOLLOWED, 8 * limit))), most=str(MOST_SCANNED))
        rows = tx.sql(_NEAREST_BY_INDEX, **asked).all()
    if len(rows) < limit:
        tx.sql(_WITHOUT_INDEX)
        rows = tx.sql(_NEAREST, **asked).all()
    return [_match(row, score=cut(row.score)) for row in rows if cut(row.score) >= least]


def horizon(tx: Tx) -> int:
    """What later snapshots see and this one does not was `written` by this transaction or a later one."""
    return int(tx.sql(_HORIZON).scalar_one())


def written_since(tx: Tx, model: str, since: int, *, limit: int) -> dict[StepId, int]:
    """When the tenant's embeddings of a model were `written`: those since a horizon, at most `limit`, in any order."""
    return {StepId(row.step_id): row.written for row in tx.sql(_WRITTEN_SINCE, model=model, since=since, most=limit)}


def vectors(tx: Tx, steps: Iterable[StepId]) -> dict[StepId, "array[float]"]:
    """The embeddings of these steps, as numbers of 32 bits."""
    return {StepId(row.step_id): _received(row.sent) for row in tx.sql(_VECTORS, steps=list(steps))}


def matches(tx: Tx, model: str, scores: Mapping[StepId, float]) -> list[Match]:
    """Those of the scored steps that are still there, most similar first."""
    rows = tx.sql(_NAMED, steps=list(scores), model=model)
    found = [_match(row, score=cut(scores[StepId(row.step_id)])) for row in rows]
    return sorted(found, key=lambda match: (-match.score, match.step_id))


def cut(score: float) -> float:
    """A cosine as a score in 0..1: what points away is as unlike as what has nothing in common."""
    return min(1.0, max(0.0, score))


def _match(row: Any, *, score: float, distance: int | None = None) -> Match:
    return Match(job_id=JobId(row.job_id), step_id=StepId(row.step_id), step=row.name, score=score, distance=distance)


def _unit(embedding: Sequence[float]) -> list[float]:
    numbers = [float(number) for number in embedding]
    length = math.hypot(*numbers)
    if len(numbers) != DIMENSIONS:
        raise NotStorable(f"an embedding has {DIMENSIONS} numbers, not {len(numbers)}")
    if not math.isfinite(length) or length == 0:
        raise NotStorable("an embedding has finite numbers that are not all 0")
    return [number / length for number in numbers]


def _signed(phash: int) -> int:
    if not 0 <= phash < 1 << _HASH_BITS:
        raise NotStorable(f"a perceptual hash has {_HASH_BITS} bits and no sign")
    return phash - (phash >> (_HASH_BITS - 1) << _HASH_BITS)


def _received(sent: bytes) -> "array[float]":
    """Each element comes as its length and its number, both of 32 bits and the high byte first (array_send)."""
    numbers = array("f", sent[_ARRAY_HEAD:])[1::2]
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers
