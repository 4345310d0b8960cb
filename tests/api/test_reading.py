"""Reading a job, waiting for it, and listing them."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from storage.model import Job
from tests.api.conftest import Api, Caller
from tests.api.refusing import eventually
from tests.api.test_events import statements
from tests.api.working import fail, start, succeed
from tests.documents import CHAIN, put_in

ENOUGH_SECONDS = 20


@pytest.fixture
def job(api: Api) -> Job:
    return put_in(api.database, api.acme.tenant)


def waiters(api: Api, job: Job) -> int:
    return len(api.served.service.hub._waiting.get(job.id, ()))  # what no other caller can see


def test_a_job_that_has_ended_is_answered_at_once_although_asked_to_wait(api: Api, job: Job) -> None:
    succeed(api, start(api, job), {"message": "done"})
    begun = time.monotonic()
    document = api.acme.get(f"/v1/jobs/{job.id}", params={"wait": ENOUGH_SECONDS}).json()
    assert time.monotonic() - begun < ENOUGH_SECONDS / 2  # it did not wait
    assert (document["state"], document["progress"]) == ("succeeded", 1)
    assert document["steps"]["say"]["result"] == {"message": "done"}
    assert [attempt["outcome"] for attempt in document["steps"]["say"]["attempts"]] == ["succeeded"]


@pytest.mark.parametrize("how", ["wait", "Prefer"])
def test_a_waiting_client_is_answered_when_the_job_ends(api: Api, job: Job, how: str) -> None:
    claim = start(api, job)
    with ThreadPoolExecutor(1) as pool:
        asked = {"params": {"wait": ENOUGH_SECONDS}} if how == "wait" else {"headers": {"Prefer": "wait=20"}}
        answer = pool.submit(api.acme.get, f"/v1/jobs/{job.id}", **asked)
        eventually(lambda: waiters(api, job) == 1, "the client waits")
        ended = time.monotonic()
        fail(api, claim)
        found = answer.result(ENOUGH_SECONDS)
        assert time.monotonic() - ended < ENOUGH_SECONDS / 2  # it was woken
    assert (found.json()["state"], found.json()["error"]["code"]) == ("failed", "step_failed")
    assert found.headers.get("preference-applied") == (None if how == "wait" else "wait=20")
    eventually(lambda: waiters(api, job) == 0, "nobody waits any more")


def test_a_wait_that_ends_first_gets_the_document_as_it_stands(api: Api, job: Job) -> None:
    start(api, job)
    begun = time.monotonic()
    document = api.acme.get(f"/v1/jobs/{job.id}?wait=0.2").json()
    assert (document["state"], document["steps"]["say"]["state"]) == ("running", "running")
    assert time.monotonic() - begun >= 0.2


@pytest.mark.parametrize("prefer", ["wait", "wait=", "wait=soon", "wait=-1", "respond-async", "wait=\xb2", "wait=1.5"])
def test_a_preference_that_is_not_understood_is_ignored(api: Api, job: Job, prefer: str) -> None:
    headers = {"Prefer": prefer.encode("latin-1")}
    answer = api.acme.get(f"/v1/jobs/{job.id}", headers=headers)  # type: ignore[arg-type]
    assert (answer.status_code, answer.headers.get("preference-applied")) == (200, None)


def test_a_preference_may_stand_among_others(api: Api, job: Job) -> None:
    succeed(api, start(api, job))
    answer = api.acme.get(f"/v1/jobs/{job.id}", headers={"Prefer": 'respond-async, WAIT = 5; foo="bar"'})
    assert answer.headers["preference-applied"] == "wait=5"


def walk(caller: Caller, **asked: object) -> list[str]:
    """The ids of all pages, one page after the other."""
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = caller.get("/v1/jobs", params={**asked, **cursor}).json()
        found += [job["id"] for job in page["data"]]
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


def test_a_listing_is_newest_first_and_pages_of_any_size_hold_the_same(api: Api) -> None:
    newest_first = [put_in(api.database, api.acme.tenant).id for _ in range(7)][::-1]
    for limit in (1, 2, 3, 7, 8, 100):
        assert walk(api.acme, limit=limit) == newest_first


def test_a_walk_sees_every_job_once_while_new_ones_arrive(api: Api) -> None:
    before = [put_in(api.database, api.acme.tenant).id for _ in range(30)][::-1]
    stop = threading.Event()

    def keep_submitting() -> None:
        while not stop.is_set():
            put_in(api.database, api.acme.tenant)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(keep_submitting)
        try:
            found = walk(api.acme, limit=4)
        finally:
            stop.set()
        writing.result()
    assert len(found) == len(set(found))
    assert [job for job in found if job in set(before)] == before


def test_a_listing_can_be_of_one_state(api: Api, job: Job) -> None:
    running = put_in(api.database, api.acme.tenant)
    start(api, running)
    assert walk(api.acme, state="running") == [running.id]
    assert walk(api.acme, state="queued") == [job.id]
    assert walk(api.acme, state="expired") == []


def test_a_listing_shows_only_the_callers_jobs(api: Api, job: Job) -> None:
    theirs = put_in(api.database, api.other.tenant)
    assert (walk(api.acme), walk(api.other)) == ([job.id], [theirs.id])
    assert [item["id"] for item in api.acme.get(f"/v1/jobs?cursor={theirs.id}").json()["data"]] == [job.id]


def test_a_listing_says_what_the_jobs_do_and_asks_once_for_all_of_them(own_api: Api) -> None:
    two = {"steps": {"a": {"kind": "echo"}, "b": {"kind": "http.call", "url": "https://x.example", "use": ["a"]}}}
    several = {"steps": {name: {"kind": "echo"} for name in "abc"}}
    for steps in (two, several, several):
        put_in(own_api.database, own_api.acme.tenant, steps)
    with statements(own_api) as asked:
        listed = own_api.acme.get("/v1/jobs").json()["data"]
    assert [one["kinds"] for one in listed] == [["echo"], ["echo"], ["echo", "http.call"]]
    assert len([one for one in asked if "DISTINCT kind" in one]) == 1


def test_a_listing_shows_progress_and_no_steps(api: Api) -> None:
    job = put_in(api.database, api.acme.tenant, CHAIN)
    succeed(api, start(api, job, "first"))
    (summary,) = api.acme.get("/v1/jobs").json()["data"]
    assert (summary["state"], summary["progress"]) == ("running", 0.3333)
    assert "steps" not in summary


def test_links_lead_to_the_job_and_its_events(api: Api, job: Job) -> None:
    links = api.acme.get(f"/v1/jobs/{job.id}").json()["links"]
    assert api.acme.get(links["self"]).json()["id"] == job.id
    assert links["events"] == f"/v1/jobs/{job.id}/events"
