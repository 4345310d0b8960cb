"""The kind http.call as the worker runs it: a real third party, real rows, objects in memory."""

import threading
from base64 import b64encode
from email import policy
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest

from storage.keys import key_of_output
from storage.listing import JobFilter, listed
from storage.model import Job, Step, StepState, TenantId
from tasks.process import Process
from tests.sink import Answer, Sink
from tests.tasks.test_kinds import only, work_off


def call(hook: Sink, **params: Any) -> dict[str, Any]:
    return {"steps": {"call": {"kind": "http.call", "url": hook.url, **params}}}


def after(hook: Sink, first: dict[str, Any], **params: Any) -> dict[str, Any]:
    """A call that uses an echo of `first`."""
    asked = {"url": hook.url, **params}
    return {"steps": {"look": {"kind": "echo", "data": first}, "call": {"kind": "http.call", "use": ["look"], **asked}}}


def called(process: Process, tenant: TenantId, document: dict[str, Any], file: bytes | None = None) -> Step:
    """The step `call` of the job, once everything was tried."""
    return next(step for step in work_off(process, tenant, document, file).steps if step.name == "call")


def test_a_call_posts_the_results_of_the_steps_it_uses(process: Process, tenant: TenantId, hook: Sink) -> None:
    document = {
        "steps": {
            "say": {"kind": "echo", "message": "hi"},
            "call": {"kind": "http.call", "url": hook.url, "use": ["say"]},
        }
    }
    job = work_off(process, tenant, document)
    step = job.steps[1]
    assert (step.state, step.result["status"], step.result["body"]) == (StepState.SUCCEEDED, 200, {"ok": True})
    [(path, headers, body)] = hook.got
    assert path == "/hook"
    assert headers["Idempotency-Key"] == step.id
    assert body == {"job": job.id, "step": step.id, "results": {"say": {"message": "hi"}}}


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_a_method_without_a_body_sends_none(process: Process, tenant: TenantId, hook: Sink, method: str) -> None:
    step = called(process, tenant, call(hook, method=method))
    assert step.state is StepState.SUCCEEDED, step.error
    [got] = hook.received
    assert (got.method, got.body) == (method, b"")
    assert step.result["body"] == (None if method == "HEAD" else {"ok": True})


def test_expressions_are_filled_in_everywhere(process: Process, tenant: TenantId, hook: Sink) -> None:
    document = after(
        hook,
        {"labels": [{"name": "a cat & dog", "score": 0.5}], "n": 3},
        url=hook.url + "/{{steps.look.data.labels[0].name}}",
        method="PUT",
        headers={"X-Score": "{{steps.look.data.labels[0].score}}"},
        query={"n": "{{steps.look.data.n}}", "tag": ["a", "{{job.metadata.tag}}"]},
        body={"all": "{{steps.look.data.labels}}", "said": "{{steps.look.data.n}} of {{job.id}}"},
    )
    job = work_off(process, tenant, {**document, "metadata": {"tag": "t/1"}})
    [got] = hook.received
    assert (got.method, got.path) == ("PUT", "/hook/a%20cat%20%26%20dog?n=3&tag=a&tag=t%2F1")
    assert got.headers["X-Score"] == "0.5"
    assert hook.got[0][2] == {"all": [{"name": "a cat & dog", "score": 0.5}], "said": f"3 of {job.id}"}


def test_a_step_may_speak_of_itself(process: Process, tenant: TenantId, hook: Sink) -> None:
    body = {"all": "{{step.id}} {{step.name}} {{step.attempt}}"}
    step = called(process, tenant, call(hook, url="{{'" + hook.url + "'}}/{{step.attempt}}", body=body))
    assert step.state is StepState.SUCCEEDED, step.error
    assert hook.got[0][0] == "/hook/1"
    assert hook.got[0][2] == {"all": f"{step.id} call 1"}


def test_an_expression_that_gives_nothing_fails_by_its_name(process: Process, tenant: TenantId, hook: Sink) -> None:
    step = called(process, tenant, after(hook, {"a": 1}, body={"x": "{{steps.look.data.b.c}}"}))
    assert step.error is not None
    assert (step.state, step.error.code) == (StepState.FAILED, "expression_failed")
    assert "steps.look.data.b.c" in step.error.message
    assert hook.got == []


def test_a_form_and_bytes_are_sent_as_such(process: Process, tenant: TenantId, hook: Sink) -> None:
    called(process, tenant, call(hook, form={"a": "1 2", "b": [True, 3]}))
    raw = call(hook, data=b64encode(b"\x00\xff").decode(), headers={"content-type": "image/x-own"})
    called(process, tenant, raw)
    form, data = hook.received
    assert (form.headers["Content-Type"], form.body) == ("application/x-www-form-urlencoded", b"a=1+2&b=true&b=3")
    assert (data.headers["content-type"], data.body) == ("image/x-own", b"\x00\xff")


@pytest.fixture
def photo(photos: Path) -> bytes:
    return (photos / "rocket.jpg").read_bytes()


def with_thumbs(hook: Sink, **file: Any) -> dict[str, Any]:
    variants = [{"name": "s", "width": 64, "format": "png"}, {"name": "l", "width": 256, "format": "png"}]
    thumbs = {"kind": "image.resize", "variants": variants}
    sent = {"kind": "http.call", "use": ["thumbs"], "url": hook.url, "file": {"step": "thumbs", **file}}
    return {"steps": {"thumbs": thumbs, "call": sent}}


def stored(process: Process, tenant: TenantId, job: Job, step: str, name: str) -> bytes:
    [made] = [one for one in job.steps if one.name == step]
    [output] = [one for one in made.result["outputs"] if one["name"] == name]
    return process.objects.read(key_of_output(tenant, job.id, made.id, made.attempt, output), 10**8)


def test_an_output_is_sent_as_it_is(process: Process, tenant: TenantId, hook: Sink, photo: bytes) -> None:
    job = work_off(process, tenant, with_thumbs(hook), photo)
    [got] = hook.received
    assert got.body == stored(process, tenant, job, "thumbs", "l")  # the largest
    assert (got.headers["Content-Type"], got.headers["Content-Length"]) == ("image/png", str(len(got.body)))


def test_an_output_is_sent_as_a_file_of_a_form(process: Process, tenant: TenantId, hook: Sink, photo: bytes) -> None:
    wanted = with_thumbs(hook, output="s", send_as="multipart", field="picture", filename="small.png")
    job = work_off(process, tenant, wanted, photo)
    [got] = hook.received
    head = f"Content-Type: {got.headers['Content-Type']}\r\n\r\n".encode()
    [part] = BytesParser(policy=policy.default).parsebytes(head + got.body).iter_parts()
    assert (part.get_param("name", header="content-disposition"), part.get_filename()) == ("picture", "small.png")
    assert part.get_content() == stored(process, tenant, job, "thumbs", "s")


def test_an_output_that_is_not_there_fails(process: Process, tenant: TenantId, hook: Sink, photo: bytes) -> None:
    step = called(process, tenant, with_thumbs(hook, output="xl"), photo)
    assert step.error is not None
    assert (step.state, step.error.code) == (StepState.FAILED, "no_file")
    assert hook.received == []


@pytest.mark.parametrize(
    ("answer", "state", "code"),
    [
        (Answer(status=500), StepState.RETRYING, "call_unsuccessful"),
        (Answer(status=429, headers={"Retry-After": "120"}), StepState.RETRYING, "call_unsuccessful"),
        (Answer(status=404), StepState.FAILED, "call_refused"),
        (Answer(status=302, headers={"Location": "http://127.0.0.1:1/"}), StepState.FAILED, "call_refused"),
    ],
)
def test_the_answer_decides_how_a_call_goes_on(
    process: Process, tenant: TenantId, hook: Sink, answer: Answer, state: StepState, code: str
) -> None:
    hook.answers = [answer]
    step = only(work_off(process, tenant, call(hook)))
    assert step.error is not None
    assert (step.state, step.error.code) == (state, code)
    if answer.status == 429:
        assert (step.run_at - step.created_at).total_seconds() > 119


def test_a_refusal_says_what_was_answered_and_is_grouped_without_it(
    process: Process, tenant: TenantId, hook: Sink
) -> None:
    hook.answers = [Answer(status=422, body=b'{"why": "no e-mail"}'), Answer(status=422, body=b'{"why": "too old"}')]
    one, two = (only(work_off(process, tenant, call(hook))).error for _ in range(2))
    assert one is not None
    assert two is not None
    assert "no e-mail" in one.message
    assert one.message != two.message
    assert one.fingerprint == two.fingerprint


@pytest.mark.parametrize(("success", "state"), [([404], "succeeded"), (["4xx"], "succeeded"), (["2xx"], "failed")])
def test_the_document_says_what_a_success_is(
    process: Process, tenant: TenantId, hook: Sink, success: list[Any], state: str
) -> None:
    hook.answers = [Answer(status=404, body=b"gone", headers={"Content-Type": "text/plain", "ETag": '"x"'})]
    step = only(work_off(process, tenant, call(hook, success=success)))
    assert step.state == state
    if state == "succeeded":
        assert step.result == {
            "status": 404,
            "headers": {"content-type": "text/plain", "etag": '"x"'},
            "body": "gone",
        }


def test_attempts_end_where_the_document_says(process: Process, tenant: TenantId, hook: Sink) -> None:
    hook.answers = [Answer(status=500)]
    step = only(work_off(process, tenant, call(hook, max_attempts=1)))
    assert step.error is not None
    assert (step.state, step.error.code) == (StepState.FAILED, "call_unsuccessful")
    late = only(work_off(process, tenant, call(hook, deadline_seconds=0.0001)))
    assert late.state is StepState.FAILED


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/x", "http://localhost/", "http://169.254.169.254/latest", "http://[::1]:81/"]
)
def test_an_address_of_our_own_network_is_never_called(process: Process, tenant: TenantId, url: str) -> None:
    step = only(work_off(process, tenant, {"steps": {"call": {"kind": "http.call", "url": url}}}))
    assert step.error is not None
    assert (step.state, step.error.code) == (StepState.FAILED, "address_forbidden")


def test_an_expression_cannot_lead_into_our_own_network(process: Process, tenant: TenantId, hook: Sink) -> None:
    document = after(hook, {"url": "http://169.254.169.254/latest"}, url="{{steps.look.data.url}}")
    step = called(process, tenant, document)
    assert step.error is not None
    assert (step.state, step.error.code) == (StepState.FAILED, "address_forbidden")


def test_a_third_party_that_hangs_costs_its_timeout_only(process: Process, tenant: TenantId, hook: Sink) -> None:
    release = threading.Event()
    hook.answers = [Answer(hang=release)]
    step = only(work_off(process, tenant, call(hook, timeout={"total": 0.2})))
    release.set()
    assert step.error is not None
    assert (step.state, step.error.code) == (StepState.RETRYING, "call_failed")


def test_a_third_party_that_drips_costs_its_timeout_only(process: Process, tenant: TenantId, hook: Sink) -> None:
    hook.answers = [Answer(drip_seconds=0.05, body=b"x" * 10_000)]
    step = only(work_off(process, tenant, call(hook, timeout={"total": 0.3})))
    assert step.error is not None
    assert (step.state, step.error.code) == (StepState.RETRYING, "call_failed")


@pytest.mark.parametrize("body", [b"[" * 600 + b"]" * 600, b'{"a": "\\ud800"}', b"[" * 60_000])
def test_an_answer_that_no_row_can_carry_is_kept_as_well_as_can_be(
    process: Process, tenant: TenantId, hook: Sink, body: bytes
) -> None:
    hook.answers = [Answer(body=body)]
    step = only(work_off(process, tenant, call(hook)))
    assert (step.state, step.result["status"]) == (StepState.SUCCEEDED, 200)


def test_a_long_or_odd_answer_is_cut_and_kept(process: Process, tenant: TenantId, hook: Sink) -> None:
    hook.answers = [Answer(body=b"\x00\xff" + b"x" * 3_000_000, headers={"Content-Type": "text/plain"})]
    step = only(work_off(process, tenant, call(hook)))
    assert step.state is StepState.SUCCEEDED, step.error
    assert len(step.result["body"]) <= 65_536
    assert step.result["body"].startswith("\ufffd\ufffdx")
    assert step.result["truncated"] is True


def test_an_answer_is_stored_as_an_output(process: Process, tenant: TenantId, hook: Sink, photo: bytes) -> None:
    hook.answers = [Answer(body=photo, headers={"Content-Type": "image/jpeg"})]
    fetch = {"kind": "http.call", "url": hook.url, "method": "GET", "answer": {"store_as": "output"}}
    small = {"kind": "image.resize", "use": ["call"], "variants": [{"name": "s", "width": 32}]}
    job = work_off(process, tenant, {"steps": {"call": fetch, "small": small}})
    assert [step.state for step in job.steps] == [StepState.SUCCEEDED, StepState.SUCCEEDED], job.steps
    assert job.steps[0].result["outputs"] == [{"name": "answer", "bytes": len(photo), "content_type": "image/jpeg"}]
    assert stored(process, tenant, job, "call", "answer") == photo
    assert job.steps[1].result["outputs"][0]["width"] == 32


def test_an_answer_too_large_to_be_stored_fails(process: Process, tenant: TenantId, hook: Sink) -> None:
    hook.answers = [Answer(body=b"x" * 5000)]
    step = called(process, tenant, call(hook, answer={"store_as": "output", "max_bytes": 4999}))
    assert step.error is not None
    assert (step.state, step.error.code) == (StepState.FAILED, "answer_too_large")


def test_a_url_is_called_as_it_was_given(process: Process, tenant: TenantId, hook: Sink) -> None:
    step = called(process, tenant, call(hook, url=hook.url + "?q=" + "é" * 690))
    assert step.state is StepState.SUCCEEDED, step.error
    with process.database.read(tenant) as tx:
        assert listed(tx, JobFilter(), before=None, limit=1)[0]


def test_an_answer_that_is_no_text_is_not_kept_as_text(process: Process, tenant: TenantId, hook: Sink) -> None:
    hook.answers = [Answer(body=b"\xff\xd8\xff", headers={"Content-Type": "image/jpeg"})]
    step = called(process, tenant, call(hook, method="GET"))
    assert (step.state, step.result["body"]) == (StepState.SUCCEEDED, None)
