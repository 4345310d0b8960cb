"""What every search of embeddings does, by pgvector and by NumPy alike; all rows are in a real database."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from api.likeness_cache import LikenessCache
from storage import likenesses, retention
from storage.database import Database
from storage.likenesses import DIMENSIONS, Likeness, Look, Match, Nearest
from storage.model import JobId, StepId, TenantId, new_job_id, new_step_id
from storage.tenants import ensure

MODEL = "lite0/1"
Vectors = NDArray[np.float64]

_JOBS = """
INSERT INTO jobs (tenant_id, id, state, priority, metadata, steps_total, steps_open, finished_at)
SELECT %(tenant)s, id, 'succeeded', 3, '{}', 1, 0, now() FROM unnest(%(jobs)s::text[]) AS id
"""
_STEPS = """
INSERT INTO steps (tenant_id, id, job_id, position, name, kind, queue, priority, params, uses, waiting_on, state,
                   max_attempts)
SELECT %(tenant)s, step, job, %(position)s, %(name)s, 'image.analyze', 'ai', 3, '{}', '{}', 0, 'succeeded', 3
FROM unnest(%(steps)s::text[], %(jobs)s::text[]) AS of (step, job)
"""


class Gallery:
    """A tenant's pictures: the jobs with their vectors, in the order in which they were hung."""

    def __init__(self, database: Database, tenant: TenantId) -> None:
        self.database = database
        self.tenant = tenant
        self.vectors: dict[JobId, Any] = {}

    def hang(self, vectors: Sequence[Any] | Vectors, *, model: str = MODEL, phash: int | None = None) -> list[JobId]:
        """A job with one analysis for each vector."""
        jobs = [new_job_id() for _ in vectors]
        with self.database.begin(self.tenant) as tx:
            tx.sql(_JOBS, jobs=jobs)
        steps = self.add_steps(jobs)
        with self.database.begin(self.tenant) as tx:
            for job, step, vector in zip(jobs, steps, vectors, strict=True):
                seen = Likeness(job_id=job, step_id=step, embedding=vector, phash=phash, model=model)
                likenesses.write(tx, seen)
        self.vectors |= dict(zip(jobs, vectors, strict=True))
        return jobs

    def add_steps(self, jobs: list[JobId], name: str = "look", position: int = 0) -> list[StepId]:
        steps = [new_step_id() for _ in jobs]
        with self.database.begin(self.tenant) as tx:
            tx.sql(_STEPS, jobs=jobs, steps=steps, name=name, position=position)
        return steps

    def see(self, job: JobId, step: StepId, vector: Any, *, model: str = MODEL, phash: int | None = None) -> None:
        """What a worker writes when the step ends."""
        seen = Likeness(job_id=job, step_id=step, embedding=vector, phash=phash, model=model)
        with self.database.begin(self.tenant) as tx:
            likenesses.write(tx, seen)

    def look(self, job: JobId) -> Look:
        with self.database.read(self.tenant) as tx:
            return likenesses.of_job(tx, job)[0]

    def search(self, nearest: Nearest, job: JobId, *, limit: int = 10, least: float = 0.0) -> list[Match]:
        look = self.look(job)
        with self.database.snapshot(self.tenant) as tx:
            return nearest(tx, look, limit=limit, least=least)

    def truth(self, job: JobId) -> list[tuple[JobId, float]]:
        """By brute force: all other jobs with their cosine, cut to 0..1, most similar first."""
        asked = np.asarray(self.vectors[job])
        cosines = {
            other: float(np.dot(asked, vector) / np.linalg.norm(asked) / np.linalg.norm(vector))
            for other, vector in self.vectors.items()
            if other != job
        }
        return sorted(((other, max(0.0, score)) for other, score in cosines.items()), key=lambda it: -it[1])


def random_vectors(count: int, seed: int) -> Vectors:
    """Like those of pictures: in a few clusters, each a little different, of any length."""
    chance = np.random.default_rng(seed)
    centres = np.abs(chance.normal(size=(5, DIMENSIONS)))
    vectors: Vectors = centres[chance.integers(0, 5, count)] + 0.5 * chance.normal(size=(count, DIMENSIONS))
    return vectors * chance.uniform(0.1, 10, (count, 1))


@pytest.fixture(params=["pgvector", "pgvector by its index", "numpy"])
def nearest(
    request: pytest.FixtureRequest, tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Nearest]:
    if request.param == "numpy":
        cache = LikenessCache(tmp_path, most=1000)
        yield cache
        cache.close()
        assert list(tmp_path.iterdir()) == []
        return
    with database.platform_read() as tx:
        assert likenesses.has_pgvector(tx)
    if request.param == "pgvector by its index":
        monkeypatch.setattr(likenesses, "EXACT_UP_TO", 0)
    yield likenesses.nearest


@pytest.fixture
def acme(database: Database, tenant: TenantId) -> Gallery:
    return Gallery(database, tenant)


@pytest.fixture
def other(database: Database) -> Gallery:
    with database.platform() as tx:
        return Gallery(database, ensure(tx, "other"))


def jobs_of(found: Sequence[Match]) -> list[JobId]:
    return [match.job_id for match in found]


def test_the_nearest_are_found_in_their_order_with_their_cosine(nearest: Nearest, acme: Gallery) -> None:
    jobs = acme.hang(random_vectors(200, seed=1))
    for job in jobs[:20]:
        found = acme.search(nearest, job, limit=15)
        truth = acme.truth(job)[:15]
        assert jobs_of(found) == [other for other, _ in truth]
        assert [match.score for match in found] == pytest.approx([score for _, score in truth], abs=1e-6)
        assert {match.step for match in found} == {"look"}


def test_a_picture_that_points_away_scores_nothing_and_one_that_is_the_same_scores_one(
    nearest: Nearest, acme: Gallery
) -> None:
    vector = random_vectors(1, seed=2)[0]
    job, same, away = acme.hang([vector, 7 * vector, -vector])
    assert [(match.job_id, match.score) for match in acme.search(nearest, job)] == [
        (same, pytest.approx(1, abs=1e-6)),
        (away, 0.0),
    ]
    assert all(0 <= match.score <= 1 for match in acme.search(nearest, job))


def test_what_is_less_alike_than_asked_for_is_left_out(nearest: Nearest, acme: Gallery) -> None:
    job = acme.hang(random_vectors(60, seed=3))[0]
    truth = acme.truth(job)
    least = truth[4][1] - 1e-4
    assert jobs_of(acme.search(nearest, job, least=least)) == [other for other, score in truth if score >= least]


def test_the_limit_may_be_larger_than_what_there_is(nearest: Nearest, acme: Gallery) -> None:
    alone, *others = acme.hang(random_vectors(4, seed=4))
    assert len(acme.search(nearest, alone, limit=2)) == 2
    assert set(jobs_of(acme.search(nearest, alone, limit=100))) == set(others)


def test_a_picture_without_others_has_none_like_it(nearest: Nearest, acme: Gallery) -> None:
    (job,) = acme.hang(random_vectors(1, seed=5))
    assert acme.search(nearest, job) == []


def test_a_tenant_finds_its_own_only_and_all_of_them(nearest: Nearest, acme: Gallery, other: Gallery) -> None:
    vectors = random_vectors(120, seed=6)
    mine = acme.hang(vectors[:5])
    theirs = other.hang(vectors[:100])  # the same pictures, and many more
    assert set(jobs_of(acme.search(nearest, mine[0], limit=100))) == set(mine[1:])
    assert set(jobs_of(other.search(nearest, theirs[0], limit=100))) == set(theirs[1:])
    assert set(jobs_of(acme.search(nearest, mine[1], limit=100))) == {mine[0], *mine[2:]}


def test_embeddings_of_another_model_are_not_compared(nearest: Nearest, acme: Gallery) -> None:
    vectors = random_vectors(6, seed=7)
    first = acme.hang(vectors)
    second = acme.hang(vectors, model="lite0/2")
    assert set(jobs_of(acme.search(nearest, first[0]))) == set(first[1:])
    assert set(jobs_of(acme.search(nearest, second[0]))) == set(second[1:])


def test_the_other_steps_of_the_same_job_are_not_among_the_answers(nearest: Nearest, acme: Gallery) -> None:
    job, other = acme.hang(random_vectors(2, seed=8))
    (again,) = acme.add_steps([job], "again", position=1)
    acme.see(job, again, acme.vectors[job])
    assert jobs_of(acme.search(nearest, job)) == [other]
    found = acme.search(nearest, other)
    assert jobs_of(found) == [job, job]
    assert {match.step for match in found} == {"look", "again"}


def test_a_new_picture_is_found_at_once(nearest: Nearest, acme: Gallery) -> None:
    jobs = acme.hang(random_vectors(3, seed=9))
    assert set(jobs_of(acme.search(nearest, jobs[0]))) == set(jobs[1:])
    (new,) = acme.hang([acme.vectors[jobs[0]]])
    assert jobs_of(acme.search(nearest, jobs[0]))[0] == new
    assert jobs_of(acme.search(nearest, new))[0] == jobs[0]


def test_a_step_that_ran_again_counts_with_what_it_saw_last(nearest: Nearest, acme: Gallery) -> None:
    job, near, far = acme.hang([[1.0] * DIMENSIONS, [1.0] * 1279 + [2.0], [1.0] + [0.0] * 1279])
    assert jobs_of(acme.search(nearest, job)) == [near, far]
    for moved, vector in ((near, [0.0] * 1279 + [1.0]), (far, [1.0] * 1279 + [1.5])):
        acme.see(moved, acme.look(moved).step_id, vector)
    found = acme.search(nearest, job)
    assert jobs_of(found) == [far, near]
    assert found[1].score == pytest.approx(DIMENSIONS**-0.5, abs=1e-6)
    acme.see(far, acme.look(far).step_id, None, phash=1)  # this time no embedding was asked for
    assert jobs_of(acme.search(nearest, job)) == [near]


def test_a_deleted_job_is_not_found_any_more(nearest: Nearest, acme: Gallery) -> None:
    jobs = acme.hang(random_vectors(30, seed=10))
    gone = jobs_of(acme.search(nearest, jobs[0], limit=20))[:10]
    with acme.database.begin(acme.tenant) as tx:
        for job in gone:
            assert retention.delete(tx, job)
            del acme.vectors[job]
    found = acme.search(nearest, jobs[0], limit=15)
    assert jobs_of(found) == [other for other, _ in acme.truth(jobs[0])[:15]]


def test_what_commits_later_than_its_successor_is_found_too(nearest: Nearest, acme: Gallery) -> None:
    job, slow, quick = acme.hang(random_vectors(3, seed=11))
    for one in (slow, quick):
        acme.see(one, acme.look(one).step_id, None, phash=1)  # to be written anew below
    slow_step, quick_step = (acme.look(one).step_id for one in (slow, quick))
    with acme.database.begin(acme.tenant) as tx:
        seen = Likeness(job_id=slow, step_id=slow_step, embedding=acme.vectors[slow], phash=None, model=MODEL)
        likenesses.write(tx, seen)
        acme.see(quick, quick_step, acme.vectors[quick])  # a later transaction, which commits first
        assert jobs_of(acme.search(nearest, job)) == [quick]
    assert set(jobs_of(acme.search(nearest, job))) == {slow, quick}


def test_a_search_in_an_older_snapshot_neither_sees_what_is_new_nor_hides_it_from_others(
    nearest: Nearest, acme: Gallery
) -> None:
    job, first = acme.hang(random_vectors(2, seed=12))
    look = acme.look(job)
    with acme.database.snapshot(acme.tenant) as old:
        assert jobs_of(nearest(old, look, limit=10, least=0)) == [first]
        (second,) = acme.hang(random_vectors(1, seed=13))
        assert set(jobs_of(acme.search(nearest, job))) == {first, second}
        assert jobs_of(nearest(old, look, limit=10, least=0)) == [first]
    assert set(jobs_of(acme.search(nearest, job))) == {first, second}


def test_searches_at_once_are_as_searches_one_by_one(nearest: Nearest, acme: Gallery) -> None:
    jobs = acme.hang(random_vectors(40, seed=14))
    with ThreadPoolExecutor(4) as pool:
        growing = pool.submit(lambda: [acme.hang([-np.ones(DIMENSIONS)]) for _ in range(20)])
        found = list(pool.map(lambda job: jobs_of(acme.search(nearest, job, limit=5)), jobs))
        growing.result()
    assert found == [[other for other, _ in acme.truth(job)[:5]] for job in jobs]
    assert len(acme.search(nearest, jobs[0], limit=100)) == 59
