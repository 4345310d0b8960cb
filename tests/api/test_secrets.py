"""`/v1/secrets`: kept, replaced, listed and forgotten by their owner; what their values are is told to nobody."""

import hashlib
import json
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from jsonschema_rs import Draft202012Validator

from api.secret_schemas import MAX_VALUE
from api.secrets import MAX_SECRETS
from storage import secrets
from storage.database import Database
from storage.model import TenantId
from tests.api.conftest import Api, Caller
from tests.api.refusing import assert_problem
from tests.api.serving import served, settings

TOKEN = "tok-5f1e90c7ab~ 42 {{not.filled}}"


def ask(
    caller: Caller, method: str, path: str = "", headers: Mapping[str, str] | None = None, **how: Any
) -> httpx2.Response:
    """A request below /v1/secrets."""
    sent = {"Authorization": f"Bearer {caller.key}", **(headers or {})}
    return caller.http.request(method, f"/v1/secrets{path}", headers=sent, **how)


def make(caller: Caller, name: str = "crm", value: str = TOKEN, key: str | None = None) -> httpx2.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return ask(caller, "POST", "", headers, json={"name": name, "value": value})


def put(caller: Caller, name: str = "crm", value: str = TOKEN) -> httpx2.Response:
    return ask(caller, "PUT", f"/{name}", json={"value": value})


def listed(caller: Caller, query: str = "") -> list[str]:
    return [one["name"] for one in ask(caller, "GET", query).json()["data"]]


def opened(api: Api, tenant: TenantId, *names: str) -> dict[str, str]:
    """The values, as http.call opens them."""
    with api.database.read(tenant) as tx:
        return secrets.opened(tx, api.served.service.keyring(), names)


def refused(answer: httpx2.Response, expected: tuple[int, str], *pointers: str) -> None:
    assert_problem(answer.status_code, answer.headers, answer.json(), expected, pointers)


def test_a_secret_is_made_and_shown_without_its_value(api: Api) -> None:
    answer = make(api.acme)
    assert (answer.status_code, answer.headers["location"]) == (201, "/v1/secrets/crm")
    secret = answer.json()
    assert (secret["name"], secret["version"]) == ("crm", 1)
    assert set(secret) == {"name", "version", "created_at", "updated_at"}
    assert ask(api.acme, "GET", "/crm").json() == secret
    assert ask(api.acme, "GET").json() == {"data": [secret], "next_cursor": None}
    assert opened(api, api.acme.tenant, "crm") == {"crm": TOKEN}


def test_a_name_is_taken_once_and_its_value_is_replaced_by_put(api: Api) -> None:
    first = make(api.acme).json()
    refused(make(api.acme, value="another"), (409, "secret_name_taken"))
    assert opened(api, api.acme.tenant, "crm") == {"crm": TOKEN}
    again = put(api.acme, value="another")
    assert (again.status_code, again.headers.get("location")) == (200, None)
    assert (again.json()["version"], again.json()["created_at"]) == (2, first["created_at"])
    assert again.json()["updated_at"] > first["updated_at"]
    assert opened(api, api.acme.tenant, "crm") == {"crm": "another"}


def test_put_makes_what_is_not_there_and_delete_forgets_it(api: Api) -> None:
    made = put(api.acme, "fresh")
    assert (made.status_code, made.headers["location"]) == (201, "/v1/secrets/fresh")
    assert ask(api.acme, "DELETE", "/fresh").status_code == 204
    for method in ("GET", "DELETE"):
        refused(ask(api.acme, method, "/fresh"), (404, "not_found"))
    assert opened(api, api.acme.tenant, "fresh") == {}
    assert put(api.acme, "fresh").json()["version"] == 1


def test_the_list_is_paged_by_name(api: Api) -> None:
    names = ["a", "a_1", "b", "b2", "z"]
    for name in reversed(names):
        put(api.acme, name)
    assert listed(api.acme) == names
    seen_names, cursor = list[str](), ""
    for _ in range(3):
        page = ask(api.acme, "GET", f"?limit=2{cursor}").json()
        seen_names += [one["name"] for one in page["data"]]
        cursor = f"&cursor={page['next_cursor']}"
    assert (seen_names, page["next_cursor"]) == (names, None)
    refused(ask(api.acme, "GET", "?cursor=A'--"), (422, "cursor_invalid"))
    refused(ask(api.acme, "GET", "?limit=0"), (422, "invalid_parameter"), "/query/limit")


def test_another_tenant_sees_and_changes_nothing_of_it(api: Api) -> None:
    make(api.acme)
    for method in ("GET", "DELETE"):
        refused(ask(api.other, method, "/crm"), (404, "not_found"))
    assert listed(api.other) == []
    assert put(api.other, value="theirs").status_code == 201
    assert opened(api, api.acme.tenant, "crm") == {"crm": TOKEN}
    assert opened(api, api.other.tenant, "crm") == {"crm": "theirs"}


def test_a_key_that_reads_jobs_lists_and_changes_nothing(api: Api) -> None:
    make(api.acme)
    reads, writes = (api.key(api.acme, scope) for scope in ("jobs:read", "jobs:write"))
    asked = [("POST", "", {"name": "n", "value": "v"}), ("PUT", "/crm", {"value": "v"}), ("DELETE", "/crm", None)]
    for method, path, body in asked:
        refused(api.acme.ask(method, f"/v1/secrets{path}", key=reads, json=body), (403, "scope_missing"))
        assert api.acme.http.request(method, f"/v1/secrets{path}", json=body).status_code == 401
    for path in ("", "/crm"):
        assert api.acme.ask("GET", f"/v1/secrets{path}", key=reads).status_code == 200
        refused(api.acme.ask("GET", f"/v1/secrets{path}", key=writes), (403, "scope_missing"))
    assert opened(api, api.acme.tenant, "crm") == {"crm": TOKEN}


NAMES = ["", "A", "1a", "_a", "a-b", "a.b", "a b", "ä", "a\n", "a" * 65, "crm}}", 7, None, ["crm"]]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_name_that_cannot_stand_in_braces_is_refused(api: Api, name: Any) -> None:
    refused(ask(api.acme, "POST", json={"name": name, "value": "v"}), (422, "invalid_request"), "/name")
    if isinstance(name, str) and name:
        path = "/" + "".join(f"%{byte:02X}" for byte in name.encode())
        refused(ask(api.acme, "PUT", path, json={"value": "v"}), (422, "invalid_parameter"), "/path/name")
        refused(ask(api.acme, "GET", path), (404, "not_found"))
        refused(ask(api.acme, "DELETE", path), (404, "not_found"))
    assert listed(api.acme) == []


VALUES = ["", " ", " a", "a ", "a\nb", "a\r\nX: y", "a\n", "a\tb", "a\x7fb", "ä", "\u2028", "x" * (MAX_VALUE + 1)]
VALUES_OF_OTHER_TYPES = [None, 5, True, ["tok"], {"tok": "tok"}]


@pytest.mark.parametrize("value", [*VALUES, *VALUES_OF_OTHER_TYPES], ids=lambda it: ascii(it)[:12])
def test_a_value_that_no_header_carries_is_refused(api: Api, value: Any) -> None:
    refused(ask(api.acme, "POST", json={"name": "crm", "value": value}), (422, "invalid_request"), "/value")
    refused(ask(api.acme, "PUT", "/crm", json={"value": value}), (422, "invalid_request"), "/value")
    assert listed(api.acme) == []


@pytest.mark.parametrize("value", ["x", "x" * MAX_VALUE, "".join(map(chr, range(0x21, 0x7F))), 'Basic "a b"'])
def test_a_value_is_kept_to_the_character(api: Api, value: str) -> None:
    assert put(api.acme, value=value).status_code == 201
    assert opened(api, api.acme.tenant, "crm") == {"crm": value}


def test_what_is_no_document_of_a_secret_is_refused(api: Api) -> None:
    refused(ask(api.acme, "POST"), (422, "invalid_request"), "/name", "/value")
    refused(ask(api.acme, "PUT", "/crm"), (422, "invalid_request"), "/value")
    refused(ask(api.acme, "PUT", "/crm", json={"value": "v", "name": "crm"}), (422, "invalid_request"), "/name")
    refused(ask(api.acme, "POST", json=[]), (422, "invalid_request"), "")
    huge = json.dumps({"name": "crm", "value": "x" * 100_000})
    refused(ask(api.acme, "POST", content=huge), (413, "too_large"))
    answer = ask(api.acme, "POST", json={"name": "crm", "valeu": "v"})
    problem = assert_problem(
        answer.status_code, answer.headers, answer.json(), (422, "invalid_request"), ["/value", "/valeu"]
    )
    assert any(flaw.detail == "unknown field; did you mean 'value'?" for flaw in problem.errors)


def test_there_are_so_many_at_most_and_each_can_still_be_replaced(api: Api) -> None:
    keyring = api.served.service.keyring()
    with api.database.begin(api.acme.tenant) as tx:
        for number in range(MAX_SECRETS):
            secrets.put(tx, keyring, f"n{number}", "v")
    refused(make(api.acme), (409, "too_many_secrets"))
    refused(put(api.acme), (409, "too_many_secrets"))
    refused(make(api.acme, "n7"), (409, "secret_name_taken"))
    assert put(api.acme, "n7").json()["version"] == 2
    assert make(api.other).status_code == 201
    assert ask(api.acme, "DELETE", "/n8").status_code == 204
    assert make(api.acme).status_code == 201


def test_the_same_idempotency_key_makes_one_secret_and_answers_the_same(api: Api) -> None:
    first, again = (make(api.acme, key="mine") for _ in range(2))
    assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
    refused(make(api.acme, value=f"{TOKEN}!", key="mine"), (422, "idempotency_mismatch"))
    refused(make(api.acme, name="other", key="mine"), (422, "idempotency_mismatch"))
    refused(make(api.acme, key="no spaces"), (400, "idempotency_key_malformed"))
    assert opened(api, api.acme.tenant, "crm") == {"crm": TOKEN}


def test_a_refused_request_leaves_its_idempotency_key_free(api: Api) -> None:
    make(api.acme)
    refused(make(api.acme, key="mine"), (409, "secret_name_taken"))
    assert make(api.acme, "other", key="mine").status_code == 201


def test_a_weak_value_cannot_be_guessed_from_what_is_kept_of_the_request(api: Api, shared_database: Database) -> None:
    make(api.acme, value="1234", key="mine")
    with api.database.read(api.acme.tenant) as tx:
        kept = tx.sql("SELECT fingerprint FROM idempotency WHERE tenant_id = %(tenant)s").scalar_one()
    shapes: list[Any] = ["1234", ["secrets", "crm", "1234"], ["secrets", {"name": "crm", "value": "1234"}]]
    shapes += [["secrets", "crm", hashlib.sha256(b"1234").hexdigest()]]
    guesses = {hashlib.sha256(json.dumps(shape, sort_keys=True).encode()).digest() for shape in shapes}
    assert bytes(kept) not in guesses
    # The same request under another SECRET_KEY is another one: what is kept depends on the key.
    other = settings(shared_database.settings.url, {"SECRET_KEY": "another key of the tests and of nobody else"})
    with served(other) as running, httpx2.Client(base_url=running.url) as http:
        moved = Caller(tenant=api.acme.tenant, key=api.acme.key, http=http)
        refused(make(moved, value="1234", key="mine"), (422, "idempotency_mismatch"))


def test_of_many_at_once_one_makes_it_and_every_value_is_a_version(api: Api) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: make(api.acme, value=f"v{n}"), range(8)))
        assert sorted(answer.status_code for answer in made) == [201] + [409] * 7
        replaced = list(pool.map(lambda n: put(api.acme, "other", f"v{n}"), range(8)))
    assert sorted(answer.status_code for answer in replaced) == [200] * 7 + [201]
    assert sorted(answer.json()["version"] for answer in replaced) == list(range(1, 9))
    last = next(n for n, answer in enumerate(replaced) if answer.json()["version"] == 8)
    winner = next(n for n, answer in enumerate(made) if answer.status_code == 201)
    assert opened(api, api.acme.tenant, "crm", "other") == {"crm": f"v{winner}", "other": f"v{last}"}


def test_without_a_secret_key_none_is_kept_and_the_lists_are_read(api: Api, shared_database: Database) -> None:
    make(api.acme)
    bare = settings(shared_database.settings.url, keyring=None)
    with served(bare) as running, httpx2.Client(base_url=running.url) as http:
        keyless = Caller(tenant=api.acme.tenant, key=api.acme.key, http=http)
        refused(make(keyless, "other"), (503, "secret_key_missing"))
        refused(put(keyless, "other"), (503, "secret_key_missing"))
        assert listed(keyless) == ["crm"]
        assert ask(keyless, "DELETE", "/crm").status_code == 204


def test_the_published_document_holds_the_answers_and_shows_no_value(api: Api) -> None:
    document = api.acme.http.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    for name, answer in (("SecretDocument", make(api.acme)), ("SecretPage", ask(api.acme, "GET"))):
        Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": document["components"]}).validate(
            answer.json()
        )
    assert "value" not in schemas["SecretDocument"]["properties"]
    assert schemas["SecretRequest"]["properties"]["value"]["writeOnly"] is True
    assert "default" not in schemas["SecretRequest"]["properties"]["value"]


def attempts(caller: Caller) -> list[httpx2.Response]:
    """All that can be tried with the value, well and badly, and the answers."""
    wrong: list[Any] = [f"{TOKEN}\n", [TOKEN], {"a": TOKEN}, f"\u00e4{TOKEN}", f" {TOKEN}", TOKEN * 1000, TOKEN * 3000]
    bodies: list[Any] = [{"name": "x", "value": value} for value in wrong]
    bodies += [{"name": TOKEN, "value": TOKEN}, {"name": [TOKEN], "value": TOKEN}, {"name": "x", "valeu": TOKEN}]
    bodies += [{"name": "crm", "value": TOKEN}, TOKEN, [TOKEN], {"name": "x", "value": TOKEN, "note": TOKEN}]
    raw = [f'{{"name": "x", "value": "{TOKEN}', f'{{"name": "x", "value": {TOKEN}}}', f'"{TOKEN}\\ud800"', TOKEN]
    answers = [make(caller, key="first"), make(caller, key="first"), make(caller, value=f"{TOKEN}!", key="first")]
    answers += [put(caller), put(caller, "other"), put(caller, "NO")]
    answers += [ask(caller, "POST", json=body) for body in bodies]
    answers += [ask(caller, "PUT", "/x", json=body) for body in bodies]
    answers += [ask(caller, "POST", content=text) for text in raw]
    answers += [ask(caller, "PATCH", "/crm", json={"value": TOKEN}), ask(caller, "POST", "/crm", json={"value": TOKEN})]
    answers += [ask(caller, "GET"), ask(caller, "GET", "/crm"), ask(caller, "GET", "?limit=200")]
    return answers


def rows_with(database: Database, text: str) -> list[str]:
    """The tables of the database in which the text stands, in any column, in the clear or as bytes."""
    patterns = {"text": f"%{text}%", "bytes": f"%{text.encode().hex()}%"}
    with database.platform_read() as tx:
        tables = [row[0] for row in tx.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        assert {"secrets", "idempotency"} <= set(tables)
        asked = "SELECT count(*) FROM {} AS t WHERE t::text LIKE %(text)s OR t::text LIKE %(bytes)s"
        return [table for table in tables if tx.sql(asked.format(table), **patterns).scalar_one()]


def test_the_value_is_in_no_answer_no_row_and_no_log(own_api: Api, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        answers = attempts(own_api.acme)
    assert {answer.status_code for answer in answers} == {200, 201, 405, 409, 413, 422}
    part = TOKEN[:10]
    assert [answer.text for answer in answers if part in answer.text or part in str(answer.headers)] == []
    assert opened(own_api, own_api.acme.tenant, "crm") == {"crm": TOKEN}
    assert rows_with(own_api.database, part) == []
    assert set(rows_with(own_api.database, "crm")) >= {"idempotency", "secrets"}  # the search finds what is there
    assert caplog.text
    assert part not in caplog.text
