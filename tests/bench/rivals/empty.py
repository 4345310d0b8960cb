"""`python -m tests.bench.rivals.empty PORT`: answers every request with the same bytes, and does nothing else.

What a client can send to it is the most that it can send to anybody.
"""

import asyncio
import sys
from typing import cast

import uvloop

BODY = b'{"id": "job_0"}'
ANSWER = b"HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY


class Empty(asyncio.Protocol):
    """Takes whatever arrives for one whole request."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own, which only looks like one

    def data_received(self, data: bytes) -> None:
        self._transport.write(ANSWER)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Empty, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1])))
