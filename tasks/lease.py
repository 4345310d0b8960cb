"""What a worker's parent process does for the steps that its slots hold: renew, report the lost, give hints back."""

import logging
import threading
from typing import Any

from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import bootsteps
from celery.signals import task_failure
from celery.worker import state

from storage import runnable, steps
from storage.errors import StorageError
from storage.model import PublicError, StepId, TenantId
from tasks import process

log = logging.getLogger(__name__)

LOST = PublicError(code="worker_lost", message="the process that worked on this step died")
TIMED_OUT = PublicError(code="timed_out", message="the step took longer than its kind allows and was stopped")


class LeaseKeeper(bootsteps.StartStopStep):
    """A thread that renews the leases of all running steps of this worker in one statement per interval.

    It asks Celery which requests are active, so a slot whose process died is not renewed, and a step deep in C code is.
    """

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **_: Any) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease-keeper", daemon=True)

    def start(self, parent: Any) -> None:
        self._thread.start()

    def stop(self, parent: Any) -> None:
        """Called once the slots are done: what was received and never begun goes back to the relay at once."""
        self._stop.set()
        self._thread.join(timeout=5)
        hints = _steps_of(state.reserved_requests)
        if hints:
            _give_back(hints)

    def _run(self) -> None:
        interval = process.current().settings.lease_seconds / 3
        while not self._stop.wait(interval):
            held = _steps_of(state.active_requests)
            if held:
                _renew(held)


def _renew(held: list[tuple[TenantId, StepId]]) -> None:
    here = process.current()
    try:
        with here.database.platform() as tx:
            runnable.renew(tx, here.worker, held, lease_seconds=here.settings.lease_seconds)
    except StorageError:
        log.warning("lease.renew_failed held=%s", len(held), exc_info=True)


def _give_back(hints: list[tuple[TenantId, StepId]]) -> None:
    try:
        with process.current().database.platform() as tx:
            given = runnable.give_back_hints(tx, hints)
    except StorageError:
        log.warning("lease.give_back_failed hints=%s", len(hints), exc_info=True)
    else:
        log.info("lease.hints_given_back hints=%s", given)


def _steps_of(requests: Any) -> list[tuple[TenantId, StepId]]:
    ids = [request.kwargs for request in list(requests) if isinstance(request.kwargs, dict)]
    return [
        (TenantId(given["tenant"]), StepId(given["step"])) for given in ids if "tenant" in given and "step" in given
    ]


@task_failure.connect
def _child_lost(exception: object = None, kwargs: dict[str, str] | None = None, **_: object) -> None:
    """In the parent: the process of a slot died, or was stopped at its hard time limit."""
    if not isinstance(exception, WorkerLostError | TimeLimitExceeded) or not kwargs:
        return
    here = process.current()
    error = TIMED_OUT if isinstance(exception, TimeLimitExceeded) else LOST
    try:
        with here.database.platform() as tx:
            tenant = TenantId(kwargs["tenant"])
            claim = runnable.held_by(tx, here.worker, tenant, StepId(kwargs["step"]))
            if claim is not None:
                steps.lose(tx.of(tenant), claim, error, only_if_expired=False)
    except StorageError:
        log.warning("lease.loss_not_written step=%s", kwargs.get("step"), exc_info=True)  # the lease will run out
