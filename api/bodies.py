"""Stands between the server and the app and minds the bodies of requests: those that stall, and those nobody reads.

Written against ASGI 3, since neither the server nor the framework does either.
"""

import asyncio
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import Refused

LINGER_SECONDS = 5.0  # how long the rest of a refused body is still taken in, so that the client can read why


def minded(app: ASGIApp, *, idle_seconds: float) -> ASGIApp:
    """The app, with Refused (408) raised from `receive` when nothing of a body comes for `idle_seconds`.

    An error that is answered before the body has ended closes the connection. To close it at once would throw away the
    answer together with what is still arriving: so the rest is read and forgotten for a moment.
    """

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(scope):
            await app(scope, receive, send)
            return
        unread = _Unread(receive, send, idle_seconds)
        await app(scope, unread.receive, unread.send)

    return serve


class _Unread:
    """One request's body as long as it has not ended; the only state is how far it has come."""

    def __init__(self, receive: Receive, send: Send, idle_seconds: float) -> None:
        self._receive = receive
        self._send = send
        self._idle_seconds = idle_seconds
        self._ended = False
        self._answered = False
        self._parting = False

    async def receive(self) -> Message:
        if self._ended or self._answered:
            return await self._receive()
        try:
            async with asyncio.timeout(self._idle_seconds):
                message = await self._receive()
        except TimeoutError as exc:
            detail = f"nothing of the body has come for {self._idle_seconds:g} seconds; send it again"
            raise Refused(408, "body_stalled", detail) from exc
        self._ended = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._answered = True
            self._parting = not self._ended and message["status"] >= 400
            if self._parting:
                message["headers"] = [*message["headers"], (b"connection", b"close")]
        elif self._parting and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._forget_the_rest()
            message = {"type": "http.response.body"}
        await self._send(message)

    async def _forget_the_rest(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while (await self._receive()).get("more_body", False):
                    pass


def _has_body(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
