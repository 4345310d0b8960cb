"""`python -m tests.bench.similar`: a search for similar pictures, by pgvector and by NumPy, beside a bare dot product.

Needs 1 GB below the temporary folder for each 100,000 pictures, and a few minutes.
"""

import resource
import statistics
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import psycopg
from numpy.typing import NDArray

from api.likeness_cache import LikenessCache
from deploy.local.servers import embedded_servers
from storage import likenesses
from storage.database import Database
from storage.likenesses import DIMENSIONS, Likeness, Look, Match, Nearest
from storage.migrate import upgrade
from storage.model import JobId, StepId, TenantId
from storage.settings import DatabaseSettings
from storage.tenants import ensure

MODEL = "bench/1"
LOOKS = 20
LIMIT = 20
CHUNK = 5000
CENTRES = 300  # of the clusters in which the vectors lie

_JOBS = """
INSERT INTO jobs (tenant_id, id, state, priority, metadata, steps_total, steps_open)
SELECT %(tenant)s, 'job_' || i, 'succeeded', 3, '{}', 1, 0 FROM generate_series(%(first)s::int, %(last)s::int) AS i
"""
_STEPS = """
INSERT INTO steps (tenant_id, id, job_id, position, name, kind, queue, priority, params, uses, waiting_on, state,
                   max_attempts)
SELECT %(tenant)s, 'stp_' || i, 'job_' || i, 0, 'look', 'image.analyze', 'ai', 3, '{}', '{}', 0, 'succeeded', 3
FROM generate_series(%(first)s::int, %(last)s::int) AS i
"""
_COPY = "COPY likenesses (tenant_id, step_id, job_id, model, embedding, phash, written) FROM STDIN (FORMAT binary)"
_DROP_INDEX = "DROP INDEX ix_likenesses_embedding"
_INDEX = "CREATE INDEX ix_likenesses_embedding ON likenesses USING hnsw ((embedding::halfvec(1280)) halfvec_cosine_ops)"


@click.command()
@click.argument("sizes", nargs=-1, type=click.IntRange(100))
def similar(sizes: tuple[int, ...]) -> None:
    """Fill a database of its own with one tenant for each of SIZES (default: 10000 100000), and search."""
    with tempfile.TemporaryDirectory() as folder, embedded_servers(Path(folder), ["postgres"], durable=False) as urls:
        assert urls.database is not None
        upgrade(urls.database)
        database = Database(DatabaseSettings(url=urls.database, direct_url=urls.database, pool_size=2))
        with psycopg.connect(urls.database, autocommit=True) as connection:
            connection.execute(_DROP_INDEX)
            made = list(_made(database, connection, sizes or (10_000, 100_000)))
            connection.execute("SET maintenance_work_mem = '2GB'")
            took, _ = _timed(lambda: connection.execute(_INDEX))
            row = connection.execute("SELECT pg_relation_size('ix_likenesses_embedding') / 1048576").fetchone()
            print(f"index over all pictures: {took:.0f} s to make, {row and row[0]} MiB")
            connection.execute("VACUUM ANALYZE likenesses")
        for tenant, vectors in made:
            print(f"\n{len(vectors):,} pictures")
            _measure(database, tenant, vectors, Path(folder))
        database.close()


def _made(
    database: Database, connection: "psycopg.Connection[Any]", sizes: tuple[int, ...]
) -> Iterator[tuple[TenantId, NDArray[np.float32]]]:
    first = 1
    for number, size in enumerate(sizes):
        with database.platform() as tx:
            tenant = ensure(tx, f"bench-{number}")
            tx.sql("SET LOCAL statement_timeout = 0")
            for statement in (_JOBS, _STEPS):
                tx.sql(statement, tenant=tenant, first=first, last=first + size - 1)
        vectors = _vectors(size, number)
        with connection.cursor().copy(_COPY) as copy:
            copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
            for offset, vector in enumerate(vectors, first):
                copy.write(_row(tenant, offset, vector))
            copy.write(struct.pack(">h", -1))
        yield tenant, vectors
        first += size


def _vectors(size: int, seed: int) -> NDArray[np.float32]:
    chance = np.random.default_rng(seed)
    centres = np.abs(chance.normal(size=(CENTRES, DIMENSIONS))).astype(np.float32)
    vectors = np.empty((size, DIMENSIONS), np.float32)
    for first in range(0, size, CHUNK):
        part = vectors[first : first + CHUNK]
        part[:] = centres[chance.integers(0, CENTRES, len(part))] + 0.7 * chance.standard_normal(part.shape, np.float32)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return vectors


def _row(tenant: TenantId, number: int, vector: NDArray[np.float32]) -> bytes:
    """One row as COPY takes it."""
    elements = np.empty(DIMENSIONS, [("bytes", ">i4"), ("number", ">f4")])
    elements["bytes"], elements["number"] = 4, vector
    embedding = struct.pack(">iiiii", 1, 0, 700, DIMENSIONS, 1) + elements.tobytes()
    phash = int.from_bytes(np.packbits(vector[:64] > np.median(vector[:64])).tobytes(), "big", signed=True)
    words = [word.encode() for word in (tenant, f"stp_{number}", f"job_{number}", MODEL)]
    fields = [*words, embedding, struct.pack(">q", phash), struct.pack(">q", 3)]
    return struct.pack(">h", len(fields)) + b"".join(struct.pack(">i", len(field)) + field for field in fields)


def _measure(database: Database, tenant: TenantId, vectors: NDArray[np.float32], folder: Path) -> None:
    with database.read(tenant) as tx:
        first = int(
            tx.sql("SELECT min(substr(step_id, 5)::int) FROM likenesses WHERE tenant_id = %(tenant)s").scalar_one()
        )
    chosen = np.random.default_rng(0).integers(0, len(vectors), LOOKS)
    looks = [_look(first + int(number)) for number in chosen]
    truth = [_nearest_of(vectors, int(number), first) for number in chosen]
    dot = statistics.median(_timed(partial(np.dot, vectors, vectors[number]))[0] for number in chosen)
    _say("plain NumPy: the dot product alone", [dot], dot)

    took, found = _searched(database, tenant, likenesses.nearest, looks)
    how = "every picture looked at" if len(vectors) <= likenesses.EXACT_UP_TO else "by its index"
    _say(f"pgvector, {how}, recall {_recall(found, truth):.3f}", took, dot)
    cache = LikenessCache(folder, most=len(vectors))
    before = _peak()
    took, _ = _searched(database, tenant, cache, looks[:1])
    _say("NumPy, the first search, which reads all", took, dot)
    took, found = _searched(database, tenant, cache, looks)
    _say(f"NumPy, the next ones, recall {_recall(found, truth):.3f}", took, dot)
    print(f"  peak memory {_peak() - before:+,} MiB, of which {vectors.nbytes >> 20:,} MiB are the mapped file")
    took = []
    for number, look in enumerate(looks):
        with database.begin(tenant) as tx:
            job, step = JobId(f"job_{first + number}"), StepId(f"stp_{first + number}")
            seen = Likeness(job_id=job, step_id=step, embedding=vectors[number].tolist(), phash=1, model=MODEL)
            began = time.perf_counter()
            likenesses.write(tx, seen)
            took.append(time.perf_counter() - began)
        _searched(database, tenant, cache, [look])
    _say("writing a picture in place of another", took, dot)
    cache.close()

    hashed = [_phash(database, tenant, look) for look in looks]
    took = [_timed(partial(_duplicates, database, tenant, look))[0] for look in hashed]
    _say("duplicates by hash", took, dot)


def _look(number: int, phash: int | None = None) -> Look:
    step, job = StepId(f"stp_{number}"), JobId(f"job_{number}")
    return Look(job_id=job, step_id=step, step="look", model=MODEL, embedded=True, phash=phash)


def _phash(database: Database, tenant: TenantId, look: Look) -> Look:
    with database.read(tenant) as tx:
        return likenesses.of_job(tx, look.job_id)[0]


def _duplicates(database: Database, tenant: TenantId, look: Look) -> list[Match]:
    with database.read(tenant) as tx:
        return likenesses.duplicates(tx, look, limit=LIMIT, max_distance=6)


def _nearest_of(vectors: NDArray[np.float32], number: int, first: int) -> set[str]:
    scores = vectors @ vectors[number]
    scores[number] = -1
    return {f"stp_{first + row}" for row in np.argpartition(scores, -LIMIT)[-LIMIT:]}


def _searched(
    database: Database, tenant: TenantId, nearest: Nearest, looks: list[Look]
) -> tuple[list[float], list[set[str]]]:
    took, found = [], []
    for look in looks:
        began = time.perf_counter()
        with database.snapshot(tenant) as tx:
            matches = nearest(tx, look, limit=LIMIT, least=0.0)
        took.append(time.perf_counter() - began)
        found.append({str(match.step_id) for match in matches})
    return took, found


def _recall(found: list[set[str]], truth: list[set[str]]) -> float:
    return sum(len(one & other) for one, other in zip(found, truth, strict=True)) / sum(map(len, truth))


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    answer = call()
    return time.perf_counter() - began, answer


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def _say(words: str, took: list[float], dot: float) -> None:
    median = statistics.median(took)
    print(f"  {words:<52} median {1000 * median:8.1f} ms   max {1000 * max(took):8.1f}   {median / dot:6.1f} x the dot")


if __name__ == "__main__":
    similar(prog_name="python -m tests.bench.similar")
