"""A step from hint to end: claim, work, finish. The database decides who may work and who may write."""

import json
import logging
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from importlib import import_module
from typing import Any, NoReturn, TypeVar

from celery.exceptions import SoftTimeLimitExceeded
from pydantic import BaseModel

from storage import step_groups, steps
from storage.errors import (
    DatabaseRefused,
    DatabaseUnavailable,
    JobStopping,
    LeaseLost,
    ObjectMissing,
)
from storage.model import Claim, JobId, Json, PublicError, StepId, TenantId
from storage.telemetry import logs as telemetry_logs
from storage.telemetry.start import send_rest
from tasks import ends, watching
from tasks.ends import End
from tasks.errors import StepFailed, StepIncomplete, StepRetryable, TasksError
from tasks.gate import passing
from tasks.limits import memory_limited
from tasks.names import Kind, Retry
from tasks.passage import Passage
from tasks.process import Process, is_handing_back
from tasks.work import Addition, Work

log = logging.getLogger(__name__)

UNKNOWN_RETRY = Retry(first_seconds=20.0)  # a deployment may be under way
PATIENCE_SECONDS = 120.0  # how long work that is done waits for a database that is away
LONGEST_PAUSE = 2.0

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
    with passing(process, kind, tenant, job, step) as passage:
        if passage is not None:
            _work_on(process, kind, tenant, job, step, run, passage)


def _work_on(
    process: Process,
    kind: Kind,
    tenant: TenantId,
    job: JobId,
    step: StepId,
    run: Run | None,
    passage: Passage,
) -> None:
    claim = None if is_handing_back() else patiently(step, lambda: _claim(process, tenant, job, step))
    if claim is None:
        log.info("step.not_claimed step=%s", step)
        return
    with watching.attempt(kind, claim) as watch:
        try:
            end, error = attempt(process, kind, run, claim, passage, watch)
            end, error = conclude(process, kind, claim, end, error, watch)
        except LeaseLost:
            lost(claim, watch)
            return
    if end.is_last_of_process:
        end_process()
    if error is not None:
        told = StepToBeRetried if end.again else StepUnsuccessful
        raise told(f"{error.code}: {error.message}")


def conclude(
    process: Process, kind: Kind, claim: Claim, end: End, error: PublicError | None, watch: watching.Watch
) -> tuple[End, PublicError | None]:
    """Write how the step ended, and tell it. Returns what was written. Raises LeaseLost, DatabaseUnavailable."""
    try:
        _write(process, end, watch)
    except SoftTimeLimitExceeded:  # it fell into the writing, of work that is done
        _write(process, end, watch)
    except DatabaseRefused:
        log.exception("step.end_refused step=%s kind=%s", claim.step_id, kind.name)
        end, error = ends.again(kind, claim, ends.NOT_STORED, ran=0)
        _write(process, end, watch)
    watch.ended(error, again=end.again, stopped=end.stopped)
    return end, error


def lost(claim: Claim, watch: watching.Watch) -> None:
    """Somebody else has the step: nothing of this attempt is written."""
    log.warning("step.lease_lost step=%s attempt=%s", claim.step_id, claim.attempt)
    watch.lease_lost()


def end_process() -> NoReturn:
    """A heap that was full once is not trusted with another step."""
    send_rest()
    telemetry_logs.end()
    logging.shutdown()
    os._exit(os.EX_SOFTWARE)


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
    with process.database.read(tenant) as tx:  # one statement, whole by itself
        return steps.claim(
            tx, job, step, worker=process.worker, slot=os.getpid(), lease_seconds=process.settings.lease_seconds
        )


def attempt(
    process: Process, kind: Kind, run: Run | None, claim: Claim, passage: Passage, watch: watching.Watch
) -> tuple[End, PublicError | None]:
    """Run the kind's function; returns how the step ends, and the error if any. Raises LeaseLost."""
    began = time.monotonic()
    if passage.late is not None:
        message = f"it could not go before its deadline_seconds were over: {passage.late.reason}"
        return ends.for_good(claim, ends.public(passage.late.code, message))
    try:
        function = run or function_of(kind)
    except Exception:  # a module can raise anything while it is imported
        log.exception("step.kind_not_loadable step=%s kind=%s run=%s", claim.step_id, kind.name, kind.run)
        message = f"this worker cannot load what does {kind.name}; its log says why"
        return ends.again(kind, claim, PublicError(code="kind_not_loadable", message=message), ran=0)
    additions: list[Addition] = []
    try:
        limit = memory_limited(kind.memory_mib) if process.is_child else nullcontext()
        params = kind.params.model_validate_json(json.dumps(claim.params))
        kind = kind.for_params(params)
        with Work(process, claim, additions, passage) as work, limit:
            result = ends.checked(kind, function(work, params))
        return ends.done(claim, result, additions)
    except LeaseLost:
        raise
    except JobStopping:
        return End(write=lambda tx: steps.end_stopped(tx, claim), stopped=True), None
    except StepFailed as exc:
        return ends.for_good(claim, ends.public(exc.code, exc.message, exc.reason))
    except StepIncomplete as exc:
        return ends.in_part(kind, claim, exc, additions, ran=time.monotonic() - began)
    except ObjectMissing:
        message = "the file that this step works on is gone from the store"
        return ends.for_good(claim, PublicError(code="file_missing", message=message))
    except MemoryError:
        return ends.out_of_memory(process, kind, claim, additions, ran=time.monotonic() - began)
    except Exception as exc:  # noqa: BLE001 - the edge of the work: whatever a kind raises is logged and written down
        watch.crashed(exc)
        error, wish = ends.reason(kind, claim, exc)
        return ends.again(kind, claim, error, wish, additions, ran=time.monotonic() - began)


def _write(process: Process, end: End, watch: watching.Watch) -> None:
    """Write how the step ended, patiently: the work is done, and a database that is away for seconds must not cost it.

    If a try did commit before its connection broke, the next one finds the step ended and raises LeaseLost.
    """
    claim = watch.claim

    def once() -> None:
        if end.alone is not None:
            with process.database.read(claim.tenant_id) as tx:
                if step_groups.succeed(tx, [end.alone]):
                    return
        with process.database.begin(claim.tenant_id) as tx:
            if watch.kind.group > 1:  # it may have waited for those that were claimed with it
                steps.begun(tx, claim, at=time.monotonic() - watch.ran())
            end.write(tx)

    patiently(claim.step_id, once)


def patiently(step: StepId, ask: Callable[[], T]) -> T:
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
