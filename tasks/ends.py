"""How an attempt at a step ends: done, in part, failed, to be tried again; what writes it is run by tasks.base."""

import json
import logging
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from celery.exceptions import SoftTimeLimitExceeded
from pydantic import ValidationError

from storage import losses, steps, stops
from storage.database import Tx
from storage.errors import DatabaseUnavailable, ObjectStoreUnavailable
from storage.fingerprints import fingerprint
from storage.model import Claim, Json, PublicError
from storage.step_groups import Success
from tasks import conditions
from tasks.errors import StepFailed, StepIncomplete, StepRetryable
from tasks.names import Kind
from tasks.process import Process
from tasks.retries import is_ours, seconds_to_next_attempt
from tasks.values import depth, storable
from tasks.work import Addition

log = logging.getLogger(__name__)

MAX_DEPTH = 64
MAX_MESSAGE = 2000
NOT_STORED = PublicError(code="result_not_stored", message="the database refused what the step returned; see the log")
MEMORY = "memory"


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """How a step ends: what writes it, in a transaction; whether it will be tried again; whether the process ends.

    `stopped`: it ended because its job was stopped. `alone`: its success, if nothing but that is written.
    """

    write: Callable[[Tx], object]
    alone: Success | None = None
    again: bool = False
    is_last_of_process: bool = False
    stopped: bool = False


def done(claim: Claim, result: Json, additions: Sequence[Addition]) -> tuple[End, PublicError | None]:
    """The step has succeeded, unless the document has a condition on its result that ends the job."""
    stop = claim.stop_when
    try:
        stopped = stop is not None and conditions.holds(conditions.parse(stop.condition), result)
    except conditions.Undecided as exc:
        message = f"the step's stop_when cannot be decided, so nothing passes it: {exc}"
        return for_good(claim, public("condition_undecided", message))
    if stop is not None and stopped:
        return End(write=lambda tx: stops.reject(tx, claim, result)), public(stop.code, stop.message)

    def succeed(tx: Tx) -> None:
        steps.succeed(tx, claim, result)
        for add in additions:
            add(tx)

    return End(write=succeed, alone=None if additions else Success(claim=claim, result=result)), None


def in_part(
    kind: Kind, claim: Claim, exc: StepIncomplete, additions: Sequence[Addition], *, ran: float
) -> tuple[End, PublicError | None]:
    """Try again with what is done, as long as there are attempts; then it counts as it is."""
    try:
        result = checked(kind, exc.result)
        if isinstance(result, dict) and "outputs" in result:  # they go with the attempt that saved them
            raise StepFailed("outputs_not_kept", "the outputs of an attempt that did not succeed cannot be kept")
    except StepFailed as refused:
        return for_good(claim, public(refused.code, refused.message))
    return again(kind, claim, public(exc.code, exc.message), exc.after_seconds, additions, ran=ran, kept=result)


def reason(kind: Kind, claim: Claim, exc: Exception) -> tuple[PublicError, float | None]:
    """What is told of an error after which another try may help, and the wish of a third party for its time."""
    match exc:
        case StepRetryable():
            return public(exc.code, exc.message, exc.reason), exc.after_seconds
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


def for_good(claim: Claim, error: PublicError) -> tuple[End, PublicError]:
    return End(write=lambda tx: steps.fail(tx, claim, error)), error


def again(
    kind: Kind,
    claim: Claim,
    error: PublicError,
    wish: float | None = None,
    additions: Sequence[Addition] = (),
    *,
    ran: float,
    kept: Json = None,
) -> tuple[End, PublicError | None]:
    """Try again later; if that was the last attempt, what was kept of the work counts, or else the step fails."""
    delay = seconds_to_next_attempt(kind, claim, error, ran_seconds=ran, wish_seconds=wish)
    if delay is None:
        kept = claim.kept if kept is None else kept
        return for_good(claim, error) if kept is None else done(claim, kept, additions)
    counts = not is_ours(kind, error)

    def retry(tx: Tx) -> None:
        steps.retry(tx, claim, error, delay_seconds=delay, counts=counts, kept=kept)

    return End(write=retry, again=True), error


def out_of_memory(
    process: Process, kind: Kind, claim: Claim, additions: Sequence[Addition], *, ran: float
) -> tuple[End, PublicError | None]:
    """A child of its own dies, as a step that lost its worker; in a pool of threads it is a failure like others."""
    log.error("step.out_of_memory step=%s kind=%s mib=%s", claim.step_id, kind.name, kind.memory_mib)
    error = PublicError(
        code=MEMORY, message=f"the step needed more memory than its kind may take ({kind.memory_mib} MiB)"
    )
    if not process.is_child:
        return again(kind, claim, error, None, additions, ran=ran)

    def lose(tx: Tx) -> None:
        losses.lose(tx, claim, error, only_if_expired=False)

    return End(write=lose, again=claim.losses + 1 < claim.max_losses, is_last_of_process=True), error


def _fingerprint(exc: Exception) -> str:
    """The same for errors of one type from one function."""
    frames = traceback.extract_tb(exc.__traceback__)
    place = (PurePath(frames[-1].filename).name, frames[-1].name) if frames else ()
    return fingerprint("internal_error", type(exc).__name__, *place)


def checked(kind: Kind, result: Json) -> Json:
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


def public(code: str, message: str, reason: str = "") -> PublicError:
    """The error as a row can carry it; `reason` stands for it, instead of the message, where errors are grouped."""
    group = fingerprint(code, reason) if reason else ""
    return PublicError(code=storable(code)[:100], message=storable(message)[:MAX_MESSAGE], fingerprint=group)
