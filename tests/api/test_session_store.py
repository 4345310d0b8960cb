"""What keeps sign-ins: how long they live, how many there are, and what works while it is away."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import httpx2
import pytest
import redis

from deploy.local.servers import Urls
from storage.database import Database
from storage.model import new_key_id
from storage.sessions import MOST_OF_A_KEY, Sessions
from tests.api.conftest import Api, seen
from tests.api.refusing import assert_problem
from tests.api.relay import Relay
from tests.api.serving import served, settings
from tests.api.signing_in import Browser, browser, signed_in
from tests.documents import ECHO


@pytest.fixture(scope="module")
def away(servers: Urls) -> Iterator[Relay]:
    """The way to the store, which a test can cut."""
    url = urlsplit(str(servers.broker))
    assert url.hostname is not None
    assert url.port is not None
    relay = Relay(url.hostname, url.port)
    yield relay
    relay.close()


@pytest.fixture
def api(away: Relay, servers: Urls, shared_database: Database) -> Iterator[Api]:
    url = urlsplit(str(servers.broker))
    cuttable = url._replace(netloc=f"{url.netloc.rpartition(':')[0]}:{away.port}").geturl()
    chosen = settings(shared_database.settings.url, {"CACHE_URL": cuttable})
    with served(chosen) as running, seen(running, shared_database) as api:
        yield api


@pytest.fixture
def acme(api: Api) -> Iterator[Browser]:
    """Somebody of acme."""
    with signed_in(api, api.acme.key) as somebody:
        yield somebody


def test_a_session_lives_while_it_is_used_but_a_week_at_most(acme: Browser, servers: Urls) -> None:
    until = datetime.fromisoformat(acme.ask("GET", "/v1/session").json()["expires_at"])
    assert timedelta(hours=7, minutes=59) < until - datetime.now(UTC) <= timedelta(hours=8)
    with redis.Redis.from_url(str(servers.broker), decode_responses=True) as store:
        hashes = [name for name in store.scan_iter("millrace:session:*") if store.type(name) == "hash"]
        (name,) = (one for one in hashes if store.hget(one, "csrf") == acme.csrf)
        assert acme.cookie not in name
        assert acme.cookie not in store.hgetall(name).values()
        store.expire(name, 100)  # nearly eight hours idle
        acme.ask("GET", "/v1/jobs")
        assert store.ttl(name) > 8 * 3600 - 60
        now = store.time()[0]
        store.hset(name, "ends", now + 50)  # nearly a week old
        acme.ask("GET", "/v1/jobs")
        assert store.ttl(name) <= 50
        store.hset(name, "ends", now)
        refused(acme.ask("GET", "/v1/jobs"), 401, "session_ended")
        assert not store.exists(name)


@pytest.mark.anyio
async def test_one_sign_in_too_many_ends_the_oldest_that_lives(servers: Urls) -> None:
    sessions, key = Sessions(str(servers.broker)), new_key_id()
    first, _ = await sessions.begin(key)
    for _ in range(MOST_OF_A_KEY + 5):
        ended, _ = await sessions.begin(key)
        await sessions.end(ended)
    assert await sessions.find(first) is not None
    others = [(await sessions.begin(key))[0] for _ in range(MOST_OF_A_KEY)]
    assert await sessions.find(first) is None
    assert [token for token in others if await sessions.find(token) is None] == []
    assert await sessions.end_all(key) == MOST_OF_A_KEY
    assert await sessions.find(others[-1]) is None
    await sessions.close()


@pytest.mark.anyio
@pytest.mark.parametrize("token", ["", "A" * 42, "A" * 43, "A" * 10_000, "\u00e9" * 43, "\n" * 43])
async def test_what_is_no_token_stands_for_nothing(servers: Urls, token: str) -> None:
    sessions = Sessions(str(servers.broker))
    assert await sessions.find(token) is None
    await sessions.end(token)
    await sessions.close()


def test_while_the_store_is_away_keys_work_and_who_is_signed_in_is_told(acme: Browser, api: Api, away: Relay) -> None:
    away.cut()
    try:
        assert api.acme.post(json=ECHO).status_code == 202
        assert api.acme.ask("GET", "/v1/session").status_code == 200
        for method, path in (("GET", "/v1/jobs"), ("GET", "/v1/session"), ("DELETE", "/v1/session")):
            answer = acme.ask(method, path)
            refused(answer, 503, "sessions_unavailable")
            assert (answer.headers["cache-control"], answer.headers["retry-after"]) == ("no-store", "2")
        refused(acme.ask("POST", "/v1/session", json={"key": api.acme.key}), 503, "sessions_unavailable")
    finally:
        away.mend()
    assert acme.ask("GET", "/v1/jobs").status_code == 200


def test_where_nothing_keeps_sign_ins_keys_work(shared_database: Database) -> None:
    with served(settings(shared_database.settings.url)) as running, seen(running, shared_database) as api:
        with browser(api) as somebody:
            refused(somebody.ask("POST", "/v1/session", json={"key": api.acme.key}), 503, "sessions_missing")
            refused(somebody.ask("GET", "/v1/session"), 401, "session_ended")
            somebody.http.cookies.set("millrace_session", "A" * 43, domain="127.0.0.1")
            refused(somebody.ask("GET", "/v1/jobs"), 401, "key_missing")
        assert api.acme.get("/v1/jobs").status_code == 200


def refused(answer: httpx2.Response, status: int, code: str) -> None:
    assert_problem(answer.status_code, answer.headers, answer.json(), (status, code))
