"""Deleting ended jobs: nothing of them is left, whatever the store does."""

import json

import httpx2
import pytest

from storage import jobs
from storage.errors import ObjectStoreUnavailable
from storage.model import Job, JobId
from tests.api.conftest import Api
from tests.api.refusing import assert_problem, leaving_nothing
from tests.api.storing import put_output, sweep
from tests.api.stream import watching
from tests.api.wire import END, MULTIPART, part
from tests.api.working import failed, give_up, shown, start, succeed
from tests.documents import put_in, taken

RESIZE = {"steps": {"thumbs": {"kind": "image.resize", "variants": [{"name": "small", "width": 320}]}}}
OUTPUT = {"name": "small", "width": 3, "height": 2, "bytes": 7, "content_type": "image/png"}
UPLOAD = part("job", json.dumps(RESIZE).encode()) + part("file", b"a picture", filename="a.png") + END


@pytest.fixture(autouse=True)
def nothing_to_sweep(request: pytest.FixtureRequest) -> None:
    """What other tests left to the sweeper is not counted."""
    sweep(request.getfixturevalue("any_api" if "any_api" in request.fixturenames else "api"))


def delete(api: Api, job_id: str, key: str | None = None) -> httpx2.Response:
    return api.acme.ask("DELETE", f"/v1/jobs/{job_id}", key=key)


def done_with_files(api: Api) -> str:
    """A job with an input and an output, which has succeeded; its id."""
    answer = api.acme.post(content=UPLOAD, headers={"Content-Type": MULTIPART})
    assert answer.status_code == 202
    job_id = str(answer.json()["id"])
    with api.database.read(api.acme.tenant) as tx:
        job = jobs.find(tx, JobId(job_id))
    assert job is not None
    claim = taken(api.database, api.acme.tenant, job, "thumbs")
    put_output(api, claim, b"picture")
    succeed(api, claim, {"outputs": [OUTPUT]})
    assert len([key for key in api.objects() if job_id in key]) == 2
    return job_id


def test_rows_and_objects_are_gone_when_it_is_answered(any_api: Api) -> None:
    with leaving_nothing(any_api):
        job_id = done_with_files(any_api)
        answer = delete(any_api, job_id)
        assert (answer.status_code, answer.content) == (204, b"")
        assert not [key for key in any_api.objects() if job_id in key]
        assert any_api.acme.get(f"/v1/jobs/{job_id}").status_code == 404
        assert any_api.acme.get(f"/v1/jobs/{job_id}/outputs/thumbs/small").status_code == 404
        with watching(any_api.acme, job_id) as stream:
            assert stream.answer.status_code == 404
        sweep(any_api)  # strikes it off the list


def test_to_delete_twice_is_told_apart(api: Api) -> None:
    job = failed(api)
    assert [delete(api, job.id).status_code for _ in range(2)] == [204, 404]


@pytest.mark.parametrize("begun", [False, True])
def test_a_job_that_has_not_ended_stays(api: Api, begun: bool) -> None:
    job = put_in(api.database, api.acme.tenant)
    claim = start(api, job) if begun else None
    answer = delete(api, job.id)
    assert_problem(answer.status_code, answer.headers, answer.json(), (409, "job_not_ended"))
    assert api.acme.ask("POST", f"/v1/jobs/{job.id}/cancel").status_code == (202 if begun else 200)
    if claim:
        assert delete(api, job.id).status_code == 409  # while it is being stopped
        give_up(api, claim)
    assert delete(api, job.id).status_code == 204


def test_what_is_not_there_or_anothers_is_not_found_and_stays(api: Api) -> None:
    theirs = put_in(api.database, api.other.tenant)
    api.other.ask("POST", f"/v1/jobs/{theirs.id}/cancel")
    for job_id in (theirs.id, "job_00000000000000000000000000", "job_x"):
        answer = delete(api, job_id)
        assert_problem(answer.status_code, answer.headers, answer.json(), (404, "not_found"))
    assert api.other.get(f"/v1/jobs/{theirs.id}").status_code == 200


def test_a_key_that_may_only_read_deletes_nothing(api: Api) -> None:
    job: Job = failed(api)
    answer = delete(api, job.id, api.key(api.acme, "jobs:read"))
    assert_problem(answer.status_code, answer.headers, answer.json(), (403, "scope_missing"))
    assert shown(api, job)["state"] == "failed"


def test_objects_that_the_store_did_not_delete_are_swept_away_later(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_: str) -> int:
        raise ObjectStoreUnavailable("the store does not answer")

    with leaving_nothing(api):
        job_id = done_with_files(api)
        with monkeypatch.context() as broken:
            broken.setattr(api.served.service.objects, "delete_prefix", away)
            assert delete(api, job_id).status_code == 204
        assert api.acme.get(f"/v1/jobs/{job_id}").status_code == 404
        assert len([key for key in api.objects() if job_id in key]) == 2
        sweep(api)


def test_a_deleted_job_frees_its_unique_key(api: Api) -> None:
    with leaving_nothing(api):
        document = {"steps": {"say": {"kind": "echo"}}, "unique_key": "k", "unique": {"ttl_seconds": 3600}}
        first = api.acme.post(json=document).json()["id"]
        assert api.acme.post(json=document).status_code == 200
        api.acme.ask("POST", f"/v1/jobs/{first}/cancel")
        assert delete(api, first).status_code == 204
        second = api.acme.post(json=document)
        assert (second.status_code, second.json()["id"] != first) == (202, True)
        api.acme.ask("POST", f"/v1/jobs/{second.json()['id']}/cancel")
        assert delete(api, second.json()["id"]).status_code == 204
        sweep(api)
