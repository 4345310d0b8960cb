"""The built-in kinds as the worker runs them: real pictures, a real third party."""

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from storage import events, jobs, removals
from storage.keys import input_key, key_of_output
from storage.model import Job, JobInput, Step, StepState, TenantId, new_job_id
from tasks import base
from tasks.document import parse
from tasks.names import KINDS
from tasks.process import Process
from tasks.submit import submit


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
        data = process.objects.read(key_of_output(tenant, job.id, step.id, 1, output), 10**7)
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
        (b"<svg xmlns=", "image_format_unsupported"),
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
