"""Jobs and schedules that come of templates, by a document and by a query."""

from typing import Any

import httpx2
import pytest

from tests.api import timetable
from tests.api.conftest import Api
from tests.api.refusing import leaving_nothing
from tests.api.templating import INVALID, accepted, ask, params, put, refused
from tests.api.wire import END, MULTIPART, part


def test_a_job_says_which_version_it_came_of(api: Api) -> None:
    put(api.acme)
    job = accepted(api.acme.post(json={"template": "mine", "with": {"word": "all", "count": 3}}))
    assert job["template"] == "mine@1"
    assert params(api, job["id"]) == [{"message": "hello all", "data": 3}]
    put(api.acme, steps={"say": {"kind": "echo", "message": "bye "}})
    for reference, version, message in (("mine", "mine@2", "bye you"), ("mine@1", "mine@1", "hello you")):
        made = accepted(api.acme.post(json={"template": reference}))
        assert (made["template"], params(api, made["id"])) == (version, [{"message": message}])
        assert api.acme.get(f"/v1/jobs/{made['id']}").json()["template"] == version
    plain = accepted(api.acme.post(json={"steps": {"a": {"kind": "echo"}}}))
    assert plain["template"] is None
    versions = [one["template"] for one in api.acme.get("/v1/jobs").json()["data"]]
    assert versions == [None, "mine@1", "mine@2", "mine@1"]


def test_jobs_stay_when_their_template_goes(api: Api) -> None:
    put(api.acme)
    job = accepted(api.acme.post(json={"template": "mine"}))
    assert ask(api.acme, "DELETE", "/mine").status_code == 204
    assert api.acme.get(f"/v1/jobs/{job['id']}").json() == job
    for method in ("GET", "DELETE"):
        refused(ask(api.acme, method, "/mine"), (404, "not_found"))
    refused(ask(api.acme, "GET", "/mine/versions"), (404, "not_found"))
    refused(api.acme.post(json={"template": "mine@1"}), INVALID, "/template")
    assert put(api.acme).json()["version"] == 2


QUERIES: list[tuple[str, Any]] = [
    ("template=thumbnails", {}),
    ("template=thumbnails@1&quality=70", {"quality": 70}),
    ("quality=70&template=thumbnails&format=png&small=99", {"quality": 70, "format": "png", "small": 99}),
    ("template=responsive&widths=320,640", {"widths": [320, 640]}),
    ("template=thumbnails-moderated&nsfw=0.5", {"nsfw": 0.5}),
    ("template=describe&features=labels", {"features": ["labels"]}),
]


@pytest.mark.parametrize("form", ["bare", "multipart"])
@pytest.mark.parametrize(("query", "given"), QUERIES, ids=[query for query, _ in QUERIES])
def test_a_query_is_the_same_as_a_document(api: Api, form: str, query: str, given: Any) -> None:
    body, kind = (b"x", "image/png") if form == "bare" else (part("file", b"x", filename="a.png") + END, MULTIPART)
    headers = {"Authorization": f"Bearer {api.acme.key}", "Content-Type": kind}
    job = accepted(api.acme.http.post(f"/v1/jobs?{query}", content=body, headers=headers))
    name = query.partition("template=")[2].partition("&")[0].removesuffix("@1")
    assert job["template"] == f"{name}@1"
    document = part("job", f'{{"template": "{name}", "with": {httpx2.Response(200, json=given).text}}}'.encode())
    told = accepted(
        api.acme.post(
            content=document + part("file", b"x", filename="a.png") + END, headers={"Content-Type": MULTIPART}
        )
    )
    assert params(api, job["id"]) == params(api, told["id"])


TO = {"type": "string", "at": ["/say/url"]}
WRONG: list[tuple[str, list[str]]] = [
    ("template=thumbnails&qualty=70", ["/with/qualty"]),
    ("template=thumbnails&quality=seventy", ["/with/quality"]),
    ("template=thumbnails&quality=", ["/with/quality"]),
    ("template=thumbnails&quality=101", ["/with/quality"]),
    ("template=thumbnails&quality=70&quality=71", ["/with/quality"]),
    ("template=thumbnails&template=describe", ["/template"]),
    ("template=responsive&widths=320,,640", ["/with/widths"]),
    ("template=thumbnails&a%00b=1", ["/with"]),
    ("template=thumbnails&quality=%00", ["/with/quality"]),
    ("template=thumbnail&quality=70", ["/template"]),
    ("template=mine&quality=70", ["/template"]),
    ("template=", ["/template"]),
    ("quality=70", ["/with/quality"]),
]


@pytest.mark.parametrize(("query", "pointers"), WRONG, ids=[query for query, _ in WRONG])
def test_a_query_that_changes_what_may_not_be_changed_is_refused(api: Api, query: str, pointers: list[str]) -> None:
    headers = {"Authorization": f"Bearer {api.acme.key}", "Content-Type": "image/png"}
    with leaving_nothing(api):
        refused(api.acme.http.post(f"/v1/jobs?{query}", content=b"x", headers=headers), INVALID, *pointers)


def test_a_query_may_name_ones_own_template(api: Api) -> None:
    put(api.acme)
    headers = {"Authorization": f"Bearer {api.acme.key}", "Content-Type": "image/png", "Idempotency-Key": "k"}
    for _ in range(2):
        job = accepted(api.acme.http.post("/v1/jobs?template=mine&count=4", content=b"x", headers=headers))
        assert (job["template"], params(api, job["id"])) == ("mine@1", [{"message": "hello you", "data": 4}])
    other = api.acme.http.post("/v1/jobs?template=mine&count=5", content=b"x", headers=headers)
    refused(other, (422, "idempotency_mismatch"))
    wrong = api.acme.http.post(
        "/v1/jobs?template=mine&cuont=4", content=b"x", headers=headers | {"Idempotency-Key": "l"}
    )
    refused(wrong, INVALID, "/with/cuont")
    assert "did you mean 'count'?" in wrong.text


def test_an_unknown_template_is_told_with_the_nearest_of_ones_own(api: Api) -> None:
    put(api.acme, "my-shop")
    answer = api.acme.post(json={"template": "my-shpo"})
    refused(answer, INVALID, "/template")
    assert "did you mean 'my-shop'?" in answer.text
    answer = api.acme.post(json={"template": "my-shop@9"})
    refused(answer, INVALID, "/template")
    assert "has no version 9; its newest is 1" in answer.text


def test_an_address_that_is_closed_by_now_is_told_of_the_template(api: Api) -> None:
    put(api.acme, steps={"say": {"kind": "http.call", "url": "https://example.com/"}}, overrides={"to": TO})
    refused(api.acme.post(json={"template": "mine", "with": {"to": "http://10.0.0.1/"}}), INVALID, "/template")


def test_schedules_come_of_templates_and_keep_them_from_being_deleted(api: Api) -> None:
    put(api.acme)
    schedule = timetable.every(api.acme, name="nightly", job={"template": "mine", "with": {"count": 2}})
    assert schedule["job"] == {"template": "mine", "with": {"count": 2}}
    other = timetable.every(api.acme, job={"template": "mine@1"})
    detail = refused(ask(api.acme, "DELETE", "/mine"), (409, "template_in_use"))
    assert "'nightly'" in detail
    assert repr(other["id"]) in detail
    assert ask(api.acme, "GET", "/mine").status_code == 200
    run = timetable.ask(api.acme, "POST", f"/{schedule['id']}/trigger").json()
    job = api.acme.get(run["job"]["href"]).json()
    assert (job["template"], params(api, job["id"])) == ("mine@1", [{"message": "hello you", "data": 2}])
    changes = {"If-Match": "*", "Content-Type": "application/merge-patch+json"}
    wrong = timetable.ask(api.acme, "PATCH", f"/{schedule['id']}", changes, json={"job": {"with": {"count": 99}}})
    refused(wrong, (422, "invalid_schedule"), "/job/with/count")
    for one in (schedule, other):
        timetable.ask(api.acme, "DELETE", f"/{one['id']}")
    assert ask(api.acme, "DELETE", "/mine").status_code == 204
    gone = timetable.ask(api.acme, "POST", "", json={"every": 60, "job": {"template": "mine"}})
    refused(gone, (422, "invalid_schedule"), "/job/template")
    put(api.acme)
    preview = {"every": 60, "job": {"template": "mine"}}
    assert timetable.ask(api.acme, "POST", "/preview", json=preview).status_code == 200
