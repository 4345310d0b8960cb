"""The spans of a step's attempt: how long it waited for a worker, and the work, with links to earlier attempts."""

from collections.abc import Iterator
from contextlib import contextmanager

from storage.model import Claim
from storage.telemetry import traces
from storage.telemetry.trace_context import in_same_trace, span_id_of
from storage.telemetry.traces import Told, Value

MOST_LINKS = 32  # to the latest attempts: a step that is handed back again and again has no end of them


def wait_id(step_id: str, attempt: int) -> int:
    """The id of the span that tells how long an attempt waited: below it the relay tells when it sent the hint."""
    return span_id_of("wait", step_id, attempt)


def attempt_id(step_id: str, attempt: int) -> int:
    """The id of an attempt's span."""
    return span_id_of("step", step_id, attempt)


@contextmanager
def attempt(claim: Claim, queue: str) -> Iterator[Told]:
    """The span of the work on a claimed step, which begins now; its wait has just ended."""
    if claim.trace is None:
        yield traces.NOTHING
        return
    about = _about(claim, queue)
    if traces.is_wanted(claim.trace):
        with traces.span(
            f"wait {queue}",
            parent=claim.trace,
            attributes=about,
            span_id=wait_id(claim.step_id, claim.attempt),
            began_seconds_ago=max(0.0, claim.waited_seconds),
        ):
            pass
    with traces.span(
        f"step {claim.kind}",
        kind="consumer",
        parent=claim.trace,
        attributes=about,
        links=earlier(claim),
        span_id=attempt_id(claim.step_id, claim.attempt),
    ) as span:
        yield span


def lost(claim: Claim, queue: str, trace: str | None, *, outcome: str, ran_seconds: float) -> None:
    """Tell of an attempt whose worker cannot do so any more."""
    if not traces.is_wanted(trace):
        return
    with traces.span(
        f"step {claim.kind}",
        kind="consumer",
        parent=trace,
        attributes={**_about(claim, queue), "millrace.outcome": outcome},
        span_id=attempt_id(claim.step_id, claim.attempt),
        began_seconds_ago=ran_seconds,
    ) as span:
        if outcome == "lost":
            span.fail(outcome)


def earlier(claim: Claim) -> list[str]:
    """The spans of the attempts before this one, which no process has to have told us."""
    first = max(1, claim.attempt - MOST_LINKS)
    found = (
        in_same_trace(claim.trace or "", attempt_id(claim.step_id, number)) for number in range(first, claim.attempt)
    )
    return [link for link in found if link is not None]


def _about(claim: Claim, queue: str) -> dict[str, Value]:
    return {
        "millrace.tenant": claim.tenant_id,
        "millrace.job": claim.job_id,
        "millrace.step": claim.step_id,
        "millrace.step_name": claim.name,
        "millrace.kind": claim.kind,
        "millrace.attempt": claim.attempt,
        "messaging.system": "celery",
        "messaging.destination.name": queue,
    }
