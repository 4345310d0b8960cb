"""A way to a server that a test can cut, stall, leave half open, and mend."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(kw_only=True, slots=True, eq=False)
class _Link:
    """One connection through the proxy; what enters a dead one never comes out, and neither end hears of it."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter | None = None
    dead: bool = False

    def abort(self) -> None:
        self.near.transport.abort()
        if self.far is not None:
            self.far.transport.abort()


class Proxy:
    """Passes bytes on from a port of its own, in a thread of its own."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.mend()

    def cut(self) -> None:
        """Reset all connections and refuse new ones."""
        self._do(self._cut())

    def stall(self) -> None:
        """Accept connections and keep the open ones, and pass nothing on; after `mend` it flows again."""
        self._loop.call_soon_threadsafe(self._flows.clear)

    def half_open(self) -> None:
        """Pass nothing on ever again on the connections that there are; new ones work."""
        self._do(self._half_open())

    def mend(self) -> None:
        """Work again; what is half open stays so until its own ends give it up."""
        self._do(self._mend())

    def close(self) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _mend(self) -> None:
        self._flows.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for link in self._links:
            link.abort()

    async def _half_open(self) -> None:
        for link in self._links:
            link.dead = True

    async def _close(self) -> None:
        await self._cut()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        link = _Link(near=writer)
        self._links.add(link)
        try:
            await self._serve(link, reader)
        except (OSError, asyncio.CancelledError):
            pass  # ends without a word, as a line does
        finally:
            link.abort()
            self._links.discard(link)
            self._tasks.discard(task)

    async def _serve(self, link: _Link, reader: asyncio.StreamReader) -> None:
        await self._flows.wait()
        far_reader, link.far = await asyncio.open_connection("127.0.0.1", self._target)
        await asyncio.gather(self._pass(link, reader, link.far), self._pass(link, far_reader, link.near))

    async def _pass(self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                await self._flows.wait()
                if not link.dead:
                    writer.write(data)
                    await writer.drain()
        if not link.dead:
            writer.close()


@contextlib.contextmanager
def proxied(port: int) -> Iterator[Proxy]:
    """A proxy to this port of loopback."""
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
