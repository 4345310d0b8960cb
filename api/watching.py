"""Everything that is told of a request: its id, which it is answered with and log lines bear; numbers; a span."""

import random
import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from api import metric_requests
from storage.telemetry import failures, trace_http
from storage.telemetry.trace_context import trace_id_of

REQUEST_ID = "X-Request-Id"

_TAKEN_OVER = re.compile(r"[A-Za-z0-9._-]{8,128}")


def watched(app: ASGIApp) -> ASGIApp:
    """The app, every request of which has an id: the client's own X-Request-Id if it is a sensible one."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = given if _TAKEN_OVER.fullmatch(given) else f"{random.getrandbits(128):032x}"
        scope.setdefault("state", {})["request_id"] = request_id

        async def answering(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
                counted.answered(message)
                trace_http.answered(span, message["status"])
            await send(message)

        with metric_requests.request(scope) as counted, trace_http.request(scope) as span:
            trace = trace_id_of(span.traceparent)
            with bound_contextvars(request=request_id, **({"trace": trace} if trace else {})):
                try:
                    await app(scope, receive, answering)
                except Exception as exc:
                    if not _is_known(exc):
                        failures.tell(exc, hidden=None)  # its words may bear what the client has sent
                    raise

    return serve


def _is_known(exc: Exception) -> bool:
    """Whether it is one of those that api.errors answers, but came too late for that: Starlette then says just so."""
    return isinstance(exc, RuntimeError) and exc.__cause__ is not None and "response already started" in str(exc)
