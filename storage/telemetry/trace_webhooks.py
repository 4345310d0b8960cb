"""The spans of webhooks: each try is told below its job, with links to the tries before it."""

from contextlib import AbstractContextManager

from storage.telemetry import traces
from storage.telemetry.trace_context import in_same_trace, span_id_of
from storage.telemetry.traces import Told
from storage.webhook_model import Claimed

MOST_LINKS = 32


def trying(claimed: Claimed, trace: str | None) -> AbstractContextManager[Told]:
    """A span around a try at a delivery, below its job's traceparent; of a delivery without a job nothing is told."""
    if trace is None:
        return traces.NOTHING
    delivery = claimed.delivery
    number = delivery.tries + 1
    links = (
        in_same_trace(trace, span_id_of("webhook", delivery.id, earlier))
        for earlier in range(max(1, number - MOST_LINKS), number)
    )
    return traces.span(
        f"webhook {delivery.type}",
        kind="producer",
        parent=trace,
        attributes={
            "millrace.tenant": delivery.tenant_id,
            "millrace.job": str(delivery.job_id),
            "millrace.delivery": delivery.id,
            "millrace.try": number,
        },
        links=[link for link in links if link is not None],
        span_id=span_id_of("webhook", delivery.id, number),
    )


def told(span: Told, *, status: int | None, is_delivered: bool) -> None:
    """What the receiver said; None: nothing."""
    span.set(http__response__status_code=status)
    if not is_delivered:
        span.fail("no_answer" if status is None else str(status))
