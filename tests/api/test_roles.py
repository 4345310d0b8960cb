"""Who may see and do what: tenants their own, operators everybody's, by a key or signed in."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from deploy.local.servers import Urls
from storage.database import Database
from tests.api.conftest import Api, seen
from tests.api.hooked import HOOK
from tests.api.refusing import assert_problem
from tests.api.serving import Served, served, settings
from tests.api.signing_in import signed_in
from tests.api.timetable import NIGHTLY
from tests.api.working import failed, shown, start
from tests.documents import ECHO, put_in

WATCHED = ("/v1/pools", "/metrics", "/v1/workers", "/v1/tenants", "/v1/queues/flow")


@pytest.fixture(scope="module")
def running(servers: Urls, shared_database: Database) -> Iterator[Served]:
    with served(settings(shared_database.settings.url, {"CACHE_URL": str(servers.broker)})) as running:
        yield running


@pytest.fixture
def api(running: Served, shared_database: Database) -> Iterator[Api]:
    with seen(running, shared_database) as api:
        yield api


@pytest.fixture
def watcher(api: Api) -> str:
    """The key of one who may look at everything."""
    return api.key(api.other, "operate:read")


@pytest.fixture
def operator(api: Api) -> str:
    """The key of one who may do everything."""
    return api.key(api.other, "operate")


def name_of(api: Api) -> str:
    with api.database.platform_read() as tx:
        return str(tx.sql("SELECT name FROM tenants WHERE id = %(id)s", id=api.acme.tenant).scalar_one())


def ask(api: Api, method: str, path: str, key: str, **how: Any) -> httpx2.Response:
    """For acme, with the key of an operator."""
    return api.other.ask(method, path, key=key, params={"tenant": name_of(api)}, **how)


def refused(answer: httpx2.Response, status: int, code: str) -> None:
    assert_problem(answer.status_code, answer.headers, answer.json(), (status, code))


@pytest.mark.parametrize("path", WATCHED)
def test_who_may_look_at_everything_sees_what_operators_see(api: Api, watcher: str, operator: str, path: str) -> None:
    assert [api.acme.ask("GET", path, key=key).status_code for key in (watcher, operator)] == [200, 200]
    refused(api.acme.get(path), 403, "scope_missing")


def test_who_may_look_at_everything_sees_the_numbers_and_changes_nothing(api: Api, watcher: str) -> None:
    told = api.other.ask("GET", "/v1/queues/images", key=watcher).json()
    assert told["load"] is not None
    refused(api.other.ask("POST", "/v1/queues/images/pause", key=watcher), 403, "scope_missing")
    refused(api.other.ask("POST", "/v1/jobs", key=watcher, json=ECHO), 403, "scope_missing")
    with signed_in(api, watcher) as person:
        assert person.ask("GET", "/v1/workers").status_code == 200
        refused(person.ask("POST", "/v1/queues/images/pause"), 403, "scope_missing")


def test_an_operator_sees_the_jobs_of_a_tenant(api: Api, watcher: str) -> None:
    job = put_in(api.database, api.acme.tenant)
    assert [one["id"] for one in ask(api, "GET", "/v1/jobs", watcher).json()["data"]] == [job.id]
    assert ask(api, "GET", f"/v1/jobs/{job.id}", watcher).json()["id"] == job.id
    refused(api.other.ask("GET", f"/v1/jobs/{job.id}", key=watcher), 404, "not_found")  # without saying whose


def test_an_operator_acts_for_a_tenant_and_who_may_only_look_does_not(api: Api, watcher: str, operator: str) -> None:
    job = put_in(api.database, api.acme.tenant)
    path = f"/v1/jobs/{job.id}/cancel"
    refused(ask(api, "POST", path, watcher), 403, "scope_missing")
    assert shown(api, job)["state"] == "queued"
    assert ask(api, "POST", path, operator).json()["state"] == "canceled"
    made = ask(api, "POST", "/v1/jobs", operator, json=ECHO).json()
    assert api.acme.get(f"/v1/jobs/{made['id']}").status_code == 200
    assert ask(api, "POST", "/v1/schedules", operator, json=NIGHTLY).status_code == 201


def test_an_operator_submits_by_template_for_a_tenant(api: Api, operator: str) -> None:
    photo = b"\x89PNG\r\n\x1a\n"
    params = {"template": "thumbnails", "quality": "70", "tenant": name_of(api)}
    made = api.other.ask("POST", "/v1/jobs", key=operator, params=params, content=photo)
    assert (made.status_code, made.json()["template"]) == (202, "thumbnails@1")
    assert api.acme.get(f"/v1/jobs/{made.json()['id']}").status_code == 200


@pytest.mark.parametrize("scopes", [("jobs:read", "jobs:write"), ("jobs:read",)])
def test_a_tenant_is_nobody_else(api: Api, scopes: tuple[str, ...]) -> None:
    key = api.key(api.other, *scopes)
    refused(ask(api, "GET", "/v1/jobs", key), 403, "scope_missing")
    refused(api.other.ask("GET", "/v1/jobs", key=key, params={"tenant": "nobody-of-this-name"}), 403, "scope_missing")


@pytest.mark.parametrize("name", ["nobody-of-this-name", "", "\0", "x" * 200])
def test_a_tenant_that_is_not_there_is_not_found(api: Api, watcher: str, name: str) -> None:
    refused(api.other.ask("GET", "/v1/jobs", key=watcher, params={"tenant": name}), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/secrets", None),
        ("POST", "/v1/secrets", {"name": "token", "value": "very secret"}),
        ("PUT", "/v1/secrets/token", {"value": "very secret"}),
        ("GET", "/v1/image-keys", None),
        ("POST", "/v1/image-keys", None),
        ("GET", "/v1/webhooks/signing-secret", None),
        ("GET", "/v1/webhooks/listen", None),
        ("POST", "/v1/webhooks", HOOK),
        ("POST", "/v1/webhooks/whe_01h455vb4pex5vsknk084sn02q/rotate-secret", None),
    ],
)
def test_what_is_secret_is_for_the_tenant_alone(api: Api, method: str, path: str, body: Any) -> None:
    key = api.key(api.other, "operate", "jobs:read", "jobs:write")
    refused(ask(api, method, path, key, json=body), 403, "tenant_alone")


def test_workers_are_named_to_operators_only(api: Api, watcher: str) -> None:
    job = put_in(api.database, api.acme.tenant)
    start(api, job)
    ended = failed(api)
    step = shown(api, job)["steps"]["say"]
    assert (step["attempt"], step["worker"]) == (1, None)
    assert ask(api, "GET", f"/v1/jobs/{job.id}", watcher).json()["steps"]["say"]["worker"] == "w1"
    (attempt,) = shown(api, ended)["steps"]["say"]["attempts"]
    assert (attempt["number"], attempt["worker"]) == (1, None)
    (attempt,) = ask(api, "GET", f"/v1/jobs/{ended.id}", watcher).json()["steps"]["say"]["attempts"]
    assert attempt["worker"] == "w1"


def test_events_and_outputs_come_to_who_is_signed_in(api: Api, watcher: str) -> None:
    job = failed(api)
    with signed_in(api, api.acme.key) as person:
        events = person.ask("GET", f"/v1/jobs/{job.id}/events")
        assert "event: job.failed" in events.text
        assert events.headers["cache-control"] == "no-store"
        refused(person.ask("GET", f"/v1/jobs/{job.id}/outputs/say/nothing"), 404, "not_found")
    with signed_in(api, watcher) as person:
        params = {"tenant": name_of(api)}
        assert "event: job.failed" in person.ask("GET", f"/v1/jobs/{job.id}/events", params=params).text
        refused(person.ask("GET", f"/v1/jobs/{job.id}/events"), 404, "not_found")
