"""`/v1/templates`: made, shown, listed, refused and deleted."""

from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

from tasks.templates import SHIPPED
from tests.api.conftest import Api
from tests.api.templating import COUNT, INVALID, MINE, SAY, accepted, ask, listed, put, refused


def test_the_shipped_templates_are_there_for_everybody(api: Api) -> None:
    assert listed(api.acme) == [f"{name}@{len(SHIPPED[name])}" for name in sorted(SHIPPED)]
    shown = ask(api.acme, "GET", "/responsive").json()
    assert shown == ask(api.acme, "GET", "/responsive@1").json()
    assert (shown["shipped"], shown["created_at"], shown["reference"]) == (True, None, "responsive@1")
    assert shown["overrides"]["widths"]["default"] == [320, 640, 960, 1280, 1920]
    assert shown["steps"]["pictures"]["kind"] == "image.resize"
    assert listed(api.acme, "/responsive/versions") == ["responsive@1"]
    assert listed(api.acme, "/responsive/versions?cursor=1") == []


def test_a_template_of_ones_own_has_versions_that_stay(api: Api) -> None:
    first = put(api.acme)
    assert (first.status_code, first.headers["location"]) == (201, "/v1/templates/mine@1")
    again = put(api.acme)
    assert (again.status_code, again.headers.get("location"), again.json()) == (200, None, first.json())
    second = put(api.acme, description="Newer.")
    assert (second.status_code, second.json()["version"]) == (201, 2)
    assert ask(api.acme, "GET", "/mine@1").json() == first.json()
    assert ask(api.acme, "GET", "/mine").json() == second.json()
    assert listed(api.acme, "/mine/versions") == ["mine@2", "mine@1"]
    page = ask(api.acme, "GET", "/mine/versions?limit=1").json()
    assert [one["version"] for one in page["data"]] == [2]
    assert listed(api.acme, f"/mine/versions?cursor={page['next_cursor']}") == ["mine@1"]
    assert "mine@2" in listed(api.acme)
    assert "mine@1" not in listed(api.acme)


def test_what_is_shown_can_be_put_under_another_name(api: Api) -> None:
    shown = ask(api.acme, "GET", "/thumbnails-moderated").json()
    copied = put(api.acme, "copy", **{field: shown[field] for field in MINE})
    assert copied.status_code == 201
    assert {field: copied.json()[field] for field in MINE} == {field: shown[field] for field in MINE}


def test_the_list_is_paged_by_name_over_both(api: Api) -> None:
    for name in ("aaa", "mine", "zzz"):
        put(api.acme, name)
    whole, seen, cursor = listed(api.acme), list[str](), ""
    while True:
        page = ask(api.acme, "GET", f"?limit=2{cursor}").json()
        seen += [one["reference"] for one in page["data"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == whole == [f"{name}@1" for name in sorted([*SHIPPED, "aaa", "mine", "zzz"])]
    for path in ("?cursor=A", "?cursor=a@1", "/mine/versions?cursor=x", "/mine/versions?cursor=0"):
        refused(ask(api.acme, "GET", path), (422, "cursor_invalid"))


def test_another_tenant_neither_sees_nor_uses_it(api: Api) -> None:
    put(api.acme)
    for method, path in (("GET", "/mine"), ("GET", "/mine@1"), ("GET", "/mine/versions"), ("DELETE", "/mine")):
        refused(ask(api.other, method, path), (404, "not_found"))
    assert "mine@1" not in listed(api.other)
    answer = api.other.post(json={"template": "mine"})
    refused(answer, INVALID, "/template")
    assert "mine" not in answer.text
    assert put(api.other, description="theirs").json()["version"] == 1
    assert ask(api.acme, "GET", "/mine").json()["description"] == "Says hello."


def test_a_key_that_reads_jobs_changes_no_template(api: Api) -> None:
    put(api.acme)
    reads, writes = (api.key(api.acme, scope) for scope in ("jobs:read", "jobs:write"))
    for method in ("PUT", "DELETE"):
        refused(ask(api.acme, method, "/mine", key=reads, json=MINE), (403, "scope_missing"))
        assert api.acme.http.request(method, "/v1/templates/mine", json=MINE).status_code == 401
    for path in ("", "/mine", "/mine/versions"):
        assert ask(api.acme, "GET", path, key=reads).status_code == 200
        refused(ask(api.acme, "GET", path, key=writes), (403, "scope_missing"))


def test_a_shipped_name_is_nobodys(api: Api) -> None:
    refused(put(api.acme, "thumbnails"), (409, "template_shipped"))
    refused(ask(api.acme, "DELETE", "/thumbnails"), (409, "template_shipped"))


@pytest.mark.parametrize("name", ["A", "-a", "a@1", "a b", "a" * 65, "a%0A", "%C3%A4", "a%00"])
def test_a_name_that_is_none_is_refused(api: Api, name: str) -> None:
    refused(put(api.acme, name), (422, "invalid_parameter"), "/path/name")
    refused(ask(api.acme, "DELETE", f"/{name}"), (404, "not_found"))
    refused(ask(api.acme, "GET", f"/{name}/versions"), (404, "not_found"))
    refused(ask(api.acme, "GET", f"/{name}"), (404, "not_found"))


FLAWED: dict[str, tuple[Any, list[str]]] = {
    "nothing": ({}, ["/steps"]),
    "a list": ([], [""]),
    "misspelt": ({"steps": SAY, "overides": {}}, ["/overides"]),
    "an override without a place": (
        {"steps": SAY, "overrides": {"a": {**COUNT, "at": ["/sya/data"]}}},
        ["/overrides/a"],
    ),
    "a value that makes no job": (
        {"steps": SAY, "overrides": {"a": {**COUNT, "at": ["/say/sleep_seconds"], "maximum": 900}}},
        ["/overrides/a"],
    ),
    "an address that is forbidden": (
        {"steps": {"call": {"kind": "http.call", "url": "http://169.254.169.254/"}}},
        ["/steps/call/url"],
    ),
    "an address that is forbidden among those allowed": (
        {
            "steps": {"call": {"kind": "http.call", "url": "https://example.com/"}},
            "overrides": {
                "to": {"type": "string", "enum": ["https://example.com/a", "http://10.0.0.1/"], "at": ["/call/url"]}
            },
        },
        ["/overrides/to"],
    ),
}


@pytest.mark.parametrize("case", FLAWED)
def test_a_template_that_could_make_no_job_is_not_kept(api: Api, case: str) -> None:
    document, pointers = FLAWED[case]
    refused(ask(api.acme, "PUT", "/mine", json=document), (422, "invalid_template"), *pointers)
    refused(ask(api.acme, "PUT", "/mine", content=b'{"steps": '), (422, "invalid_request"), "")
    refused(ask(api.acme, "GET", "/mine"), (404, "not_found"))


def test_the_number_of_templates_and_of_versions_has_an_end(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.templates.MAX_TEMPLATES", 2)
    monkeypatch.setattr("storage.templates.MAX_VERSIONS", 2)
    for name in ("a", "b"):
        put(api.acme, name)
    refused(put(api.acme, "c"), (409, "too_many_templates"))
    assert put(api.acme, "b", description="2").status_code == 201
    refused(put(api.acme, "b", description="3"), (409, "too_many_versions"))
    assert put(api.acme, "b", description="2").status_code == 200
    ask(api.acme, "DELETE", "/a")
    assert put(api.acme, "c").status_code == 201


def test_answers_are_valid_by_the_published_document(api: Api) -> None:
    document = api.acme.http.get("/openapi.json").json()
    answers = {
        "TemplateRequest": MINE,
        "TemplateDocument": put(api.acme).json(),
        "TemplatePage": ask(api.acme, "GET").json(),
        "JobDocument": accepted(api.acme.post(json={"template": "mine"})),
    }
    for name, answer in answers.items():
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        Draft202012Validator(schema).validate(answer)
