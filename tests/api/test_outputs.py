"""Outputs by link: the bytes, or a signed way to them."""

from typing import Any

import httpx2
import pytest

from storage.keys import output_key
from storage.model import Job
from tests.api.conftest import Api
from tests.api.refusing import assert_problem
from tests.api.storing import in_store, once
from tests.api.working import start, succeed
from tests.documents import put_in

CONTENT = b"\x89PNG" + bytes(range(256)) * 10_000  # more than one chunk of the store's
OUTPUT = {"name": "small", "width": 3, "height": 2, "bytes": len(CONTENT), "content_type": "image/png"}


@pytest.fixture
def made(any_api: Api) -> tuple[Api, Job, str]:
    """A job whose step has made an output; the key of its object."""
    job = put_in(any_api.database, any_api.acme.tenant)
    key = output_key(any_api.acme.tenant, job.id, job.steps[0].id, 1, "small")
    in_store(any_api, lambda objects: objects.put(key, once(CONTENT), content_type="image/png"))
    succeed(any_api, start(any_api, job), {"outputs": [OUTPUT]})
    return any_api, job, key


def test_the_link_in_the_document_leads_to_the_bytes(made: tuple[Api, Job, str]) -> None:
    api, job, _ = made
    (output,) = api.acme.get(f"/v1/jobs/{job.id}").json()["steps"]["say"]["result"]["outputs"]
    assert output == {**OUTPUT, "href": f"/v1/jobs/{job.id}/outputs/say/small"}
    answer = api.acme.get(output["href"])
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert (answer.headers["content-type"], answer.headers["content-length"]) == ("image/png", str(len(CONTENT)))
    assert answer.headers["etag"].startswith('"')
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_names_that_were_not_made_are_not_found(made: tuple[Api, Job, str]) -> None:
    api, job, _ = made
    for path in ("say/large", "other/small", "say/small/", "say/../say/small", "input/small"):
        answer = api.acme.get(f"/v1/jobs/{job.id}/outputs/{path.replace('..', '%2e%2e')}")
        assert_problem(answer.status_code, answer.headers, answer.json(), (404, "not_found"))


def test_another_tenant_finds_no_output(made: tuple[Api, Job, str]) -> None:
    api, job, _ = made
    for query in ("", "?redirect=true"):
        answer = api.other.get(f"/v1/jobs/{job.id}/outputs/say/small{query}")
        assert_problem(answer.status_code, answer.headers, answer.json(), (404, "not_found"))


def test_an_output_whose_object_has_vanished_is_not_found(made: tuple[Api, Job, str]) -> None:
    api, job, key = made
    in_store(api, lambda objects: objects.delete([key]))
    answer = api.acme.get(f"/v1/jobs/{job.id}/outputs/say/small")
    assert_problem(answer.status_code, answer.headers, answer.json(), (404, "not_found"))


def test_a_redirect_leads_to_the_bytes_without_a_key(s3_api: Api) -> None:
    api = s3_api
    job = put_in(api.database, api.acme.tenant)
    key = output_key(api.acme.tenant, job.id, job.steps[0].id, 1, "small")
    in_store(api, lambda objects: objects.put(key, once(CONTENT), content_type="image/png"))
    succeed(api, start(api, job), {"outputs": [OUTPUT]})
    answer = api.acme.get(f"/v1/jobs/{job.id}/outputs/say/small?redirect=true", follow_redirects=False)
    assert answer.status_code == 307
    signed = httpx2.get(answer.headers["location"])
    assert (signed.status_code, signed.content, signed.headers["content-type"]) == (200, CONTENT, "image/png")


def test_a_result_that_lists_no_outputs_has_none(api: Api) -> None:
    odd: list[Any] = [None, [], [1], [{}]]
    results: list[Any] = [None, [], "text", {"other": 1}, *({"outputs": listed} for listed in odd)]
    for result in results:
        job = put_in(api.database, api.acme.tenant)
        succeed(api, start(api, job), result)
        assert api.acme.get(f"/v1/jobs/{job.id}").json()["steps"]["say"]["result"] == result
        assert api.acme.get(f"/v1/jobs/{job.id}/outputs/say/small").status_code == 404
