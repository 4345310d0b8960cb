"""Errors as a Sentry receives them: with their job, without what is anybody's business, and not a thousand times."""

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from structlog.contextvars import bound_contextvars

from api.watching import watched
from scheduler.loop import keep
from storage import losses
from storage.database import Database
from storage.errors import DatabaseUnavailable, ObjectStoreUnavailable
from storage.model import TenantId
from storage.telemetry import failure_limits, failure_sending, failures
from storage.telemetry.failure_limits import Limits
from storage.telemetry.settings import from_env
from tasks import ends, watching
from tasks.errors import StepRetryable
from tasks.lost import LOST
from tasks.names import KINDS
from tests.documents import put_in, take
from tests.scheduler.sentry_server import Sentry, sentry_server

SECRET = "tok-81c5e0b7d94f2a63"


@pytest.fixture
def sentry() -> Iterator[Sentry]:
    with sentry_server() as running:
        yield running


@contextmanager
def telling(sentry: Sentry) -> Iterator[None]:
    """Errors go to this Sentry; all of them are there at the end of the block, if they can be."""
    failures.set_up(from_env({}, "worker"), {"SENTRY_DSN": sentry.dsn, "SENTRY_ENVIRONMENT": "staging"})
    try:
        yield
    finally:
        failures.close()


def test_the_crash_of_a_kind_comes_with_its_job_and_without_its_parameters(
    database: Database, tenant: TenantId, sentry: Sentry
) -> None:
    job = put_in(database, tenant, {"steps": {"say": {"kind": "echo", "message": f"a word: {SECRET}"}}})
    claim = take(database, tenant, job, "say")
    assert claim is not None
    with telling(sentry), watching.attempt(KINDS["echo"], claim) as watch:
        exc = ValueError(f"cannot take 'a word: {SECRET}' and key=hunter22")
        crash(watch.crashed, exc)
        of_row, _ = ends.reason(KINDS["echo"], claim, exc)
    [event] = sentry.events
    tags = event["tags"]
    assert (tags["job"], tags["step"], tags["attempt"], tags["kind"]) == (job.id, claim.step_id, "1", "echo")
    assert (event["user"], tags["role"], event["environment"]) == ({"id": tenant}, "worker", "staging")
    assert event["fingerprint"] == ["echo", of_row.fingerprint]
    [error] = event["exception"]["values"]
    assert (error["type"], error["value"]) == ("ValueError", "cannot take '[hidden]' and key=[hidden]")
    assert [frame["function"] for frame in error["stacktrace"]["frames"]] == ["crash"]
    assert SECRET not in json.dumps(event)
    assert "hunter22" not in error["value"]
    assert "vars" not in error["stacktrace"]["frames"][0]


def crash(tell: Callable[[BaseException], None], exc: BaseException) -> None:
    try:
        raise exc
    except type(exc) as caught:
        tell(caught)


def test_a_poison_file_is_one_issue_and_few_events(database: Database, tenant: TenantId, sentry: Sentry) -> None:
    claim = None
    with telling(sentry):
        for number in range(50):
            claim = take(database, tenant, put_in(database, tenant), "say")
            assert claim is not None
            with watching.attempt(KINDS["echo"], claim) as watch:
                crash(watch.crashed, ValueError(f"bad marker at {number}"))
        failures.close()
        failures.set_up(from_env({}, "worker"), {"SENTRY_DSN": sentry.dsn})  # as another process
        assert claim is not None
        with watching.attempt(KINDS["echo"], claim) as watch:
            crash(watch.crashed, ValueError("bad marker at the end"))
            crash(watch.crashed, KeyError("another error"))
    first, second, other = sentry.events
    assert first["fingerprint"] == second["fingerprint"]
    assert first["fingerprint"] != other["fingerprint"]


def test_what_a_kind_has_words_for_is_no_news(database: Database, tenant: TenantId, sentry: Sentry) -> None:
    claim = take(database, tenant, put_in(database, tenant), "say")
    assert claim is not None
    with telling(sentry), watching.attempt(KINDS["echo"], claim) as watch:
        for exc in (StepRetryable("busy", "try again"), DatabaseUnavailable("away")):
            crash(watch.crashed, exc)
    assert sentry.events == []


def test_a_kind_that_calls_third_parties_shows_no_words_at_all(
    database: Database, tenant: TenantId, sentry: Sentry
) -> None:
    claim = take(database, tenant, put_in(database, tenant), "say")
    assert claim is not None
    with telling(sentry), watching.attempt(KINDS["http.call"], claim) as watch:
        crash(watch.crashed, ValueError("Illegal header value b'opensesame'"))
    [event] = sentry.events
    assert event["exception"]["values"][0]["value"] == "[hidden]"
    assert "opensesame" not in json.dumps(event["exception"]["values"][0]["value"])


def test_a_step_that_is_given_up_as_poison_is_told(database: Database, tenant: TenantId, sentry: Sentry) -> None:
    job = put_in(database, tenant)
    with telling(sentry):
        for _ in range(3):
            claim = take(database, tenant, job, "say")
            assert claim is not None
            with database.begin(tenant) as tx:
                losses.lose(tx, claim, LOST, only_if_expired=False)
    [event] = sentry.events
    assert event["message"] == "poison: the process that worked on this step died"
    assert (event["fingerprint"], event["tags"]["job"]) == (["echo", "poison", "worker_lost"], job.id)


def test_an_unexpected_error_of_a_request_is_told_without_what_was_sent(sentry: Sentry) -> None:
    async def boom(request: Request) -> None:
        raise RuntimeError((await request.body()).decode())

    async def away(_request: Request) -> StreamingResponse:
        async def body() -> AsyncIterator[str]:
            yield "a"
            raise ObjectStoreUnavailable("away")

        return StreamingResponse(body())

    async def answered(_request: Request, _exc: Exception) -> Response:
        return Response(status_code=503)

    async def ask() -> None:
        app = Starlette(
            routes=[Route("/boom", boom, methods=["POST"]), Route("/away", away)],
            middleware=[Middleware(watched)],
            exception_handlers={ObjectStoreUnavailable: answered},
        )
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            headers = {"Authorization": f"Bearer {SECRET}", "X-Request-Id": "request-1234"}
            await client.get("/away")
            await client.post(f"/boom?q={SECRET}", content=SECRET, headers=headers)

    with telling(sentry):
        asyncio.run(ask())
    [event] = sentry.events  # and none of the stream that broke off
    assert event["tags"]["request"] == "request-1234"
    assert event["exception"]["values"][0]["type"] == "RuntimeError"
    assert SECRET not in json.dumps(event)
    assert "request" not in event


def test_a_loop_that_crashes_is_told_once_and_an_outage_is_not(sentry: Sentry) -> None:
    stop, turns = threading.Event(), iter([DatabaseUnavailable("away"), ZeroDivisionError("by zero")])

    def loop(told: threading.Event) -> None:
        exc = next(turns, None)
        if exc is None:
            told.set()
            return
        raise exc

    with telling(sentry):
        keep({"reap": loop}, stop)
    [event] = sentry.events
    assert (event["exception"]["values"][0]["type"], event["tags"]["thread"]) == ("ZeroDivisionError", "reap")
    assert event["fingerprint"][0] == "loop.failed"


def test_exceptions_that_others_log_are_theirs_and_an_error_is_told_once(sentry: Sentry) -> None:
    def log_twice(exc: BaseException) -> None:
        logging.getLogger("celery.worker").error("theirs", exc_info=exc)
        logging.getLogger("tasks.somewhere").warning("only a warning", exc_info=exc)
        failures.tell(exc)
        logging.getLogger("tasks.somewhere").error("step.crashed step=%s", 1, exc_info=exc)

    with telling(sentry):
        crash(log_twice, ValueError("x"))
        with bound_contextvars(tenant="ten_1"):
            crash(lambda exc: logging.getLogger("api.x").error("a.b", exc_info=exc), LookupError("what a tenant sent"))
    first, second = sentry.events
    assert first["exception"]["values"][0]["value"] == "x"
    assert second["exception"]["values"][0]["value"] == "[hidden]"


def test_a_sentry_that_hangs_holds_up_nothing(sentry: Sentry, monkeypatch: pytest.MonkeyPatch) -> None:
    sentry.hang = threading.Event()
    monkeypatch.setattr(failure_limits, "PER_MINUTE", 10_000)
    with telling(sentry):
        for number in range(2 * failure_sending.QUEUE):
            failures.say("away", group=(str(number),))
    assert len(sentry.events) <= 2
    sentry.hang.set()


def test_each_error_is_told_now_and_then_and_all_of_them_so_many_a_minute() -> None:
    now = 0.0
    limits = Limits(lambda: now)
    assert [limits.admit("a") for _ in range(4)] == [0, None, None, None]
    told = sum(limits.admit(f"b{number}") is not None for number in range(100))
    assert told == failure_limits.PER_MINUTE - 1
    now = failure_limits.AGAIN_SECONDS
    assert limits.admit("a") == 3


def test_without_a_dsn_nothing_is_told() -> None:
    failures.set_up(from_env({}, "worker"), {"SENTRY_DSN": ""})
    failures.tell(ValueError("x"))
    failures.say("x", group=("a",))
    failures.close()
    assert not failures.is_on()


def test_an_error_that_cannot_be_told_is_not_raised(sentry: Sentry, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no")

    with telling(sentry):
        monkeypatch.setattr(failure_sending.Telling, "tell", broken)
        failures.tell(ValueError("x"))
    assert sentry.events == []
