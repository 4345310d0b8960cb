"""Everything that is told of a request: its id, which it is answered with and log lines bear; numbers; a span."""

import re
import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

REQUEST_ID = "X-Request-Id"

_TAKEN_OVER = re.compile(r"[A-Za-z0-9._-]{8,128}")


def watched(app: ASGIApp) -> ASGIApp:
    """The app, every request of which has an id: the client's own X-Request-Id if it is a sensible one."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = given if _TAKEN_OVER.fullmatch(given) else secrets.token_hex(16)
        scope.setdefault("state", {})["request_id"] = request_id

        async def answering(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        with bound_contextvars(request=request_id):
            await app(scope, receive, answering)

    return serve
