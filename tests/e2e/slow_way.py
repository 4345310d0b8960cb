"""A way to a server on which every answer takes its time, for as long as a test wants."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator


class SlowWay:
    """Passes bytes on from a port of its own, in a thread of its own; what the server says comes `seconds` later."""

    def __init__(self, target: int) -> None:
        self.seconds = 0.0
        self.port = 0
        self._target = target
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="slow-way", daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(10)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _serve(self) -> asyncio.Server:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=200)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _end(self) -> None:
        self._server.close()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        ends = [writer]
        try:
            far_reader, far = await asyncio.open_connection("127.0.0.1", self._target)
            ends.append(far)
            await asyncio.gather(self._pass(reader, far), self._pass(far_reader, writer, is_answer=True))
        except (OSError, asyncio.CancelledError):
            pass  # ends without a word, as a line does
        finally:
            for end in ends:
                end.transport.abort()
            self._tasks.discard(task)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool = False
    ) -> None:
        while data := await reader.read(65_536):
            if is_answer and self.seconds:
                await asyncio.sleep(self.seconds)
            writer.write(data)
            await writer.drain()
        writer.close()


@contextlib.contextmanager
def slow_way(target: int) -> Iterator[SlowWay]:
    """A way to this port of loopback, not slow yet."""
    way = SlowWay(target)
    try:
        yield way
    finally:
        way.close()
