"""Canceling a job: at once or when its running steps have stopped, and whatever else happens at the same time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from storage import losses
from storage.errors import JobStopping
from storage.model import Claim, Job
from tests.api.conftest import Api
from tests.api.refusing import assert_problem
from tests.api.storing import put_output, sweep
from tests.api.stream import watching
from tests.api.working import (
    BOOM,
    fail,
    failed,
    give_up,
    is_stopped,
    report,
    retry,
    shown,
    start,
    states,
    succeed,
    types,
)
from tests.documents import CHAIN, put_in, take

TWO = {"steps": {"one": {"kind": "echo"}, "two": {"kind": "echo"}}}
OUTPUT = {"name": "small", "width": 3, "height": 2, "bytes": 7, "content_type": "image/png"}
ROUNDS = 12


@pytest.fixture
def job(api: Api) -> Job:
    return put_in(api.database, api.acme.tenant)


def cancel(api: Api, job: Job) -> Any:
    return api.acme.ask("POST", f"/v1/jobs/{job.id}/cancel")


def test_a_job_of_which_nothing_runs_is_canceled_at_once(api: Api) -> None:
    job = put_in(api.database, api.acme.tenant, CHAIN)
    answer = cancel(api, job)
    assert (answer.status_code, answer.json()) == (200, shown(api, job))
    assert (answer.json()["state"], answer.json()["stopping"]) == ("canceled", None)
    assert answer.json()["error"]["code"] == "job_canceled"
    assert answer.json()["finished_at"] is not None
    assert set(states(api, job).values()) == {"canceled"}
    assert types(api, job) == ["job.queued", *["step.canceled"] * 3, "job.canceled"]
    assert take(api.database, api.acme.tenant, job, "first") is None


def test_a_running_step_is_asked_to_stop_and_nothing_else_begins(api: Api) -> None:
    job = put_in(api.database, api.acme.tenant, TWO)
    claim = start(api, job, "one")
    assert not is_stopped(api, claim)
    answer = cancel(api, job)
    assert (answer.status_code, answer.json()["state"], answer.json()["stopping"]) == (202, "running", "canceled")
    assert states(api, job) == {"one": "running", "two": "canceled"}
    assert take(api.database, api.acme.tenant, job, "two") is None
    assert is_stopped(api, claim)
    give_up(api, claim)
    (attempt,) = shown(api, job)["steps"]["one"]["attempts"]
    assert (attempt["outcome"], attempt["error"]["code"]) == ("canceled", "job_canceled")
    assert types(api, job)[3:] == ["step.canceled", "job.stopping", "step.canceled", "job.canceled"]


@pytest.mark.parametrize(("end", "state"), [(succeed, "succeeded"), (fail, "failed"), (retry, "canceled")])
def test_a_canceled_job_stays_so_however_its_running_step_ends(
    api: Api, job: Job, end: Callable[[Api, Claim], None], state: str
) -> None:
    claim = start(api, job)
    assert cancel(api, job).status_code == 202
    end(api, claim)
    assert (shown(api, job)["state"], states(api, job)) == ("canceled", {"say": state})


def test_to_cancel_twice_is_as_once(api: Api) -> None:
    at_once, stopping = (put_in(api.database, api.acme.tenant, TWO) for _ in range(2))
    claim = start(api, stopping, "one")
    for job, status in ((at_once, 200), (stopping, 202)):
        first, told = cancel(api, job), types(api, job)
        again = cancel(api, job)
        assert (first.status_code, again.status_code) == (status, status)
        assert (again.json(), types(api, job)) == (first.json(), told)
    give_up(api, claim)
    assert cancel(api, stopping).status_code == 200


@pytest.mark.parametrize("end", [succeed, fail])
def test_a_job_that_has_ended_is_not_canceled(api: Api, job: Job, end: Callable[[Api, Claim], None]) -> None:
    end(api, start(api, job))
    before = shown(api, job)
    answer = cancel(api, job)
    assert_problem(answer.status_code, answer.headers, answer.json(), (409, "job_ended"))
    assert shown(api, job) == before


def test_what_is_not_there_or_anothers_is_not_found(api: Api, job: Job) -> None:
    theirs = put_in(api.database, api.other.tenant)
    for job_id in (theirs.id, "job_00000000000000000000000000", "job_x", "x"):
        answer = api.acme.ask("POST", f"/v1/jobs/{job_id}/cancel")
        assert_problem(answer.status_code, answer.headers, answer.json(), (404, "not_found"))
    assert api.other.get(f"/v1/jobs/{theirs.id}").json()["state"] == "queued"


def test_a_key_that_may_only_read_cancels_nothing(api: Api, job: Job) -> None:
    answer = api.acme.ask("POST", f"/v1/jobs/{job.id}/cancel", key=api.key(api.acme, "jobs:read"))
    assert_problem(answer.status_code, answer.headers, answer.json(), (403, "scope_missing"))
    assert shown(api, job)["state"] == "queued"


def test_outputs_of_a_canceled_job_are_not_to_be_had_and_go(any_api: Api) -> None:
    api = any_api
    job = put_in(api.database, api.acme.tenant, CHAIN)
    claim = start(api, job, "first")
    key = put_output(api, claim, b"picture")
    succeed(api, claim, {"outputs": [OUTPUT], "kept": 1})
    path = f"/v1/jobs/{job.id}/outputs/first/small"
    assert api.acme.get(path).content == b"picture"
    assert cancel(api, job).json()["steps"]["first"]["result"] == {"kept": 1}
    assert api.acme.get(path).status_code == 404
    assert key in api.objects()
    sweep(api)
    assert key not in api.objects()


def test_who_watches_hears_of_the_cancel_and_the_stream_ends(api: Api, job: Job) -> None:
    claim = start(api, job)
    with watching(api.acme, job.id, after="3") as stream:
        cancel(api, job)
        stopping = next(stream)
        assert (stopping.type, stopping.data["data"]) == ("job.stopping", {"as": "canceled"})
        give_up(api, claim)
        assert stream.types() == ["step.canceled", "job.canceled"]


def lose(api: Api, claim: Claim) -> None:
    with api.database.begin(claim.tenant_id) as tx:
        losses.lose(tx, claim, BOOM, only_if_expired=False)


def hand_back(api: Api, claim: Claim) -> None:
    with api.database.begin(claim.tenant_id) as tx:
        losses.hand_back(tx, claim, BOOM)


@pytest.mark.parametrize("end", [succeed, fail, retry, lose, hand_back])
@pytest.mark.parametrize("turn", range(ROUNDS))
def test_cancels_that_meet_a_worker_leave_one_consistent_state(
    api: Api, end: Callable[[Api, Claim], None], turn: int
) -> None:
    job = put_in(api.database, api.acme.tenant, TWO)
    running = start(api, job, "one") if turn % 2 else None
    ready = Barrier(4)

    def canceling(_: int) -> int:
        ready.wait()
        return int(cancel(api, job).status_code)

    def working(name: str) -> None:
        ready.wait()
        claim = running if running and name == "one" else take(api.database, api.acme.tenant, job, name)
        if claim:
            end(api, claim)

    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(canceling, range(2))
        list(pool.map(working, ("one", "two")))
        assert_ended_once(api, job, list(answers))


def assert_ended_once(api: Api, job: Job, answers: list[int]) -> None:
    document, told = shown(api, job), types(api, job)
    by_itself = {"succeeded", "failed"}
    assert document["state"] in (by_itself if 409 in answers else {"canceled"}), document
    assert document["stopping"] is None
    assert {step["state"] for step in document["steps"].values()} <= by_itself | {"canceled"}
    assert [one for one in told if one in {"job.canceled", "job.succeeded", "job.failed"}] == told[-1:]
    assert told[-1] == f"job.{document['state']}"
    for name, step in document["steps"].items():
        assert [one["number"] for one in step["attempts"]] == list(range(1, len(step["attempts"]) + 1)), name
        assert take(api.database, api.acme.tenant, job, name) is None


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_a_cancel_that_meets_a_retry_comes_before_or_after_it(api: Api, turn: int) -> None:
    job = failed(api)
    ready = Barrier(2)

    def ask(what: str) -> int:
        ready.wait()
        return int(api.acme.ask("POST", f"/v1/jobs/{job.id}/{what}").status_code)

    with ThreadPoolExecutor(2) as pool:
        canceled, retried = pool.map(ask, ("cancel", "retry"))
    assert (canceled, retried) in {(409, 202), (200, 202)}
    assert shown(api, job)["state"] == ("queued" if canceled == 409 else "canceled")


def test_progress_of_a_stopping_job_is_refused_to_its_worker(api: Api, job: Job) -> None:
    claim = start(api, job)
    cancel(api, job)
    with pytest.raises(JobStopping):
        report(api, claim, 0.5)
