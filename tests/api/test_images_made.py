"""Pictures on the fly, the whole way: a link, the worker's own code, and the picture, or why there is none."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from api.image_links import INFO
from storage.model import Job
from storage.objects.blocking import Blocking
from tasks import base
from tasks.addresses import Rules
from tasks.budget import Budget
from tasks.image_path import NAME
from tasks.names import KINDS
from tasks.outbound import Waiting
from tasks.process import Process
from tasks.settings import WorkerSettings
from tests.api.conftest import Api
from tests.api.picturing import Signer, asked, making, shown, signer, upload
from tests.api.refusing import assert_problem


@pytest.fixture
def process(api: Api, tmp_path: Path) -> Iterator[Process]:
    """A worker's resources, on the rows and objects of the API."""
    behind = api.served.service
    settings = WorkerSettings(
        database=behind.settings.database, objects=behind.settings.objects, lease_seconds=30, outbound=Rules.parse("")
    )
    objects, outbound = Blocking(behind.objects), Waiting(settings.outbound)
    yield Process(
        settings=settings,
        worker="w1",
        database=api.database,
        objects=objects,
        outbound=outbound,
        budget=Budget(None, settings.call_limits),
        scratch=tmp_path / "scratch",
    )
    outbound.close()


@pytest.fixture
def key(api: Api) -> Signer:
    return signer(api.acme)


def perform(api: Api, process: Process, job: Job, name: str) -> None:
    step = next(step for step in job.steps if step.name == name)
    base.perform(process, KINDS[step.kind], api.acme.tenant, job.id, step.id)


def test_a_link_becomes_a_picture_with_its_watermark(api: Api, process: Process, key: Signer, photos: Path) -> None:
    file = upload(api.acme, (photos / "rocket.jpg").read_bytes())
    drawn = io.BytesIO()
    Image.new("RGB", (20, 20), "#ff0000").save(drawn, "PNG")
    mark = upload(api.acme, drawn.getvalue())
    path = key.link(f"w:120,h:80,fit:cover,wm:{mark}:northwest:0.5::0,f:png", file)
    job = making(api, shown(api, path))
    perform(api, process, job, NAME)
    perform(api, process, job, INFO)
    answer = shown(api, path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert answer.headers["etag"] == f'"{asked(api, job)[1]}"'  # the worker knows it by the name that we do
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert (picture.format, picture.size) == ("PNG", (120, 80))
        assert picture.convert("RGB").getpixel((10, 10)) == (255, 0, 0)
        assert picture.convert("RGB").getpixel((110, 70)) != (255, 0, 0)
    document = api.acme.get(f"/v1/uploads/{file}").json()
    with Image.open(photos / "rocket.jpg") as photo:
        assert (document["width"], document["height"]) == photo.size
    waiting = shown(api, key.link("w:64", file))
    assert (waiting.status_code, waiting.headers["blurhash"]) == (202, document["blurhash"])
    with Image.open(io.BytesIO(waiting.content)) as blurred:
        assert len(blurred.convert("RGB").getcolors(10_000) or []) > 50
    assert [step.name for step in making(api, waiting).steps] == [NAME]


def test_a_file_that_is_no_picture_is_refused_with_the_reason(api: Api, process: Process, key: Signer) -> None:
    path = key.link("w:64", upload(api.acme, b"no picture at all"))
    job = making(api, shown(api, path))
    with pytest.raises(base.StepUnsuccessful):
        perform(api, process, job, NAME)
    answer = shown(api, path)  # while the other step of the job waits
    assert answer.status_code == 422
    document = api.acme.get(f"/v1/jobs/{job.id}").json()
    error = document["steps"][NAME]["error"]
    assert_problem(422, answer.headers, answer.json(), (422, error["code"]))
    assert answer.json()["detail"] == error["message"]
