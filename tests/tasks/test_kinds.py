"""The built-in kinds as the worker runs them: real pictures, a real third party."""

import threading
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from storage import events, jobs, removals
from storage.keys import input_key, output_key
from storage.model import Job, JobInput, Step, StepState, TenantId, new_job_id
from tasks import base
from tasks.document import parse
from tasks.names import KINDS
from tasks.process import Process
from tasks.submit import submit
from tests.sink import Answer, Sink


def work_off(process: Process, tenant: TenantId, document: dict[str, Any], file: bytes | None = None) -> Job:
    """Submit and do every step that becomes ready, once, in order; returns the job as it then stands."""
    job_id = new_job_id()
    given = None
    if file is not None:
        key = input_key(tenant, job_id)
        process.objects.upload(key, file, content_type="image/jpeg")
        given = JobInput(key=key, filename="it.jpg", content_type="image/jpeg", bytes=len(file))
    with process.database.begin(tenant) as tx:
        removals.plan(tx, job_id, due_in_seconds=60)
        job = submit(tx, parse(document), job_id=job_id, file=given).job
    for step in job.steps:
        kind = KINDS[step.kind]
        try:
            base.perform(process, kind, tenant, job.id, step.id)
        except base.StepUnsuccessful:
            continue
    with process.database.read(tenant) as tx:
        found = jobs.find(tx, job_id)
    assert found is not None
    return found


def call(hook: Sink, **params: Any) -> dict[str, Any]:
    return {"steps": {"call": {"kind": "http.call", "url": hook.url, **params}}}


def only(job: Job) -> Step:
    [step] = job.steps
    return step


def test_echo_returns_its_parameters(process: Process, tenant: TenantId) -> None:
    given = {"message": "hi", "data": {"a": [1, None]}, "sleep_seconds": 0.01}
    assert only(work_off(process, tenant, {"steps": {"e": {"kind": "echo", **given}}})).result == given


def test_a_photograph_becomes_its_variants(process: Process, tenant: TenantId, photos: Path) -> None:
    job = work_off(process, tenant, {"template": "thumbnails"}, (photos / "rocket.jpg").read_bytes())
    step = only(job)
    assert step.state is StepState.SUCCEEDED, step.error
    sizes = {output["name"]: (output["width"], output["height"]) for output in step.result["outputs"]}
    assert sizes == {"small": (320, 214), "medium": (640, 427), "large": (640, 427)}
    for output in step.result["outputs"]:
        data = process.objects.read(output_key(tenant, job.id, step.id, 1, output["name"]), 10**7)
        with Image.open(BytesIO(data)) as image:
            assert (image.width, image.height) == (output["width"], output["height"])
            assert image.get_format_mimetype() == output["content_type"]
        assert len(data) == output["bytes"]
    with process.database.read(tenant) as tx:
        progress = [one.data["progress"] for one in events.after(tx, job.id, 0) if one.type == "step.progress"]
    assert progress == [pytest.approx(1 / 3), pytest.approx(2 / 3), 1.0]


def test_a_picture_made_by_one_step_goes_through_the_next(process: Process, tenant: TenantId, photos: Path) -> None:
    def resize(width: int, **more: Any) -> dict[str, Any]:
        return {"kind": "image.resize", "variants": [{"name": "v", "width": width, "format": "png"}], **more}

    document = {"steps": {"one": resize(200), "two": resize(50, use=["one"])}}
    job = work_off(process, tenant, document, (photos / "rocket.jpg").read_bytes())
    assert [step.result["outputs"][0]["width"] for step in job.steps] == [200, 50]


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (b"not a picture at all", "image_unreadable"),
        (b"%PDF-1.7 x", "image_format_unsupported"),
        (b"\xff\xd8\xff\xe0" + b"\x00" * 100, "image_unreadable"),
    ],
)
def test_a_file_that_is_no_picture_fails_with_a_public_reason(
    process: Process, tenant: TenantId, file: bytes, code: str
) -> None:
    step = only(work_off(process, tenant, {"template": "thumbnails"}, file))
    assert step.state is StepState.FAILED
    assert step.error is not None
    assert step.error.code == code


def test_a_call_posts_the_results_of_the_steps_it_uses(process: Process, tenant: TenantId, hook: Sink) -> None:
    document = {
        "steps": {
            "say": {"kind": "echo", "message": "hi"},
            "call": {"kind": "http.call", "url": hook.url, "use": ["say"]},
        }
    }
    job = work_off(process, tenant, document)
    step = job.steps[1]
    assert (step.state, step.result) == (StepState.SUCCEEDED, {"status": 200, "body": {"ok": True}})
    [(path, headers, body)] = hook.got
    assert path == "/hook"
    assert headers["Idempotency-Key"] == step.id
    assert body == {"job": job.id, "step": step.id, "results": {"say": {"message": "hi"}}}


def test_a_call_posts_the_body_it_is_given(process: Process, tenant: TenantId, hook: Sink) -> None:
    work_off(process, tenant, call(hook, body=[1, "zwei"]))
    assert hook.got[0][2] == [1, "zwei"]


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


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/x", "http://localhost/", "http://169.254.169.254/latest", "http://example.org:81/"]
)
def test_a_host_that_the_operator_did_not_name_is_never_called(process: Process, tenant: TenantId, url: str) -> None:
    step = only(work_off(process, tenant, {"steps": {"call": {"kind": "http.call", "url": url}}}))
    assert step.error is not None
    assert (step.state, step.error.code) == (StepState.FAILED, "host_not_allowed")


def test_a_third_party_that_hangs_costs_its_timeout_only(process: Process, tenant: TenantId, hook: Sink) -> None:
    release = threading.Event()
    hook.answers = [Answer(hang=release)]
    step = only(work_off(process, tenant, call(hook, timeout_seconds=0.2)))
    release.set()
    assert step.error is not None
    assert (step.state, step.error.code) == (StepState.RETRYING, "call_failed")


def test_a_third_party_that_drips_costs_its_timeout_only(process: Process, tenant: TenantId, hook: Sink) -> None:
    hook.answers = [Answer(drip_seconds=0.05, body=b"x" * 10_000)]
    step = only(work_off(process, tenant, call(hook, timeout_seconds=0.3)))
    assert step.error is not None
    assert (step.state, step.error.code) == (StepState.RETRYING, "call_failed")


@pytest.mark.parametrize("body", [b"[" * 600 + b"]" * 600, b'{"a": "\\ud800"}', b"[" * 60_000])
def test_an_answer_that_no_row_can_carry_is_kept_as_well_as_can_be(
    process: Process, tenant: TenantId, hook: Sink, body: bytes
) -> None:
    hook.answers = [Answer(body=body)]
    step = only(work_off(process, tenant, call(hook)))
    assert (step.state, step.result["status"]) == (StepState.SUCCEEDED, 200)


def test_a_url_is_called_as_it_was_given(process: Process, tenant: TenantId, hook: Sink) -> None:
    step = only(
        work_off(
            process, tenant, call(hook) | {"steps": {"c": {"kind": "http.call", "url": hook.url + "?q=" + "é" * 690}}}
        )
    )
    assert step.state is StepState.SUCCEEDED, step.error


def test_a_long_or_odd_answer_is_cut_and_kept(process: Process, tenant: TenantId, hook: Sink) -> None:
    hook.answers = [Answer(body=b"\x00\xff" + b"x" * 1_000_000, headers={"Content-Type": "text/plain"})]
    step = only(work_off(process, tenant, call(hook)))
    assert step.state is StepState.SUCCEEDED, step.error
    assert len(step.result["body"]) <= 65_536
    assert step.result["body"].startswith("\ufffd\ufffdx")
