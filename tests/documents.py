"""Jobs to test with, put in through the one door."""

from collections.abc import Mapping
from typing import Any

from storage import publishing, removals, runnable, steps
from storage.database import Database
from storage.model import Claim, Job, JobId, JobInput, StepId, TenantId, new_job_id
from tasks.document import parse
from tasks.names import Queue
from tasks.submit import submit

ECHO = {"steps": {"say": {"kind": "echo", "message": "hello"}}}
CHAIN = {
    "steps": {
        "first": {"kind": "echo"},
        "second": {"kind": "echo", "use": ["first"]},
        "third": {"kind": "echo", "use": ["second"]},
    }
}


def put_in(
    database: Database, tenant: TenantId, document: Mapping[str, Any] = ECHO, file: JobInput | None = None
) -> Job:
    """Submit a document; with `file` as the job's input, which need not be there."""
    job_id = new_job_id()
    with database.begin(tenant) as tx:
        if file is not None:
            removals.plan(tx, job_id, due_in_seconds=60)
        return submit(tx, parse(dict(document)), job_id=job_id, file=file).job


def take(
    database: Database, tenant: TenantId, job: Job, name: str, *, worker: str = "w1", lease_seconds: float = 30
) -> Claim | None:
    """Claim a step of the job by its name, as a worker does."""
    step = next(step for step in job.steps if step.name == name)
    with database.begin(tenant) as tx:
        return steps.claim(tx, job.id, step.id, worker=worker, slot=1, lease_seconds=lease_seconds)


def taken(database: Database, tenant: TenantId, job: Job, name: str, **how: Any) -> Claim:
    """The same, where it must work."""
    claim = take(database, tenant, job, name, **how)
    assert claim is not None
    return claim


def runnable_steps(database: Database) -> list[tuple[JobId, StepId]]:
    """What a relay would send now; it is marked as sent."""
    with database.platform() as tx:
        runnable.make_due_queued(tx, limit=100)
        sent = [step for queue in Queue for step in publishing.take_to_publish(tx, queue, limit=100)]
    return [(step.job_id, step.step_id) for step in sent]
