"""What spans need from the rows: the traces of jobs, and since when their steps wait. Asked only where spans are on."""

from collections.abc import Sequence
from dataclasses import dataclass

from storage.database import PlatformTx, Tx
from storage.model import Claim, JobId
from storage.publishing import Runnable
from storage.telemetry import trace_steps, traces
from storage.telemetry.trace_context import in_same_trace

# A step that is tried again waits from its last attempt's end, at most.
_WAITING = """
SELECT steps.id, steps.attempt,
       extract(epoch FROM clock_timestamp() - GREATEST(steps.run_at, CASE WHEN steps.attempt > 0 THEN (
         SELECT max(finished_at) FROM attempts
         WHERE attempts.tenant_id = steps.tenant_id AND attempts.step_id = steps.id
       ) END))::float AS waited_seconds
FROM unnest(%(tenants)s::text[], %(steps)s::text[]) AS asked (tenant, step)
JOIN steps ON steps.tenant_id = asked.tenant AND steps.id = asked.step
"""

_OF_JOB = "SELECT trace FROM jobs WHERE tenant_id = %(tenant)s AND id = %(job)s"

_ENDED = """
SELECT jobs.trace, steps.queue, attempts.outcome,
       extract(epoch FROM clock_timestamp() - attempts.started_at)::float AS ran_seconds
FROM attempts
JOIN steps ON steps.tenant_id = attempts.tenant_id AND steps.id = attempts.step_id
JOIN jobs ON jobs.tenant_id = steps.tenant_id AND jobs.id = steps.job_id
WHERE attempts.tenant_id = %(tenant)s AND attempts.step_id = %(step)s AND attempts.number = %(number)s
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A step whose hint is about to be sent, and whose job is being traced: its next attempt waits since then."""

    step: Runnable
    attempt: int
    trace: str
    waited_seconds: float


def waiting(tx: PlatformTx, steps: Sequence[Runnable]) -> list[Waiting]:
    """Those of the steps of whose sending is to be told."""
    traced = {step.step_id: (step, step.trace) for step in steps if step.trace is not None}
    if not traced:
        return []
    asked = [step.tenant_id for step, _ in traced.values()]
    found: list[Waiting] = []
    for row in tx.sql(_WAITING, tenants=asked, steps=list(traced)):
        step, trace = traced[row.id]
        found.append(Waiting(step=step, attempt=row.attempt + 1, trace=trace, waited_seconds=row.waited_seconds))
    return found


def tell_sent(found: Sequence[Waiting]) -> None:
    """Tell that their hints were sent now: how long each waited for the relay is a part of its whole wait."""
    for one in found:
        step = one.step
        with traces.span(
            f"send {step.queue}",
            kind="producer",
            parent=in_same_trace(one.trace, trace_steps.wait_id(step.step_id, one.attempt)),
            attributes={
                "millrace.tenant": step.tenant_id,
                "millrace.job": step.job_id,
                "millrace.step": step.step_id,
                "millrace.kind": step.kind,
                "millrace.attempt": one.attempt,
                "messaging.system": "celery",
                "messaging.destination.name": step.queue,
            },
            began_seconds_ago=max(0.0, one.waited_seconds),
        ):
            pass


def of_job(tx: Tx, job_id: JobId) -> str | None:
    """The traceparent below which the job's work is told, if it is."""
    found: str | None = tx.sql(_OF_JOB, job=job_id).scalar_one_or_none()
    return found


def tell_lost(tx: Tx, claim: Claim) -> None:
    """Tell of an attempt that has just been ended in the place of its worker, which was lost or had to stop."""
    if not traces.is_on():
        return
    row = tx.sql(_ENDED, step=claim.step_id, number=claim.attempt).one_or_none()
    if row is not None:
        trace_steps.lost(claim, row.queue, row.trace, outcome=row.outcome, ran_seconds=row.ran_seconds)
