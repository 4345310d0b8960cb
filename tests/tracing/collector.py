"""An OTLP collector of a test's own: a real HTTP server that takes protobuf, and the spans as trees."""

import gzip
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent
from opentelemetry.proto.trace.v1.trace_pb2 import Status


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """A span as it came; ids in hexadecimal digits, times in seconds, `links` are the ids of spans."""

    service: str
    trace: str
    id: str
    parent: str
    name: str
    kind: str
    attributes: Mapping[str, Any]
    links: tuple[str, ...]
    began: float
    ended: float
    failed: bool


@dataclass(kw_only=True, slots=True)
class Collector:
    """`spans` in the order in which they came; with `hang` it answers when that is set, with `status` as told."""

    endpoint: str
    spans: list[Span] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    hang: threading.Event | None = None
    status: int = 200

    def named(self, *names: str) -> list[Span]:
        return [span for span in list(self.spans) if span.name in names]

    def trace_of(self, attribute: str, value: str) -> list[Span]:
        """All spans of the trace that has a span with this attribute."""
        spans = list(self.spans)
        traces = {span.trace for span in spans if span.attributes.get(attribute) == value}
        return [span for span in spans if span.trace in traces]


def below(spans: list[Span], parent: Span) -> list[Span]:
    """The children of a span, in the order in which they began."""
    return sorted((span for span in spans if span.parent == parent.id), key=lambda span: span.began)


def tree(spans: list[Span], root: Span) -> Any:
    """The names below a span: {name: …}, sorted; a name that is there several times has a number behind it."""
    found: dict[str, Any] = {}
    for span in sorted(below(spans, root), key=lambda one: (one.name, one.began)):
        several = sum(1 for name in found if name.partition(" #")[0] == span.name)
        found[f"{span.name} #{several + 1}" if several else span.name] = tree(spans, span)
    return found


@contextmanager
def collector() -> Iterator[Collector]:
    """Run a collector on a free loopback port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            if state.hang is not None:
                state.hang.wait(30)
            if state.status == 200:
                assert self.path == "/v1/traces"
                assert self.headers["Content-Type"] == "application/x-protobuf"
                state.headers.append(dict(self.headers.items()))
                state.spans.extend(_spans(ExportTraceServiceRequest.FromString(body)))
            self.send_response(state.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state = Collector(endpoint=f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield state
    finally:
        if state.hang is not None:
            state.hang.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _spans(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for of_resource in request.resource_spans:
        service = _values(of_resource.resource.attributes)["service.name"]
        for of_scope in of_resource.scope_spans:
            for sent in of_scope.spans:
                yield Span(
                    service=service,
                    trace=sent.trace_id.hex(),
                    id=sent.span_id.hex(),
                    parent=sent.parent_span_id.hex(),
                    name=sent.name,
                    kind=Sent.SpanKind.Name(sent.kind).removeprefix("SPAN_KIND_").lower(),
                    attributes=_values(sent.attributes),
                    links=tuple(link.span_id.hex() for link in sent.links),
                    began=sent.start_time_unix_nano / 1e9,
                    ended=sent.end_time_unix_nano / 1e9,
                    failed=sent.status.code == Status.STATUS_CODE_ERROR,
                )


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
