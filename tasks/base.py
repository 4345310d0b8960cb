"""A step from hint to end: claim, work, finish. The database decides who may work and who may write."""

import json
import logging
import random
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded
from pydantic import ValidationError

from storage import steps
from storage.errors import DatabaseUnavailable, LeaseLost, ObjectMissing, ObjectStoreUnavailable
from storage.model import Claim, JobId, Json, PublicError, StepId, TenantId
from tasks.errors import StepFailed, StepRetryable, TasksError
from tasks.names import Kind
from tasks.process import Process
from tasks.work import Work

log = logging.getLogger(__name__)

MAX_RESULT_BYTES = 262_144
MAX_DELAY_SECONDS = 3600.0
FINISH_TRIES_SECONDS = (0.5, 1, 2, 4, 8)  # how long a finished step waits for a database that is away

Run = Callable[[Work, Any], Json]


class StepUnsuccessful(TasksError):
    """What Celery and Flower are told when a step failed or will be retried; the rows know more."""


def function_of(kind: Kind) -> Run:
    """Load the kind's plain function. Raises ImportError or AttributeError naming what is missing."""
    module, _, name = kind.run.partition(":")
    return getattr(import_module(module), name)  # type: ignore[no-any-return]


def perform(process: Process, kind: Kind, run: Run, tenant: TenantId, job: JobId, step: StepId) -> None:
    """Work on one step, if it is still to be done; whatever happens is written down.

    Raises StepUnsuccessful after the rows are written, for Celery's events.
    """
    with process.database.begin(tenant) as tx:
        claim = steps.claim(tx, job, step, worker=process.worker, lease_seconds=process.settings.lease_seconds)
    if claim is None:
        log.info("step.not_claimed step=%s", step)
        return
    try:
        end, error = _attempt(process, kind, run, claim)
        _write(process, claim, end)
    except LeaseLost:
        log.warning("step.lease_lost step=%s attempt=%s", step, claim.attempt)
        return
    if error is not None:
        raise StepUnsuccessful(f"{error.code}: {error.message}")


End = Callable[[Any], None]


def _attempt(process: Process, kind: Kind, run: Run, claim: Claim) -> tuple[End, PublicError | None]:
    """Run the kind's function; returns how the step ends, as a function of a transaction, and the error if any."""
    try:
        with Work(process, claim) as work:
            result = _checked(run(work, kind.params.model_validate_json(json.dumps(claim.params))))
        return lambda tx: steps.succeed(tx, claim, result), None
    except LeaseLost:
        raise
    except StepFailed as exc:
        error = PublicError(code=exc.code, message=exc.message)
        return lambda tx: steps.fail(tx, claim, error), error
    except StepRetryable as exc:
        return _again(kind, claim, PublicError(code=exc.code, message=exc.message), exc.after_seconds)
    except (ObjectStoreUnavailable, DatabaseUnavailable):
        log.warning("step.storage_unavailable step=%s", claim.step_id, exc_info=True)
        return _again(
            kind, claim, PublicError(code="storage_unavailable", message="the platform's storage did not answer")
        )
    except ObjectMissing:
        error = PublicError(code="file_missing", message="the file that this step works on is gone from the store")
        return lambda tx: steps.fail(tx, claim, error), error
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
        return lambda tx: steps.fail(tx, claim, error), error
    delay = delay_seconds(kind, claim.attempt, after)
    return lambda tx: steps.retry(tx, claim, error, delay_seconds=delay), error


def delay_seconds(kind: Kind, attempt: int, after: float | None = None) -> float:
    """Exponential backoff, jittered downwards by up to half; never less than the third party asked for, if it did."""
    backoff = min(kind.retry_seconds * 2.0 ** (attempt - 1), MAX_DELAY_SECONDS)
    return min(max(backoff * random.uniform(0.5, 1.0), after or 0.0), MAX_DELAY_SECONDS)  # noqa: S311 (not a secret)


def _checked(result: Json) -> Json:
    """The result, if it is JSON that a row can carry. Raises StepFailed."""
    try:
        text = json.dumps(result, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as exc:
        raise StepFailed("result_not_json", f"the step's result is not JSON: {exc}") from exc
    if len(text) > MAX_RESULT_BYTES:
        raise StepFailed("result_too_large", f"the step's result is larger than {MAX_RESULT_BYTES} bytes")
    return json.loads(text.replace("\\u0000", "\\ufffd"))  # NUL cannot be stored


def _write(process: Process, claim: Claim, end: End) -> None:
    """Write how the step ended, patiently: the work is done, and a database that is away for seconds must not cost it.

    If a try did commit before its connection broke, the next one finds the step ended and raises LeaseLost.
    """
    for pause in FINISH_TRIES_SECONDS:
        try:
            with process.database.begin(claim.tenant_id) as tx:
                end(tx)
        except DatabaseUnavailable:
            log.warning("step.finish_waits step=%s seconds=%s", claim.step_id, pause)
            time.sleep(pause)
        else:
            return
    with process.database.begin(claim.tenant_id) as tx:
        end(tx)
