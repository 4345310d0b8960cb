"""An answer of Server-Sent Events that goes on for as long as its reader stays: Starlette's own has two tasks more."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from fastapi.responses import Response
from starlette.types import Message, Receive, Scope, Send

from api.streams import Reading

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
STILL_HERE = ": still here\n\n"

Lines = Callable[[Reading], AsyncIterator[str]]
Opened = contextlib.AbstractContextManager[Reading]


class EventStream(Response):
    """What `lines` makes of an open reading, until it ends or the reader has gone."""

    media_type = "text/event-stream"

    def __init__(self, opened: Opened, lines: Lines) -> None:
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self._opened = opened
        self._lines = lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._opened as reading:
            leaving = asyncio.create_task(_gone(receive, reading))
            try:
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                async with contextlib.aclosing(self._lines(reading)) as lines:  # type: ignore[type-var]
                    async for line in lines:
                        await send(_body(line, more=True))
                await send(_body("", more=False))
            finally:
                leaving.cancel()


async def _gone(receive: Receive, reading: Reading) -> None:
    """End the reading when its reader has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
    reading.end()


def _body(text: str, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": text.encode(), "more_body": more}
