"""Third parties that misbehave, as the kind http.call meets them: what they answer costs them, and nobody else."""

import json
from typing import Any
from urllib.parse import quote

import pytest

from storage.model import StepState, TenantId
from tasks.budget import Held, Permit
from tasks.process import Process
from tests.sink import Answer, Sink
from tests.tasks.test_call import call, called
from tests.tasks.test_call_secrets import keep_secret, rows_with

TOKEN = 'tok/3f9a+77c1=d2"e84b\\z'


@pytest.mark.parametrize("answer", [{"max_bytes": 0}, {"max_bytes": 10}, {"store_as": "output"}])
def test_a_host_that_asks_for_a_pause_at_length_gets_it_all_the_same(
    process: Process, tenant: TenantId, hook: Sink, answer: dict[str, Any]
) -> None:
    hook.answers = [Answer(status=429, headers={"Retry-After": "30"}, body=b"slow down " * 1000)]
    assert called(process, tenant, call(hook, answer=answer)).state is StepState.RETRYING
    held = process.budget.enter(tenant, hook.host, hold_seconds=1)
    assert isinstance(held, Held)
    assert held.code == "throttled"


def test_a_host_that_fails_at_length_is_left_alone(process: Process, tenant: TenantId, hook: Sink) -> None:
    hook.answers = [Answer(status=500, body=b"oh no " * 1000)]
    for _ in range(5):
        called(process, tenant, call(hook, answer={"max_bytes": 100}))
    held = process.budget.enter(tenant, hook.host, hold_seconds=1)
    assert isinstance(held, Held)
    assert held.code == "host_down"


@pytest.mark.parametrize("answer", [{"store_as": "result"}, {"store_as": "output"}])
def test_headers_without_bounds_are_a_failure_with_words(
    process: Process, tenant: TenantId, hook: Sink, answer: dict[str, Any]
) -> None:
    hook.answers = [Answer(headers={f"X-{number}": "x" * 8000 for number in range(9)})]
    step = called(process, tenant, call(hook, answer=answer))
    assert step.error is not None
    assert (step.state, step.error.code) == (StepState.FAILED, "answer_too_large")
    assert "64 KiB" in step.error.message


@pytest.mark.parametrize("body", [b'{"score": NaN}', b"[-Infinity]", b'{"far": 1e999}', b"-1e999"])
def test_numbers_that_json_does_not_have_are_kept_as_text(
    process: Process, tenant: TenantId, hook: Sink, body: bytes
) -> None:
    hook.answers = [Answer(body=body)]
    step = called(process, tenant, call(hook))
    assert step.state is StepState.SUCCEEDED, step.error
    assert step.result["body"] == body.decode()


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/csv", b"\xff" * 200_000),
        ("text/plain", b"\x01" * 200_000),
        ("application/json", b"[" + b"1," * 99_998 + b"1]"),
        ("application/json", b"[" + b"9e9," * 49_998 + b"1]"),
    ],
)
def test_whatever_is_within_the_limit_is_kept(
    process: Process, tenant: TenantId, hook: Sink, content_type: str, body: bytes
) -> None:
    hook.answers = [Answer(body=body, headers={"Content-Type": content_type})]
    step = called(process, tenant, call(hook, answer={"max_bytes": 200_000}))
    assert step.state is StepState.SUCCEEDED, step.error
    assert len(step.result["body"]) > 40_000


@pytest.mark.parametrize("content_type", ["image/\xe9", "x" * 9000, "text/html\tx", "a/b, c/d", TOKEN, "image"])
def test_a_type_that_is_none_goes_no_further(process: Process, tenant: TenantId, hook: Sink, content_type: str) -> None:
    keep_secret(process, tenant, "crm", TOKEN)
    hook.answers = [Answer(headers={"Content-Type": content_type})]
    asked = call(hook, query={"a": "{{secrets.crm}}"}, answer={"store_as": "output"})
    step = called(process, tenant, asked)
    assert step.state is StepState.SUCCEEDED, step.error
    assert step.result["outputs"][0]["content_type"] == "application/octet-stream"


@pytest.mark.parametrize(
    "echoed",
    [
        json.dumps({"sent": TOKEN}),
        json.dumps({"sent": TOKEN}).replace("/", "\\/"),
        json.dumps({"sent": [TOKEN]}).replace("t", "\\u0074"),
        json.dumps({TOKEN: 1}),
        json.dumps(f"/hook?key={quote(TOKEN, safe='')}"),
        json.dumps(f"/hook?key={quote(TOKEN, safe='').lower()}"),
        json.dumps(json.dumps({"sent": TOKEN})),
    ],
)
def test_a_secret_is_hidden_however_it_is_spelled(process: Process, tenant: TenantId, hook: Sink, echoed: str) -> None:
    keep_secret(process, tenant, "crm", TOKEN)
    hook.answers = [Answer(body=echoed.encode())]
    step = called(process, tenant, call(hook, query={"key": "{{secrets.crm}}"}))
    assert "[secret crm]" in str(step.result["body"])
    for spelling in ("3f9a+77c1", "3f9a%2B77c1", "3f9a%2b77c1"):
        assert rows_with(process, spelling) == []


def test_a_redirect_that_repeats_the_query_shows_no_secret(process: Process, tenant: TenantId, hook: Sink) -> None:
    keep_secret(process, tenant, "crm", TOKEN)
    place = f"{hook.url}/?key={quote(TOKEN, safe='')}"
    hook.answers = [Answer(status=302, headers={"Location": place}, body=f"moved to {place}".encode())]
    step = called(process, tenant, call(hook, query={"key": "{{secrets.crm}}"}, success=[302]))
    assert step.result["headers"]["location"] == f"{hook.url}/?key=[secret crm]"
    hook.answers = [Answer(status=400, headers={"Location": place}, body=f"moved to {place}".encode())]
    refused = called(process, tenant, call(hook, query={"key": "{{secrets.crm}}"}))
    assert refused.error is not None
    assert refused.error.message.endswith("[secret crm]")
    assert set(rows_with(process, "3f9a")) <= {"secrets"}  # where it is sealed, and four digits come by chance


@pytest.mark.parametrize("before", [b"x" * 80, b"[secret crm" * 8])
def test_a_secret_that_is_cut_where_the_answer_is_shows_no_part(
    process: Process, tenant: TenantId, hook: Sink, before: bytes
) -> None:
    keep_secret(process, tenant, "crm", TOKEN)
    hook.answers = [Answer(body=before + TOKEN.encode() * 20, headers={"Content-Type": "text/plain"})]
    for most in range(len(before), len(before) + 3 * len(TOKEN), 5):
        step = called(process, tenant, call(hook, headers={"A": "{{secrets.crm}}"}, answer={"max_bytes": most}))
        assert step.result["truncated"] is True
        assert len(step.result["body"]) <= most
        assert "tok/" not in step.result["body"]


def test_the_answers_headers_are_in_no_log(
    process: Process, tenant: TenantId, hook: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    keep_secret(process, tenant, "crm", TOKEN)
    hook.answers = [Answer(headers={"X-Echo": TOKEN, "Content-Type": "application/json"})]
    assert called(process, tenant, call(hook, headers={"A": "{{secrets.crm}}"})).state is StepState.SUCCEEDED
    assert "3f9a" not in caplog.text


def test_a_call_that_ended_so_leaves_its_place(process: Process, tenant: TenantId, hook: Sink) -> None:
    hook.answers = [Answer(headers={f"X-{number}": "x" * 8000 for number in range(9)})]
    called(process, tenant, call(hook))
    assert [one.under_way for one in process.budget.standing()] == [0]
    assert isinstance(process.budget.enter(tenant, hook.host, hold_seconds=1), Permit)
