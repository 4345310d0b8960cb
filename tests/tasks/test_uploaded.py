"""Uploads that documents name: as a job's file and in parameters, over every door; every flaw by its place."""

from typing import Any

import pytest

from storage import jobs, uploads
from storage.database import Database
from storage.image_model import NewUpload, UploadId, new_upload_id
from storage.keys import upload_key
from storage.listing import JobFilter, listed
from storage.model import Job, TenantId, new_job_id
from storage.schedule_model import Outcome
from storage.tenants import ensure
from tasks.document import parse
from tasks.errors import InvalidDocument
from tasks.submit import submit
from tests.scheduler.timetable import Timetable

SMALL: dict[str, Any] = {"kind": "image.resize", "variants": [{"name": "small", "width": 32}]}
ID = "upl_01hzxw9k3jetc8f0nq2v4s6m7a"


def kept(database: Database, tenant: TenantId, **given: Any) -> UploadId:
    upload_id = new_upload_id()
    new = NewUpload(id=upload_id, filename="kept.png", content_type="image/png", bytes=3, sha256="0a" * 32, **given)
    with database.begin(tenant) as tx:
        uploads.expect(tx, upload_id, due_in_seconds=60)
        uploads.insert(tx, new)
    return upload_id


def marked(*upload_ids: str) -> dict[str, Any]:
    variants = [
        {"name": f"v{number}", "width": 32, "watermark": {"upload": one}} for number, one in enumerate(upload_ids)
    ]
    return {"kind": "image.resize", "variants": variants}


def put(database: Database, tenant: TenantId, document: dict[str, Any]) -> Job:
    with database.begin(tenant) as tx:
        return submit(tx, parse(document), job_id=new_job_id(), file=None).job


def flaws(document: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(InvalidDocument) as refused:
        parse(document)
    return [(flaw.pointer, flaw.detail) for flaw in refused.value.flaws]


def refused(database: Database, tenant: TenantId, document: dict[str, Any]) -> list[str]:
    with pytest.raises(InvalidDocument) as caught:
        put(database, tenant, document)
    return [flaw.pointer for flaw in caught.value.flaws]


def test_an_upload_is_the_file_of_every_step_that_needs_one(database: Database, tenant: TenantId) -> None:
    upload_id = kept(database, tenant)
    document = {"input": {"upload": upload_id}, "steps": {"s": SMALL, "input": {"kind": "echo"}}}
    spec = parse(document)
    assert (spec.upload, spec.fetches_input, [step.name for step in spec.steps]) == (upload_id, False, ["s", "input"])
    job = put(database, tenant, document)
    assert job.input is not None
    assert (job.input.key, job.input.filename) == (upload_key(tenant, upload_id), "kept.png")
    assert (job.input.content_type, job.input.bytes, job.input.sha256) == ("image/png", 3, "0a" * 32)
    with database.read(tenant) as tx:
        assert jobs.facts(tx, job.id)["input"] == {"filename": "kept.png", "content_type": "image/png", "bytes": 3}


@pytest.mark.parametrize(
    ("given", "pointer", "words"),
    [
        ({"upload": ID, "url": "https://a.example/"}, "/input/url", "no place beside an upload"),
        ({"upload": ID, "a/b": 1}, "/input/a~1b", "no place beside an upload"),
        ({"upload": "upl_1"}, "/input/upload", "must be the id of an upload"),
        ({"upload": 7}, "/input/upload", "must be the id of an upload"),
        ({"upload": "job_" + ID[4:]}, "/input/upload", "must be the id of an upload"),
        ({"upload": None}, "/input/upload", "must be the id of an upload"),
        ([ID], "/input", "must be an object"),
    ],
)
def test_each_flaw_is_named_by_its_place(given: Any, pointer: str, words: str) -> None:
    [(place, detail)] = flaws({"input": given, "steps": {"s": SMALL}})
    assert place == pointer
    assert words in detail


def test_an_upload_that_is_not_there_is_refused(database: Database, tenant: TenantId) -> None:
    with database.platform() as tx:
        stranger = ensure(tx, "stranger")
    document = {"input": {"upload": kept(database, stranger)}, "steps": {"s": SMALL}}
    assert refused(database, tenant, document) == ["/input/upload"]
    expired = kept(database, tenant, expires_in_seconds=-1)
    assert refused(database, tenant, {"input": {"upload": expired}, "steps": {"s": SMALL}}) == ["/input/upload"]


def test_so_is_one_that_a_step_names(database: Database, tenant: TenantId) -> None:
    there, gone = kept(database, tenant), new_upload_id()
    document: dict[str, Any] = {"input": {"upload": there}, "steps": {"a": marked(there), "b": marked(there, gone)}}
    assert refused(database, tenant, document) == ["/steps/b"]
    with database.read(tenant) as tx:
        assert listed(tx, JobFilter(), before=None, limit=9)[0] == []
    document["steps"]["b"] = marked(there)
    assert put(database, tenant, document).input is not None


def test_schedules_work_on_uploads_until_they_are_gone(database: Database, tenant: TenantId) -> None:
    upload_id = kept(database, tenant)
    timetable = Timetable(database, tenant)
    job = {"input": {"upload": upload_id}, "steps": {"s": SMALL}}
    schedule = timetable.make(job=job)
    other = timetable.make(job={"steps": {"say": {"kind": "echo"}}})
    for one in (schedule, other):
        timetable.put_back(one, 61)
    [run] = timetable.fired(schedule)
    assert (run.outcome, run.job_id is not None) == (Outcome.STARTED, True)
    with database.begin(tenant) as tx:
        assert run.job_id is not None
        found = jobs.find(tx, run.job_id)
        assert found is not None
        assert found.input is not None
        assert found.input.key == upload_key(tenant, upload_id)
        assert uploads.delete(tx, upload_id)
    for one in (schedule, other):
        timetable.end_jobs(one)
        timetable.put_back(one, 61)
    last = timetable.fired(schedule)[-1]
    assert (last.outcome, last.job_id) == (Outcome.FAILED, None)
    assert f"/input/upload: there is no upload '{upload_id}'" in (last.reason or "")
    assert timetable.outcomes(other) == ["started", "started"]
