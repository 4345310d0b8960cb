"""What pictures look like, in the database: what is kept, for how long, and by which way it is found."""

import math
import random
from typing import Any

import pytest

from storage import likenesses, retention, steps
from storage.database import Database
from storage.errors import DatabaseRefused, NotStorable
from storage.likenesses import DIMENSIONS, Likeness
from storage.model import JobId, JobState, StepId, TenantId, new_job_id
from storage.tenants import ensure
from tests.contracts.test_likenesses import MODEL, Gallery, random_vectors
from tests.documents import put_in, taken


@pytest.fixture
def gallery(database: Database, tenant: TenantId) -> Gallery:
    return Gallery(database, tenant)


def kept(gallery: Gallery) -> list[Any]:
    with gallery.database.read(gallery.tenant) as tx:
        return list(tx.sql("SELECT * FROM likenesses WHERE tenant_id = %(tenant)s ORDER BY job_id").all())


def distances(gallery: Gallery, job: JobId, *, most: int, limit: int = 100) -> list[tuple[JobId, int]]:
    look = gallery.look(job)
    with gallery.database.read(gallery.tenant) as tx:
        found = likenesses.duplicates(tx, look, limit=limit, max_distance=most)
    return [(match.job_id, match.distance or 0) for match in found]


def test_a_worker_writes_it_in_the_transaction_that_ends_the_step(database: Database, tenant: TenantId) -> None:
    claim = taken(database, tenant, put_in(database, tenant), "say")
    seen = Likeness(
        job_id=claim.job_id, step_id=claim.step_id, embedding=[3.0] * DIMENSIONS, phash=2**64 - 1, model=MODEL
    )
    with database.begin(tenant) as tx:
        steps.succeed(tx, claim, {})
        likenesses.write(tx, seen)
    gallery = Gallery(database, tenant)
    look = gallery.look(claim.job_id)
    assert (look.step_id, look.step, look.model, look.embedded) == (claim.step_id, "say", MODEL, True)
    with database.read(tenant) as tx:
        vector = likenesses.vectors(tx, [claim.step_id])[claim.step_id]
    assert list(vector) == pytest.approx([1 / math.sqrt(DIMENSIONS)] * DIMENSIONS, abs=1e-7)


def test_a_step_that_runs_again_replaces_what_it_saw(gallery: Gallery) -> None:
    (job,) = gallery.hang(random_vectors(1, seed=1), phash=1)
    step = gallery.look(job).step_id
    (before,) = kept(gallery)
    gallery.see(job, step, None, phash=2, model="other/2")
    (after,) = kept(gallery)
    assert (after.embedding, after.phash, after.model) == (None, 2, "other/2")
    assert after.written > before.written
    gallery.see(job, step, None)
    assert kept(gallery) == []


@pytest.mark.parametrize(
    ("embedding", "phash"),
    [
        ([1.0] * (DIMENSIONS - 1), None),
        ([0.0] * DIMENSIONS, None),
        ([math.nan] * DIMENSIONS, None),
        ([math.inf] + [0.0] * (DIMENSIONS - 1), None),
        (None, -1),
        (None, 2**64),
    ],
)
def test_what_cannot_be_compared_is_not_stored(gallery: Gallery, embedding: Any, phash: int | None) -> None:
    (job,) = gallery.hang([[1.0] * DIMENSIONS])
    with pytest.raises(NotStorable):
        gallery.see(job, gallery.look(job).step_id, embedding, phash=phash)
    assert len(kept(gallery)) == 1


def test_nothing_is_kept_of_a_job_that_is_not_there(gallery: Gallery) -> None:
    with pytest.raises(DatabaseRefused):
        gallery.see(new_job_id(), StepId("stp_1"), None, phash=1)


def test_it_goes_with_its_job_when_that_has_been_kept_long_enough(gallery: Gallery) -> None:
    old, young = gallery.hang(random_vectors(2, seed=2), phash=1)
    with gallery.database.begin(gallery.tenant) as tx:
        tx.sql(
            "UPDATE jobs SET finished_at = now() - interval '2 days' WHERE tenant_id = %(tenant)s AND id = %(job)s",
            job=old,
        )
    with gallery.database.platform() as platform:
        assert retention.delete_old(platform, {JobState.SUCCEEDED: 86_400}, limit=10) == 1
    assert [row.job_id for row in kept(gallery)] == [young]


def test_distances_of_hashes_are_counted_over_all_64_bits(gallery: Gallery) -> None:
    chance = random.Random(1)
    base = chance.getrandbits(64)
    hashes = [base, *(base ^ sum(1 << bit for bit in chance.sample(range(64), count)) for count in range(0, 65, 4))]
    jobs = {gallery.hang([None], phash=phash)[0]: phash for phash in hashes}
    first = next(iter(jobs))
    truth = [(job, (base ^ phash).bit_count()) for job, phash in jobs.items() if job != first]
    assert distances(gallery, first, most=64) == sorted(truth, key=lambda it: it[1])
    assert distances(gallery, first, most=20) == [it for it in truth if it[1] <= 20]
    assert distances(gallery, first, most=64, limit=3) == truth[:3]


def test_hashes_of_another_tenant_are_not_compared(gallery: Gallery) -> None:
    with gallery.database.platform() as tx:
        other = Gallery(gallery.database, ensure(tx, "other"))
    job, same = gallery.hang([None, None], phash=7)
    other.hang([None, None], phash=7)
    assert distances(gallery, job, most=64) == [(same, 0)]


def plan(gallery: Gallery, statement: str, **settings: str) -> str:
    """How the server would go about a search."""
    (job,) = gallery.hang(random_vectors(1, seed=3))
    look = gallery.look(job)
    asked = {"model": MODEL, "job": job, "step": look.step_id, "limit": 20}
    with gallery.database.snapshot(gallery.tenant) as tx:
        tx.sql(likenesses._BY_INDEX, ef="100", most="1000")
        for name, value in settings.items():
            tx.sql("SELECT set_config(%(name)s, %(value)s, true)", name=name, value=value)
        return "\n".join(tx.sql("EXPLAIN " + statement, **asked).scalars())


def test_few_pictures_are_all_looked_at_through_the_tenants_own_index(gallery: Gallery) -> None:
    shown = plan(gallery, likenesses._NEAREST, enable_seqscan="off")
    assert "ix_likenesses_embedding" not in shown
    assert "(l.tenant_id = " in shown or "(tenant_id = " in shown
    assert "Index" in shown


def test_among_many_pictures_the_index_over_embeddings_is_asked(gallery: Gallery) -> None:
    shown = plan(gallery, likenesses._NEAREST_BY_INDEX, enable_seqscan="off", enable_bitmapscan="off")
    assert "Index Scan using ix_likenesses_embedding on likenesses l" in shown


def test_a_small_tenant_among_a_large_one_finds_all_of_its_own(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever way is chosen: the index alone, which sees 13 times as many of the others, would lose some."""
    with gallery.database.platform() as tx:
        large = Gallery(gallery.database, ensure(tx, "large"))
    vectors = random_vectors(430, seed=4)
    mine = gallery.hang(vectors[:30])
    large.hang(vectors[30:])
    for exact_up_to in (likenesses.EXACT_UP_TO, 0):
        monkeypatch.setattr(likenesses, "EXACT_UP_TO", exact_up_to)
        for job in mine[:10]:
            found = gallery.search(likenesses.nearest, job, limit=29)
            assert [match.job_id for match in found] == [other for other, _ in gallery.truth(job)]


def test_the_index_alone_finds_nearly_all_that_brute_force_finds(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(likenesses, "EXACT_UP_TO", 0)
    monkeypatch.setattr(likenesses, "_NEAREST", "SELECT")  # what would look at all of them, where the index fell short
    jobs = gallery.hang(random_vectors(500, seed=5))
    hits = 0
    for job in jobs[:20]:
        found = gallery.search(likenesses.nearest, job, limit=10)
        hits += len({match.job_id for match in found} & {other for other, _ in gallery.truth(job)[:10]})
    assert hits >= 0.98 * 20 * 10
