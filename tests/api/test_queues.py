"""Pausing queues: nothing starts, everything is accepted, and only operators may."""

import httpx2
import pytest

from storage import publishing
from tasks.names import Queue
from tests.api.conftest import Api
from tests.api.refusing import assert_problem
from tests.api.working import shown, start, states, succeed, working
from tests.documents import CHAIN, ECHO, put_in, runnable_steps, take

CALL = {"steps": {"say": {"kind": "http.call", "url": "https://example.org/"}}}


@pytest.fixture
def operate(own_api: Api) -> str:
    """A key of an operator's."""
    return own_api.key(own_api.acme, "operate", "jobs:read")


def tell(api: Api, key: str | None, queue: str, what: str) -> httpx2.Response:
    return api.acme.ask("POST", f"/v1/queues/{queue}/{what}", key=key)


def paused(api: Api) -> list[str]:
    answer = api.acme.get("/v1/queues")
    assert answer.status_code == 200
    assert [queue["name"] for queue in answer.json()["data"]] == list(Queue)
    return [queue["name"] for queue in answer.json()["data"] if queue["paused"]]


def test_nothing_of_a_paused_queue_starts_and_jobs_are_still_accepted(own_api: Api, operate: str) -> None:
    api, tenant = own_api, own_api.acme.tenant
    before = put_in(api.database, tenant)
    assert len(runnable_steps(api.database)) == 1  # its hint is under way
    answer = tell(api, operate, "default", "pause")
    assert (answer.status_code, answer.json()["paused"]) == (200, True)
    assert answer.json()["paused_at"] is not None
    assert paused(api) == ["default"]
    accepted = api.acme.post(json=ECHO)
    assert (accepted.status_code, accepted.json()["state"]) == (202, "queued")
    with api.database.platform_read() as tx:
        assert publishing.room(tx, list(Queue), window=100) == {}  # the relay sends nothing of it
    assert take(api.database, tenant, before, "say") is None  # nor does a hint help that it has sent
    assert states(api, before) == {"say": "queued"}


def test_what_runs_goes_on_and_what_follows_waits(own_api: Api, operate: str) -> None:
    api = own_api
    job = put_in(api.database, api.acme.tenant, CHAIN)
    claim = start(api, job, "first")
    tell(api, operate, "default", "pause")
    succeed(api, claim)
    assert states(api, job) == {"first": "succeeded", "second": "queued", "third": "waiting"}
    assert take(api.database, api.acme.tenant, job, "second") is None


def test_other_queues_know_nothing_of_it(own_api: Api, operate: str) -> None:
    tell(own_api, operate, "default", "pause")
    job = put_in(own_api.database, own_api.acme.tenant, CALL)
    assert take(own_api.database, own_api.acme.tenant, job, "say") is not None


def test_what_has_waited_starts_when_the_queue_goes_on(own_api: Api, operate: str) -> None:
    api = own_api
    tell(api, operate, "default", "pause")
    job = put_in(api.database, api.acme.tenant)
    assert take(api.database, api.acme.tenant, job, "say") is None
    answer = tell(api, operate, "default", "resume")
    assert (answer.json()["name"], answer.json()["paused"], answer.json()["paused_at"]) == ("default", False, None)
    assert paused(api) == []
    with working(api):
        assert api.acme.get(f"/v1/jobs/{job.id}?wait=20").json()["state"] == "succeeded"


def test_twice_is_as_once(own_api: Api, operate: str) -> None:
    first = tell(own_api, operate, "images", "pause")
    assert tell(own_api, operate, "images", "pause").json() == first.json()
    assert tell(own_api, operate, "images", "resume").json() == tell(own_api, operate, "images", "resume").json()
    assert tell(own_api, operate, "ai", "resume").json()["paused"] is False


def test_a_job_that_waits_in_a_paused_queue_can_be_canceled(own_api: Api, operate: str) -> None:
    tell(own_api, operate, "default", "pause")
    job = put_in(own_api.database, own_api.acme.tenant)
    assert own_api.acme.ask("POST", f"/v1/jobs/{job.id}/cancel").status_code == 200
    assert shown(own_api, job)["state"] == "canceled"


@pytest.mark.parametrize("what", ["pause", "resume"])
def test_only_a_key_with_the_scope_operate_may_do_it(own_api: Api, operate: str, what: str) -> None:
    tell(own_api, operate, "ai", "pause")
    answer = tell(own_api, None, "ai", what)
    problem = assert_problem(answer.status_code, answer.headers, answer.json(), (403, "scope_missing"))
    assert "operate" in problem.detail
    assert paused(own_api) == ["ai"]
    assert own_api.acme.ask("POST", f"/v1/queues/ai/{what}", key="mk_wrong").status_code == 401


@pytest.mark.parametrize("what", ["pause", "resume"])
@pytest.mark.parametrize("name", ["imags", "DEFAULT", "%00"])
def test_a_queue_that_is_not_there_is_not_found_and_the_others_are_named(
    own_api: Api, operate: str, name: str, what: str
) -> None:
    answer = tell(own_api, operate, name, what)
    problem = assert_problem(answer.status_code, answer.headers, answer.json(), (404, "not_found"))
    assert "images" in problem.detail
    assert paused(own_api) == []
