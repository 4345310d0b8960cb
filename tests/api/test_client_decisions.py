"""The client decides about jobs, dead letters and queues."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.client import ApiError, ConnectionFailed, Millrace, MillraceError, answers, connection
from deploy.local.servers import Urls
from storage import steps
from storage.model import Claim
from tests.api.sink import ACCEPTED, JOB, answer, sink
from tests.api.started import Api, CutWire, api_here

ECHO = {"steps": {"hello": {"kind": "echo", "message": "hi"}}}
TWO = {"steps": {"good": {"kind": "echo"}, "bad": {"kind": "echo", "message": "ill"}}}
BUSY = answer("503 Service Unavailable", b"busy", "Retry-After: 0")
GONE = answer("404 Not Found", b'{"code": "not_found", "detail": "there is no such job"}')


@pytest.fixture(scope="module")
def api(servers: Urls, template_database: str, s3_env: Mapping[str, str]) -> Iterator[Api]:
    with api_here(servers, template_database, s3_env) as started:
        yield started


@pytest.fixture
def millrace(api: Api) -> Iterator[Millrace]:
    with Millrace(api.url, api.key) as made:
        yield made


@pytest.fixture
def operator(api: Api) -> Iterator[Millrace]:
    with Millrace(api.url, api.another_key("jobs:read", "operate")) as made:
        yield made


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "TRY_AGAIN_AFTER", (0.01, 0.01))


def give_up(api: Api, claim: Claim) -> None:
    """What a worker does that has heard that the job is being stopped."""
    with api.database.begin(api.tenant_id) as tx:
        steps.end_stopped(tx, claim)


def failed(api: Api, millrace: Millrace, message: str, document: Mapping[str, Any] = ECHO) -> str:
    job = millrace.submit(document)
    api.fail(job.id, message)
    return job.id


def refused(caught: pytest.ExceptionInfo[ApiError]) -> tuple[int, str]:
    return caught.value.status, caught.value.code


def test_a_job_that_waits_is_canceled_at_once_and_twice_is_as_once(millrace: Millrace) -> None:
    job = millrace.submit(ECHO)
    canceled = millrace.cancel(job.id)
    assert (canceled.state, canceled.stopping, canceled.steps["hello"].state) == ("canceled", None, "canceled")
    assert millrace.cancel(job.id) == canceled


def test_a_job_that_runs_is_stopping_until_its_steps_have_stopped(api: Api, millrace: Millrace) -> None:
    job = millrace.submit(ECHO)
    claim = next(api.work(job.id))
    canceled = millrace.cancel(job.id)
    assert (canceled.state, canceled.stopping, canceled.ended) == ("running", "canceled", False)
    give_up(api, claim)
    ended = millrace.job(job.id)
    assert (ended.state, ended.stopping) == ("canceled", None)
    assert [attempt.outcome for attempt in ended.steps["hello"].attempts] == ["canceled"]


def test_a_job_that_has_ended_cannot_be_canceled(api: Api, millrace: Millrace) -> None:
    job = millrace.submit(ECHO)
    api.succeed(job.id)
    with pytest.raises(ApiError) as caught:
        millrace.cancel(job.id)
    assert refused(caught) == (409, "job_ended")


def test_a_cut_connection_does_not_keep_a_job_from_being_canceled(api: Api, millrace: Millrace) -> None:
    job = millrace.submit(ECHO)
    with CutWire(api.url, [0, None]) as wire, Millrace(wire.url, api.key) as cut:
        assert cut.cancel(job.id).state == "canceled"
        assert wire.connections == 2


def test_only_what_failed_runs_again_with_other_parameters(api: Api, millrace: Millrace) -> None:
    job = millrace.submit(TWO)
    working = api.work(job.id)
    api.end(next(working), "done")
    api.fail(job.id, "It broke.")
    again = millrace.retry(job.id, steps={"bad": {"message": "well"}})
    assert (again.state, again.error) == ("queued", None)
    assert {name: step.state for name, step in again.steps.items()} == {"good": "succeeded", "bad": "queued"}
    assert next(api.work(job.id)).params["message"] == "well"


def test_all_of_a_job_runs_again_if_that_is_wished(api: Api, millrace: Millrace) -> None:
    job = millrace.submit(TWO)
    api.succeed(job.id)
    with pytest.raises(ApiError) as caught:
        millrace.retry(job.id)
    assert refused(caught) == (409, "nothing_to_retry")
    again = millrace.retry(job.id, only="all")
    assert {step.state for step in again.steps.values()} == {"queued"}


def test_a_job_that_goes_on_can_neither_be_retried_nor_deleted(millrace: Millrace) -> None:
    job = millrace.submit(ECHO)
    for act in (millrace.retry, millrace.delete):
        with pytest.raises(ApiError) as caught:
            act(job.id)
        assert refused(caught) == (409, "job_not_ended")


def test_a_retry_that_would_be_a_duplicate_is_refused(api: Api, millrace: Millrace) -> None:
    unique = {**ECHO, "unique_key": "order-7"}
    first = failed(api, millrace, "It broke.", unique)
    second = millrace.submit(unique)
    assert (second.id != first, millrace.submit(unique).id) == (True, second.id)
    with pytest.raises(ApiError) as caught:
        millrace.retry(first)
    assert refused(caught) == (409, "unique_key_taken")


def test_flawed_parameters_of_a_retry_are_pointed_at(api: Api, millrace: Millrace) -> None:
    job_id = failed(api, millrace, "It broke.")
    with pytest.raises(ApiError) as caught:
        millrace.retry(job_id, steps={"helo": {}})
    assert caught.value.errors[0][0] == "/steps/helo"


def test_a_deleted_job_is_gone(api: Api, millrace: Millrace) -> None:
    job_id = failed(api, millrace, "It broke.")
    millrace.delete(job_id)
    for act in (millrace.job, millrace.cancel, millrace.retry, millrace.delete):
        with pytest.raises(ApiError) as caught:
            act(job_id)
        assert refused(caught) == (404, "not_found")


def test_a_job_that_an_earlier_try_has_deleted_is_deleted() -> None:
    with sink([BUSY, GONE]) as server, Millrace(server.url, "mk_x") as millrace:
        millrace.delete("job_x")
        assert [head.partition(" ")[0] for head in server.heads] == ["DELETE", "DELETE"]
    with sink([GONE]) as server, Millrace(server.url, "mk_x") as millrace, pytest.raises(ApiError):
        millrace.delete("job_x")


@pytest.mark.parametrize("act", [lambda client: client.retry("job_x"), lambda client: client.replay(code="x")])
def test_what_would_run_work_twice_is_sent_once(api: Api, act: Any) -> None:
    with CutWire(api.url, [0, None]) as wire, Millrace(wire.url, api.key) as cut:
        with pytest.raises(ConnectionFailed):
            act(cut)
        assert wire.connections == 1


@pytest.mark.parametrize("job_id", ["", "../queues", "job_x/retry"])
def test_what_is_no_id_is_not_sent(job_id: str) -> None:
    with sink() as server, Millrace(server.url, "mk_x") as millrace:
        for act in (millrace.cancel, millrace.retry, millrace.delete):
            with pytest.raises(MillraceError, match="not the id of a job"):
                act(job_id)
        with pytest.raises(MillraceError, match="not the name of a queue"):
            millrace.pause("../jobs")
        assert server.heads == []


def test_dead_letters_are_grouped_by_their_reason(api: Api, millrace: Millrace) -> None:
    made = [failed(api, millrace, f"Row {number} is full.") for number in (1000, 2000)]
    other = failed(api, millrace, "The door is locked.")
    reasons = {job_id: error.fingerprint for job_id in [*made, other] if (error := millrace.job(job_id).error)}
    one, two = reasons[made[0]], reasons[other]
    assert (reasons[made[1]], one != two, bool(one)) == (one, True, True)
    (group,) = millrace.dead_letters(kind="echo", fingerprint=one)
    assert (group.kind, group.code, group.count, group.fingerprint) == ("echo", "broken", 2, one)
    assert (group.newest_job in made, group.oldest <= group.newest) == (True, True)
    assert {one, two} <= {found.fingerprint for found in millrace.dead_letters()}
    assert len(millrace.dead_letters(limit=1)) == 1
    assert millrace.dead_letters(kind="http.call") == []


def test_a_share_of_the_dead_letters_is_replayed_and_then_the_rest(api: Api, millrace: Millrace) -> None:
    made = {failed(api, millrace, f"Lamp {number} is out.") for number in range(1000, 1004)}
    (group,) = [one for one in millrace.dead_letters() if "Lamp" in one.message]
    canary = millrace.replay(fingerprint=group.fingerprint, percent=25)
    assert (canary.matching, canary.skipped, len(canary.jobs)) == (4, 0, 1)
    assert millrace.job(canary.jobs[0]).state == "queued"
    some = millrace.replay(fingerprint=group.fingerprint, limit=2)
    rest = millrace.replay(kind="echo", fingerprint=group.fingerprint, code="broken")
    assert (some.matching, len(some.jobs), rest.matching, len(rest.jobs)) == (3, 2, 1, 1)
    assert {*canary.jobs, *some.jobs, *rest.jobs} == made


def test_dead_letters_are_chosen_by_when_they_failed(api: Api, millrace: Millrace) -> None:
    job_id = failed(api, millrace, "The clock has stopped.")
    error, when = millrace.job(job_id).error, millrace.job(job_id).finished_at
    assert error is not None
    assert when is not None
    assert millrace.replay(fingerprint=error.fingerprint, failed_before=when - timedelta(minutes=1)).jobs == ()
    assert millrace.replay(fingerprint=error.fingerprint, failed_after=when + timedelta(minutes=1)).jobs == ()
    assert millrace.replay(fingerprint=error.fingerprint, failed_after=when - timedelta(minutes=1)).jobs == (job_id,)


def test_a_replay_without_a_share_that_makes_sense_is_refused(millrace: Millrace) -> None:
    with pytest.raises(ApiError) as caught:
        millrace.replay(code="broken", percent=101)
    assert caught.value.errors[0][0] == "/percent"


def test_a_queue_is_paused_and_goes_on(millrace: Millrace, operator: Millrace) -> None:
    before = datetime.now(UTC) - timedelta(minutes=1)
    paused = operator.pause("images")
    assert (paused.name, paused.paused) == ("images", True)
    assert paused.paused_at is not None
    assert paused.paused_at > before
    assert [queue.name for queue in millrace.queues() if queue.paused] == ["images"]
    resumed = operator.resume("images")
    assert (resumed.paused, resumed.paused_at) == (False, None)
    assert not any(queue.paused for queue in millrace.queues())


def test_only_an_operator_pauses_a_queue_that_is_there(millrace: Millrace, operator: Millrace) -> None:
    with pytest.raises(ApiError, match="operate") as caught:
        millrace.pause("images")
    assert refused(caught) == (403, "scope_missing")
    with pytest.raises(ApiError, match="images") as caught:
        operator.resume("imags")
    assert refused(caught) == (404, "not_found")


def test_events_go_on_after_a_failure_when_the_job_runs_again(api: Api, millrace: Millrace) -> None:
    job_id = failed(api, millrace, "It broke.")
    millrace.retry(job_id)
    events = millrace.events(job_id)
    told = [next(events) for _ in range(6)]
    assert [event.type for event in told][-2:] == ["job.failed", "job.queued"]
    assert told[-1].data == {"again": ["hello"]}
    api.succeed(job_id)
    told += events
    assert [event.seq for event in told] == list(range(1, len(told) + 1))
    assert told[-1].type == "job.succeeded"


def test_events_of_a_retried_job_are_whole_over_cut_connections(api: Api, millrace: Millrace) -> None:
    job_id = failed(api, millrace, "It broke.")
    millrace.retry(job_id)
    api.succeed(job_id)
    whole = list(millrace.events(job_id))
    with CutWire(api.url, [700, 1000, 0, None]) as wire, Millrace(wire.url, api.key) as cut:
        assert list(cut.events(job_id)) == whole
    assert list(millrace.events(job_id, after=whole[-1].seq)) == []


def test_a_deadline_is_known_from_the_start(millrace: Millrace) -> None:
    job = millrace.submit({**ECHO, "deadline_seconds": 3600})
    assert job.deadline_at is not None
    assert abs(job.deadline_at - job.created_at - timedelta(hours=1)) < timedelta(seconds=5)
    assert (job.stopping, job.steps["hello"].losses) == (None, 0)


def test_an_older_server_is_understood() -> None:
    with sink([ACCEPTED]) as server, Millrace(server.url, "mk_x") as millrace:
        job = millrace.job("job_x")
    assert (job.deadline_at, job.stopping) == (None, None)
    failed_then = answers.job({**JOB, "error": {"code": "broken", "message": "It broke."}})
    assert failed_then.error is not None
    assert failed_then.error.fingerprint == ""


def test_what_is_no_answer_of_the_platform_is_said_to_be_none() -> None:
    odd = answer("200 OK", json.dumps({"data": [{}]}).encode())
    with sink([odd]) as server, Millrace(server.url, "mk_x") as millrace:
        for act in (millrace.dead_letters, millrace.queues, millrace.replay, lambda: millrace.pause("images")):
            with pytest.raises(MillraceError, match="not as Millrace writes it"):
                act()
