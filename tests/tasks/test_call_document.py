"""What the door says of a call: every flaw by its place, before anything is written."""

from typing import Any

import pytest

from tasks.document import parse
from tasks.errors import InvalidDocument

URL = "https://crm.example/in"


def flaws(look: bool = True, **call: Any) -> list[tuple[str, str]]:
    steps: dict[str, Any] = {"call": {"kind": "http.call", "url": URL, **call}}
    if look:
        steps |= {"look": {"kind": "echo"}, "other": {"kind": "echo"}}
        steps["call"] |= {"use": ["look"]}
    try:
        parse({"steps": steps})
    except InvalidDocument as exc:
        return [(flaw.pointer.removeprefix("/steps/call"), flaw.detail) for flaw in exc.flaws]
    return []


GOOD = {
    "nothing else": {},
    "a whole URL from a result": {"url": "{{steps.look.data.url}}"},
    "a path from a result": {"url": "https://crm.example/{{steps.look.data.id}}/x?q={{job.id}}"},
    "a host from a result": {"url": "https://{{steps.look.data.host}}/x"},
    "a secret in a header": {"headers": {"Authorization": "Bearer {{secrets.crm}}"}},
    "a secret in the query": {"query": {"key": "{{secrets.crm}}", "n": [1, True, "x"]}},
    "statuses": {"success": [200, "4xx", "304"]},
    "a form": {"form": {"a": "{{steps.look.data.a}}"}},
    "bytes": {"data": "aGk="},
    "a place of the schedule's": {"body": "{{schedule.fire_time}}"},
    "a port": {"url": "https://crm.example:8443/"},
    "an address in brackets": {"url": "http://[2001:db8::1]:81/"},
}


@pytest.mark.parametrize("call", GOOD.values(), ids=GOOD)
def test_a_call_that_is_right_passes(call: dict[str, Any]) -> None:
    assert flaws(**call) == []


BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "no URL": ({"url": "crm"}, "", "http or https"),
    "another scheme": ({"url": "ftp://crm.example"}, "", "http or https"),
    "a user in the URL": ({"url": "https://me:pw@crm.example/"}, "", "without a user"),
    "a port that is none": ({"url": "https://crm.example:0/"}, "", "http or https"),
    "a line break in the URL": ({"url": "https://crm.example/\nx"}, "", "http or https"),
    "two bodies": ({"form": {}, "data": "aGk="}, "", "one of body, form, data and file"),
    "a body for GET": ({"method": "GET", "body": 1}, "", "GET sends no body"),
    "no base64": ({"data": "%"}, "", "base64"),
    "a header with a line break": ({"headers": {"A": "b\r\nC: d"}}, "/headers/A", "match"),
    "a header's name": ({"headers": {"A B": "c"}}, "/headers/A B/[key]", "match"),
    "a status that is none": ({"success": ["2xy"]}, "/success/0", ""),
    "an unknown method": ({"method": "FETCH"}, "/method", "GET"),
    "an unknown field": ({"header": {}}, "/header", "did you mean 'headers'"),
    "a file of a step that is not used": ({"file": {"step": "other"}}, "/file/step", "'use' does not name"),
    "a result of a step that is not used": ({"body": "{{steps.other.data}}"}, "/body", "'other'"),
    "an unknown root": ({"body": {"a": ["{{stepss.look}}"]}}, "/body/a/0", "steps"),
    "no expression": ({"url": URL + "/{{steps.look.}}"}, "/url", ""),
    "a secret in the body": ({"body": "{{secrets.crm}}"}, "/body", "secrets"),
    "a secret in the URL": ({"url": URL + "?k={{secrets.crm}}"}, "/url", "secrets"),
    "a result that is too long to keep": ({"answer": {"max_bytes": 300_000}}, "/answer", "store_as 'output'"),
    "endless patience": ({"timeout": {"total": 1000}}, "/timeout/total", "480"),
}


@pytest.mark.parametrize(("call", "pointer", "word"), BAD.values(), ids=BAD)
def test_a_flaw_is_named_by_its_place(call: dict[str, Any], pointer: str, word: str) -> None:
    found = flaws(**call)
    assert found, "nothing was found wrong"
    assert any(at.startswith(pointer) and word in detail for at, detail in found), found


def test_a_step_may_work_on_an_answer_only_if_it_is_stored() -> None:
    small = {"kind": "image.resize", "use": ["call"], "variants": [{"name": "s", "width": 9}]}
    call = {"kind": "http.call", "url": URL, "method": "GET"}
    [spec, resize] = parse({"steps": {"call": call | {"answer": {"store_as": "output"}}, "small": small}}).steps
    assert resize.file_from == spec.name == "call"
    assert parse({"steps": {"call": call, "small": small}}).file_step == "small"
