"""`/v1/image-keys`: shown once, listed without what they sign with, retired and forgotten by their owner alone."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from jsonschema_rs import Draft202012Validator

from api.image_keys import MAX_KEYS
from storage import image_keys
from storage.database import Database
from storage.image_model import ImageKeyId
from tests.api.conftest import Api, Caller
from tests.api.refusing import assert_problem
from tests.api.serving import served, settings


def ask(
    caller: Caller, method: str, path: str = "", headers: Mapping[str, str] | None = None, **how: Any
) -> httpx2.Response:
    """A request below /v1/image-keys."""
    sent = {"Authorization": f"Bearer {caller.key}", **(headers or {})}
    return caller.http.request(method, f"/v1/image-keys{path}", headers=sent, **how)


def make(caller: Caller, key: str | None = None) -> httpx2.Response:
    return ask(caller, "POST", "", {} if key is None else {"Idempotency-Key": key})


def refused(answer: httpx2.Response, expected: tuple[int, str], *pointers: str) -> None:
    assert_problem(answer.status_code, answer.headers, answer.json(), expected, pointers)


def opened(api: Api, key_id: str) -> str:
    with api.database.platform_read() as tx:
        found = image_keys.of_id(tx, ImageKeyId(key_id))
    assert found is not None
    return image_keys.opened(api.served.service.keyring(), found).decode()


def test_a_key_is_shown_once_and_kept_sealed(api: Api) -> None:
    answer = make(api.acme)
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    made = answer.json()
    key = made.pop("key")
    assert re.fullmatch("[A-Za-z0-9_-]{43}", key)
    assert (set(made), made["retired_at"]) == ({"id", "created_at", "retired_at"}, None)
    listed = ask(api.acme, "GET")
    assert listed.json() == {"data": [made]}
    assert key not in listed.text
    assert opened(api, made["id"]) == key
    with api.database.read(api.acme.tenant) as tx:
        stored = tx.sql("SELECT sealed FROM image_keys WHERE tenant_id = %(tenant)s").scalar_one()
    assert key.encode() not in bytes(stored)


def test_all_keys_are_listed_newest_first_and_differ(api: Api) -> None:
    made = [make(api.acme).json() for _ in range(3)]
    assert len({one["key"] for one in made}) == 3
    assert [one["id"] for one in ask(api.acme, "GET").json()["data"]] == [one["id"] for one in reversed(made)]
    assert ask(api.other, "GET").json() == {"data": []}


def test_the_same_idempotency_key_gets_the_same_key(api: Api) -> None:
    first, again = make(api.acme, "mine"), make(api.acme, "mine")
    assert (again.status_code, again.json()) == (201, first.json())
    with api.database.read(api.acme.tenant) as tx:
        answers = tx.sql("SELECT answer::text FROM idempotency WHERE tenant_id = %(tenant)s").scalars().all()
    assert [first.json()["key"] in answer for answer in answers] == [False]


def test_a_key_retires_now_or_at_a_time_that_can_be_changed_until_then(api: Api) -> None:
    made = make(api.acme).json()
    path, now = f"/{made['id']}/retire", datetime.now(UTC)
    later = now + timedelta(days=30)
    put_off = ask(api.acme, "POST", path, json={"at": later.isoformat()})
    assert (put_off.status_code, datetime.fromisoformat(put_off.json()["retired_at"])) == (200, later)
    retired = ask(api.acme, "POST", path).json()
    assert abs(datetime.fromisoformat(retired["retired_at"]) - now) < timedelta(minutes=1)
    # What it has signed stays shut.
    assert ask(api.acme, "POST", path, json={"at": later.isoformat()}).json() == retired
    assert ask(api.acme, "GET").json()["data"] == [retired]


def test_a_time_that_has_passed_means_now(api: Api) -> None:
    before = datetime.now(UTC)
    retired = ask(api.acme, "POST", f"/{make(api.acme).json()['id']}/retire", json={"at": "0001-01-01T00:00:00+14:00"})
    assert datetime.fromisoformat(retired.json()["retired_at"]) >= before


WRONG: list[tuple[Any, list[str]]] = [
    ({"at": "soon"}, ["/at"]),
    ({"at": "2099-01-01T00:00:00"}, ["/at"]),  # in which zone?
    ({"at": "9999-12-31T23:59:59-14:00"}, ["/at"]),
    ({"when": None}, ["/when"]),
    ([], [""]),
]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_time_is_named(api: Api, wrong: tuple[Any, list[str]]) -> None:
    key_id = make(api.acme).json()["id"]
    refused(ask(api.acme, "POST", f"/{key_id}/retire", json=wrong[0]), (422, "invalid_request"), *wrong[1])


def test_a_deleted_key_is_forgotten(api: Api) -> None:
    key_id = make(api.acme).json()["id"]
    assert ask(api.acme, "DELETE", f"/{key_id}").status_code == 204
    refused(ask(api.acme, "DELETE", f"/{key_id}"), (404, "not_found"))
    refused(ask(api.acme, "POST", f"/{key_id}/retire"), (404, "not_found"))
    assert ask(api.acme, "GET").json() == {"data": []}


def test_another_tenants_key_is_not_there(api: Api) -> None:
    key_id = make(api.acme).json()["id"]
    refused(ask(api.other, "POST", f"/{key_id}/retire"), (404, "not_found"))
    refused(ask(api.other, "DELETE", f"/{key_id}"), (404, "not_found"))
    assert ask(api.acme, "GET").json()["data"][0]["retired_at"] is None


def test_there_are_only_so_many(api: Api) -> None:
    for _ in range(MAX_KEYS):
        assert make(api.acme).status_code == 201
    refused(make(api.acme, "another"), (409, "too_many_image_keys"))
    ask(api.acme, "DELETE", f"/{ask(api.acme, 'GET').json()['data'][0]['id']}")
    assert make(api.acme, "another").status_code == 201


def test_a_caller_needs_the_scopes_that_jobs_need(api: Api) -> None:
    key_id = make(api.acme).json()["id"]
    reading, writing = api.key(api.acme, "jobs:read"), api.key(api.acme, "jobs:write")
    may_not = [("POST", "", reading), ("POST", f"/{key_id}/retire", reading), ("DELETE", f"/{key_id}", reading)]
    for method, path, key in [*may_not, ("GET", "", writing)]:
        refused(api.acme.ask(method, f"/v1/image-keys{path}", key=key), (403, "scope_missing"))


def test_without_a_secret_key_none_is_made_and_the_list_is_read(api: Api, shared_database: Database) -> None:
    key_id = make(api.acme).json()["id"]
    bare = settings(shared_database.settings.url, keyring=None)
    with served(bare) as running, httpx2.Client(base_url=running.url) as http:
        keyless = Caller(tenant=api.acme.tenant, key=api.acme.key, http=http)
        refused(make(keyless), (503, "secret_key_missing"))
        assert [one["id"] for one in ask(keyless, "GET").json()["data"]] == [key_id]
        assert ask(keyless, "DELETE", f"/{key_id}").status_code == 204


def test_the_published_document_holds_the_answers(api: Api) -> None:
    components = api.acme.http.get("/openapi.json").json()["components"]
    made = make(api.acme).json()
    retired = ask(api.acme, "POST", f"/{made['id']}/retire").json()
    told = {"MadeImageKey": made, "ImageKeyDocument": retired, "ImageKeyList": ask(api.acme, "GET").json()}
    for name, answer in told.items():
        Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": components}).validate(answer)
