"""Everything that is told of an attempt while it runs and when it has ended: log lines, numbers, spans, errors."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from celery.exceptions import SoftTimeLimitExceeded
from pydantic import ValidationError
from structlog.contextvars import bound_contextvars

from storage.errors import DatabaseUnavailable, ObjectStoreUnavailable
from storage.model import Claim, Json, PublicError
from storage.step_groups import Success
from storage.telemetry import failures, trace_steps, traces
from storage.telemetry.trace_context import trace_id_of
from tasks import counting
from tasks.errors import StepRetryable
from tasks.names import Kind

log = logging.getLogger(__name__)

# What a kind may raise: these errors say themselves what is the matter, in words for the tenant (tasks.ends).
EXPECTED = (StepRetryable, ObjectStoreUnavailable, DatabaseUnavailable, SoftTimeLimitExceeded, ValidationError)


@dataclass(kw_only=True, slots=True)
class Watch:
    """One attempt that is being watched."""

    kind: Kind
    claim: Claim
    ids: Mapping[str, object]
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    span: traces.Told = traces.NOTHING

    def crashed(self, exc: BaseException) -> None:
        """The kind's function raised what nobody expected, or what it has words for: the latter is no news."""
        if not isinstance(exc, EXPECTED):
            given = (self.claim.params, self.claim.kept)
            # Of a kind that calls third parties an error's words may bear a secret that nobody here can tell.
            failures.tell(exc, group=(self.kind.name,), hidden=None if self.kind.call_seconds else given)

    def ended(self, error: PublicError | None, *, again: bool, stopped: bool = False) -> None:
        """The rows say now how the attempt ended; `error` None: with success, or because its job was stopped."""
        seconds = self.ran()
        self._log_end(error, seconds, again=again, stopped=stopped)
        counting.ended(self.kind, error, again=again, stopped=stopped, seconds=seconds)
        if error is None:
            self.span.set(millrace__outcome="stopped" if stopped else "succeeded")
            return
        self.span.set(millrace__outcome="retrying" if again else "failed")
        self.span.fail(error.code)

    def worked(self) -> None:
        """The work has been done, and its end is written later, together with others': then `succeeded` is told."""
        self.span.set(millrace__outcome="succeeded")
        self.seconds = time.monotonic() - self.began

    def ran(self) -> float:
        """Seconds of work until now, or until it was done: what it has waited for others since is not in it."""
        return self.seconds or time.monotonic() - self.began

    def success(self, result: Json, *, share: float) -> Success:
        """What `worked` found, to be written now; `share` is what else it took the slot, in seconds."""
        ago = max(0.0, time.monotonic() - self.began - self.seconds)
        return Success(claim=self.claim, result=result, ran_seconds=self.seconds + share, ago_seconds=ago)

    def succeeded(self) -> None:
        """The rows say so now, outside the block of `attempt`."""
        with bound_contextvars(**self.ids):
            self._log_end(None, self.seconds, again=False, stopped=False)
        counting.ended(self.kind, None, again=False, stopped=False, seconds=self.seconds)

    def _log_end(self, error: PublicError | None, seconds: float, *, again: bool, stopped: bool) -> None:
        if error is None:
            log.info("step.ended outcome=%s seconds=%.3f", "stopped" if stopped else "succeeded", seconds)
            return
        outcome = "retrying" if again else "failed"
        log.info("step.ended outcome=%s seconds=%.3f code=%s reason=%s", outcome, seconds, error.code, error.message)

    def lease_lost(self) -> None:
        """Somebody else has the step: nothing was written."""
        self.span.fail("lease_lost")
        counting.lease_lost()


@contextmanager
def attempt(kind: Kind, claim: Claim) -> Iterator[Watch]:
    """Watch an attempt, from when its turn has come to its end; what is logged meanwhile bears its ids."""
    ids: dict[str, object] = {
        "tenant": claim.tenant_id,
        "job": claim.job_id,
        "step": claim.step_id,
        "attempt": claim.attempt,
        "kind": kind.name,
    }
    if trace := trace_id_of(claim.trace):
        ids["trace"] = trace
    with bound_contextvars(**ids), trace_steps.attempt(claim, kind.queue.value) as span:
        # Of small steps, of which there are many a second, one line each is enough: that of their end.
        level = logging.DEBUG if kind.group > 1 else logging.INFO
        log.log(level, "step.started waited_seconds=%.3f", claim.waited_seconds)
        counting.started(kind, claim)
        yield Watch(kind=kind, claim=claim, ids=ids, span=span)
