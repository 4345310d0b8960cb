"""People sign in with a key and get a cookie, which only they and only the page itself can use."""

from collections.abc import Iterator
from contextlib import ExitStack

import httpx2
import pytest

from deploy.local.servers import Urls
from storage.database import Database
from storage.model import KeyId
from storage.tenants import keys_of, revoke_key
from tests.api.conftest import Api, seen
from tests.api.refusing import assert_problem
from tests.api.serving import Served, served, settings
from tests.api.signing_in import Browser, browser, signed_in
from tests.documents import ECHO


@pytest.fixture(scope="module")
def running(servers: Urls, shared_database: Database) -> Iterator[Served]:
    assert servers.broker is not None
    with served(settings(shared_database.settings.url, {"CACHE_URL": servers.broker})) as running:
        yield running


@pytest.fixture
def api(running: Served, shared_database: Database) -> Iterator[Api]:
    with seen(running, shared_database) as api:
        yield api


@pytest.fixture
def acme(api: Api) -> Iterator[Browser]:
    """Somebody of acme."""
    with signed_in(api, api.acme.key) as somebody:
        yield somebody


@pytest.fixture
def stranger(api: Api) -> Iterator[Browser]:
    """Nobody yet."""
    with browser(api) as nobody:
        yield nobody


def refused(answer: httpx2.Response, status: int, code: str) -> None:
    assert_problem(answer.status_code, answer.headers, answer.json(), (status, code))


def tenant_name(api: Api) -> str:
    with api.database.platform_read() as tx:
        return str(tx.sql("SELECT name FROM tenants WHERE id = %(id)s", id=api.acme.tenant).scalar_one())


def newest_key(api: Api) -> KeyId:
    with api.database.platform_read() as tx:
        return keys_of(tx, tenant_name(api))[0][0]


def test_who_signs_in_is_told_who_they_are_and_needs_the_key_no_more(api: Api, stranger: Browser) -> None:
    answer = stranger.ask("POST", "/v1/session", json={"key": api.acme.key})
    told = answer.json()
    assert told["tenant"] == {"id": api.acme.tenant, "name": tenant_name(api)}
    assert told["key"]["hint"] == api.acme.key[:7]
    assert api.acme.key not in answer.text
    assert told["scopes"] == ["jobs:read", "jobs:write"]
    assert stranger.ask("GET", "/v1/session").json() == told
    assert stranger.ask("GET", "/v1/jobs").json()["data"] == []


def test_the_cookie_is_shown_to_no_script_and_no_other_site(stranger: Browser, api: Api) -> None:
    given = stranger.ask("POST", "/v1/session", json={"key": api.acme.key}).headers["set-cookie"]
    name, _, attributes = given.partition("; ")
    assert name.startswith("millrace_session=")
    assert len(name) == len("millrace_session=") + 43
    assert sorted(attributes.lower().split("; ")) == ["httponly", "path=/", "samesite=strict"]


def test_behind_https_the_cookie_is_secure_and_bound_to_the_host(servers: Urls, shared_database: Database) -> None:
    chosen = settings(
        shared_database.settings.url, {"CACHE_URL": str(servers.broker), "PUBLIC_URL": "https://example.com"}
    )
    with served(chosen) as running, seen(running, shared_database) as api, browser(api) as somebody:
        answer = somebody.ask("POST", "/v1/session", json={"key": api.acme.key})
        name, _, attributes = answer.headers["set-cookie"].partition("; ")
        assert name.startswith("__Host-millrace_session=")
        assert "Secure" in attributes
        assert somebody.ask("GET", "/v1/jobs", headers={"Cookie": name}).status_code == 200
        tossed = name.removeprefix("__Host-")  # as a neighbour under example.com could set it
        refused(somebody.ask("GET", "/v1/jobs", headers={"Cookie": tossed}), 401, "key_missing")


def test_answers_to_who_is_signed_in_are_kept_by_no_cache(acme: Browser, api: Api) -> None:
    for path, status in (("/v1/session", 200), ("/v1/jobs", 200), ("/v1/jobs/job_0", 404), ("/v1/pools", 403)):
        answer = acme.ask("GET", path)
        assert (answer.status_code, answer.headers["cache-control"]) == (status, "no-store")
    assert "Cookie" in acme.ask("GET", "/v1/jobs").headers["vary"]
    assert "cache-control" not in api.acme.get("/v1/jobs").headers


@pytest.mark.parametrize("key", ["mk_wrong", "nonsense", "mk_" + "\u00e9" * 40])
def test_who_has_no_good_key_gets_no_cookie(stranger: Browser, key: str) -> None:
    answer = stranger.ask("POST", "/v1/session", json={"key": key})
    refused(answer, 401, "key_invalid")
    assert "set-cookie" not in answer.headers


def test_what_changes_something_needs_the_token_of_the_page(acme: Browser) -> None:
    refused(acme.http.post("/v1/jobs", json=ECHO), 403, "csrf_token_wrong")
    for wrong in (acme.csrf[:-1], "\u00e9".encode(), acme.cookie):
        answer = acme.ask("POST", "/v1/jobs", json=ECHO, headers={"X-CSRF-Token": wrong})
        refused(answer, 403, "csrf_token_wrong")
    assert acme.ask("POST", "/v1/jobs", json=ECHO).status_code == 202


def test_the_token_of_another_session_is_no_good(acme: Browser, api: Api) -> None:
    with signed_in(api, api.acme.key) as elsewhere:
        answer = acme.ask("DELETE", "/v1/session", headers={"X-CSRF-Token": elsewhere.csrf})
    refused(answer, 403, "csrf_token_wrong")
    assert acme.ask("GET", "/v1/session").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_pages_of_other_origins_change_nothing_and_sign_nobody_in(
    acme: Browser, stranger: Browser, api: Api, headers: dict[str, str]
) -> None:
    refused(acme.ask("POST", "/v1/jobs", json=ECHO, headers=headers), 403, "origin_foreign")
    refused(stranger.ask("POST", "/v1/session", json={"key": api.acme.key}, headers=headers), 403, "origin_foreign")


def test_the_page_itself_may(acme: Browser, api: Api) -> None:
    headers = {"Origin": api.url, "Sec-Fetch-Site": "same-origin"}
    assert acme.ask("POST", "/v1/jobs", json=ECHO, headers=headers).status_code == 202


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_form_signs_nobody_in(stranger: Browser, api: Api, kind: str) -> None:
    body = f'{{"key": "{api.acme.key}"}}'.encode()
    refused(
        stranger.ask("POST", "/v1/session", content=body, headers={"Content-Type": kind}),
        415,
        "content_type_unsupported",
    )


def test_a_token_that_was_planted_is_never_taken_over(stranger: Browser, api: Api) -> None:
    planted = "A" * 43
    stranger.http.cookies.set("millrace_session", planted, domain="127.0.0.1")
    refused(stranger.ask("GET", "/v1/jobs"), 401, "session_ended")
    given = stranger.ask("POST", "/v1/session", json={"key": api.acme.key}).headers["set-cookie"]
    assert planted not in given


def test_to_sign_in_again_gives_another_token_and_ends_the_old_one(acme: Browser, api: Api) -> None:
    before = acme.cookie
    again = acme.ask("POST", "/v1/session", json={"key": api.acme.key})
    assert again.json()["csrf"] != acme.csrf
    assert before not in again.headers["set-cookie"]
    refused(api.acme.http.get("/v1/jobs", headers={"Cookie": f"millrace_session={before}"}), 401, "session_ended")


def test_who_signs_out_is_out_and_the_cookie_is_gone(acme: Browser, api: Api) -> None:
    before = acme.cookie
    answer = acme.ask("DELETE", "/v1/session")
    assert (answer.status_code, answer.headers["cache-control"]) == (204, "no-store")
    assert "millrace_session" not in acme.http.cookies
    refused(api.acme.http.get("/v1/jobs", headers={"Cookie": f"millrace_session={before}"}), 401, "session_ended")
    assert acme.ask("DELETE", "/v1/session").status_code == 204  # nothing happens any more


def test_all_sessions_of_a_key_end_at_once_and_those_of_others_go_on(acme: Browser, api: Api) -> None:
    another = api.key(api.acme, "jobs:read")
    with ExitStack() as stack:
        keys = (api.acme.key, another, api.other.key)
        laptop, colleague, other = (stack.enter_context(signed_in(api, key)) for key in keys)
        refused(laptop.http.delete("/v1/sessions"), 403, "csrf_token_wrong")
        assert acme.ask("DELETE", "/v1/sessions").status_code == 204
        refused(laptop.ask("GET", "/v1/jobs"), 401, "session_ended")
        assert [one.ask("GET", "/v1/jobs").status_code for one in (colleague, other)] == [200, 200]


def test_a_key_ends_its_sessions_without_a_browser(acme: Browser, api: Api) -> None:
    assert api.acme.ask("DELETE", "/v1/sessions").status_code == 204
    refused(acme.ask("GET", "/v1/jobs"), 401, "session_ended")


def test_a_revoked_key_ends_its_sessions_at_once(api: Api) -> None:
    with signed_in(api, api.key(api.acme, "jobs:read")) as somebody:
        assert somebody.ask("GET", "/v1/jobs").status_code == 200
        with api.database.platform() as tx:
            assert revoke_key(tx, newest_key(api))
        refused(somebody.ask("GET", "/v1/jobs"), 401, "session_ended")


def test_a_key_that_is_sent_goes_before_the_cookie(acme: Browser, api: Api) -> None:
    told = acme.ask("GET", "/v1/session", headers={"Authorization": f"Bearer {api.other.key}"}).json()
    assert told["tenant"]["id"] == api.other.tenant
    assert told["csrf"] is None is told["expires_at"]
    refused(acme.ask("GET", "/v1/jobs", headers={"Authorization": "Bearer mk_wrong"}), 401, "key_invalid")
    # And it needs no token: no browser sends it by itself.
    assert acme.http.post("/v1/jobs", json=ECHO, headers={"Authorization": f"Bearer {api.acme.key}"}).status_code == 202


def test_nobody_signed_in_is_told_without_an_error_where_it_is_asked_for(stranger: Browser) -> None:
    refused(stranger.ask("GET", "/v1/session"), 401, "session_ended")
    assert stranger.ask("GET", "/v1/session", params={"optional": "true"}).status_code == 204


def test_wrong_keys_from_one_address_are_counted_and_right_ones_are_not(api: Api) -> None:
    with browser(api) as somebody:
        tries = [somebody.ask("POST", "/v1/session", json={"key": "mk_wrong"}).status_code for _ in range(19)]
        right = [somebody.ask("POST", "/v1/session", json={"key": api.acme.key}).status_code for _ in range(3)]
        assert set(tries) == {401}
        assert set(right) == {200}
        assert somebody.ask("POST", "/v1/session", json={"key": "mk_wrong"}).status_code == 401
        late = somebody.ask("POST", "/v1/session", json={"key": api.acme.key})
        refused(late, 429, "too_many_attempts")
        assert 0 < int(late.headers["retry-after"]) <= 60
        with browser(api) as elsewhere:
            assert elsewhere.ask("POST", "/v1/session", json={"key": api.acme.key}).status_code == 200


def test_a_network_of_ipv6_is_one_address(api: Api) -> None:
    for number in range(20):
        address = {"X-Forwarded-For": f"2001:db8:7:7::{number:x}"}
        assert api.acme.http.post("/v1/session", json={"key": "mk_wrong"}, headers=address).status_code == 401
    last = {"X-Forwarded-For": "2001:db8:7:7:ffff::1"}
    refused(api.acme.http.post("/v1/session", json={"key": "mk_wrong"}, headers=last), 429, "too_many_attempts")
