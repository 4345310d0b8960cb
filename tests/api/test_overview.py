"""`GET /v1/overview`: names what is stuck, and goes on doing so while the servers are away."""

import contextlib
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from api import lookout
from deploy.local.servers import Urls
from storage import queues
from storage.database import Database
from storage.tenants import keys_of, revoke_key
from tests.api.conftest import Api, seen
from tests.api.refusing import assert_problem, eventually
from tests.api.relay import Relay, relayed
from tests.api.serving import served, settings
from tests.api.signing_in import signed_in
from tests.api.test_openapi import made, validator

PATH = "/v1/overview"


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look is a new one."""
    monkeypatch.setattr(lookout, "KEPT_SECONDS", 0.0)


@pytest.fixture
def cuttable(database: Database, database_url: str, servers: Urls) -> Iterator[tuple[Api, Relay]]:
    """The app, whose way to the database can be cut; its broker is there."""
    broker = {"CELERY_BROKER_URL": servers.broker or ""}
    with (
        relayed(database_url) as (relay, url),
        served(settings(url, broker)) as running,
        seen(running, database) as api,
    ):
        yield api, relay


def look(api: Api, key: str) -> Any:
    answer = api.acme.ask("GET", PATH, key=key)
    assert answer.status_code == 200, answer.text
    return answer.json()


def codes(found: Any) -> list[str]:
    return [cause["code"] for cause in found["causes"]]


def test_it_says_how_all_of_it_stands(cuttable: tuple[Api, Relay]) -> None:
    api, _ = cuttable
    key = api.key(api.acme, "operate:read")
    found = look(api, key)
    assert (found["state"], found["causes"]) == ("ok", [])
    assert [(probe["part"], probe["ok"]) for probe in found["probes"]] == [
        ("database", True),
        ("objects", True),
        ("broker", True),
    ]
    assert (found["queues"], found["running"], found["runnable"], found["workers"]) == (4, 0, 0, 0)


def test_a_cause_comes_with_what_to_do_and_goes_when_it_is_mended(cuttable: tuple[Api, Relay]) -> None:
    api, _ = cuttable
    key = api.key(api.acme, "operate:read")
    with api.database.platform() as tx:
        queues.pause(tx, "images")
    found = look(api, key)
    [cause] = found["causes"]
    assert found["state"] == "degraded"
    assert (cause["code"], cause["severity"], cause["subject"]) == ("queue_paused", "warning", "images")
    assert "millrace resume images" in cause["hint"]
    assert cause["since"] is not None
    validator(made(), "OverviewDocument").validate(found)
    with api.database.platform() as tx:
        queues.resume(tx, "images")
    assert codes(look(api, key)) == []


def test_tenants_do_not_see_it(cuttable: tuple[Api, Relay]) -> None:
    api, _ = cuttable
    for answer, refusal in (
        (api.acme.get(PATH), (403, "scope_missing")),
        (api.acme.ask("GET", PATH, key="mk_wrong"), (401, "key_invalid")),
        (httpx2.get(f"{api.url}{PATH}"), (401, "key_missing")),
    ):
        assert_problem(answer.status_code, answer.headers, answer.json(), refusal)


def test_while_the_database_is_away_it_says_so_to_those_who_looked_on(cuttable: tuple[Api, Relay]) -> None:
    api, relay = cuttable
    onlooker, newcomer = (api.key(api.acme, "operate:read") for _ in range(2))
    look(api, onlooker)
    relay.cut()
    for _ in range(2):
        found = look(api, onlooker)
        assert (found["state"], codes(found)[0]) == ("stuck", "database_down")
    for key, refusal in ((newcomer, (503, "database_unavailable")), ("mk_wrong", (503, "database_unavailable"))):
        answer = api.acme.ask("GET", PATH, key=key)
        assert_problem(answer.status_code, answer.headers, answer.json(), refusal)
    relay.mend()
    assert codes(look(api, onlooker)) == []


def test_a_key_that_was_refused_is_not_let_in_when_the_database_goes_away(cuttable: tuple[Api, Relay]) -> None:
    api, relay = cuttable
    key = api.key(api.acme, "operate:read")
    look(api, key)
    with api.database.platform() as tx:
        name = tx.sql("SELECT name FROM tenants WHERE id = %(id)s", id=api.acme.tenant).scalar_one()
        revoke_key(tx, keys_of(tx, name)[0][0])
    eventually(lambda: api.acme.ask("GET", PATH, key=key).status_code == 401, "the process has heard of it")
    relay.cut()
    assert api.acme.ask("GET", PATH, key=key).status_code == 503


def test_who_has_signed_in_may_look_on_while_sign_ins_cannot_be_read(
    database: Database, database_url: str, servers: Urls
) -> None:
    with relayed(servers.broker or "") as (relay, url), contextlib.ExitStack() as opened:
        running = opened.enter_context(served(settings(database_url, {"CELERY_BROKER_URL": url})))
        api = opened.enter_context(seen(running, database))
        browser = opened.enter_context(signed_in(api, api.key(api.acme, "operate:read")))
        assert browser.ask("GET", PATH).json()["state"] == "ok"
        relay.cut()
        found = browser.ask("GET", PATH).json()
        assert (found["state"], codes(found)) == ("stuck", ["broker_down"])
        assert found["causes"][0]["since"] is not None
        relay.mend()
        assert browser.ask("GET", PATH).json()["causes"] == []


def test_no_cache_keeps_it_also_when_nobody_could_be_asked_who_looks(
    database: Database, database_url: str, servers: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    with relayed(database_url) as (relay, url), contextlib.ExitStack() as opened:
        running = opened.enter_context(served(settings(url, {"CACHE_URL": servers.broker or ""})))
        api = opened.enter_context(seen(running, database))
        browser = opened.enter_context(signed_in(api, api.key(api.acme, "operate:read")))
        assert browser.ask("GET", PATH).headers["cache-control"] == "no-store"
        relay.cut()
        for _ in range(2):
            answer = browser.ask("GET", PATH)
            assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
            monkeypatch.setattr(lookout, "KEPT_SECONDS", 60.0)  # now it is known that the database is away


def test_however_many_ask_it_is_looked_at_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookout, "KEPT_SECONDS", 60.0)
    key = api.key(api.acme, "operate:read")
    assert len({look(api, key)["at"] for _ in range(3)}) == 1


def test_a_server_that_hangs_is_waited_for_no_longer_than_its_time(
    cuttable: tuple[Api, Relay], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookout, "FACTS_SECONDS", 0.05)
    monkeypatch.setattr(lookout, "FACTS_KEPT_SECONDS", 0.0)
    api, _ = cuttable
    key = api.key(api.acme, "operate:read")
    with api.database.platform() as tx:
        tx.sql("LOCK TABLE workers IN ACCESS EXCLUSIVE MODE")
        found = look(api, key)
        assert (found["queues"], found["state"]) == (None, "ok")  # the rows do not come; the servers answer
    monkeypatch.setattr(lookout, "FACTS_SECONDS", 30.0)
    monkeypatch.setattr(lookout, "FACTS_KEPT_SECONDS", 30.0)
    assert look(api, key)["queues"] == 4
