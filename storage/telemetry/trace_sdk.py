"""Spans as OpenTelemetry's SDK makes them; loaded only where spans are to be sent, since it is large."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from types import TracebackType

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler, TraceIdRatioBased

from storage.telemetry.settings import TelemetrySettings
from storage.telemetry.trace_context import Place, traceparent
from storage.telemetry.trace_sending import Sending, quieten
from storage.telemetry.trace_settings import TraceSettings
from storage.telemetry.trace_untold import NOTHING, Untold, Value

KINDS = {kind.name.lower(): kind for kind in trace.SpanKind}  # internal, server, client, producer, consumer
LONGEST = 1000  # characters of an attribute

_given: ContextVar[int | None] = ContextVar("given", default=None)
_given_trace: ContextVar[int | None] = ContextVar("given_trace", default=None)


class Ids(RandomIdGenerator):
    """Random ids, but of a span or a trace whose id is given."""

    def generate_span_id(self) -> int:
        return _given.get() or super().generate_span_id()

    def generate_trace_id(self) -> int:
        return _given_trace.get() or super().generate_trace_id()


class Span:
    """A span that has begun."""

    __slots__ = ("_span",)

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    @property
    def is_recording(self) -> bool:
        """Whether anybody will see it: others only carry the decision on."""
        return self._span.is_recording()

    @property
    def traceparent(self) -> str | None:
        return _traceparent(self._span)

    def set(self, **attributes: Value | None) -> None:
        """Set attributes; a double underscore stands for a dot, and None sets nothing."""
        for name, value in attributes.items():
            if value is not None:
                self._span.set_attribute(name.replace("__", "."), value)

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def fail(self, reason: str) -> None:
        """It did not go well; `reason` is a code, since messages may bear what is nobody's business."""
        self._span.set_attribute("error.type", reason)
        self._span.set_status(trace.StatusCode.ERROR, reason)


class Tracing:
    """Makes spans, and sends them."""

    def __init__(self, settings: TraceSettings, telemetry: TelemetrySettings) -> None:
        self.propagates = settings.propagates
        self._follows_parent = settings.follows_parent
        self._ratio = TraceIdRatioBased(settings.ratio)
        self._ids = Ids()
        self.sending = Sending(lambda: _exporter(settings), gather_seconds=settings.gather_seconds)
        self._provider = TracerProvider(
            sampler=_sampler(settings),
            resource=_resource(settings, telemetry),
            id_generator=self._ids,
            span_limits=SpanLimits(max_span_attribute_length=LONGEST),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(self.sending)
        self._tracer = self._provider.get_tracer("millrace", telemetry.version)
        quieten(logging.getLogger(OTLPSpanExporter.__module__))

    @property
    def traceparent(self) -> str | None:
        """That of the current span."""
        return _traceparent(trace.get_current_span())

    def span(
        self,
        name: str,
        *,
        kind: str,
        attributes: Mapping[str, Value] | None,
        parent: Place | None,
        root: bool,
        links: Sequence[Place],
        span_id: int | None,
        began_seconds_ago: float,
    ) -> AbstractContextManager[Span | Untold]:
        """See traces.span. Most jobs are not sampled: then the SDK, which would find out as well, is not asked."""
        trace_id = None
        if parent is not None:
            if self._follows_parent and not parent.is_sampled:
                return _Unkept(_context(parent), traceparent(parent.trace_id, parent.span_id, parent.flags))
        else:
            current = trace.get_current_span()
            above = current.get_span_context()
            if above.is_valid:
                if self._follows_parent and not above.trace_flags.sampled:
                    return Untold(_traceparent(current))
            elif not root:
                return NOTHING
            elif self._follows_parent:
                trace_id = self._ids.generate_trace_id()
                if trace_id & TraceIdRatioBased.TRACE_ID_LIMIT >= self._ratio.bound:
                    return _Unkept(_OURS, None)
        return self._begun(name, kind, attributes, parent, links, span_id, began_seconds_ago, trace_id)

    @contextmanager
    def _begun(
        self,
        name: str,
        kind: str,
        attributes: Mapping[str, Value] | None,
        parent: Place | None,
        links: Sequence[Place],
        span_id: int | None,
        began_seconds_ago: float,
        trace_id: int | None,
    ) -> Iterator[Span]:
        """A span below `parent`, or below the current one; it is the current one until the block ends."""
        token, trace_token = _given.set(span_id), _given_trace.set(trace_id)
        begun = self._tracer.start_span(
            name,
            context=None if parent is None else _context(parent),
            kind=KINDS[kind],
            attributes=attributes,
            links=[trace.Link(_span_context(link)) for link in links],
            start_time=time.time_ns() - int(began_seconds_ago * 1e9),
        )
        _given.reset(token)
        _given_trace.reset(trace_token)
        attached = contexts.attach(trace.set_span_in_context(begun))
        span = Span(begun)
        try:
            yield span
        except BaseException as exc:
            span.fail(type(exc).__name__)
            raise
        finally:
            contexts.detach(attached)
            begun.end()

    def offer(self) -> None:
        """Let kinds of your own that use OpenTelemetry's API take part; the first one stays."""
        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            trace.set_tracer_provider(self._provider)

    def close(self) -> None:
        self.sending.shutdown()


class _Unkept(Untold):
    """Of which nothing is told, with its place as the current one: so nobody begins another trace below it."""

    __slots__ = ("_attached", "_context")

    def __init__(self, context: contexts.Context, traceparent: str | None) -> None:
        super().__init__(traceparent)
        self._context = context

    def __enter__(self) -> "_Unkept":
        self._attached = contexts.attach(self._context)
        return self

    def __exit__(
        self, raised: type[BaseException] | None, exc: BaseException | None, where: TracebackType | None
    ) -> None:
        contexts.detach(self._attached)


def _sampler(settings: TraceSettings) -> Sampler:
    root: Sampler = {1.0: ALWAYS_ON, 0.0: ALWAYS_OFF}.get(settings.ratio) or TraceIdRatioBased(settings.ratio)
    return ParentBased(root) if settings.follows_parent else root


def _resource(settings: TraceSettings, telemetry: TelemetrySettings) -> Resource:
    """Who tells: one service for each role, unless the operator calls them otherwise."""
    own = {
        "service.name": f"millrace-{telemetry.role}",
        "service.namespace": "millrace",
        "service.version": telemetry.version,
        "service.instance.id": telemetry.name,
    }
    return Resource({**own, **settings.resource})


def _exporter(settings: TraceSettings) -> SpanExporter:
    return OTLPSpanExporter(
        endpoint=settings.endpoint,
        headers=dict(settings.headers),
        timeout=settings.timeout_seconds,
        compression=Compression(settings.compression),
        certificate_file=settings.certificate,
    )


def _context(place: Place) -> contexts.Context:
    return trace.set_span_in_context(trace.NonRecordingSpan(_span_context(place)), contexts.Context())


def _span_context(place: Place) -> trace.SpanContext:
    return trace.SpanContext(place.trace_id, place.span_id, is_remote=True, trace_flags=trace.TraceFlags(place.flags))


# The place of whatever begins here and is not kept: no span, and not sampled.
_OURS = trace.set_span_in_context(trace.NonRecordingSpan(trace.SpanContext(1, 1, is_remote=False)), contexts.Context())


def _traceparent(span: trace.Span) -> str | None:
    """None also where we have decided that nothing is told: nobody else has to know of that trace."""
    context = span.get_span_context()
    if not context.is_valid or not (context.is_remote or context.trace_flags.sampled):
        return None
    return traceparent(context.trace_id, context.span_id, context.trace_flags)
