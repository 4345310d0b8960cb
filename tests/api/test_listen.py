"""A developer who listens hears what a webhook would be sent, in order, signed; a short break loses nothing."""

import contextlib
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from standardwebhooks import Webhook

from api.listen import PAGE
from storage import listeners
from storage.database import Database
from tests.api.conftest import Api, seen
from tests.api.hearing import LISTEN, ended, gone_for, listening, message, ready, rows, secret
from tests.api.refusing import assert_problem, eventually
from tests.api.serving import served, settings
from tests.api.working import fail, start
from tests.documents import put_in


def test_a_listener_is_sent_what_a_webhook_would_be_and_the_reference_verifier_accepts_it(api: Api) -> None:
    with listening(api.acme) as stream:
        assert stream.answer.headers["content-type"].startswith("text/event-stream")
        assert stream.answer.headers["cache-control"] == "no-store"
        listener = ready(stream)
        job_id = ended(api)
        told = message(stream)
        assert (told.data["type"], told.data["job"]) == ("job.succeeded", job_id)
        assert told.data["headers"]["content-type"] == "application/json"
        assert told.data["headers"]["webhook-id"].startswith(f"msg_{job_id.removeprefix('job_')}_")
        verified = Webhook(secret(api.acme)).verify(told.data["body"], told.data["headers"])
        assert verified["type"] == "job.succeeded"
        assert verified["data"] == api.acme.get(f"/v1/jobs/{job_id}").json()
    assert rows(api, listener)[1] == ["delivered"]


def test_only_the_wanted_events_come_by_default_how_jobs_end(api: Api) -> None:
    with listening(api.acme) as ends, listening(api.acme, "step.succeeded", "job.failed") as chosen:
        ready(ends), ready(chosen)
        ended(api)
        fail(api, start(api, put_in(api.database, api.acme.tenant)))
        assert [message(ends).data["type"] for _ in range(2)] == ["job.succeeded", "job.failed"]
        told = [message(chosen) for _ in range(2)]
        assert [one.data["type"] for one in told] == ["step.succeeded", "job.failed"]
        assert json.loads(told[0].data["body"])["data"]["step"] == "say"


def test_more_than_is_made_at_once_comes_in_order(api: Api) -> None:
    with listening(api.acme) as stream:
        ready(stream)
        job_ids = [ended(api) for _ in range(PAGE + 5)]
        assert [message(stream).data["job"] for _ in job_ids] == job_ids


def test_what_was_before_and_what_others_do_is_not_told(api: Api) -> None:
    ended(api)
    with listening(api.acme) as stream, listening(api.other) as others:
        ready(stream), ready(others)
        job_id = ended(api)
        assert message(stream).data["job"] == job_id
        other = put_in(api.database, api.other.tenant)
        assert api.other.ask("POST", f"/v1/jobs/{other.id}/cancel").status_code == 200
        assert message(others).data["job"] == other.id


def test_who_comes_back_goes_on_after_the_last_message_it_saw(api: Api) -> None:
    with listening(api.acme) as stream:
        listener = ready(stream)
        job_ids = [ended(api) for _ in range(3)]
        first = message(stream)
        unseen = [message(stream) for _ in range(2)]  # sent, and, let us say, lost on the way
    job_ids.append(ended(api))  # while nobody listens
    with listening(api.acme, after=first.id) as stream:
        told = stream.event()
        assert (told.id, told.type, told.data) == (first.id, "ready", {"listener": listener})
        again = [message(stream) for _ in range(3)]
        job_ids.append(ended(api))
        assert [one.data["job"] for one in [first, *again, message(stream)]] == job_ids
    for before, after in zip(unseen, again[:2], strict=True):
        assert before.id == after.id
        assert before.data["body"] == after.data["body"]
        assert before.data["headers"]["webhook-id"] == after.data["headers"]["webhook-id"]
    assert rows(api, listener)[1] == ["delivered"] * 5


def test_who_is_cut_off_while_messages_come_loses_none(api: Api) -> None:
    heard: list[str] = []
    with listening(api.acme) as stream:
        last = ready(stream)
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(lambda: [ended(api) for _ in range(40)])
        while len(set(heard)) < 40:
            with listening(api.acme, after=last) as stream:
                ready(stream)
                for _ in range(min(7, 40 - len(set(heard)))):
                    told = message(stream)
                    last, heard = told.id or last, [*heard, told.data["job"]]
        assert heard == working.result()  # none twice, since each time the last one was named


def test_who_comes_back_without_having_seen_a_message_is_sent_all(api: Api) -> None:
    with listening(api.acme) as stream:
        listener = ready(stream)
    job_ids = [ended(api), ended(api)]
    for _ in range(2):
        with listening(api.acme, after=listener) as stream:
            assert ready(stream) == listener
            assert [message(stream).data["job"] for _ in job_ids] == job_ids


def test_who_comes_back_too_late_is_another_listener(api: Api) -> None:
    with listening(api.acme) as stream:
        listener = ready(stream)
    gone_for(api, 1)
    ended(api)
    with listening(api.acme, after=listener) as stream:
        assert ready(stream) != listener
        job_id = ended(api)
        assert message(stream).data["job"] == job_id
    assert rows(api, listener)[1] == []


def test_nobody_comes_back_as_anothers_listener(api: Api) -> None:
    with listening(api.acme) as stream:
        listener = ready(stream)
        ended(api)
        seen_last = message(stream).id
        for after in (listener, seen_last):
            with listening(api.other, after=after) as others:
                assert ready(others) != listener


def test_the_newest_stream_of_a_listener_takes_over(api: Api) -> None:
    with listening(api.acme) as older:
        listener = ready(older)
        with listening(api.acme, after=listener) as newer:
            assert ready(newer) == listener
            job_id = ended(api)
            assert message(newer).data["job"] == job_id
            assert older.types() == []


def test_a_stream_that_was_silent_for_too_long_ends_since_it_may_have_missed_something(api: Api) -> None:
    with listening(api.acme) as stream:
        ready(stream)
        gone_for(api, 1)
        with listening(api.acme) as another:  # whose news wake both
            ready(another)
            ended(api)
            assert stream.types() == []


def test_signs_of_life_keep_a_listener_there(database: Database, database_url: str) -> None:
    quick = settings(database_url, keep_alive_seconds=0.05)
    with served(quick) as running, seen(running, database) as api, listening(api.acme) as stream:
        listener = ready(stream)
        before = rows(api, listener)[0].listening_until
        assert [next(stream).type for _ in range(3)] == ["still here"] * 3
        assert rows(api, listener)[0].listening_until > before


def test_a_tenant_has_at_most_ten_listeners_and_those_long_gone_do_not_count(api: Api) -> None:
    with contextlib.ExitStack() as streams:
        for _ in range(listeners.MOST):
            ready(streams.enter_context(listening(api.acme)))
        refused = api.acme.get(LISTEN)
        assert_problem(refused.status_code, refused.headers, refused.json(), (409, "too_many_listeners"))
        with listening(api.other) as others:
            ready(others)
    gone_for(api, 1)
    with listening(api.acme) as stream:
        ready(stream)


def test_listeners_that_are_long_gone_are_forgotten_when_the_next_one_comes(api: Api) -> None:
    with listening(api.acme) as stream:
        listener = ready(stream)
        ended(api)
        message(stream)
    eventually(lambda: api.acme.tenant not in api.served.service.hub._waiting, "the stream has ended there, too")
    gone_for(api, listeners.SECONDS - 5)
    with listening(api.acme) as stream:
        ready(stream)
        assert rows(api, listener)[1] == ["delivered"]  # a transaction may still be writing for it
    eventually(lambda: api.acme.tenant not in api.served.service.hub._waiting, "the stream has ended there, too")
    gone_for(api, listeners.SECONDS + 5)
    with listening(api.acme) as stream:
        ready(stream)
        assert rows(api, listener) == (None, [])


def test_retention_forgets_those_whose_process_died(own_api: Api) -> None:
    api = own_api
    with listening(api.acme) as stream:
        listener = ready(stream)
    eventually(lambda: api.acme.tenant not in api.served.service.hub._waiting, "the stream has ended there, too")
    gone_for(api, listeners.SECONDS + 5)
    with api.database.platform() as tx:
        assert listeners.forget_old(tx, limit=10) == 1
        assert listeners.forget_old(tx, limit=10) == 0
    assert rows(api, listener) == (None, [])


def test_a_listener_is_no_webhook(api: Api) -> None:
    with listening(api.acme) as stream:
        listener = ready(stream)
        assert api.acme.get("/v1/webhooks").json() == {"data": []}
        for method in ("GET", "DELETE"):
            answer = api.acme.ask(method, f"/v1/webhooks/{listener}")
            assert_problem(answer.status_code, answer.headers, answer.json(), (404, "not_found"))


def test_a_stream_outlives_the_loss_of_the_connection_that_hears_the_news(own_api: Api) -> None:
    api = own_api
    with listening(api.acme) as stream:
        ready(stream)
        eventually(lambda: kill_listeners(api) == 1, "the hub listens and is cut off")
        job_id = ended(api)  # while nobody listens
        assert message(stream).data["job"] == job_id


def kill_listeners(api: Api) -> int:
    with api.database.platform() as tx:
        killed = tx.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND query LIKE 'LISTEN millrace_webhooks%'"
            )
        )
        return len(killed.all())


@pytest.mark.parametrize(
    ("query", "after", "expected"),
    [
        ("?events=job.begun", None, (422, "invalid_parameter")),
        ("?events=webhook.test", None, (422, "invalid_parameter")),
        ("", "7", (400, "last_event_id_invalid")),
        ("", "job_01kb0000000000000000000000", (400, "last_event_id_invalid")),
    ],
)
def test_what_makes_no_sense_is_refused(api: Api, query: str, after: str | None, expected: tuple[int, str]) -> None:
    answer = api.acme.get(f"{LISTEN}{query}", {} if after is None else {"Last-Event-ID": after})
    pointers = ["/query/events/0"] if expected[0] == 422 else []
    assert_problem(answer.status_code, answer.headers, answer.json(), expected, pointers)


def test_a_key_that_may_not_read_jobs_may_not_listen(api: Api) -> None:
    answer = api.acme.ask("GET", LISTEN, key=api.key(api.acme, "jobs:write"))
    assert_problem(answer.status_code, answer.headers, answer.json(), (403, "scope_missing"))


def test_without_the_operators_key_nothing_can_be_signed(database: Database, database_url: str) -> None:
    with served(settings(database_url, keyring=None)) as running, seen(running, database) as api:
        answer = api.acme.get(LISTEN)
        assert_problem(answer.status_code, answer.headers, answer.json(), (503, "secret_key_missing"))
