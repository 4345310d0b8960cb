"""Does a job's work by hand, as a worker would."""

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from storage import runnable, steps
from storage.model import Claim, Job, Json, PublicError
from tasks.names import Queue
from tests.api.conftest import Api
from tests.documents import taken


def start(api: Api, job: Job, name: str = "say") -> Claim:
    return taken(api.database, api.acme.tenant, job, name)


def succeed(api: Api, claim: Claim, result: Json = None) -> None:
    with api.database.begin(claim.tenant_id) as tx:
        steps.succeed(tx, claim, result)


def report(api: Api, claim: Claim, progress: float) -> None:
    with api.database.begin(claim.tenant_id) as tx:
        steps.report(tx, claim, progress, {})


def fail(api: Api, claim: Claim) -> None:
    with api.database.begin(claim.tenant_id) as tx:
        steps.fail(tx, claim, PublicError(code="boom", message="it broke"))


@contextlib.contextmanager
def working(api: Api) -> Iterator[None]:
    """A worker that lets every step succeed, of whatever tenant, while the body runs."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            with api.database.platform() as tx:
                due = [step for queue in Queue for step in runnable.take_to_publish(tx, queue, limit=100)]
            for step in due:
                with api.database.begin(step.tenant_id) as tx:
                    claim = steps.claim(tx, step.job_id, step.step_id, worker="test", slot=1, lease_seconds=30)
                    if claim is not None:
                        steps.succeed(tx, claim, {"params": claim.params})
            if not due:
                stop.wait(0.005)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work)
        try:
            yield
        finally:
            stop.set()
        done.result()
