"""An open event stream ends with the right to read it, and asks nobody about that while nothing has happened."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator

import httpx2
import pytest

from deploy.local.servers import Urls
from storage import tenants
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.tenants import keys_of, revoke_key
from tests.api.conftest import Api, Caller, seen
from tests.api.hearing import listening, ready
from tests.api.refusing import assert_problem
from tests.api.serving import served, settings
from tests.api.signing_in import Browser, signed_in
from tests.api.stream import Stream, watching
from tests.api.test_events import statements
from tests.api.working import start, succeed
from tests.documents import put_in
from tests.waiting import until

Maker = Callable[[float], Api]


@pytest.fixture
def make(servers: Urls, database: Database, database_url: str) -> Iterator[Maker]:
    with contextlib.ExitStack() as stack:

        def made(seconds: float) -> Api:
            chosen = settings(database_url, {"CACHE_URL": str(servers.broker)}, stream_check_seconds=seconds)
            running = stack.enter_context(served(chosen))
            return stack.enter_context(seen(running, database))

        yield made


@contextlib.contextmanager
def read_by(somebody: Browser, job: str) -> Iterator[Stream]:
    """The job's events, read as the page does: by the cookie."""
    with somebody.http.stream("GET", f"/v1/jobs/{job}/events") as answer:
        assert answer.status_code == 200
        stream = Stream(answer)
        assert stream.event().type == "job.queued"
        yield stream


def revoke(api: Api, caller: Caller) -> None:
    with api.database.platform() as tx:
        name = tx.sql("SELECT name FROM tenants WHERE id = %(id)s", id=caller.tenant).scalar_one()
        assert revoke_key(tx, keys_of(tx, name)[0][0])


def test_a_sign_out_ends_its_streams_at_once_and_no_others(make: Maker) -> None:
    api = make(3600)  # nobody looks meanwhile
    job = put_in(api.database, api.acme.tenant)
    with contextlib.ExitStack() as stack:
        here, elsewhere = (stack.enter_context(signed_in(api, api.acme.key)) for _ in range(2))
        mine, other = (stack.enter_context(read_by(one, job.id)) for one in (here, elsewhere))
        by_key = stack.enter_context(watching(api.acme, job.id, after="1"))
        assert here.ask("DELETE", "/v1/session").status_code == 204
        assert mine.types() == []
        again = here.http.get(f"/v1/jobs/{job.id}/events", headers={"Last-Event-ID": "1"})
        assert_problem(again.status_code, again.headers, again.json(), (401, "key_missing"))
        claim = start(api, job)
        assert other.event().type == "job.running"
        assert elsewhere.ask("DELETE", "/v1/sessions").status_code == 204
        assert set(other.types()) <= {"step.running"}
        succeed(api, claim)
        assert by_key.types()[-1] == "job.succeeded"


def test_a_sign_in_that_ends_elsewhere_ends_its_streams_at_the_next_look(make: Maker, servers: Urls) -> None:
    api, process = make(0.1), make(3600)
    job = put_in(api.database, api.acme.tenant)
    with signed_in(api, api.acme.key) as somebody, read_by(somebody, job.id) as stream:
        cookie = {"Cookie": f"millrace_session={somebody.cookie}", "X-CSRF-Token": somebody.csrf}
        assert httpx2.delete(f"{process.url}/v1/session", headers=cookie).status_code == 204
        assert stream.types() == []


def test_a_revoked_key_reads_no_more_and_another_tenants_does(make: Maker) -> None:
    api = make(0.1)
    job, others = put_in(api.database, api.acme.tenant), put_in(api.database, api.other.tenant)
    with watching(api.acme, job.id) as stream, listening(api.acme) as news, watching(api.other, others.id) as other:
        assert [one.event().type for one in (stream, other)] == ["job.queued"] * 2
        ready(news)
        revoke(api, api.acme)
        assert stream.types() == []
        assert [told for told in news if told.id] == []
        assert api.other.ask("POST", f"/v1/jobs/{others.id}/cancel").status_code == 200
        assert other.types()[-1] == "job.canceled"
    refused = api.acme.get(f"/v1/jobs/{job.id}/events")
    assert_problem(refused.status_code, refused.headers, refused.json(), (401, "key_invalid"))


def test_one_statement_looks_at_all_streams_and_none_is_needed_where_there_is_no_stream(make: Maker) -> None:
    api = make(3600)
    service = api.served.service

    def look() -> None:
        loop = service.hub._loop
        assert loop is not None
        asyncio.run_coroutine_threadsafe(service.streams.check(), loop).result(10)

    job = put_in(api.database, api.acme.tenant)
    with statements(api) as asked, contextlib.ExitStack() as stack:
        look()
        assert asked == []
        streams = [stack.enter_context(watching(api.acme, job.id)) for _ in range(20)]
        assert [stream.event().type for stream in streams] == ["job.queued"] * 20
        asked.clear()
        look()
        assert len(asked) == 1


def test_streams_go_on_while_nobody_can_say_who_may_read(make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    api = make(0.05)
    job = put_in(api.database, api.acme.tenant)
    looks: list[int] = []

    def away(*_: object) -> None:
        looks.append(1)
        raise DatabaseUnavailable("it is away")

    with watching(api.acme, job.id) as stream:
        assert stream.event().type == "job.queued"
        monkeypatch.setattr(tenants, "good_keys", away)
        until(lambda: len(looks) >= 2)  # and the looks go on as well
        succeed(api, start(api, job))
        assert stream.types()[-1] == "job.succeeded"
