"""The kind input.fetch as the worker runs it: real servers on loopback, real rows, objects in memory."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storage import jobs
from storage.errors import ObjectMissing
from storage.keys import output_key
from storage.model import Job, Step, StepState, TenantId
from tasks import base
from tasks.names import KINDS
from tasks.outbound import Waiting
from tasks.process import Process
from tests.sink import Answer, Sink
from tests.tasks.outbound_servers import LOOPBACK, Say, first, plain, raw, redirect, verbatim
from tests.tasks.test_call_secrets import keep_secret, rows_with
from tests.tasks.test_kinds import work_off

JPEG = {"Content-Type": "image/jpeg"}
SMALL = {"kind": "image.resize", "variants": [{"name": "small", "width": 32}]}
ECHO = {"say": {"kind": "echo"}}


@pytest.fixture
def opened(process: Process) -> Iterator[Process]:
    """The same, but it may call any server on loopback."""
    outbound = Waiting(LOOPBACK)
    yield replace(process, outbound=outbound)
    outbound.close()


@pytest.fixture
def photo(photos: Path) -> bytes:
    return (photos / "rocket.jpg").read_bytes()


def document(url: str, steps: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    return {"input": {"url": url, **given}, "steps": steps or ECHO}


def fetched(process: Process, tenant: TenantId, url: str, **given: Any) -> Step:
    """The step that fetches, after one try."""
    return work_off(process, tenant, document(url, **given)).steps[0]


def failed(step: Step) -> tuple[StepState, str, str]:
    assert step.error is not None
    return step.state, step.error.code, step.error.message


def objects_of(process: Process, tenant: TenantId, job: Job, step: Step) -> bytes:
    return process.objects.read(output_key(tenant, job.id, step.id, 1, "input"), 10**8)


def test_a_picture_is_fetched_and_worked_on(process: Process, tenant: TenantId, hook: Sink, photo: bytes) -> None:
    hook.answers = [Answer(body=photo, headers={"Content-Type": "Image/JPEG; q=1"})]
    job = work_off(process, tenant, document(f"{hook.url}/2024/a%20rocket.jpg?sig=s3cret", {"small": SMALL}))
    fetch, small = job.steps
    assert (fetch.state, small.state) == (StepState.SUCCEEDED, StepState.SUCCEEDED), job.steps
    assert fetch.result == {
        "status": 200,
        "outputs": [
            {
                "name": "input",
                "filename": "a rocket.jpg",
                "url": f"{hook.url}/2024/a%20rocket.jpg",
                "sha256": hashlib.sha256(photo).hexdigest(),
                "bytes": len(photo),
                "content_type": "image/jpeg",
            }
        ],
    }
    assert objects_of(process, tenant, job, fetch) == photo
    assert small.result["outputs"][0]["width"] == 32
    assert job.input is None


def test_it_asks_for_the_file_as_it_is(process: Process, tenant: TenantId, hook: Sink) -> None:
    fetched(process, tenant, hook.url, headers={"Accept": "image/avif", "user-agent": "mine"})
    [got] = hook.received
    sent = {name.lower(): value for name, value in got.headers.items()}
    assert (got.method, got.path, got.body) == ("GET", "/hook", b"")
    assert (sent["accept-encoding"], sent["accept"], sent["user-agent"]) == ("identity", "image/avif", "mine")


def test_the_file_has_the_name_that_somebody_gave_it(process: Process, tenant: TenantId, hook: Sink) -> None:
    for disposition, given, name in NAMES:
        hook.answers = [Answer(headers={"Content-Disposition": disposition})]
        step = fetched(process, tenant, hook.url, **given)
        assert step.state is StepState.SUCCEEDED, (disposition, step.error)
        assert step.result["outputs"][0]["filename"] == name, disposition


NAMES: list[tuple[str, dict[str, str], str]] = [
    ("", {}, "hook"),
    ('attachment; filename="../../a b.png"', {}, "a b.png"),
    ("attachment; filename*=UTF-8''na%C3%AFve.png", {}, "naïve.png"),
    ("attachment; filename=x.png", {"filename": "mine.png"}, "mine.png"),
    ("inline", {}, "hook"),
    ("attachment; filename*; filename*0=x.png", {}, "hook"),
]


def test_redirects_are_followed_and_told_without_their_query(opened: Process, tenant: TenantId) -> None:
    with raw(plain(b"here", headers=JPEG)) as there, raw(redirect(f"{there.url}b/c.jpg?sig=s3cret")) as here:
        step = fetched(opened, tenant, f"{here.url}a?sig=t0ken", headers={"X-Key": "k3y"})
    assert step.state is StepState.SUCCEEDED, step.error
    [output] = step.result["outputs"]
    assert (output["url"], output["filename"]) == (f"{here.url}a", "c.jpg")
    assert step.result["redirected_to"] == f"{there.url}b/c.jpg"
    assert "x-key" in here.got[0].headers
    assert "x-key" not in there.got[0].headers


def test_redirects_without_end_fail(opened: Process, tenant: TenantId) -> None:
    with raw(redirect("/again")) as server:
        state, code, _ = failed(fetched(opened, tenant, server.url))
        assert (state, code) == (StepState.FAILED, "too_many_redirects")
        assert len(server.got) == 6


@pytest.mark.parametrize(
    "way", [None, redirect("http://169.254.169.254/latest"), redirect("http://127.0.0.1:1/"), redirect("http://[::1]/")]
)
def test_our_own_network_is_out_of_reach_by_any_way(
    process: Process, tenant: TenantId, hook: Sink, way: Say | None
) -> None:
    if way is None:
        assert failed(fetched(process, tenant, "http://127.0.0.1:1/"))[:2] == (StepState.FAILED, "address_forbidden")
        return
    with raw(way) as server:
        outbound = Waiting(type(LOOPBACK).parse(server.place))
        step = fetched(replace(process, outbound=outbound), tenant, server.url)
        outbound.close()
    assert failed(step)[:2] == (StepState.FAILED, "address_forbidden")


def test_a_refusal_is_for_good(process: Process, tenant: TenantId, hook: Sink) -> None:
    for status in (304, 400, 401, 403, 404, 410, 451):
        hook.answers = [Answer(status=status, body=b"" if status == 304 else b"who asks with ?sig=s3cret")]
        step = fetched(process, tenant, f"{hook.url}?sig=s3cret")
        assert failed(step) == (StepState.FAILED, "input_refused", f"127.0.0.1 answered {status}")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_what_may_pass_is_tried_again_when_the_server_wishes(
    process: Process, tenant: TenantId, hook: Sink, status: int
) -> None:
    hook.answers = [Answer(status=status, headers={"Retry-After": "120"})]
    job = work_off(process, tenant, document(hook.url))
    step = job.steps[0]
    assert failed(step) == (StepState.RETRYING, "input_unavailable", f"127.0.0.1 answered {status}")
    assert step.finished_at is None
    assert (step.run_at - step.attempts[0].finished_at).total_seconds() > 110


def test_a_file_that_breaks_off_is_tried_again_from_its_beginning(opened: Process, tenant: TenantId) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
    with raw(first(verbatim(head + b"12345", then_close=True), plain(b"1234567890"))) as server:
        job = work_off(opened, tenant, document(server.url))
        assert failed(job.steps[0])[:2] == (StepState.RETRYING, "input_unavailable")
        again = tried_again(opened, tenant, job)
    assert (again.state, again.result["outputs"][0]["bytes"]) == (StepState.SUCCEEDED, 10)
    with pytest.raises(ObjectMissing):
        opened.objects.read(output_key(tenant, job.id, again.id, 1, "input"), 100)


def tried_again(process: Process, tenant: TenantId, job: Job) -> Step:
    """The first step after another try, whose time is made to come."""
    with process.database.begin(tenant) as tx:
        tx.sql("UPDATE steps SET state = 'queued' WHERE tenant_id = %(tenant)s AND id = %(id)s", id=job.steps[0].id)
    perform(process, tenant, job)
    return found(process, tenant, job).steps[0]


def found(process: Process, tenant: TenantId, job: Job) -> Job:
    with process.database.read(tenant) as tx:
        standing = jobs.find(tx, job.id)
    assert standing is not None
    return standing


def test_a_secret_goes_into_a_header_and_nothing_of_it_or_the_query_is_kept(
    process: Process, tenant: TenantId, hook: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    keep_secret(process, tenant, "archive", "tok-1b2c3d4e5f")
    hook.answers = [Answer(), Answer(status=403, body=b"not tok-1b2c3d4e5f")]
    for _ in range(2):
        job = work_off(
            process, tenant, document(f"{hook.url}?sig=s3cret", headers={"Authorization": "Bearer {{secrets.archive}}"})
        )
    assert [got.headers["Authorization"] for got in hook.received] == ["Bearer tok-1b2c3d4e5f"] * 2
    assert job.steps[0].state is StepState.FAILED
    assert rows_with(process, "tok-1b2c3d4e5f") == []
    with process.database.platform_read() as tx:
        told = [json.dumps(row.data) for row in tx.sql("SELECT data FROM events")]
        results = [json.dumps(row.result) for row in tx.sql("SELECT result FROM steps")]
    assert "s3cret" not in "".join([*told, *results, caplog.text])


def test_a_secret_that_the_server_says_back_is_hidden(opened: Process, tenant: TenantId) -> None:
    keep_secret(opened, tenant, "archive", "tok-1b2c3d4e5f")
    headers = {"Content-Disposition": "attachment; filename=tok-1b2c3d4e5f.png", "Content-Type": "tok-1b2c3d4e5f/x"}
    with raw(first(redirect("/tok-1b2c3d4e5f/a"), plain(b"here", headers=headers))) as server:
        step = fetched(opened, tenant, f"{server.url}a", headers={"Authorization": "Bearer {{secrets.archive}}"})
    assert step.state is StepState.SUCCEEDED, step.error
    [output] = step.result["outputs"]
    assert (output["filename"], output["content_type"]) == ("[secret archive].png", "application/octet-stream")
    assert step.result["redirected_to"] == f"{server.url}[secret archive]/a"
    assert rows_with(opened, "tok-1b2c3d4e5f") == []


def test_a_secret_that_is_not_there_fails_before_anything_is_asked(
    process: Process, tenant: TenantId, hook: Sink
) -> None:
    state, code, message = failed(fetched(process, tenant, hook.url, headers={"A": "{{secrets.archive}}"}))
    assert (state, code) == (StepState.FAILED, "secret_missing")
    assert "'archive'" in message
    assert hook.got == []


def perform(process: Process, tenant: TenantId, job: Job) -> None:
    base.perform(process, KINDS["input.fetch"], tenant, job.id, job.steps[0].id)


def test_several_files_are_fetched_by_steps_of_their_own(
    process: Process, tenant: TenantId, hook: Sink, photo: bytes
) -> None:
    hook.answers = [Answer(body=photo, headers=JPEG)]
    steps = {"left": {"kind": "input.fetch", "url": hook.url}, "small": {**SMALL, "use": ["left"]}}
    job = work_off(process, tenant, {"steps": steps})
    assert [step.state for step in job.steps] == [StepState.SUCCEEDED] * 2, job.steps


def test_a_call_sends_the_input_on(process: Process, tenant: TenantId, hook: Sink, photo: bytes) -> None:
    hook.answers = [Answer(body=photo, headers=JPEG), Answer()]
    call = {"kind": "http.call", "url": hook.url, "use": ["input"], "file": {"step": "input"}}
    job = work_off(process, tenant, document(hook.url, {"send": call}))
    assert job.steps[1].state is StepState.SUCCEEDED, job.steps[1].error
    assert (hook.received[1].body, hook.received[1].headers["Content-Type"]) == (photo, "image/jpeg")
