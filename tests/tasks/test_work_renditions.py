"""A worker's side of renditions: made once for all jobs and attempts of a tenant, on a real S3 server."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from scheduler.sweep import remove_objects
from storage import jobs, removals, renditions, replays, retention, steps, uploads
from storage.database import Database, Tx
from storage.errors import DatabaseUnavailable
from storage.image_model import Digest, Facts, NewUpload, UploadId, new_upload_id
from storage.keys import attempt_prefix, input_key, key_of_output, rendition_key, upload_key
from storage.model import Job, JobInput, Outcome, StepState, TenantId, new_job_id
from storage.objects.blocking import Blocking
from storage.objects.settings import ObjectSettings
from storage.objects.stores import open_objects
from storage.tenants import ensure
from tasks import base, ends
from tasks.document import parse
from tasks.names import KINDS
from tasks.process import Process
from tasks.submit import submit
from tasks.work import Work
from tests.tasks.rendering import stamp

RESIZE = KINDS["image.resize"]
SMALL: dict[str, Any] = {"kind": "image.resize", "variants": [{"name": "small", "width": 40}]}


class Counting(Blocking):
    """Notes what is uploaded."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.uploaded: list[str] = []

    def upload(self, key: str, *args: Any, **kwargs: Any) -> Any:
        self.uploaded.append(key)
        return super().upload(key, *args, **kwargs)


@pytest.fixture
def objects(bucket: ObjectSettings) -> Iterator[Counting]:
    made = Counting(open_objects(bucket))
    yield made
    made.close()


@pytest.fixture
def here(process: Process, objects: Counting) -> Process:
    return replace(process, objects=objects)


def put(here: Process, tenant: TenantId, document: dict[str, Any], file: bytes = b"abc", **known: Any) -> Job:
    job_id = new_job_id()
    key = input_key(tenant, job_id)
    here.objects.upload(key, file, content_type="image/png")
    given = JobInput(key=key, filename="a.png", content_type="image/png", bytes=len(file), **known)
    with here.database.begin(tenant) as tx:
        removals.plan(tx, job_id, due_in_seconds=60)
        return submit(tx, parse(document), job_id=job_id, file=given).job


def work(here: Process, tenant: TenantId, job: Job, run: Callable[[Work, Any], Any] = stamp) -> Job:
    """Do every step once, in order."""
    for step in job.steps:
        try:
            base.perform(here, KINDS[step.kind], tenant, job.id, step.id, run=run)
        except base.StepUnsuccessful:
            continue
    return now(here.database, tenant, job)


def now(database: Database, tenant: TenantId, job: Job) -> Job:
    with database.read(tenant) as tx:
        found = jobs.find(tx, job.id)
    assert found is not None
    return found


def outputs(here: Process, tenant: TenantId, job: Job, step: int = 0) -> dict[str, bytes]:
    made = job.steps[step]
    assert made.state is StepState.SUCCEEDED, made.error
    return {
        one["name"]: here.objects.read(key_of_output(tenant, job.id, made.id, made.attempt, one), 100)
        for one in made.result["outputs"]
    }


def test_a_second_job_on_the_same_bytes_costs_no_second_object(
    here: Process, tenant: TenantId, objects: Counting
) -> None:
    twice = {**SMALL, "variants": [{"name": "small", "width": 40}, {"name": "again", "width": 40}]}
    first = work(here, tenant, put(here, tenant, {"steps": {"s": SMALL}}))
    objects.uploaded.clear()
    second = put(here, tenant, {"steps": {"s": twice}}, sha256=hashlib.sha256(b"abc").hexdigest())
    second = work(here, tenant, second)
    assert len(objects.uploaded) == 1, "its input"
    assert outputs(here, tenant, first) == {"small": b"abc40"}
    assert outputs(here, tenant, second) == {"small": b"abc40", "again": b"abc40"}
    [record] = first.steps[0].result["outputs"]
    assert {name: value for name, value in record.items() if name != "rendition"} == {
        "name": "small",
        "width": 40,
        "height": 30,
        "frames": 1,
        "bytes": 5,
        "content_type": "image/webp",
        "engine": "stamp",
    }
    assert [{**record, "name": name} for name in ("small", "again")] == second.steps[0].result["outputs"]


def test_other_bytes_and_other_tenants_have_renditions_of_their_own(
    here: Process, tenant: TenantId, objects: Counting
) -> None:
    with here.database.platform() as tx:
        stranger = ensure(tx, "stranger")
    work(here, tenant, put(here, tenant, {"steps": {"s": SMALL}}))
    for whose, file in ((tenant, b"xyz"), (stranger, b"abc")):
        objects.uploaded.clear()
        job = work(here, whose, put(here, whose, {"steps": {"s": SMALL}}, file))
        assert outputs(here, whose, job) == {"small": file + b"40"}
        assert len(objects.uploaded) == 2


def test_a_later_step_works_on_a_rendition_as_on_any_output(here: Process, tenant: TenantId) -> None:
    document = {"steps": {"s": SMALL, "t": {**SMALL, "use": ["s"]}}}
    job = work(here, tenant, put(here, tenant, document))
    assert outputs(here, tenant, job, 1) == {"small": b"abc4040"}


def test_an_attempt_finds_what_the_one_before_has_finished(here: Process, tenant: TenantId, objects: Counting) -> None:
    two = {**SMALL, "variants": [{"name": "a", "width": 1}, {"name": "b", "width": 2}]}
    job = put(here, tenant, {"steps": {"s": two}})

    def fails(run: Work, params: Any) -> Any:
        stamp(run, params.model_copy(update={"variants": params.variants[:1]}))
        raise ValueError("a bug")

    assert work(here, tenant, job, fails).steps[0].state is StepState.RETRYING
    with here.database.begin(tenant) as tx:
        tx.sql("UPDATE steps SET state = 'queued' WHERE tenant_id = %(tenant)s")
    objects.uploaded.clear()
    done = work(here, tenant, job)
    assert outputs(here, tenant, done) == {"a": b"abc1", "b": b"abc2"}
    assert len(objects.uploaded) == 1
    objects.uploaded.clear()
    with here.database.begin(tenant) as tx:
        replays.retry(tx, job.id, whole=True)
    assert outputs(here, tenant, work(here, tenant, job)) == {"a": b"abc1", "b": b"abc2"}
    assert objects.uploaded == []


def test_a_worker_that_lost_its_step_leaves_a_rendition_that_its_successor_takes(
    here: Process, tenant: TenantId, objects: Counting
) -> None:
    job = put(here, tenant, {"steps": {"s": SMALL}})

    def loses(run: Work, params: Any) -> Any:
        result = stamp(run, params)
        with here.database.begin(tenant) as tx:
            steps.retry(tx, run.claim, ends.NOT_STORED, delay_seconds=0)
            tx.sql("UPDATE steps SET state = 'queued' WHERE tenant_id = %(tenant)s")
        return result

    assert work(here, tenant, job, loses).steps[0].state is StepState.QUEUED
    objects.uploaded.clear()
    done = work(here, tenant, job)
    assert (done.steps[0].attempt, outputs(here, tenant, done)) == (2, {"small": b"abc40"})
    assert objects.uploaded == []


def test_of_two_that_make_the_same_rendition_the_first_to_write_it_stands(here: Process, tenant: TenantId) -> None:
    """A picture may come out of a larger variant in one job, and of the file in another: both are right."""
    job, another = (put(here, tenant, {"steps": {"a": SMALL}}) for _ in range(2))
    digest, facts = Digest("a" * 64), {"width": 1, "height": 1, "frames": 1, "engine": "vips"}

    def save(its: Work, data: bytes) -> Any:
        record = its.save_rendition(digest, "small", data, content_type="image/png", **facts)  # type: ignore[arg-type]
        assert record["bytes"] == len(b"the first")
        return {"outputs": [record]}

    def late(its: Work, _: Any) -> Any:
        assert not its.renditions([digest])
        work(here, tenant, another, lambda its, _: its.renditions([digest]) or save(its, b"the first"))
        return save(its, b"another one")

    found = work(here, tenant, job, late)
    assert found.steps[0].state is StepState.SUCCEEDED
    assert here.objects.read(rendition_key(tenant, digest), 100) == b"the first"


def test_a_database_that_is_away_as_a_rendition_is_finished_costs_nothing(
    here: Process, tenant: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish, tries = renditions.finish, iter((DatabaseUnavailable("the connection was lost"),))

    def away(tx: Tx, digest: Digest, facts: Facts) -> bool:
        for error in tries:
            raise error
        return finish(tx, digest, facts)

    monkeypatch.setattr("storage.renditions.finish", away)
    job = work(here, tenant, put(here, tenant, {"steps": {"s": SMALL}}))
    assert outputs(here, tenant, job) == {"small": b"abc40"}
    with here.database.platform_read() as tx:
        assert tx.sql("SELECT count(*) FROM renditions WHERE made_at IS NULL").scalar_one() == 0


def test_a_rendition_that_is_missing_fails_the_step_that_wants_it_and_is_made_anew(
    here: Process, tenant: TenantId
) -> None:
    document = {"steps": {"s": SMALL, "t": {**SMALL, "use": ["s"]}}}
    job = put(here, tenant, document)
    base.perform(here, RESIZE, tenant, job.id, job.steps[0].id, run=stamp)
    made = now(here.database, tenant, job).steps[0]
    here.objects.delete([key_of_output(tenant, job.id, made.id, 1, made.result["outputs"][0])])
    failed = work(here, tenant, job).steps[1]
    assert failed.error is not None
    assert failed.error.code == "file_missing"
    again = work(here, tenant, put(here, tenant, {"steps": {"s": SMALL}}))
    assert outputs(here, tenant, again) == {"small": b"abc40"}


def kept(here: Process, tenant: TenantId, file: bytes = b"abc") -> UploadId:
    upload_id = new_upload_id()
    here.objects.upload(upload_key(tenant, upload_id), file, content_type="image/png")
    new = NewUpload(
        id=upload_id,
        filename="kept.png",
        content_type="image/png",
        bytes=len(file),
        sha256=hashlib.sha256(file).hexdigest(),
    )
    with here.database.begin(tenant) as tx:
        uploads.expect(tx, upload_id, due_in_seconds=60)
        uploads.insert(tx, new)
    return upload_id


def of_upload(here: Process, tenant: TenantId, upload_id: UploadId) -> Job:
    document = {"input": {"upload": upload_id}, "steps": {"s": SMALL}}
    with here.database.begin(tenant) as tx:
        return submit(tx, parse(document), job_id=new_job_id(), file=None).job


def test_a_job_works_on_an_upload_which_outlives_it(here: Process, tenant: TenantId) -> None:
    upload_id = kept(here, tenant)
    job = work(here, tenant, of_upload(here, tenant, upload_id))
    assert outputs(here, tenant, job) == {"small": b"abc40"}
    assert job.input is not None
    assert (job.input.filename, job.input.sha256) == ("kept.png", hashlib.sha256(b"abc").hexdigest())
    with here.database.begin(tenant) as tx:
        assert retention.delete(tx, job.id)
    remove_objects(here.database, here.objects)
    assert here.objects.read(upload_key(tenant, upload_id), 9) == b"abc"


def test_a_step_whose_upload_was_deleted_meanwhile_has_no_file(here: Process, tenant: TenantId) -> None:
    upload_id = kept(here, tenant)
    job = of_upload(here, tenant, upload_id)
    with here.database.begin(tenant) as tx:
        assert uploads.delete(tx, upload_id)
    remove_objects(here.database, here.objects)
    failed = work(here, tenant, job).steps[0]
    assert failed.error is not None
    assert (failed.state, failed.error.code) == (StepState.FAILED, "file_missing")
    assert [one.outcome for one in failed.attempts] == [Outcome.FAILED]


def test_a_step_brings_uploads_that_its_parameters_name(here: Process, tenant: TenantId) -> None:
    mark, gone = kept(here, tenant, b"mark"), new_upload_id()
    seen: dict[str, Any] = {}

    def brings(run: Work, params: Any) -> Any:
        source = run.fetch_upload(mark)
        seen["bytes"] = source.path.read_bytes(), run.source_sha256(source)
        return run.fetch_upload(gone)

    failed = work(here, tenant, put(here, tenant, {"steps": {"s": SMALL}}), brings).steps[0]
    assert seen["bytes"] == (b"mark", hashlib.sha256(b"mark").hexdigest())
    assert failed.error is not None
    assert failed.error.code == "file_missing"


def test_what_an_attempt_saves_for_itself_still_goes_with_it(here: Process, tenant: TenantId) -> None:
    job = put(here, tenant, {"steps": {"s": SMALL}})

    def fails(run: Work, params: Any) -> Any:
        run.save("own", b"abc", content_type="image/png")
        raise ValueError("a bug")

    step = work(here, tenant, job, fails).steps[0]
    assert here.objects.delete_prefix(attempt_prefix(tenant, job.id, step.id, 1)) == 0
