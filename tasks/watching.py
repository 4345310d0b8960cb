"""Everything that is told of an attempt while it runs and when it has ended: log lines, numbers, spans, errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from structlog.contextvars import bound_contextvars

from storage.model import Claim, PublicError
from tasks.names import Kind


@dataclass(kw_only=True, slots=True)
class Watch:
    """One attempt that is being watched."""

    kind: Kind
    claim: Claim

    def crashed(self, exc: BaseException) -> None:
        """The kind's function raised what nobody expected."""

    def ended(self, error: PublicError | None, *, again: bool) -> None:
        """The rows say now how the attempt ended; `error` None: with success, or because its job was stopped."""

    def lease_lost(self) -> None:
        """Somebody else has the step: nothing was written."""


@contextmanager
def attempt(kind: Kind, claim: Claim) -> Iterator[Watch]:
    """Watch an attempt from its claim to its end; what is logged meanwhile bears its ids."""
    ids = {"tenant": claim.tenant_id, "job": claim.job_id, "step": claim.step_id, "attempt": claim.attempt}
    with bound_contextvars(**ids, kind=kind.name):
        yield Watch(kind=kind, claim=claim)
