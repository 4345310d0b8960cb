"""Whom keys belong to is remembered, but no longer than it is true."""

from collections.abc import Sequence
from typing import Any

import httpx2
import pytest

from api.known_keys import AGAIN_SECONDS, MOST, KnownKeys
from storage import tenants
from storage.async_database import AsyncDatabase
from storage.database import Database
from storage.model import KeyId, Principal, TenantId
from tests.api.conftest import Api, seen
from tests.api.refusing import eventually
from tests.api.relay import relayed
from tests.api.serving import served, settings

ANNA = Principal(tenant_id=TenantId("ten_a"), key_id=KeyId("key_a"), scopes=frozenset({"jobs:read"}))


class Clock:
    """Stands still until it is told to go on."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def known(clock: Clock) -> KnownKeys:
    keys = KnownKeys(clock)
    keys.listening()
    keys.note("mk_a", ANNA, changes=keys.changes)
    return keys


def test_a_key_is_known_for_some_seconds() -> None:
    clock = Clock()
    keys = known(clock)
    assert (keys.find("mk_a"), keys.find("mk_b")) == (ANNA, None)
    clock.now = AGAIN_SECONDS - 0.1
    assert keys.find("mk_a") == ANNA
    clock.now = AGAIN_SECONDS
    assert keys.find("mk_a") is None


def test_a_change_of_any_key_is_a_reason_to_ask_again() -> None:
    keys = known(Clock())
    keys.forget()
    assert keys.find("mk_a") is None


def test_an_answer_that_was_asked_for_before_a_change_is_not_remembered() -> None:
    keys = known(Clock())
    changes = keys.changes
    keys.forget()
    keys.note("mk_a", ANNA, changes=changes)
    assert keys.find("mk_a") is None


def test_nothing_is_known_while_nobody_listens() -> None:
    keys = known(Clock())
    keys.deaf()
    assert keys.find("mk_a") is None
    keys.note("mk_a", ANNA, changes=keys.changes)
    keys.listening()
    assert keys.find("mk_a") is None


def test_only_so_many_are_remembered() -> None:
    keys = known(Clock())
    for number in range(MOST):
        keys.note(f"mk_{number}", ANNA, changes=keys.changes)
    assert keys.find("mk_a") is None
    assert keys.find(f"mk_{MOST - 1}") == ANNA


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys for which the database was asked."""
    keys: list[str] = []
    who_have = tenants.who_have

    async def counting(database: AsyncDatabase, these: Sequence[str]) -> Any:
        keys.extend(these)
        return await who_have(database, these)

    monkeypatch.setattr(tenants, "who_have", counting)
    return keys


def get(api: Api) -> httpx2.Response:
    return api.acme.get("/v1/jobs")


def test_the_database_is_asked_once_until_a_key_changes(api: Api, asked: list[str]) -> None:
    eventually(lambda: api.served.service.keys._is_told, "the hub listens")
    assert [get(api).status_code for _ in range(3)] == [200] * 3
    assert asked == [api.acme.key]
    with api.database.platform() as tx:
        tx.sql("UPDATE api_keys SET scopes = '{jobs:write}'")
    eventually(lambda: get(api).status_code == 403, "the key may not read any more")


def test_while_the_connection_that_tells_is_away_each_request_asks(
    database: Database, database_url: str, asked: list[str]
) -> None:
    with relayed(database_url) as (relay, url), served(settings(url)) as running, seen(running, database) as api:
        keys = running.service.keys
        eventually(lambda: keys._is_told, "the hub listens")
        assert get(api).status_code == 200
        relay.cut()
        eventually(lambda: not keys._is_told, "it has noticed")
        relay.mend()
        eventually(lambda: keys._is_told, "it listens again")
        eventually(lambda: get(api).status_code == 200, "no connection is stale any more")
        assert asked == [api.acme.key] * 2
