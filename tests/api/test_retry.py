"""Running an ended job again: which steps, with which parameters, and what begins anew."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import httpx2
import pytest

from storage.model import Job, JobInput
from tests.api.conftest import Api
from tests.api.refusing import assert_problem
from tests.api.storing import put_output, sweep
from tests.api.stream import watching
from tests.api.working import fail, failed, shown, start, states, succeed, types, working
from tests.documents import CHAIN, ECHO, put_in, taken

FORK = {
    "steps": {
        "good": {"kind": "echo", "message": "well"},
        "bad": {"kind": "echo", "message": "ill", "data": {"a": 1, "b": 2}},
        "after": {"kind": "echo", "use": ["good", "bad"]},
    }
}


def retry(api: Api, job: Job, wish: Any = None) -> httpx2.Response:
    body = {} if wish is None else {"json": wish}
    return api.acme.ask("POST", f"/v1/jobs/{job.id}/retry", **body)


def half_done(api: Api) -> Job:
    """`good` has succeeded, `bad` has failed, `after` was canceled."""
    job = put_in(api.database, api.acme.tenant, FORK)
    succeed(api, start(api, job, "good"), "done")
    fail(api, start(api, job, "bad"))
    return job


def test_only_what_did_not_succeed_runs_again(api: Api) -> None:
    job = half_done(api)
    answer = retry(api, job)
    assert (answer.status_code, answer.json()) == (202, shown(api, job))
    document = answer.json()
    assert (document["state"], document["error"], document["finished_at"]) == ("queued", None, None)
    assert states(api, job) == {"good": "succeeded", "bad": "queued", "after": "waiting"}
    assert document["steps"]["good"]["result"] == "done"
    assert [one["outcome"] for one in document["steps"]["bad"]["attempts"]] == ["failed"]
    with working(api):
        assert api.acme.get(f"/v1/jobs/{job.id}?wait=20").json()["state"] == "succeeded"
    assert [one["number"] for one in shown(api, job)["steps"]["bad"]["attempts"]] == [1, 2]
    assert len(shown(api, job)["steps"]["good"]["attempts"]) == 1


def test_all_of_it_runs_again_if_that_is_wished(api: Api) -> None:
    job = put_in(api.database, api.acme.tenant, CHAIN)
    with working(api):
        assert api.acme.get(f"/v1/jobs/{job.id}?wait=20").json()["state"] == "succeeded"
    document = retry(api, job, {"only": "all"}).json()
    assert states(api, job) == {"first": "queued", "second": "waiting", "third": "waiting"}
    assert {step["result"] for step in document["steps"].values()} == {None}
    assert document["progress"] == 0
    with working(api):
        assert api.acme.get(f"/v1/jobs/{job.id}?wait=20").json()["state"] == "succeeded"


def test_parameters_are_patched_and_the_others_stay(api: Api) -> None:
    job = half_done(api)
    patch = {"bad": {"message": None, "data": {"b": None, "c": 3}}, "after": {"message": "new"}}
    assert retry(api, job, {"steps": patch}).status_code == 202
    again = taken(api.database, api.acme.tenant, job, "bad")
    assert again.params == {"data": {"a": 1, "c": 3}}
    succeed(api, again)
    assert taken(api.database, api.acme.tenant, job, "after").params == {"message": "new"}


def test_parameters_of_a_step_that_does_not_run_again_cannot_change(api: Api) -> None:
    job = half_done(api)
    answer = retry(api, job, {"steps": {"good": {"message": "new"}}})
    assert_problem(answer.status_code, answer.headers, answer.json(), (422, "invalid_request"), ["/steps/good"])
    assert states(api, job)["bad"] == "failed"
    assert retry(api, job, {"only": "all", "steps": {"good": {"message": "new"}}}).status_code == 202


def test_parameters_do_not_grow_beyond_what_a_job_may_have(api: Api) -> None:
    job = half_done(api)
    for key in ("k1", "k2", "k3", "k4", "k5", "k6"):
        answer = retry(api, job, {"steps": {"bad": {"data": {key: "x" * 200_000}}}})
        if answer.status_code == 422:
            break
        fail(api, start(api, job, "bad"))
    assert_problem(answer.status_code, answer.headers, answer.json(), (422, "invalid_request"), ["/steps/bad"])
    assert key == "k6"


def test_patched_parameters_are_checked_like_new_ones_and_pointed_at(api: Api) -> None:
    job = failed(api, FORK)
    before = shown(api, job)
    wish = {"steps": {"bad": {"mesage": "x"}, "good": {"sleep_seconds": -1}, "god": {}}}
    answer = retry(api, job, wish)
    pointers = ["/steps/bad/mesage", "/steps/good/sleep_seconds", "/steps/god"]
    problem = assert_problem(answer.status_code, answer.headers, answer.json(), (422, "invalid_request"), pointers)
    told = {flaw.pointer: flaw.detail for flaw in problem.errors}
    assert told["/steps/bad/mesage"] == "unknown field; did you mean 'message'?"
    assert told["/steps/god"] == "the job has no such step; did you mean 'good'?"
    assert shown(api, job) == before


@pytest.mark.parametrize(
    ("wish", "pointers"),
    [
        ({"only": "some"}, ["/only"]),
        ({"step": {}}, ["/step"]),
        ({"steps": {"bad": 1}}, ["/steps/bad"]),
        ({"steps": {"bad": {"kind": "echo"}}}, ["/steps/bad/kind"]),
        ({"steps": []}, ["/steps"]),
        ([], [""]),
    ],
)
def test_a_wish_that_makes_no_sense_changes_nothing(api: Api, wish: Any, pointers: list[str]) -> None:
    job = failed(api, FORK)
    before = shown(api, job)
    answer = retry(api, job, wish)
    assert_problem(answer.status_code, answer.headers, answer.json(), (422, "invalid_request"), pointers)
    assert shown(api, job) == before


@pytest.mark.parametrize("begun", [False, True])
def test_a_job_that_has_not_ended_is_not_run_again(api: Api, begun: bool) -> None:
    job = put_in(api.database, api.acme.tenant)
    if begun:
        start(api, job)
    answer = retry(api, job, {"only": "all"})
    assert_problem(answer.status_code, answer.headers, answer.json(), (409, "job_not_ended"))


def test_a_job_that_has_succeeded_has_nothing_to_run_again(api: Api) -> None:
    job = put_in(api.database, api.acme.tenant)
    succeed(api, start(api, job), "done")
    before = shown(api, job)
    answer = retry(api, job)
    assert_problem(answer.status_code, answer.headers, answer.json(), (409, "nothing_to_retry"))
    assert shown(api, job) == before
    assert retry(api, job, {"only": "all"}).status_code == 202


@pytest.mark.parametrize("wish", [None, {"steps": {"say": {"message": "x"}}}])
def test_what_is_not_there_or_anothers_is_not_found(api: Api, wish: Any) -> None:
    theirs = put_in(api.database, api.other.tenant)
    for job_id in (theirs.id, "job_00000000000000000000000000", "job_x"):
        answer = api.acme.ask("POST", f"/v1/jobs/{job_id}/retry", json=wish)
        assert_problem(answer.status_code, answer.headers, answer.json(), (404, "not_found"))
    assert api.other.get(f"/v1/jobs/{theirs.id}").json()["state"] == "queued"


def test_all_of_a_canceled_job_runs_again_and_its_new_outputs_stay(api: Api) -> None:
    job = put_in(api.database, api.acme.tenant, CHAIN)
    succeed(api, start(api, job, "first"), "done")
    assert api.acme.ask("POST", f"/v1/jobs/{job.id}/cancel").json()["state"] == "canceled"
    assert retry(api, job).json()["error"] is None
    assert states(api, job) == {"first": "queued", "second": "waiting", "third": "waiting"}
    key = put_output(api, start(api, job, "first"), b"picture")
    sweep(api)
    assert key in api.objects()


def test_the_deadline_begins_anew(api: Api) -> None:
    job = failed(api, {**ECHO, "deadline_seconds": 3600})
    first, again = shown(api, job)["deadline_at"], retry(api, job).json()["deadline_at"]
    assert datetime.fromisoformat(again) > datetime.fromisoformat(first)


def test_who_watches_is_told_of_the_retry_and_what_follows(api: Api) -> None:
    job = half_done(api)
    before = types(api, job)
    assert retry(api, job).status_code == 202
    with watching(api.acme, job.id) as stream:
        assert [next(stream).type for _ in before] == before
        queued = next(stream)
        assert (queued.type, queued.data["data"]) == ("job.queued", {"again": ["bad", "after"]})
        for name in ("bad", "after"):
            succeed(api, start(api, job, name))
        assert stream.types() == ["job.running", *["step.running", "step.succeeded"] * 2, "job.succeeded"]
    with watching(api.acme, job.id, after=str(len(before))) as rest:
        assert rest.types()[0] == "job.queued"


def test_of_many_retries_at_once_one_is_done(api: Api) -> None:
    job = failed(api)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: retry(api, job).status_code, range(8)))
    assert sorted(answers) == [202, *[409] * 7]
    assert types(api, job).count("job.queued") == 2


def test_a_large_wish_is_refused(api: Api) -> None:
    job = failed(api)
    answer = retry(api, job, {"steps": {"say": {"message": "x" * 2_000_000}}})
    assert_problem(answer.status_code, answer.headers, answer.json(), (413, "too_large"))


def test_a_patch_is_checked_with_all_that_stands_on_the_step(api: Api) -> None:
    face = {"name": "a", "width": 9, "height": 9, "fit": "cover", "gravity": "face"}
    document = {
        "steps": {
            "look": {"kind": "image.analyze", "features": ["faces", "quality"], "stop_when": "faces.count > 9"},
            "cut": {"kind": "image.resize", "use": ["look"], "variants": [face]},
        }
    }
    file = JobInput(key="k", filename="f", content_type="image/png", bytes=1)
    job = put_in(api.database, api.acme.tenant, document, file)
    fail(api, start(api, job, "look"))
    answer = api.acme.ask("POST", f"/v1/jobs/{job.id}/retry", json={"steps": {"look": {"features": ["quality"]}}})
    assert answer.status_code == 422
    assert {flaw["pointer"] for flaw in answer.json()["errors"]} == {"/steps/cut/use", "/steps/look/stop_when"}
    assert states(api, job) == {"look": "failed", "cut": "canceled"}
    answer = api.acme.ask("POST", f"/v1/jobs/{job.id}/retry", json={"steps": {"look": {"features": ["faces"]}}})
    assert (answer.status_code, states(api, job)["look"]) == (202, "queued")


@pytest.mark.parametrize("field", ["stop_when", "use", "kind"])
@pytest.mark.parametrize("value", [None, "echo"])
def test_what_is_no_parameter_stays_as_it_was(api: Api, field: str, value: Any) -> None:
    job = failed(api)
    answer = api.acme.ask("POST", f"/v1/jobs/{job.id}/retry", json={"steps": {"say": {field: value}}})
    assert answer.status_code == 422
    flaw = answer.json()["errors"][0]
    assert (flaw["pointer"], "stays as it was submitted" in flaw["detail"]) == (f"/steps/say/{field}", True)
