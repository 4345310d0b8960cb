"""Pictures that look like another, over HTTP, by the client and on the command line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner, Result

from api.cli.commands import cli
from api.client import ApiError, Millrace
from api.errors import ConfigurationError
from api.likeness_cache import TOGETHER, LikenessCache
from storage import likenesses
from storage.database import Database
from storage.likenesses import DIMENSIONS
from storage.model import TenantId, new_job_id
from storage.tenants import ensure
from tests.api.conftest import Api, Caller, seen
from tests.api.refusing import assert_problem
from tests.api.serving import served, settings
from tests.api.test_openapi import made, validator
from tests.contracts.test_likenesses import MODEL, Gallery, random_vectors


@pytest.fixture
def gallery(api: Api) -> Gallery:
    return Gallery(api.database, api.acme.tenant)


def ask(caller: Caller, **params: Any) -> httpx2.Response:
    return caller.get("/v1/similar", params=params)


def refused(answer: httpx2.Response, status: int, code: str, *pointers: str) -> str:
    return assert_problem(answer.status_code, answer.headers, answer.json(), (status, code), pointers).detail


def test_similar_pictures_come_most_similar_first_without_the_picture_itself(api: Api, gallery: Gallery) -> None:
    job = gallery.hang(random_vectors(30, seed=1))[0]
    answer = ask(api.acme, job=job)
    assert answer.status_code == 200
    truth = gallery.truth(job)[:20]
    document = answer.json()
    assert document["model"] == MODEL
    assert [one["job"] for one in document["data"]] == [other for other, _ in truth]
    assert [one["score"] for one in document["data"]] == pytest.approx([score for _, score in truth], abs=1e-5)
    first = document["data"][0]
    assert (first["step"], first["distance"]) == ("look", None)
    assert first["filename"] is None
    assert api.acme.get(first["links"]["self"]).json()["id"] == first["job"]
    validator(made(), "SimilarPage").validate(document)


def test_limit_and_least_score_are_obeyed(api: Api, gallery: Gallery) -> None:
    job = gallery.hang(random_vectors(10, seed=2))[0]
    truth = gallery.truth(job)
    least = round(truth[3][1] - 1e-4, 6)
    few = ask(api.acme, job=job, limit=3).json()["data"]
    assert [one["job"] for one in few] == [other for other, _ in truth[:3]]
    alike = ask(api.acme, job=job, min_score=least).json()["data"]
    assert [one["job"] for one in alike] == [other for other, score in truth if score >= least]


def test_duplicates_are_those_whose_hash_differs_in_a_few_bits(api: Api, gallery: Gallery) -> None:
    hashes = [0xF0F0_F0F0_F0F0_F0F0, 0xF0F0_F0F0_F0F0_F0F0, 0x70F0_F0F0_F0F0_F0F7, 0x0F0F_F0F0_F0F0_F0F0]
    job, same, near, far = (gallery.hang([None], phash=phash)[0] for phash in hashes)
    document = ask(api.acme, duplicates_of=job).json()
    assert document["model"] is None
    assert [(one["job"], one["distance"]) for one in document["data"]] == [(same, 0), (near, 4)]
    assert [one["score"] for one in document["data"]] == [1.0, 1 - 4 / 64]
    assert [one["job"] for one in ask(api.acme, duplicates_of=job, max_distance=0).json()["data"]] == [same]
    assert [one["distance"] for one in ask(api.acme, duplicates_of=job, max_distance=64).json()["data"]] == [0, 4, 16]
    assert [one["job"] for one in ask(api.acme, duplicates_of=far, max_distance=20, limit=1).json()["data"]] == [job]
    validator(made(), "SimilarPage").validate(document)


def test_of_several_analyses_the_first_that_fits_counts_unless_one_is_named(api: Api, gallery: Gallery) -> None:
    vectors = random_vectors(3, seed=3)
    job, like_first, like_second = gallery.hang([vectors[0], vectors[0], vectors[1]])
    (second,) = gallery.add_steps([job], "second", position=1)
    gallery.see(job, second, vectors[1])
    assert ask(api.acme, job=job, limit=1).json()["data"][0]["job"] == like_first
    assert ask(api.acme, job=job, step="look", limit=1).json()["data"][0]["job"] == like_first
    assert ask(api.acme, job=job, step="second", limit=1).json()["data"][0]["job"] == like_second
    detail = refused(ask(api.acme, job=job, step="third"), 404, "no_embedding")
    assert detail == "step 'third' of the job has no embedding, or not yet; it has one of: look, second"


def test_a_tenant_neither_finds_nor_asks_about_the_pictures_of_another(api: Api, gallery: Gallery) -> None:
    vectors = random_vectors(3, seed=4)
    mine = gallery.hang(vectors, phash=1)
    theirs = Gallery(api.database, api.other.tenant).hang(vectors, phash=1)
    for how in ("job", "duplicates_of"):
        found = ask(api.acme, **{how: mine[0]}, limit=100).json()["data"]
        assert {one["job"] for one in found} == set(mine[1:])
        assert refused(ask(api.acme, **{how: theirs[0]}), 404, "not_found") == "there is no such job"


def test_a_job_that_is_deleted_over_http_is_not_found_any_more(api: Api, gallery: Gallery) -> None:
    job, gone, stays = gallery.hang(random_vectors(3, seed=5), phash=1)
    assert api.acme.ask("DELETE", f"/v1/jobs/{gone}").status_code == 204
    for how in ("job", "duplicates_of"):
        assert [one["job"] for one in ask(api.acme, **{how: job}).json()["data"]] == [stays]
        refused(ask(api.acme, **{how: gone}), 404, "not_found")
    with api.database.read(api.acme.tenant) as tx:
        left = tx.sql("SELECT job_id FROM likenesses WHERE tenant_id = %(tenant)s").scalars().all()
    assert sorted(left) == sorted([job, stays])


@pytest.mark.parametrize(("how", "feature"), [("job", "embedding"), ("duplicates_of", "phash")])
def test_a_job_that_nothing_is_known_of_says_what_to_ask_for(api: Api, how: str, feature: str) -> None:
    job = api.acme.post(json={"steps": {"say": {"kind": "echo"}}}).json()["id"]
    detail = refused(ask(api.acme, **{how: job}), 404, f"no_{feature}")
    assert f'"features": ["{feature}"]' in detail


def test_what_is_wrong_with_a_question_is_said(api: Api, gallery: Gallery) -> None:
    job = gallery.hang(random_vectors(1, seed=6), phash=1)[0]
    exactly = "give exactly one of 'job' and 'duplicates_of'"
    assert refused(ask(api.acme), 422, "invalid_parameter", "/query/job") == exactly
    assert refused(ask(api.acme, job=job, duplicates_of=job), 422, "invalid_parameter", "/query/job") == exactly
    refused(ask(api.acme, job=job, max_distance=3), 422, "invalid_parameter", "/query/max_distance")
    refused(ask(api.acme, duplicates_of=job, min_score=0.5), 422, "invalid_parameter", "/query/min_score")
    for name, value in (("limit", 0), ("limit", 101), ("min_score", "nan"), ("min_score", 1.1), ("step", "../x")):
        refused(ask(api.acme, job=job, **{name: value}), 422, "invalid_parameter", f"/query/{name}")
    refused(ask(api.acme, duplicates_of=job, max_distance=65), 422, "invalid_parameter", "/query/max_distance")
    for unknown in (new_job_id(), "job_1", "", "\x00"):
        refused(ask(api.acme, job=unknown), 404, "not_found")
    assert api.acme.http.get("/v1/similar", params={"job": job}).status_code == 401
    writer = api.key(api.acme, "jobs:write")
    assert api.acme.ask("GET", "/v1/similar", key=writer, params={"job": job}).status_code == 403


@pytest.fixture
def plain(database_url: str, database: Database) -> Iterator[Api]:
    """A server whose database has no pgvector, and where tenants may have five pictures."""
    with database.platform() as tx:
        tx.sql("DROP EXTENSION vector CASCADE")
    with served(settings(database_url, similar_max_pictures=5)) as running, seen(running, database) as api:
        yield api


def test_without_pgvector_the_answers_are_the_same(plain: Api) -> None:
    gallery = Gallery(plain.database, plain.acme.tenant)
    jobs = gallery.hang(random_vectors(5, seed=7))
    for job in jobs:
        found = ask(plain.acme, job=job).json()["data"]
        assert [one["job"] for one in found] == [other for other, _ in gallery.truth(job)]
    assert plain.served.app.state.searches.nearest.pictures() == 5


def test_without_pgvector_a_tenant_with_too_many_pictures_is_told_so(plain: Api) -> None:
    gallery, others = Gallery(plain.database, plain.acme.tenant), Gallery(plain.database, plain.other.tenant)
    jobs = gallery.hang(random_vectors(6, seed=8), phash=1)
    assert "pgvector" in refused(ask(plain.acme, job=jobs[0]), 503, "too_many_pictures")
    assert len(ask(plain.acme, duplicates_of=jobs[0]).json()["data"]) == 5
    mine, theirs = others.hang(random_vectors(2, seed=9))
    assert [one["job"] for one in ask(plain.other, job=mine).json()["data"]] == [theirs]
    assert plain.acme.ask("DELETE", f"/v1/jobs/{jobs[5]}").status_code == 204
    assert len(ask(plain.acme, job=jobs[0]).json()["data"]) == 4


def test_files_that_were_not_used_for_longest_are_given_up_first(database: Database, tmp_path: Path) -> None:
    cache = LikenessCache(tmp_path, most=3)
    galleries = []
    for number in range(TOGETHER + 2):
        with database.platform() as tx:
            galleries.append(Gallery(database, ensure(tx, f"tenant-{number}")))
    for round_ in range(2):
        for gallery in galleries:
            if round_ == 0:
                gallery.hang(random_vectors(3, seed=10))
            job = next(iter(gallery.vectors))
            assert len(gallery.search(cache, job)) == 2
            assert cache.pictures() <= TOGETHER * 3
    cache.close()
    assert cache.pictures() == 0


def test_a_database_that_was_moved_to_a_server_whose_numbers_begin_anew_is_read_whole(
    database: Database, tenant: TenantId, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, gallery = LikenessCache(tmp_path, most=10), Gallery(database, tenant)
    job, first = gallery.hang(random_vectors(2, seed=12))
    assert [match.job_id for match in gallery.search(cache, job)] == [first]
    (second,) = gallery.hang(random_vectors(1, seed=13))
    with database.begin(tenant) as tx:
        tx.sql("UPDATE likenesses SET written = 1 WHERE tenant_id = %(tenant)s AND job_id = %(job)s", job=second)
    monkeypatch.setattr(likenesses, "horizon", lambda _: 2)
    assert {match.job_id for match in gallery.search(cache, job)} == {first, second}
    cache.close()


def test_a_folder_that_cannot_be_written_is_said_to_be_one(plain: Api, tmp_path: Path) -> None:
    gallery = Gallery(plain.database, plain.acme.tenant)
    job, other = gallery.hang(random_vectors(2, seed=11))
    searches = plain.served.app.state.searches
    searches.nearest = LikenessCache(tmp_path / "gone", most=5)
    assert "CACHE_DIR" in refused(ask(plain.acme, job=job), 503, "cache_unwritable")
    (tmp_path / "gone").mkdir()
    assert [one["job"] for one in ask(plain.acme, job=job).json()["data"]] == [other]


@pytest.mark.parametrize(("name", "value"), [("CACHE_DIR", "/nowhere/at/all"), ("SIMILAR_MAX_PICTURES", "0")])
def test_a_bad_setting_of_the_search_is_named(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name} must be"):
        settings("postgresql://nobody@127.0.0.1:1/nothing", {name: value})


@pytest.fixture
def client(api: Api) -> Iterator[Millrace]:
    with Millrace(api.url, api.acme.key) as client:
        yield client


def run(api: Api, *arguments: str) -> Result:
    environ = {"MILLRACE_URL": api.url, "MILLRACE_API_KEY": api.acme.key}
    result = CliRunner(env=environ).invoke(cli, ["similar", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_the_client_finds_similar_pictures_and_duplicates(api: Api, gallery: Gallery, client: Millrace) -> None:
    job, other = gallery.hang([[1.0] * DIMENSIONS] * 2, phash=2**63)
    (found,) = client.similar(job, step="look", limit=5, min_score=0.5)
    assert (found.job, found.step, found.score, found.distance, found.model) == (other, "look", 1.0, None, MODEL)
    assert found.raw["links"]["self"].endswith(other)
    (same,) = client.duplicates(job, step="look", limit=5, max_distance=0)
    assert (same.job, same.score, same.distance, same.model) == (other, 1.0, 0, None)
    with pytest.raises(ApiError) as caught:
        client.similar(new_job_id())
    assert caught.value.code == "not_found"


def test_the_command_lists_what_it_found(api: Api, gallery: Gallery) -> None:
    job, other = gallery.hang([[1.0] * DIMENSIONS] * 2, phash=2**63)
    assert [line.split() for line in run(api, job).stdout.splitlines()] == [
        ["photo", "job", "step", "score"],
        [other, "look", "1.000"],
    ]
    assert [line.split() for line in run(api, "--duplicates", job).stdout.splitlines()] == [
        ["photo", "job", "step", "score", "bits"],
        [other, "look", "1.000", "0"],
    ]
    assert json.loads(run(api, job, "--json").stdout)["job"] == other
    (alone,) = gallery.hang([None], phash=1)
    nothing = run(api, "--duplicates", alone, "--max-distance", "0")
    assert (nothing.exit_code, nothing.stdout, nothing.stderr) == (0, "", "There is none.\n")
    missing = run(api, alone)
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert missing.stderr.endswith("(no_embedding)\n")
    for arguments in (["--duplicates", "--min-score", "0.5"], ["--max-distance", "3"], ["--limit", "0"]):
        assert run(api, job, *arguments).exit_code == 2
    assert "  millrace similar --duplicates " in run(api, "--help").stdout


def test_the_files_name_is_told(api: Api, gallery: Gallery) -> None:
    job, other = gallery.hang(random_vectors(2, seed=9))
    with api.database.platform() as tx:
        named = (
            """UPDATE jobs SET input = '{"key": "k", "filename": "cat.png", "content_type": "image/png", "bytes": 1}'"""
        )
        tx.sql(named + " WHERE id = %(id)s", id=other)
    assert [one["filename"] for one in ask(api.acme, job=job).json()["data"]] == ["cat.png"]
    assert [one["filename"] for one in ask(api.acme, job=other).json()["data"]] == [None]
