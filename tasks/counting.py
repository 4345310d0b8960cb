"""Counts what this worker's slots do, under our names and under those of celery-exporter."""

from storage.model import Claim, PublicError
from storage.telemetry.metrics import (
    LEASES_LOST,
    STEP_WAIT,
    TASK_FAILED,
    TASK_RECEIVED,
    TASK_RETRIED,
    TASK_RUNTIME,
    TASK_STARTED,
    TASK_SUCCEEDED,
)
from tasks import process
from tasks.names import KINDS, Kind

UNKNOWN = "unknown"  # a kind that this worker does not know, whatever its name is: anybody can send a hint


def received(name: str, *, steps: int = 1) -> None:
    """The worker has a hint of this kind, about so many steps."""
    kind = KINDS.get(name)
    if kind is None:
        TASK_RECEIVED.add(UNKNOWN, process.replica(), UNKNOWN, by=steps)
    else:
        TASK_RECEIVED.add(*_of(kind), by=steps)


def started(kind: Kind, claim: Claim) -> None:
    """A slot has taken a step."""
    STEP_WAIT.observe(max(0.0, claim.waited_seconds), kind.name)
    TASK_STARTED.add(*_of(kind))


def ended(kind: Kind, error: PublicError | None, *, again: bool, stopped: bool, seconds: float) -> None:
    """It has ended its attempt; how the step and the job go on is counted where that is written."""
    name, hostname, queue = _of(kind)
    if error is not None and again:
        TASK_RETRIED.add(name, hostname, queue)
    elif error is not None:
        TASK_FAILED.add(name, hostname, error.code, queue)
    elif not stopped:
        TASK_SUCCEEDED.add(name, hostname, queue)
        TASK_RUNTIME.observe(seconds, name, hostname, queue)


def lease_lost() -> None:
    LEASES_LOST.add()


def _of(kind: Kind) -> tuple[str, str, str]:
    return kind.name, process.replica(), kind.queue.value
