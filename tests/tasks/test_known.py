"""Jobs whose pictures are there already: steps end as they are written, and all that follows from it comes true."""

import hashlib
from typing import Any

import pytest

from storage import counts, events, jobs, queues, removals, webhooks
from storage.database import Database
from storage.keys import input_key
from storage.model import Job, JobInput, JobState, StepState, TenantId, new_job_id
from storage.tenants import ensure
from storage.webhook_model import EventType, NewEndpoint, new_endpoint_id
from tasks import base
from tasks.document import parse
from tasks.image_params import EngineName
from tasks.known import Identity
from tasks.names import KINDS
from tasks.process import Process
from tasks.submit import submit
from tests.documents import runnable_steps
from tests.tasks.rendering import identity, stamp

SMALL: dict[str, Any] = {"kind": "image.resize", "variants": [{"name": "small", "width": 40}]}
SHA256 = hashlib.sha256(b"abc").hexdigest()


def put(
    database: Database,
    tenant: TenantId,
    steps: dict[str, Any],
    *,
    sha256: str | None = SHA256,
    known_as: Identity | None = identity,
) -> Job:
    job_id = new_job_id()
    key = input_key(tenant, job_id)
    given = JobInput(key=key, filename="a.png", content_type="image/png", bytes=3, sha256=sha256)
    with database.begin(tenant) as tx:
        removals.plan(tx, job_id, due_in_seconds=60)
        return submit(tx, parse({"steps": steps}), job_id=job_id, file=given, identity=known_as).job


@pytest.fixture
def made(process: Process, tenant: TenantId) -> Job:
    """A job that has made the picture `small`, whose step was not known before."""
    job = put(process.database, tenant, {"s": SMALL})
    assert job.state is JobState.QUEUED
    assert job.input is not None
    process.objects.upload(job.input.key, b"abc", content_type="image/png")
    base.perform(process, KINDS["image.resize"], tenant, job.id, job.steps[0].id, run=stamp)
    with process.database.read(tenant) as tx:
        found = jobs.find(tx, job.id)
    assert found is not None
    assert found.state is JobState.SUCCEEDED
    runnable_steps(process.database)
    return found


def test_it_has_succeeded_as_it_is_answered(process: Process, tenant: TenantId, made: Job) -> None:
    with process.database.begin(tenant) as tx:
        endpoint = NewEndpoint(id=new_endpoint_id(), url="https://a.example/", types=[EventType.JOB_SUCCEEDED])
        webhooks.insert(tx, endpoint)
    job = put(process.database, tenant, {"s": {**SMALL, "variants": [{"name": "tiny", "width": 40}]}})
    assert (job.state, job.progress, job.finished_at is not None) == (JobState.SUCCEEDED, 1.0, True)
    [step] = job.steps
    [output] = made.steps[0].result["outputs"]
    assert (step.state, step.result) == (StepState.SUCCEEDED, {"outputs": [{**output, "name": "tiny"}]})
    assert [attempt.number for attempt in step.attempts] == [1]
    with process.database.read(tenant) as tx:
        assert [one.type for one in events.after(tx, job.id, 0)] == [
            "job.queued",
            "job.running",
            "step.running",
            "step.succeeded",
            "job.succeeded",
        ]
        told = tx.sql("SELECT type, job_id FROM deliveries WHERE tenant_id = %(tenant)s").all()
    assert [tuple(one) for one in told] == [("job.succeeded", job.id)]
    assert runnable_steps(process.database) == []
    with process.database.platform() as tx:
        load = counts.read(tx, ["images"])["images"].load
    assert (load.runnable, load.running) == (0, 0)


def test_steps_behind_it_are_to_run(process: Process, tenant: TenantId, made: Job) -> None:
    job = put(process.database, tenant, {"say": {"kind": "echo", "use": ["s"]}, "s": SMALL, "other": {"kind": "echo"}})
    assert (job.state, [step.state.value for step in job.steps]) == (
        JobState.RUNNING,
        ["queued", "succeeded", "queued"],
    )
    assert {step for _, step in runnable_steps(process.database)} == {job.steps[0].id, job.steps[2].id}


def test_steps_of_one_job_are_known_together(process: Process, tenant: TenantId, made: Job) -> None:
    job = put(process.database, tenant, {"a": SMALL, "b": SMALL, "c": {**SMALL, "engine": "pillow"}})
    assert [step.state.value for step in job.steps] == ["succeeded", "succeeded", "queued"]


@pytest.mark.parametrize(
    "step",
    [
        {**SMALL, "variants": [*SMALL["variants"], {"name": "large", "width": 41}]},
        {**SMALL, "page": 2},
        {**SMALL, "engine": "pillow"},
        {**SMALL, "stop_when": "outputs[0].width > 9"},
    ],
)
def test_a_step_that_wants_more_goes_to_a_worker(
    process: Process, tenant: TenantId, made: Job, step: dict[str, Any]
) -> None:
    job = put(process.database, tenant, {"s": step})
    assert job.state is JobState.QUEUED
    assert runnable_steps(process.database) == [(job.id, job.steps[0].id)]


def _another(asked: EngineName) -> str:
    return f"another stamp of {asked}"


@pytest.mark.parametrize(
    "given",
    [{"sha256": None}, {"sha256": "0" * 64}, {"known_as": None}, {"known_as": _another}],
    ids=["bytes not known", "other bytes", "nothing is shared", "another engine"],
)
def test_so_does_one_of_which_less_is_known(
    process: Process, tenant: TenantId, made: Job, given: dict[str, Any]
) -> None:
    assert put(process.database, tenant, {"s": SMALL}, **given).state is JobState.QUEUED


def test_a_tenant_learns_nothing_of_the_pictures_of_another(process: Process, tenant: TenantId, made: Job) -> None:
    with process.database.platform() as tx:
        stranger = ensure(tx, "stranger")
    assert put(process.database, stranger, {"s": SMALL}).state is JobState.QUEUED


def test_while_its_queue_is_paused_it_waits_as_every_step(process: Process, tenant: TenantId, made: Job) -> None:
    with process.database.platform() as tx:
        queues.pause(tx, "images")
    assert put(process.database, tenant, {"s": SMALL}).state is JobState.QUEUED


def test_a_picture_that_is_being_made_is_not_known(process: Process, tenant: TenantId, made: Job) -> None:
    with process.database.platform() as tx:
        tx.sql("UPDATE renditions SET made_at = NULL")
    assert put(process.database, tenant, {"s": SMALL}).state is JobState.QUEUED
