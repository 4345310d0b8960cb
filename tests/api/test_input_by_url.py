"""A job whose file is fetched: through the door, by the worker's own code, and out again over HTTP."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from storage import publishing
from storage.database import Database
from storage.model import StepId
from storage.objects.blocking import Blocking
from storage.objects.settings import ObjectSettings
from storage.objects.stores import open_objects
from tasks import base
from tasks.addresses import Rules
from tasks.budget import Budget
from tasks.names import KINDS, Queue
from tasks.outbound import Waiting
from tasks.process import Process
from tasks.settings import WorkerSettings
from tests.api.conftest import Api, seen
from tests.api.refusing import assert_problem, leaving_nothing
from tests.api.serving import served, settings
from tests.api.wire import END, MULTIPART, part
from tests.sink import Answer, Sink, sink

URL = "https://files.example/a.jpg"
RESIZE = {"small": {"kind": "image.resize", "variants": [{"name": "small", "width": 64}]}}
DOCUMENT = {"input": {"url": URL}, "steps": RESIZE}
JOB = part("job", json.dumps(DOCUMENT).encode(), content_type="application/json")
FILE = part("file", b"bytes", filename="a.png", content_type="image/png")


@pytest.fixture
def files() -> Iterator[Sink]:
    """Where the files are."""
    with sink() as state:
        yield state


@pytest.fixture
def opened(
    database: Database, database_url: str, s3_env: Mapping[str, str], bucket: ObjectSettings, files: Sink
) -> Iterator[Api]:
    """An API before the real S3 server, whose operator has opened the place of the files."""
    chosen = settings(database_url, dict(s3_env), outbound=Rules.parse(files.host), objects=bucket)
    with served(chosen) as running, seen(running, database, list) as api:
        yield api


@pytest.fixture
def process(opened: Api, files: Sink, tmp_path: Path) -> Iterator[Process]:
    """A worker's resources, on the rows and objects of the API."""
    known = WorkerSettings(
        database=opened.database.settings,
        objects=opened.served.service.settings.objects,
        lease_seconds=30,
        outbound=Rules.parse(files.host),
    )
    objects, outbound = Blocking(open_objects(known.objects)), Waiting(known.outbound)
    yield Process(
        settings=known,
        worker="w1",
        database=opened.database,
        objects=objects,
        outbound=outbound,
        budget=Budget(None, known.call_limits),
        scratch=tmp_path / "scratch",
    )
    outbound.close()
    objects.close()


def work_off(api: Api, process: Process, job: Mapping[str, Any]) -> Any:
    """Do whatever of the job may run, as it becomes ready; returns its document."""
    kinds: dict[StepId, str] = {step["id"]: step["kind"] for step in job["steps"].values()}
    while True:
        with api.database.platform() as tx:
            due = [step for queue in Queue for step in publishing.take_to_publish(tx, queue, limit=100)]
        for step in due:
            if step.job_id == job["id"]:
                base.perform(process, KINDS[kinds[step.step_id]], step.tenant_id, step.job_id, step.step_id)
        if not due:
            return api.acme.get(f"/v1/jobs/{job['id']}").json()


@pytest.mark.parametrize("asked", [{"steps": RESIZE}, {"template": "thumbnails"}], ids=["steps", "template"])
def test_a_job_fetches_its_file_and_shows_all_of_it(
    opened: Api, process: Process, files: Sink, photos: Path, asked: dict[str, Any]
) -> None:
    photo = (photos / "rocket.jpg").read_bytes()
    files.answers = [Answer(body=photo, headers={"Content-Type": "image/jpeg"})]
    posted = opened.acme.post(json={"input": {"url": f"{files.url}/rocket.jpg?sig=s3cret"}, **asked})
    assert posted.status_code == 202, posted.text
    [maker] = [name for name in posted.json()["steps"] if name != "input"]
    assert [(step["state"], step["use"]) for step in posted.json()["steps"].values()] == [
        ("queued", []),
        ("waiting", ["input"]),
    ]
    shown = work_off(opened, process, posted.json())
    assert (shown["state"], shown["input"]) == ("succeeded", None), shown
    [fetched] = shown["steps"]["input"]["result"]["outputs"]
    assert (fetched["filename"], fetched["bytes"], fetched["url"]) == (
        "rocket.jpg",
        len(photo),
        f"{files.url}/rocket.jpg",
    )
    assert opened.acme.get(fetched["href"]).content == photo
    made = shown["steps"][maker]["result"]["outputs"]
    assert [len(opened.acme.get(output["href"]).content) for output in made] == [output["bytes"] for output in made]
    told = opened.acme.get(f"/v1/jobs/{shown['id']}/events").text
    assert "step.succeeded" in told
    assert "s3cret" not in json.dumps(shown) + told


def test_a_file_that_cannot_be_fetched_fails_its_job(opened: Api, process: Process, files: Sink) -> None:
    files.answers = [Answer(status=404)]
    posted = opened.acme.post(json={"input": {"url": files.url}, "steps": RESIZE})
    with pytest.raises(base.StepUnsuccessful):
        work_off(opened, process, posted.json())
    shown = opened.acme.get(f"/v1/jobs/{posted.json()['id']}").json()
    assert (shown["state"], shown["steps"]["input"]["error"]["code"]) == ("failed", "input_refused")
    assert shown["steps"]["small"]["state"] == "canceled"


def test_a_retry_may_fetch_from_another_place(opened: Api, process: Process, files: Sink, photos: Path) -> None:
    photo = Answer(body=(photos / "rocket.jpg").read_bytes(), headers={"Content-Type": "image/jpeg"})
    files.answers = [Answer(status=404), photo]
    job = opened.acme.post(json={"input": {"url": files.url}, "steps": RESIZE}).json()
    with pytest.raises(base.StepUnsuccessful):
        work_off(opened, process, job)
    wish = {"steps": {"input": {"url": f"{files.url}/new.jpg"}}}
    retried = opened.acme.ask("POST", f"/v1/jobs/{job['id']}/retry", json=wish)
    assert retried.status_code == 202, retried.text
    shown = work_off(opened, process, job)
    assert (shown["state"], [got.path for got in files.received]) == ("succeeded", ["/hook", "/hook/new.jpg"])
    assert shown["steps"]["input"]["result"]["outputs"][0]["filename"] == "new.jpg"


@pytest.mark.parametrize("body", [JOB + FILE + END, FILE + JOB + END], ids=["job first", "file first"])
def test_a_file_beside_the_url_of_one_is_a_flaw(any_api: Api, body: bytes) -> None:
    with leaving_nothing(any_api):
        answer = any_api.acme.post(content=body, headers={"Content-Type": MULTIPART})
        assert_problem(answer.status_code, answer.headers, answer.json(), (422, "invalid_job"), ["/input"])


@pytest.mark.parametrize("url", ["http://127.0.0.1/a.jpg", "http://metadata.google.internal/", "http://[fd00::1]/"])
def test_an_address_of_our_own_network_is_refused_at_the_door(api: Api, url: str) -> None:
    answer = api.acme.post(json={"input": {"url": url}, "steps": RESIZE})
    assert_problem(answer.status_code, answer.headers, answer.json(), (422, "invalid_job"), ["/input/url"])


def test_the_document_may_come_as_the_only_part(api: Api) -> None:
    answer = api.acme.post(content=JOB + END, headers={"Content-Type": MULTIPART})
    assert answer.status_code == 202, answer.text
    assert list(answer.json()["steps"]) == ["input", "small"]


def test_a_job_without_a_file_is_told_of_both_ways_to_give_one(api: Api) -> None:
    answer = api.acme.post(json={"steps": RESIZE})
    assert_problem(answer.status_code, answer.headers, answer.json(), (422, "invalid_job"), ["/steps/small"])
    [flaw] = answer.json()["errors"]
    assert "multipart/form-data" in flaw["detail"]
    assert '"input"' in flaw["detail"]


def test_the_openapi_document_says_what_an_input_takes(api: Api) -> None:
    schemas = api.acme.get("/openapi.json").json()["components"]["schemas"]
    assert schemas["JobRequest"]["properties"]["input"] == {"$ref": "#/components/schemas/InputRequest"}
    either = [{"$ref": f"#/components/schemas/{name}"} for name in ("InputByUrl", "InputByUpload")]
    assert schemas["InputRequest"]["oneOf"] == either
    assert schemas["InputByUpload"]["required"] == ["upload"]
    assert schemas["InputByUrl"]["required"] == ["url"]
    assert set(schemas["InputByUrl"]["properties"]) == {"url", "headers", "filename", "max_bytes", "types"}
