"""In a worker's parent process: what Celery tells of slots that died, and of kinds that it does not know."""

import logging
import shutil
from typing import Any

from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery.signals import task_failure, task_unknown, worker_shutdown

from storage import losses, runnable
from storage.errors import StorageError
from storage.model import PublicError, StepId, TenantId
from tasks import base, hinted, lease, process

log = logging.getLogger(__name__)

LOST = PublicError(code="worker_lost", message="the process that worked on this step died")


def listen() -> None:
    """Have Celery call the functions below."""
    task_failure.connect(_child_lost)
    task_unknown.connect(_unknown_kind)
    worker_shutdown.connect(_cleared)


def _child_lost(exception: object = None, kwargs: dict[str, Any] | None = None, **_signal: object) -> None:
    """The process of a slot died, or was stopped at its hard time limit."""
    if not isinstance(exception, WorkerLostError | TimeLimitExceeded):
        return
    steps = hinted.steps_of(kwargs)
    for tenant, _, step in steps:
        try:
            if process.is_handing_back():
                lease.hand_back(tenant, step)
            else:
                _lose(tenant, step, timed_out=isinstance(exception, TimeLimitExceeded))
        except StorageError:  # the reaper finds it when its lease has run out
            log.warning("lease.loss_not_written step=%s", step, exc_info=True)
    if len(steps) > 1:
        lease.give_back([(tenant, step) for tenant, _, step in steps])  # what it had not come to


def _lose(tenant: TenantId, step: StepId, *, timed_out: bool) -> None:
    here = process.current()
    with here.database.platform() as tx:
        held = runnable.held_by(tx, here.worker, tenant, step)
        if held is None or (not timed_out and held.slot in lease.slots()):
            return  # the dead slot wrote its end itself, and another one may have the step by now
        if losses.lose(tx.of(tenant), held.claim, lease.TIMED_OUT if timed_out else LOST, only_if_expired=False):
            ids = (tenant, held.claim.job_id, step, held.claim.attempt, held.slot)
            log.warning("lease.slot_lost tenant=%s job=%s step=%s attempt=%s slot=%s", *ids)
    for folder in here.scratch.glob(f"{step}-*"):
        shutil.rmtree(folder, ignore_errors=True)


def _unknown_kind(message: Any = None, name: str = "", **_signal: object) -> None:
    """A hint for a kind that is not installed here, which Celery would only log."""
    for tenant, job, step in hinted.steps_of(message.payload[1]):
        try:
            base.refuse_unknown(process.current(), name, tenant, job, step)
        except StorageError:
            log.warning("lease.unknown_kind_not_written kind=%s", name, exc_info=True)


def _cleared(**_: object) -> None:
    process.clear_scratch(process.current().worker)
