"""Does a job's work by hand, as a worker would."""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from scheduler import batches
from storage import events, publishing, steps
from storage.errors import JobStopping
from storage.model import Claim, Job, Json, PublicError
from tasks.names import Queue
from tests.api.conftest import Api
from tests.documents import ECHO, put_in, taken

BOOM = PublicError(code="boom", message="it broke")


def start(api: Api, job: Job, name: str = "say") -> Claim:
    return taken(api.database, api.acme.tenant, job, name)


def succeed(api: Api, claim: Claim, result: Json = None) -> None:
    with api.database.begin(claim.tenant_id) as tx:
        steps.succeed(tx, claim, result)


def report(api: Api, claim: Claim, progress: float) -> None:
    with api.database.begin(claim.tenant_id) as tx:
        steps.report(tx, claim, progress, {})


def fail(api: Api, claim: Claim, error: PublicError = BOOM) -> None:
    with api.database.begin(claim.tenant_id) as tx:
        steps.fail(tx, claim, error)


def retry(api: Api, claim: Claim) -> None:
    with api.database.begin(claim.tenant_id) as tx:
        steps.retry(tx, claim, BOOM, delay_seconds=0)


def give_up(api: Api, claim: Claim) -> None:
    """What a worker does that has heard that the job is being stopped."""
    with api.database.begin(claim.tenant_id) as tx:
        steps.end_stopped(tx, claim)


def is_stopped(api: Api, claim: Claim) -> bool:
    """What a worker asks between two pieces of its work."""
    try:
        with api.database.begin(claim.tenant_id) as tx:
            steps.check(tx, claim)
    except JobStopping:
        return True
    return False


def failed(api: Api, document: Mapping[str, Any] = ECHO, error: PublicError = BOOM) -> Job:
    """A job of acme's whose first step has failed."""
    job = put_in(api.database, api.acme.tenant, document)
    fail(api, start(api, job, job.steps[0].name), error)
    return job


def shown(api: Api, job: Job) -> Any:
    """The job's document."""
    answer = api.acme.get(f"/v1/jobs/{job.id}")
    assert answer.status_code == 200
    return answer.json()


def states(api: Api, job: Job) -> dict[str, str]:
    """The states of the job's steps."""
    return {name: step["state"] for name, step in shown(api, job)["steps"].items()}


def types(api: Api, job: Job) -> list[str]:
    """The types of what has happened to the job so far."""
    with api.database.read(api.acme.tenant) as tx:
        return [event.type for event in events.after(tx, job.id, 0)]


@contextlib.contextmanager
def working(api: Api) -> Iterator[None]:
    """A worker that lets every step succeed, of whatever tenant, and the loop of batches, while the body runs."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            with api.database.platform() as tx:
                due = [step for queue in Queue for step in publishing.take_to_publish(tx, queue, limit=100)]
            for step in due:
                with api.database.begin(step.tenant_id) as tx:
                    claim = steps.claim(tx, step.job_id, step.step_id, worker="test", slot=1, lease_seconds=30)
                    if claim is not None:
                        steps.succeed(tx, claim, {"params": claim.params})
            if not due:
                batches.cancel_jobs(api.database, stop)
                batches.finish_all(api.database, "http://127.0.0.1", stop)
                stop.wait(0.05)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work)
        try:
            yield
        finally:
            stop.set()
        done.result()
