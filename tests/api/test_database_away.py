"""A database that goes away is a 503 that says when to come back, and everything goes on by itself when it returns."""

from collections.abc import Callable, Iterator

import httpx2
import pytest

from api import acceptance, events
from storage.database import Database
from tests.api.conftest import Api, seen
from tests.api.refusing import assert_problem, eventually
from tests.api.relay import Relay, relayed
from tests.api.serving import served, settings
from tests.api.stream import WHOLE, watching
from tests.api.wire import END, MULTIPART, connected, part, part_head
from tests.api.working import start, succeed
from tests.documents import ECHO, put_in

JOB = part("job", b'{"steps": {"say": {"kind": "echo"}}}')


@pytest.fixture
def cuttable(database: Database, database_url: str) -> Iterator[tuple[Api, Relay]]:
    """The app, whose way to the database can be cut, and what cuts it; the test's own way stays."""
    with relayed(database_url) as (relay, url), served(settings(url)) as running, seen(running, database) as api:
        yield api, relay


ROUTES: dict[str, Callable[[Api, str], httpx2.Response]] = {
    "submit": lambda api, _: api.acme.post(json=ECHO),
    "submit with a key": lambda api, _: api.acme.post(json=ECHO, headers={"Idempotency-Key": "mine"}),
    "list": lambda api, _: api.acme.get("/v1/jobs"),
    "read": lambda api, job: api.acme.get(f"/v1/jobs/{job}"),
    "wait": lambda api, job: api.acme.get(f"/v1/jobs/{job}?wait=5"),
    "watch": lambda api, job: api.acme.get(f"/v1/jobs/{job}/events"),
    "fetch": lambda api, job: api.acme.get(f"/v1/jobs/{job}/outputs/say/small"),
    "queues": lambda api, _: api.acme.get("/v1/queues"),
    "ready": lambda api, _: api.acme.get("/readyz"),
}


def test_every_route_says_so_while_the_database_is_away_and_works_again_after(cuttable: tuple[Api, Relay]) -> None:
    api, relay = cuttable
    job = put_in(api.database, api.acme.tenant)
    before = api.left()
    relay.cut()
    for ask in ROUTES.values():
        for _ in range(2):  # on a connection that broke, and on one that cannot be made
            answer = ask(api, job.id)
            assert_problem(answer.status_code, answer.headers, answer.json(), (503, "database_unavailable"))
            assert int(answer.headers["retry-after"]) > 0
    assert api.acme.get("/livez").status_code == 200
    assert api.left() == before
    relay.mend()
    assert [api.acme.get("/readyz").status_code, api.acme.get("/v1/jobs").status_code] == [200, 200]
    assert api.acme.post(json=ECHO, headers={"Idempotency-Key": "mine"}).status_code == 202


def test_a_watcher_stays_while_the_database_is_away_and_gets_its_news_after(
    cuttable: tuple[Api, Relay], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "RETRY_AFTER_SECONDS", 0.05)
    api, relay = cuttable
    job = put_in(api.database, api.acme.tenant)
    with watching(api.acme, job.id) as stream:
        next(stream)
        eventually(lambda: bool(api.served.service.hub._waiting), "the client waits")
        relay.cut()
        succeed(api, start(api, job))
        relay.mend()
        assert [told.type for told in stream if told.id] == WHOLE[1:]


def test_a_file_that_comes_while_the_database_goes_is_taken_back(cuttable: tuple[Api, Relay]) -> None:
    api, relay = cuttable
    with connected(api.port) as wire:
        wire.start(api.acme.key, f"Content-Type: {MULTIPART}", "Transfer-Encoding: chunked")
        wire.chunk(JOB + part_head("file", filename="a") + b"first")
        relay.cut()
        wire.chunk(b"last\r\n" + END)
        wire.chunk(b"")
        answer = wire.answer()
    assert_problem(answer.status, answer.headers, answer.json(), (503, "database_unavailable"))
    assert (api.left()["jobs"], api.left()["objects"]) == (0, [])


def test_a_key_that_could_not_be_freed_is_freed_when_the_database_is_back(
    cuttable: tuple[Api, Relay], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptance, "AGAIN_SECONDS", 0.05)
    api, relay = cuttable
    with connected(api.port) as wire:
        wire.start(api.acme.key, f"Content-Type: {MULTIPART}", "Transfer-Encoding: chunked", "Idempotency-Key: mine")
        wire.chunk(JOB + part_head("file", filename="a") + b"first")
        eventually(lambda: api.left()["idempotency"] == 1, "the request holds its key")
        relay.cut()
    eventually(lambda: len(api.served.service.unfinished) == 1, "it is tried again behind the request")
    relay.mend()
    eventually(lambda: api.left()["idempotency"] == 0, "the key is free")
    assert api.left()["objects"] == []


@pytest.mark.parametrize("committed", [True, False])
def test_a_commit_whose_answer_is_lost_leaves_the_job_with_its_file_or_neither(
    cuttable: tuple[Api, Relay], monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    monkeypatch.setattr(acceptance, "DOUBT_SECONDS", 1.0)
    api, relay = cuttable
    headers = {"Content-Type": MULTIPART, "Idempotency-Key": "mine"}
    body = JOB + part("file", b"bytes", filename="a") + END
    with connected(api.port) as wire:
        wire.start(api.acme.key, f"Content-Type: {MULTIPART}", "Transfer-Encoding: chunked", "Idempotency-Key: mine")
        wire.chunk(body[:-10])
        eventually(lambda: api.left()["idempotency"] == 1, "the request holds its key")
        relay.lost, relay.swallow = (b"INSERT INTO jobs", b"\x0bCOMMIT\0"), not committed
        wire.chunk(body[-10:])
        wire.chunk(b"")
        answer = wire.answer()
    assert_problem(answer.status, answer.headers, answer.json(), (503, "database_unavailable"))
    relay.lost = None
    eventually(lambda: not api.served.service.unfinished, "the doubt is settled")
    left = api.left()
    assert (left["jobs"], len(left["objects"]), left["idempotency"]) == ((1, 1, 1) if committed else (0, 0, 0))
    again = api.acme.post(content=body, headers=headers)
    assert again.status_code == 202
    assert api.left()["jobs"] == 1
