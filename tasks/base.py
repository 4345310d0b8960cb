"""A step from hint to end: claim, work, finish. The database decides who may work and who may write."""

import json
import logging
import os
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import PurePath
from typing import Any, TypeVar

from celery.exceptions import SoftTimeLimitExceeded
from pydantic import BaseModel, ValidationError

from storage import losses, steps, stops
from storage.database import Tx
from storage.errors import (
    DatabaseRefused,
    DatabaseUnavailable,
    JobStopping,
    LeaseLost,
    ObjectMissing,
    ObjectStoreUnavailable,
)
from storage.model import Claim, JobId, Json, PublicError, StepId, TenantId, fingerprint
from tasks import conditions
from tasks.errors import StepFailed, StepIncomplete, StepRetryable, TasksError
from tasks.limits import memory_limited
from tasks.names import Kind, Retry
from tasks.process import Process, is_handing_back
from tasks.retries import is_ours, seconds_to_next_attempt
from tasks.values import depth, storable
from tasks.work import Addition, Work

log = logging.getLogger(__name__)

MAX_DEPTH = 64
MAX_MESSAGE = 2000
UNKNOWN_RETRY = Retry(first_seconds=20.0)  # a deployment may be under way
PATIENCE_SECONDS = 120.0  # how long work that is done waits for a database that is away
LONGEST_PAUSE = 2.0
NOT_STORED = PublicError(code="result_not_stored", message="the database refused what the step returned; see the log")
MEMORY = "memory"

T = TypeVar("T")
Run = Callable[[Work, Any], Json]


class StepUnsuccessful(TasksError):
    """What Celery and Flower are told of a step that failed for good; the rows know more."""


class StepToBeRetried(StepUnsuccessful):
    """The same of a step that will be tried again."""


def loaded(place: str) -> Any:
    """What stands at `module:name`. Raises ImportError, AttributeError, or whatever the module raises."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def function_of(kind: Kind) -> Run:
    """Load the kind's plain function. Raises what `loaded` does."""
    return loaded(kind.run)  # type: ignore[no-any-return]


def perform(
    process: Process, kind: Kind, tenant: TenantId, job: JobId, step: StepId, *, run: Run | None = None
) -> None:
    """Work on one step, if it is still to be done; whatever happens is written down.

    `run` stands in for the kind's own function in tests. Raises StepUnsuccessful after the rows are written, for
    Celery's events, and DatabaseUnavailable if the step could not even be claimed: then its hint is sent again.
    """
    claim = None if is_handing_back() else _patiently(step, lambda: _claim(process, tenant, job, step))
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
            end, error = _again(kind, claim, NOT_STORED, ran=0)
            _write(process, claim, end)
    except LeaseLost:
        log.warning("step.lease_lost step=%s attempt=%s", step, claim.attempt)
        return
    if end.is_last_of_process:
        logging.shutdown()
        os._exit(os.EX_SOFTWARE)  # a heap that was full once is not trusted with another step
    if error is not None:
        told = StepToBeRetried if end.again else StepUnsuccessful
        raise told(f"{error.code}: {error.message}")


def refuse_unknown(process: Process, name: str, tenant: TenantId, job: JobId, step: StepId) -> None:
    """End an attempt at a step of a kind that is not installed here: tried again, in case this worker is only old."""

    def run(_work: Work, _params: Any) -> Json:
        raise StepRetryable("kind_unknown", f"the kind {name} is not installed where this step was to be done")

    stand_in = Kind(name=name, summary="", params=_Anything, run="", retry=UNKNOWN_RETRY)
    try:
        perform(process, stand_in, tenant, job, step, run=run)
    except StepUnsuccessful as exc:
        log.error("step.kind_unknown step=%s kind=%s reason=%s", step, name, exc)


class _Anything(BaseModel):
    """Parameters that nobody here can check."""


def _claim(process: Process, tenant: TenantId, job: JobId, step: StepId) -> Claim | None:
    with process.database.begin(tenant) as tx:
        return steps.claim(
            tx, job, step, worker=process.worker, slot=os.getpid(), lease_seconds=process.settings.lease_seconds
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """How a step ends: what writes it, in a transaction; whether it will be tried again; whether the process ends."""

    write: Callable[[Tx], object]
    again: bool = False
    is_last_of_process: bool = False


def _attempt(process: Process, kind: Kind, run: Run | None, claim: Claim) -> tuple[End, PublicError | None]:
    """Run the kind's function; returns how the step ends, and the error if any."""
    began = time.monotonic()
    try:
        function = run or function_of(kind)
    except Exception:  # a module can raise anything while it is imported
        log.exception("step.kind_not_loadable step=%s kind=%s run=%s", claim.step_id, kind.name, kind.run)
        message = f"this worker cannot load what does {kind.name}; its log says why"
        return _again(kind, claim, PublicError(code="kind_not_loadable", message=message), ran=0)
    try:
        limit = memory_limited(kind.memory_mib) if process.is_child else nullcontext()
        with Work(process, claim) as work, limit:
            result = _checked(kind, function(work, kind.params.model_validate_json(json.dumps(claim.params))))
        return _done(claim, result, work.additions)
    except LeaseLost:
        raise
    except JobStopping:
        return End(write=lambda tx: steps.end_stopped(tx, claim)), None
    except StepFailed as exc:
        return _for_good(claim, _public(exc.code, exc.message))
    except StepIncomplete as exc:
        return _in_part(kind, claim, exc, work.additions, ran=time.monotonic() - began)
    except ObjectMissing:
        message = "the file that this step works on is gone from the store"
        return _for_good(claim, PublicError(code="file_missing", message=message))
    except MemoryError:
        return _out_of_memory(process, kind, claim, time.monotonic() - began)
    except Exception as exc:  # noqa: BLE001 - the edge of the work: whatever a kind raises is logged and written down
        error, wish = _reason(kind, claim, exc)
        return _again(kind, claim, error, wish, ran=time.monotonic() - began)


def _done(claim: Claim, result: Json, additions: Sequence[Addition]) -> tuple[End, PublicError | None]:
    """The step has succeeded, unless the document has a condition on its result that ends the job."""
    stop = claim.stop_when
    try:
        stopped = stop is not None and conditions.holds(conditions.parse(stop.condition), result)
    except conditions.Undecided as exc:
        message = f"the step's stop_when cannot be decided, so nothing passes it: {exc}"
        return _for_good(claim, _public("condition_undecided", message))
    if stop is not None and stopped:
        return End(write=lambda tx: stops.reject(tx, claim, result)), _public(stop.code, stop.message)

    def succeed(tx: Tx) -> None:
        steps.succeed(tx, claim, result)
        for add in additions:
            add(tx)

    return End(write=succeed), None


def _in_part(
    kind: Kind, claim: Claim, exc: StepIncomplete, additions: Sequence[Addition], *, ran: float
) -> tuple[End, PublicError | None]:
    """Try again with what is done, as long as there are attempts; then it counts as it is."""
    try:
        result = _checked(kind, exc.result)
    except StepFailed as refused:
        return _for_good(claim, _public(refused.code, refused.message))
    error = _public(exc.code, exc.message)
    end, told = _again(kind, claim, error, exc.after_seconds, ran=ran, kept=result)
    return (end, told) if end.again else _done(claim, result, additions)


def _reason(kind: Kind, claim: Claim, exc: Exception) -> tuple[PublicError, float | None]:
    """What is told of an error after which another try may help, and the wish of a third party for its time."""
    match exc:
        case StepRetryable():
            return _public(exc.code, exc.message), exc.after_seconds
        case ObjectStoreUnavailable() | DatabaseUnavailable():
            log.warning("step.storage_unavailable step=%s", claim.step_id, exc_info=exc)
            return PublicError(code="storage_unavailable", message="the platform's storage did not answer"), None
        case SoftTimeLimitExceeded():
            message = f"the step took longer than {kind.soft_time_limit} seconds"
            return PublicError(code="timed_out", message=message), None
        case ValidationError():
            # The parameters passed at the door: this worker runs another version of the kind than the API.
            log.error("step.params_refused step=%s kind=%s errors=%s", claim.step_id, kind.name, exc.error_count())
            message = f"this worker's version of {kind.name} does not take these parameters"
            return PublicError(code="params_refused", message=message), None
        case _:
            log.error("step.crashed step=%s kind=%s attempt=%s", claim.step_id, kind.name, claim.attempt, exc_info=exc)
            message = "the step failed unexpectedly; its worker's log has the details under the step's id"
            return PublicError(code="internal_error", message=message, fingerprint=_fingerprint(exc)), None


def _for_good(claim: Claim, error: PublicError) -> tuple[End, PublicError]:
    return End(write=lambda tx: steps.fail(tx, claim, error)), error


def _again(
    kind: Kind, claim: Claim, error: PublicError, wish: float | None = None, *, ran: float, kept: Json = None
) -> tuple[End, PublicError]:
    """Try again later, or fail for good if that was the last attempt."""
    delay = seconds_to_next_attempt(kind, claim, error, ran_seconds=ran, wish_seconds=wish)
    if delay is None:
        return _for_good(claim, error)
    counts = not is_ours(kind, error)

    def retry(tx: Tx) -> None:
        steps.retry(tx, claim, error, delay_seconds=delay, counts=counts, kept=kept)

    return End(write=retry, again=True), error


def _out_of_memory(process: Process, kind: Kind, claim: Claim, ran: float) -> tuple[End, PublicError]:
    """A child of its own dies, as a step that lost its worker; in a pool of threads it is a failure like others."""
    log.error("step.out_of_memory step=%s kind=%s mib=%s", claim.step_id, kind.name, kind.memory_mib)
    error = PublicError(
        code=MEMORY, message=f"the step needed more memory than its kind may take ({kind.memory_mib} MiB)"
    )
    if not process.is_child:
        return _again(kind, claim, error, ran=ran)

    def lose(tx: Tx) -> None:
        losses.lose(tx, claim, error, only_if_expired=False)

    return End(write=lose, again=claim.losses + 1 < claim.max_losses, is_last_of_process=True), error


def _fingerprint(exc: Exception) -> str:
    """The same for errors of one type from one function."""
    frames = traceback.extract_tb(exc.__traceback__)
    place = (PurePath(frames[-1].filename).name, frames[-1].name) if frames else ()
    return fingerprint("internal_error", type(exc).__name__, *place)


def _checked(kind: Kind, result: Json) -> Json:
    """The result as a row can carry it. Raises StepFailed."""
    try:
        size = len(json.dumps(result, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as exc:
        raise StepFailed("result_not_json", f"the step's result is not JSON: {exc}") from exc
    if size > kind.max_result_bytes:
        raise StepFailed("result_too_large", f"the step's result is larger than {kind.max_result_bytes} bytes")
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
    """Ask the database, again and again while it is away, at most PATIENCE_SECONDS. Raises DatabaseUnavailable.

    The second try follows at once: the first error is often a connection that was stale.
    """
    deadline, pause = time.monotonic() + PATIENCE_SECONDS, 0.0
    while True:
        try:
            return ask()
        except DatabaseUnavailable as exc:
            if time.monotonic() + pause > deadline:
                raise
            log.warning("step.waits_for_database step=%s seconds=%s reason=%s", step, pause, exc)
            time.sleep(pause)
            pause = min(max(2 * pause, 0.25), LONGEST_PAUSE)
