"""The span of an HTTP request: its caller's trace goes on in it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from storage.telemetry import traces
from storage.telemetry.traces import Told

UNTOLD = ("/livez", "/readyz", "/metrics")  # asked every few seconds, by machines

Scope = Mapping[str, Any]  # of ASGI


@contextmanager
def request(scope: Scope) -> Iterator[Told]:
    """A span around a request, named by its route once that is known; neither path nor query is told: they may sign."""
    if not traces.is_on() or str(scope["path"]).startswith(UNTOLD):
        yield traces.NOTHING
        return
    method = str(scope["method"])
    with traces.span(
        method,
        kind="server",
        parent=_header(scope, b"traceparent"),
        root=True,
        attributes={"http.request.method": method, "url.scheme": str(scope.get("scheme", "http"))},
    ) as span:
        try:
            yield span
        finally:
            route = getattr(scope.get("route"), "path", None)
            if isinstance(route, str):
                span.rename(f"{method} {route}")
                span.set(http__route=route)


def answered(span: Told, status: int) -> None:
    """The request is answered with this status: ours are the errors of 500 and above."""
    span.set(http__response__status_code=status)
    if status >= 500:
        span.fail(str(status))


def _header(scope: Scope, name: bytes) -> str | None:
    found = [value for key, value in scope["headers"] if key == name]
    return found[0].decode("latin-1") if len(found) == 1 else None
