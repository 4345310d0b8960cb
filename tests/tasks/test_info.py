"""Kind image.info as the worker runs it."""

import subprocess
import sys
from pathlib import Path

from storage import removals, uploads
from storage.image_model import NewUpload, UploadId, new_upload_id
from storage.keys import upload_key
from storage.model import Job, JobInput, JobState, Step, StepState, new_job_id
from tasks.document import parse
from tasks.image_facts import ImageFacts
from tasks.submit import submit
from tests.tasks.images.blocks import camera
from tests.tasks.looking import Bench
from tests.tasks.samples import encoded, painted

ROOT = Path(__file__).parents[2]
DOCUMENT = {"steps": {"what": {"kind": "image.info"}}}


def about(bench: Bench, file: bytes, **params: object) -> Step:
    job = bench.put_in(file, {"steps": {"what": {"kind": "image.info", **params}}})
    return bench.work_off(job).steps[0]


def test_a_photograph_is_described(bench: Bench, chelsea: bytes) -> None:
    step = about(bench, chelsea)
    assert step.state is StepState.SUCCEEDED, step.error
    told = ImageFacts.model_validate(step.result)
    assert (told.format, told.content_type, told.width, told.height) == ("png", "image/png", 451, 300)
    assert (told.bytes, told.exif, told.animation) == (len(chelsea), {}, None)
    assert told.blurhash == "L8HdT$v|u6sl9Z%MRP?Ho~xuxYR-"


def test_only_the_fields_that_are_asked_for_are_told(bench: Bench) -> None:
    file = encoded(painted(), "JPEG", exif=camera())
    assert about(bench, file, exif=["GPSInfo"]).result["exif"]["GPSInfo"]["GPSLatitude"] == -33.8583333
    assert "GPSInfo" not in about(bench, file).result["exif"]


def test_a_file_that_is_no_picture_ends_the_step(bench: Bench) -> None:
    step = about(bench, b"words, and no picture")
    assert (step.state, step.error and step.error.code) == (StepState.FAILED, "image_unreadable")
    step = about(bench, encoded(painted(), "JPEG"), page=2)
    assert (step.state, step.error and step.error.code) == (StepState.FAILED, "page_missing")


def test_a_job_may_stop_at_what_it_says(bench: Bench, chelsea: bytes) -> None:
    stop = {"condition": "width < 600", "code": "too_small"}
    document = {"steps": {"what": {"kind": "image.info", "stop_when": stop}}}
    found = bench.work_off(bench.put_in(chelsea, document))
    assert (found.state, found.error and found.error.code) == (JobState.FAILED, "too_small")


def uploaded(bench: Bench, file: bytes) -> UploadId:
    upload_id = new_upload_id()
    with bench.process.database.begin(bench.tenant) as tx:
        uploads.expect(tx, upload_id, due_in_seconds=60)
    stored = bench.process.objects.upload(upload_key(bench.tenant, upload_id), file, content_type="image/jpeg")
    new = NewUpload(id=upload_id, filename="it.jpg", content_type="image/jpeg", bytes=stored.size, sha256="0" * 64)
    with bench.process.database.begin(bench.tenant) as tx:
        uploads.insert(tx, new)
    return upload_id


def job_on(bench: Bench, upload_id: UploadId, size: int) -> Job:
    key, job_id = upload_key(bench.tenant, upload_id), new_job_id()
    given = JobInput(key=key, filename="it.jpg", content_type="image/jpeg", bytes=size)
    with bench.process.database.begin(bench.tenant) as tx:
        removals.plan(tx, job_id, due_in_seconds=60)
        return submit(tx, parse(DOCUMENT), job_id=job_id, file=given).job


def test_an_upload_remembers_what_was_said_of_it(bench: Bench) -> None:
    file = encoded(painted(60, 40), "JPEG", exif=camera())
    upload_id = uploaded(bench, file)
    step = bench.work_off(job_on(bench, upload_id, len(file))).steps[0]
    assert step.state is StepState.SUCCEEDED, step.error
    with bench.process.database.read(bench.tenant) as tx:
        found = uploads.find(tx, upload_id)
    assert found is not None
    assert (found.width, found.height, found.blurhash) == (40, 60, step.result["blurhash"])


def test_no_network_is_loaded_for_it() -> None:
    look = "import sys, tasks.info; print(sorted({'onnxruntime', 'cv2', 'rapidocr', 'pyvips'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", look], env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
