"""The file that a job works on, as it was sent."""

from storage.keys import input_key
from storage.model import JobId
from tests.api.conftest import Api
from tests.api.refusing import assert_problem
from tests.api.storing import in_store

CONTENT = b"<html>" + bytes(range(256)) * 2_000
STEPS = '{"steps": {"say": {"kind": "echo"}}}'


def sent(api: Api, content_type: str = "image/jpeg") -> str:
    parts = {"job": (None, STEPS, "application/json"), "file": ("photo.jpg", CONTENT, content_type)}
    answer = api.acme.post(files=parts)
    assert answer.status_code == 202
    return str(answer.json()["id"])


def test_a_jobs_file_is_read_as_it_was_sent(any_api: Api) -> None:
    answer = any_api.acme.get(f"/v1/jobs/{sent(any_api)}/input")
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert (answer.headers["content-type"], answer.headers["content-length"]) == ("image/jpeg", str(len(CONTENT)))


def test_a_browser_runs_nothing_of_a_file_whatever_it_is_said_to_be(api: Api) -> None:
    answer = api.acme.get(f"/v1/jobs/{sent(api, 'text/html')}/input")
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_another_tenant_finds_no_file(api: Api) -> None:
    answer = api.other.get(f"/v1/jobs/{sent(api)}/input")
    assert_problem(answer.status_code, answer.headers, answer.json(), (404, "not_found"))


def test_a_job_without_a_file_has_none(api: Api) -> None:
    job = api.acme.post(json={"steps": {"say": {"kind": "echo"}}}).json()
    answer = api.acme.get(f"/v1/jobs/{job['id']}/input")
    assert_problem(answer.status_code, answer.headers, answer.json(), (404, "not_found"))


def test_a_file_that_has_vanished_from_the_store_is_not_found(api: Api) -> None:
    job = sent(api)
    key = input_key(api.acme.tenant, JobId(job))
    in_store(api, lambda objects: objects.delete([key]))
    answer = api.acme.get(f"/v1/jobs/{job}/input")
    assert_problem(answer.status_code, answer.headers, answer.json(), (404, "not_found"))
