"""A step from hint to end: claim, work, finish. The database decides who may work and who may write."""

import json
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeVar

from celery.exceptions import SoftTimeLimitExceeded
from pydantic import BaseModel, ValidationError

from storage import steps
from storage.database import Tx
from storage.errors import DatabaseRefused, DatabaseUnavailable, LeaseLost, ObjectMissing, ObjectStoreUnavailable
from storage.model import Claim, JobId, Json, PublicError, StepId, TenantId
from tasks.errors import StepFailed, StepRetryable, TasksError
from tasks.names import Kind
from tasks.process import Process
from tasks.values import depth, storable
from tasks.work import Work

log = logging.getLogger(__name__)

MAX_RESULT_BYTES = 262_144
MAX_DELAY_SECONDS = 3600.0
MAX_DEPTH = 64
MAX_MESSAGE = 2000
UNKNOWN_RETRY_SECONDS = 10.0  # doubled each time: a deployment may be under way
PATIENCE_SECONDS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)  # between tries; the first error is often a connection that was stale
NOT_STORED = PublicError(code="result_not_stored", message="the database refused what the step returned; see the log")

T = TypeVar("T")
Run = Callable[[Work, Any], Json]


class StepUnsuccessful(TasksError):
    """What Celery and Flower are told of a step that failed for good; the rows know more."""


class StepToBeRetried(StepUnsuccessful):
    """The same of a step that will be tried again."""


def function_of(kind: Kind) -> Run:
    """Load the kind's plain function. Raises ImportError, AttributeError, or whatever its module raises."""
    module, _, name = kind.run.partition(":")
    return getattr(import_module(module), name)  # type: ignore[no-any-return]


def perform(
    process: Process, kind: Kind, tenant: TenantId, job: JobId, step: StepId, *, run: Run | None = None
) -> None:
    """Work on one step, if it is still to be done; whatever happens is written down.

    `run` stands in for the kind's own function in tests. Raises StepUnsuccessful after the rows are written, for
    Celery's events, and DatabaseUnavailable if the step could not even be claimed: then its hint is sent again.
    """
    claim = _patiently(step, lambda: _claim(process, tenant, job, step))
    if claim is None:
        log.info("step.not_claimed step=%s", step)
        return
    try:
        end, error = _attempt(process, kind, run, claim)
        try:
            _write(process, claim, end)
        except SoftTimeLimitExceeded:  # it fell into the writing, of work that is done
            _write(process, claim, end)
        except DatabaseRefused:
            log.exception("step.end_refused step=%s kind=%s", step, kind.name)
            end, error = _again(kind, claim, NOT_STORED)
            _write(process, claim, end)
    except LeaseLost:
        log.warning("step.lease_lost step=%s attempt=%s", step, claim.attempt)
        return
    if error is not None:
        told = StepToBeRetried if end.again else StepUnsuccessful
        raise told(f"{error.code}: {error.message}")


def refuse_unknown(process: Process, name: str, tenant: TenantId, job: JobId, step: StepId) -> None:
    """End an attempt at a step of a kind that is not installed here: tried again, in case this worker is only old."""

    def run(_work: Work, _params: Any) -> Json:
        raise StepRetryable("kind_unknown", f"the kind {name} is not installed where this step was to be done")

    stand_in = Kind(name=name, summary="", params=_Anything, run="", retry_seconds=UNKNOWN_RETRY_SECONDS)
    try:
        perform(process, stand_in, tenant, job, step, run=run)
    except StepUnsuccessful as exc:
        log.error("step.kind_unknown step=%s kind=%s reason=%s", step, name, exc)


class _Anything(BaseModel):
    """Parameters that nobody here can check."""


def _claim(process: Process, tenant: TenantId, job: JobId, step: StepId) -> Claim | None:
    with process.database.begin(tenant) as tx:
        return steps.claim(tx, job, step, worker=process.worker, lease_seconds=process.settings.lease_seconds)


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """How a step ends: what writes it, in a transaction, and whether it will be tried again."""

    write: Callable[[Tx], None]
    again: bool = False


def _attempt(process: Process, kind: Kind, run: Run | None, claim: Claim) -> tuple[End, PublicError | None]:
    """Run the kind's function; returns how the step ends, and the error if any."""
    try:
        function = run or function_of(kind)
    except Exception:  # a module can raise anything while it is imported
        log.exception("step.kind_not_loadable step=%s kind=%s run=%s", claim.step_id, kind.name, kind.run)
        message = f"this worker cannot load what does {kind.name}; its log says why"
        return _again(kind, claim, PublicError(code="kind_not_loadable", message=message))
    try:
        with Work(process, claim) as work:
            result = _checked(function(work, kind.params.model_validate_json(json.dumps(claim.params))))
        return End(write=lambda tx: steps.succeed(tx, claim, result)), None
    except LeaseLost:
        raise
    except StepFailed as exc:
        error = _public(exc.code, exc.message)
        return End(write=lambda tx: steps.fail(tx, claim, error)), error
    except StepRetryable as exc:
        return _again(kind, claim, _public(exc.code, exc.message), exc.after_seconds)
    except (ObjectStoreUnavailable, DatabaseUnavailable):
        log.warning("step.storage_unavailable step=%s", claim.step_id, exc_info=True)
        return _again(
            kind, claim, PublicError(code="storage_unavailable", message="the platform's storage did not answer")
        )
    except ObjectMissing:
        error = PublicError(code="file_missing", message="the file that this step works on is gone from the store")
        return End(write=lambda tx: steps.fail(tx, claim, error)), error
    except SoftTimeLimitExceeded:
        message = f"the step took longer than {kind.soft_time_limit} seconds"
        return _again(kind, claim, PublicError(code="timed_out", message=message))
    except ValidationError as exc:
        # The parameters passed at the door: this worker runs another version of the kind than the API.
        log.error("step.params_refused step=%s kind=%s errors=%s", claim.step_id, kind.name, exc.error_count())
        message = f"this worker's version of {kind.name} does not take these parameters"
        return _again(kind, claim, PublicError(code="params_refused", message=message))
    except Exception:
        log.exception("step.crashed step=%s kind=%s attempt=%s", claim.step_id, kind.name, claim.attempt)
        message = "the step failed unexpectedly; its worker's log has the details under the step's id"
        return _again(kind, claim, PublicError(code="internal_error", message=message))


def _again(kind: Kind, claim: Claim, error: PublicError, after: float | None = None) -> tuple[End, PublicError]:
    """Try again later, or fail for good if that was the last attempt."""
    if claim.attempt >= claim.max_attempts:
        return End(write=lambda tx: steps.fail(tx, claim, error)), error
    delay = delay_seconds(kind, claim.attempt, after)
    return End(write=lambda tx: steps.retry(tx, claim, error, delay_seconds=delay), again=True), error


def delay_seconds(kind: Kind, attempt: int, after: float | None = None) -> float:
    """Exponential backoff, jittered downwards by up to half; never less than the third party asked for, if it did."""
    backoff = min(kind.retry_seconds * 2.0 ** (attempt - 1), MAX_DELAY_SECONDS)
    return min(max(backoff * random.uniform(0.5, 1.0), after or 0.0), MAX_DELAY_SECONDS)  # noqa: S311 (not a secret)


def _checked(result: Json) -> Json:
    """The result as a row can carry it. Raises StepFailed."""
    try:
        size = len(json.dumps(result, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as exc:
        raise StepFailed("result_not_json", f"the step's result is not JSON: {exc}") from exc
    if size > MAX_RESULT_BYTES:
        raise StepFailed("result_too_large", f"the step's result is larger than {MAX_RESULT_BYTES} bytes")
    if depth(result, MAX_DEPTH) > MAX_DEPTH:
        raise StepFailed("result_too_deep", f"the step's result is nested deeper than {MAX_DEPTH} levels")
    return storable(result)


def _public(code: str, message: str) -> PublicError:
    return PublicError(code=storable(code)[:100], message=storable(message)[:MAX_MESSAGE])


def _write(process: Process, claim: Claim, end: End) -> None:
    """Write how the step ended, patiently: the work is done, and a database that is away for seconds must not cost it.

    If a try did commit before its connection broke, the next one finds the step ended and raises LeaseLost.
    """

    def once() -> None:
        with process.database.begin(claim.tenant_id) as tx:
            end.write(tx)

    _patiently(claim.step_id, once)


def _patiently(step: StepId, ask: Callable[[], T]) -> T:
    """Ask the database, again and again for some seconds while it is away. Raises DatabaseUnavailable."""
    for pause in PATIENCE_SECONDS:
        try:
            return ask()
        except DatabaseUnavailable as exc:
            log.warning("step.waits_for_database step=%s seconds=%s reason=%s", step, pause, exc)
            time.sleep(pause)
    return ask()
