"""The event stream: everything, in order, once, to everybody, and the database is asked only when there is news."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import event, text

from api.events import PAGE
from storage import retention, steps
from storage.database import Database
from storage.events import append
from storage.model import Job
from tests.api.conftest import Api, seen
from tests.api.refusing import eventually
from tests.api.serving import served, settings
from tests.api.stream import WHOLE, watching
from tests.api.working import fail, report, start, succeed, types
from tests.documents import CHAIN, put_in


@pytest.fixture
def job(api: Api) -> Job:
    return put_in(api.database, api.acme.tenant)


def waiters(api: Api, job: Job) -> int:
    return len(api.served.service.hub._waiting.get(job.id, ()))  # what no client can see


def test_a_watcher_sees_every_event_in_order_as_it_happens_and_the_stream_ends_with_the_job(api: Api, job: Job) -> None:
    with watching(api.acme, job.id) as stream:
        assert stream.answer.headers["content-type"].startswith("text/event-stream")
        assert stream.answer.headers["cache-control"] == "no-store"
        assert stream.event().type == "job.queued"
        claim = start(api, job)
        assert [stream.event().type, stream.event().type] == ["job.running", "step.running"]
        report(api, claim, 0.5)
        progress = stream.event()
        assert (progress.id, progress.type) == ("4", "step.progress")
        assert progress.data["data"] == {"step": "say", "progress": 0.5}
        assert (progress.data["seq"], progress.data["job"]) == (4, job.id)
        succeed(api, claim)
        assert stream.types() == ["step.succeeded", "job.succeeded"]


def test_the_stream_of_a_job_that_has_ended_tells_it_all(api: Api, job: Job) -> None:
    succeed(api, start(api, job))
    with watching(api.acme, job.id) as stream:
        told = list(stream)
    assert [item.type for item in told] == WHOLE
    assert [item.id for item in told] == ["1", "2", "3", "4", "5"]


def test_a_failed_job_ends_its_stream_too(api: Api) -> None:
    job = put_in(api.database, api.acme.tenant, CHAIN)
    with watching(api.acme, job.id) as stream:
        fail(api, start(api, job, "first"))
        assert stream.types()[-4:] == ["step.failed", "step.canceled", "step.canceled", "job.failed"]


@pytest.mark.parametrize("last", range(5))
def test_a_watcher_that_comes_back_goes_on_after_the_last_event_it_saw(api: Api, job: Job, last: int) -> None:
    succeed(api, start(api, job))
    with watching(api.acme, job.id, after=str(last)) as stream:
        assert stream.types() == WHOLE[last:]


def test_a_watcher_that_is_cut_off_while_events_come_loses_and_repeats_none(api: Api, job: Job) -> None:
    claim = start(api, job)

    def work() -> None:
        for number in range(40):
            report(api, claim, number / 40)
        succeed(api, claim)

    seqs: list[int] = []
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        while len(seqs) < 45:
            with watching(api.acme, job.id, after=str(seqs[-1] if seqs else 0)) as stream:
                seqs += [told.data["seq"] for told, _ in zip(stream, range(7), strict=False)]
        working.result()
    assert seqs == list(range(1, 46))


@pytest.mark.parametrize("last", ["5", "6", "999999999"])
def test_a_watcher_that_has_seen_the_end_is_told_not_to_come_again(api: Api, job: Job, last: str) -> None:
    succeed(api, start(api, job))
    with watching(api.acme, job.id, after=last) as stream:
        assert (stream.answer.status_code, stream.types()) == (204, [])


def test_a_watcher_that_claims_to_be_ahead_is_let_go_at_the_end(api: Api, job: Job) -> None:
    with watching(api.acme, job.id, after="1000") as stream:
        eventually(lambda: waiters(api, job) == 1, "the client waits")
        succeed(api, start(api, job))
        assert stream.types() == []


def test_more_events_than_are_read_at_once_all_come(api: Api, job: Job) -> None:
    with api.database.begin(api.acme.tenant) as tx:
        append(tx, job.id, [("step.progress", {"step": "say", "progress": 0.5})] * 2500)
    succeed(api, start(api, job))
    with watching(api.acme, job.id) as stream:
        assert [told.data["seq"] for told in stream if told.id] == list(range(1, 2506))


def test_a_retry_is_told_although_the_events_that_are_read_at_once_end_with_the_failure(api: Api, job: Job) -> None:
    claim = start(api, job)
    with api.database.begin(api.acme.tenant) as tx:
        append(tx, job.id, [("step.progress", {"step": "say", "progress": 0.5})] * (PAGE - 5))
    fail(api, claim)
    assert types(api, job)[PAGE - 1 :] == ["job.failed"]
    with watching(api.acme, job.id) as stream:
        assert len(stream.types()) == PAGE
    assert api.acme.ask("POST", f"/v1/jobs/{job.id}/retry").status_code == 202
    succeed(api, start(api, job))
    with watching(api.acme, job.id) as stream:
        assert stream.types()[PAGE:] == WHOLE


def test_many_watchers_of_one_job_all_see_all_and_are_forgotten_when_they_leave(api: Api, job: Job) -> None:
    def watch(_: int) -> list[str]:
        with watching(api.acme, job.id) as stream:
            return stream.types()

    with ThreadPoolExecutor(10) as pool:
        watched = pool.map(watch, range(10))
        eventually(lambda: waiters(api, job) == 10, "all wait")
        succeed(api, start(api, job))
        assert list(watched) == [WHOLE] * 10
    assert waiters(api, job) == 0


def test_watchers_that_go_away_in_silence_are_forgotten(api: Api, job: Job) -> None:
    with contextlib.ExitStack() as open_streams:
        streams = [open_streams.enter_context(watching(api.acme, job.id)) for _ in range(5)]
        assert [stream.event().type for stream in streams] == ["job.queued"] * 5
        eventually(lambda: waiters(api, job) == 5, "all wait")
    eventually(lambda: waiters(api, job) == 0, "all are forgotten")


@contextlib.contextmanager
def statements(api: Api) -> Iterator[list[str]]:
    """What the server asks the database while the body runs."""
    asked: list[str] = []
    engine = api.served.service.database._engine

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_twenty_idle_watchers_cost_the_database_nothing(database: Database, database_url: str) -> None:
    quick = settings(database_url, keep_alive_seconds=0.1)
    with served(quick) as running, seen(running, database) as api, contextlib.ExitStack() as open_streams:
        job = put_in(database, api.acme.tenant)
        streams = [open_streams.enter_context(watching(api.acme, job.id)) for _ in range(20)]
        for stream in streams:
            assert stream.event().type == "job.queued"
        eventually(lambda: waiters(api, job) == 20, "all wait")
        with statements(api) as asked:
            for stream in streams:  # ten signs of life each: a second and more
                assert [next(stream).type for _ in range(10)] == ["still here"] * 10
        assert asked == []
        with statements(api) as asked:
            start(api, job)
            for stream in streams:
                assert stream.event().type == "job.running"
        assert 1 <= len(asked) <= 20


def test_a_job_that_ends_and_is_deleted_before_its_watcher_looks_ends_the_stream(api: Api, job: Job) -> None:
    claim = start(api, job)
    with watching(api.acme, job.id, after="3") as stream:
        eventually(lambda: waiters(api, job) == 1, "the client waits")
        with api.database.begin(api.acme.tenant) as tx:
            steps.succeed(tx, claim, None)
            retention.delete(tx, job.id)
        assert set(stream.types()) <= {"step.succeeded", "job.succeeded"}


def test_a_stream_outlives_the_loss_of_the_connection_that_listens(own_api: Api) -> None:
    api = own_api
    job = put_in(api.database, api.acme.tenant)
    with watching(api.acme, job.id) as stream:
        stream.event()
        eventually(lambda: kill_listeners(api) == 1, "the hub listens and is cut off")
        succeed(api, start(api, job))  # while nobody listens
        assert stream.types() == WHOLE[1:]
    eventually(lambda: kill_listeners(api) == 1, "the hub listens again")


def kill_listeners(api: Api) -> int:
    with api.database.platform() as tx:
        killed = tx.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND query LIKE 'LISTEN%'"
            )
        )
        return len(killed.all())


def test_no_event_is_lost_when_the_job_ends_between_two_looks_at_it(api: Api, job: Job) -> None:
    claim = start(api, job)
    engine = api.served.service.database._engine
    looks = iter(range(1, 100))

    def end_at_the_last_look(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        # First whether it is there, then twice whether it has ended: the last time in the stream, after its events.
        if "SELECT jobs.finished_at" in statement and next(looks) == 3:
            succeed(api, claim)

    event.listen(engine, "before_cursor_execute", end_at_the_last_look)
    try:
        with watching(api.acme, job.id, after="3") as stream:
            assert stream.types() == WHOLE[3:]
    finally:
        event.remove(engine, "before_cursor_execute", end_at_the_last_look)
