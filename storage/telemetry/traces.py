"""Spans over OTLP, where the extra `otel` is installed and an endpoint is set; nothing otherwise.

A span is told below the current one, or below a traceparent; where there is neither, it is not told at all.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Union

from storage.telemetry import trace_settings
from storage.telemetry.settings import TelemetrySettings
from storage.telemetry.trace_context import is_sampled, parse, trace_id_of
from storage.telemetry.trace_untold import NOTHING, Untold, Value

__all__ = [
    "NOTHING",
    "Told",
    "Value",
    "close",
    "is_on",
    "is_wanted",
    "lost",
    "outgoing",
    "set_up",
    "span",
    "trace_id",
    "traceparent",
]

if TYPE_CHECKING:
    from storage.telemetry.trace_sdk import Span, Tracing

log = logging.getLogger(__name__)

Told = Union["Span", Untold]


def is_installed() -> bool:
    """Whether the extra `otel` is there."""
    try:
        return all(find_spec(f"opentelemetry.{name}") for name in ("sdk.trace", "exporter.otlp.proto.http"))
    except ModuleNotFoundError:  # of a package above it
        return False


class _Here:
    """This process's state: what makes spans, if anything does."""

    tracing: "Tracing | None" = None


def set_up(settings: TelemetrySettings, env: Mapping[str, str]) -> None:
    """Begin to send spans, if OTEL_EXPORTER_OTLP_ENDPOINT is set. Raises ConfigurationError."""
    wanted = trace_settings.from_env(env)
    if wanted is None:
        return
    if not is_installed():
        log.warning("traces.off reason=the extra otel is not installed")
        return
    tracing: Tracing = import_module("storage.telemetry.trace_sdk").Tracing(wanted, settings)
    if settings.role == "worker":  # elsewhere libraries would tell of requests a second time, with their paths
        tracing.offer()
    _Here.tracing = tracing


def close() -> None:
    """Send what still waits, for a second at most."""
    tracing, _Here.tracing = _Here.tracing, None
    if tracing is not None:
        tracing.close()


def is_on() -> bool:
    """Whether spans are made here."""
    return _Here.tracing is not None


def lost() -> int:
    """How many spans of this process were dropped, or could not be sent."""
    return 0 if _Here.tracing is None else _Here.tracing.sending.lost


def span(
    name: str,
    *,
    kind: str = "internal",
    attributes: Mapping[str, Value] | None = None,
    parent: str | None = None,
    links: Sequence[str] = (),
    root: bool = False,
    span_id: int | None = None,
    began_seconds_ago: float = 0.0,
) -> AbstractContextManager[Told]:
    """A span around the block, below the traceparent `parent` or else the current span; `links` are traceparents.

    With `root` it begins a trace where there is neither. `kind`: internal, server, client, producer or consumer.
    `span_id` if others must know it, see `trace_context.span_id_of`. An exception that leaves the block fails it, by
    its type: messages may bear what is nobody's business.
    """
    tracing = _Here.tracing
    if tracing is None:
        return NOTHING
    return tracing.span(
        name,
        kind=kind,
        attributes=attributes,
        parent=parse(parent),
        root=root,
        links=[found for found in map(parse, links) if found is not None],
        span_id=span_id,
        began_seconds_ago=began_seconds_ago,
    )


def traceparent() -> str | None:
    """That of the current span; None where there is none."""
    return None if _Here.tracing is None else _Here.tracing.traceparent


def trace_id() -> str | None:
    """The current trace's id in hexadecimal digits, as log lines bear it."""
    return trace_id_of(traceparent())


def outgoing() -> Mapping[str, str]:
    """The header by which a third party joins the trace; none unless the operator wants that."""
    tracing = _Here.tracing
    if tracing is None or not tracing.propagates:
        return {}
    found = tracing.traceparent
    return {} if found is None else {"traceparent": found}


def is_wanted(parent: str | None) -> bool:
    """Whether a span below this one would be told, as far as that is known: then it is worth asking for more."""
    return _Here.tracing is not None and is_sampled(parent)
