"""A third party that takes its time: counts what it is asked, and how much of that at once."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

ANSWER = b"HTTP/1.1 %s\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"


@dataclass(kw_only=True, slots=True)
class SlowHost:
    """`seconds` pass before each answer; `at` is when each request came (time.monotonic), `status` what is said."""

    host: str
    seconds: float
    status: bytes = b"200 OK"
    is_down: bool = False  # then every connection is cut
    at: list[float] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    now: int = 0
    most: int = 0

    @property
    def url(self) -> str:
        return f"http://{self.host}/"


@contextmanager
def slow_host(seconds: float) -> Iterator[SlowHost]:
    """Run one on a free loopback port, on an event loop of its own: hundreds of requests may wait."""
    loop, ready = asyncio.new_event_loop(), threading.Event()
    made: list[SlowHost] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state = made[0]
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    (
                        int(line.split(b":")[1])
                        for line in head.split(b"\r\n")
                        if line.lower().startswith(b"content-len")
                    ),
                    0,
                )
                await reader.readexactly(length)
                state.at.append(time.monotonic())
                state.keys.append(_key(head))
                if state.is_down:
                    break
                state.now += 1
                state.most = max(state.most, state.now)
                try:
                    await asyncio.sleep(state.seconds)
                finally:
                    state.now -= 1
                writer.write(ANSWER % state.status)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1000)
        made.append(SlowHost(host=f"127.0.0.1:{server.sockets[0].getsockname()[1]}", seconds=seconds))
        ready.set()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.create_task(serve())
        loop.run_forever()

    thread = threading.Thread(target=run, name="slow-host", daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield made[0]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


def _key(head: bytes) -> str:
    lines = head.decode("latin-1").split("\r\n")
    return next((line.partition(":")[2].strip() for line in lines if line.lower().startswith("idempotency-key")), "")
