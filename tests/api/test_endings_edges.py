"""What the tests of each decision leave out: lists, counts that begin anew, steps between two attempts."""

from typing import Any

import pytest

from storage import losses
from storage.errors import LeaseLost
from storage.model import Job
from tests.api.conftest import Api
from tests.api.refusing import assert_problem, leaving_nothing
from tests.api.working import BOOM, fail, failed, retry, shown, start, states, succeed, types
from tests.documents import ECHO, put_in, take

PAIR = {"steps": {"one": {"kind": "echo"}, "two": {"kind": "echo"}}}


def ask_retry(api: Api, job: Job, **how: Any) -> Any:
    return api.acme.ask("POST", f"/v1/jobs/{job.id}/retry", **how)


def listed(api: Api) -> list[str]:
    return [job["id"] for job in api.acme.get("/v1/jobs").json()["data"]]


def test_a_deleted_job_is_not_listed_any_more_and_the_others_are(api: Api) -> None:
    first, second, third = (failed(api) for _ in range(3))
    assert listed(api) == [third.id, second.id, first.id]
    assert api.acme.ask("DELETE", f"/v1/jobs/{second.id}").status_code == 204
    assert listed(api) == [third.id, first.id]


def test_a_list_goes_on_from_a_job_that_was_deleted_meanwhile(api: Api) -> None:
    jobs = [failed(api) for _ in range(4)]
    page = api.acme.get("/v1/jobs", params={"limit": 2}).json()
    assert [job["id"] for job in page["data"]] == [jobs[3].id, jobs[2].id]
    assert api.acme.ask("DELETE", f"/v1/jobs/{jobs[2].id}").status_code == 204
    rest = api.acme.get("/v1/jobs", params={"limit": 2, "cursor": page["next_cursor"]}).json()
    assert [job["id"] for job in rest["data"]] == [jobs[1].id, jobs[0].id]


def test_a_step_between_two_attempts_is_canceled_at_once(api: Api) -> None:
    job = put_in(api.database, api.acme.tenant)
    retry(api, start(api, job))
    assert states(api, job) == {"say": "retrying"}
    answer = api.acme.ask("POST", f"/v1/jobs/{job.id}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (200, "canceled")
    assert [one["outcome"] for one in answer.json()["steps"]["say"]["attempts"]] == ["retried"]
    assert types(api, job)[-2:] == ["step.canceled", "job.canceled"]
    assert take(api.database, api.acme.tenant, job, "say") is None


def test_failures_and_losses_are_counted_anew_and_attempts_on(api: Api) -> None:
    job = put_in(api.database, api.acme.tenant)
    lost = start(api, job)
    with api.database.begin(api.acme.tenant) as tx:
        losses.lose(tx, lost, BOOM, only_if_expired=False)
    fail(api, start(api, job))
    assert ask_retry(api, job).status_code == 202
    again = start(api, job)
    assert (again.attempt, again.failures, again.losses) == (3, 0, 0)
    succeed(api, again)
    assert ask_retry(api, job, json={"only": "all"}).status_code == 202
    assert start(api, job).attempt == 4
    assert [one["number"] for one in shown(api, job)["steps"]["say"]["attempts"]] == [1, 2, 3]


def test_a_worker_of_before_the_retry_changes_nothing_of_it(api: Api) -> None:
    job = put_in(api.database, api.acme.tenant)
    old = start(api, job)
    with api.database.begin(api.acme.tenant) as tx:
        losses.lose(tx, old, BOOM, only_if_expired=False)
    api.acme.ask("POST", f"/v1/jobs/{job.id}/cancel")
    assert ask_retry(api, job).status_code == 202
    new = start(api, job)
    with pytest.raises(LeaseLost):
        succeed(api, old, "late")
    assert states(api, job) == {"say": "running"}
    succeed(api, new, "in time")
    assert shown(api, job)["steps"]["say"]["result"] == "in time"


@pytest.mark.parametrize(
    ("field", "hint"),
    [("stepps", "did you mean 'steps'?"), ("onyl", "did you mean 'only'?"), ("x", "there are: only, steps")],
)
def test_an_unknown_field_of_a_wish_names_the_nearest(api: Api, field: str, hint: str) -> None:
    answer = ask_retry(api, failed(api), json={field: {}})
    expected = (422, "invalid_request")
    problem = assert_problem(answer.status_code, answer.headers, answer.json(), expected, [f"/{field}"])
    assert problem.errors[0].detail == f"unknown field; {hint}"


@pytest.mark.parametrize("raw", [b"{", b"null", b"\xff", b'{"steps":{"say":{"data":NaN}}}', b'{"only":"all"} x'])
def test_a_wish_that_is_no_object_of_json_is_refused(api: Api, raw: bytes) -> None:
    job = failed(api)
    answer = ask_retry(api, job, content=raw)
    assert_problem(answer.status_code, answer.headers, answer.json(), (422, "invalid_request"), [""])
    assert shown(api, job)["state"] == "failed"


def test_a_patch_follows_rfc_7396(api: Api) -> None:
    data = {"kept": 1, "gone": 2, "deep": {"a": 1, "b": 2}, "list": [1, 2], "plain": 3}
    job = failed(api, {"steps": {"say": {"kind": "echo", "data": data}}})
    patch = {"gone": None, "deep": {"a": None, "c": 3}, "list": [{"x": None}], "plain": {"y": None, "z": 1}}
    assert ask_retry(api, job, json={"steps": {"say": {"data": patch}}}).status_code == 202
    merged = {"kept": 1, "deep": {"b": 2, "c": 3}, "list": [{"x": None}], "plain": {"z": 1}}
    assert start(api, job).params == {"data": merged}


def test_a_step_that_is_not_there_is_pointed_at_with_its_name_escaped(api: Api) -> None:
    answer = ask_retry(api, failed(api), json={"steps": {"a/b~c": {}}})
    expected = (422, "invalid_request")
    assert_problem(answer.status_code, answer.headers, answer.json(), expected, ["/steps/a~1b~0c"])


def test_two_failed_steps_of_one_job_are_two_letters_and_one_job_to_replay(api: Api) -> None:
    job = put_in(api.database, api.acme.tenant, PAIR)
    for name in ("one", "two"):
        fail(api, start(api, job, name))
    (group,) = api.acme.get("/v1/dead-letters").json()["data"]
    assert (group["count"], group["newest_job"]) == (2, job.id)
    assert api.acme.ask("POST", "/v1/dead-letters/replay").json() == {"matching": 1, "skipped": 0, "jobs": [job.id]}
    assert states(api, job) == {"one": "queued", "two": "queued"}
    assert api.acme.get("/v1/dead-letters").json()["data"] == []


def test_a_job_that_is_deleted_is_no_dead_letter(api: Api) -> None:
    job = failed(api)
    assert api.acme.ask("DELETE", f"/v1/jobs/{job.id}").status_code == 204
    assert api.acme.get("/v1/dead-letters").json()["data"] == []
    assert api.acme.ask("POST", "/v1/dead-letters/replay").json() == {"matching": 0, "skipped": 0, "jobs": []}


def test_unknown_fields_of_a_replay_name_the_nearest_at_each_depth(api: Api) -> None:
    answer = api.acme.ask("POST", "/v1/dead-letters/replay", json={"precent": 5, "filter": {"fingerprnt": "x"}})
    pointers = ["/precent", "/filter/fingerprnt"]
    problem = assert_problem(answer.status_code, answer.headers, answer.json(), (422, "invalid_request"), pointers)
    told = {flaw.pointer: flaw.detail for flaw in problem.errors}
    assert told == {
        "/precent": "unknown field; did you mean 'percent'?",
        "/filter/fingerprnt": "unknown field; did you mean 'fingerprint'?",
    }


def test_the_list_of_queues_says_since_when_one_is_paused(own_api: Api) -> None:
    key = own_api.key(own_api.acme, "operate")
    told = own_api.acme.ask("POST", "/v1/queues/images/pause", key=key).json()
    queues = {queue["name"]: queue for queue in own_api.acme.get("/v1/queues").json()["data"]}
    assert queues.pop("images")["paused_at"] == told["paused_at"] is not None
    assert {queue["paused_at"] for queue in queues.values()} == {None}


@pytest.mark.parametrize("raw", [b"1e400", b"NaN", b"2592000.5"])
def test_a_deadline_beyond_all_bounds_is_refused(api: Api, raw: bytes) -> None:
    document = b'{"steps": {"say": {"kind": "echo"}}, "deadline_seconds": ' + raw + b"}"
    with leaving_nothing(api):
        answer = api.acme.post(content=document, headers={"Content-Type": "application/json"})
    pointers = [""] if raw == b"NaN" else ["/deadline_seconds"]
    assert_problem(answer.status_code, answer.headers, answer.json(), (422, "invalid_job"), pointers)


def test_the_longest_deadline_and_the_shortest_are_taken(api: Api) -> None:
    for seconds in (2_592_000, 1e-300):
        assert api.acme.post(json={**ECHO, "deadline_seconds": seconds}).status_code == 202
