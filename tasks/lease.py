"""What a worker's parent process does for the steps that its slots hold: renew, report the lost, give hints back."""

import logging
import shutil
import threading
from collections.abc import Iterable
from typing import Any

from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import bootsteps
from celery.signals import task_failure, task_unknown, worker_shutdown
from celery.worker import state

from storage import runnable, steps
from storage.errors import StorageError
from storage.model import JobId, PublicError, StepId, TenantId
from tasks import base, process

log = logging.getLogger(__name__)

LOST = PublicError(code="worker_lost", message="the process that worked on this step died")
TIMED_OUT = PublicError(code="timed_out", message="the step took longer than its kind allows and was stopped")

Held = list[tuple[TenantId, StepId]]


class LeaseKeeper(bootsteps.StartStopStep):
    """A thread that renews the leases of all running steps of this worker in one statement per interval.

    It asks Celery which requests are active, so a slot whose process died is not renewed, and a step deep in C code is.
    It is never stopped: a worker that was told to stop renews until its last step has ended.
    """

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **_: Any) -> None:
        self._thread = threading.Thread(target=_keep_renewing, name="lease-keeper", daemon=True)

    def start(self, parent: Any) -> None:
        process.clear_old_scratch()
        self._thread.start()

    def close(self, parent: Any) -> None:
        """Called when the worker is told to stop, before anything ends: others get at once what it has not begun."""
        begun = set(_steps_of(state.active_requests))
        hints = [step for step in _steps_of(state.reserved_requests) if step not in begun]
        if hints:
            _give_back(hints)

    def stop(self, parent: Any) -> None:
        """Nothing: see the class."""


def _keep_renewing() -> None:
    interval = process.current().settings.lease_seconds / 3
    pause = threading.Event()
    while not pause.wait(interval):
        try:
            held = _steps_of(state.active_requests)
            if held:
                _renew(held)
        except Exception:
            # The edge of the loop: were it to end, every step longer than its lease would be done twice.
            log.exception("lease.renew_crashed")


def _renew(held: Held) -> None:
    here = process.current()
    try:
        with here.database.platform() as tx:
            runnable.renew(tx, here.worker, held, lease_seconds=here.settings.lease_seconds)
    except StorageError:
        log.warning("lease.renew_failed held=%s", len(held), exc_info=True)


def _give_back(hints: Held) -> None:
    try:
        with process.current().database.platform() as tx:
            given = runnable.give_back_hints(tx, hints)
    except StorageError:
        log.warning("lease.give_back_failed hints=%s", len(hints), exc_info=True)
    else:
        log.info("lease.hints_given_back hints=%s", given)


def _steps_of(requests: Iterable[Any]) -> Held:
    ids = [request.kwargs for request in _copy(requests) if isinstance(request.kwargs, dict)]
    return [
        (TenantId(given["tenant"]), StepId(given["step"])) for given in ids if "tenant" in given and "step" in given
    ]


def _copy(requests: Iterable[Any]) -> list[Any]:
    while True:
        try:
            return list(requests)
        except RuntimeError:  # another thread added or removed one meanwhile
            continue


@task_failure.connect
def _child_lost(exception: object = None, kwargs: dict[str, str] | None = None, **_: object) -> None:
    """In the parent: the process of a slot died, or was stopped at its hard time limit."""
    if not isinstance(exception, WorkerLostError | TimeLimitExceeded) or not kwargs:
        return
    here = process.current()
    tenant, step = TenantId(kwargs["tenant"]), StepId(kwargs["step"])
    for folder in here.scratch.glob(f"{step}-*"):
        shutil.rmtree(folder, ignore_errors=True)
    if (tenant, step) in _steps_of(state.active_requests):
        return  # another slot of ours has the step, or a second hint of it: which one died, the lease will show
    error = TIMED_OUT if isinstance(exception, TimeLimitExceeded) else LOST
    try:
        with here.database.platform() as tx:
            claim = runnable.held_by(tx, here.worker, tenant, step)
            if claim is not None:
                steps.lose(tx.of(tenant), claim, error, only_if_expired=False)
    except StorageError:
        log.warning("lease.loss_not_written step=%s", step, exc_info=True)  # the lease will run out


@task_unknown.connect
def _unknown_kind(message: Any = None, name: str = "", **_: object) -> None:
    """In the parent: a hint for a kind that is not installed here, which Celery would only log."""
    _, ids, _ = message.payload
    try:
        base.refuse_unknown(process.current(), name, TenantId(ids["tenant"]), JobId(ids["job"]), StepId(ids["step"]))
    except StorageError:
        log.warning("lease.unknown_kind_not_written kind=%s", name, exc_info=True)


@worker_shutdown.connect
def _cleared(**_: object) -> None:
    process.clear_scratch(process.current().worker)
