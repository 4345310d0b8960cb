"""A way to the database that a test can cut, and mend."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from typing import Any

from sqlalchemy.engine import make_url


async def close(server: asyncio.Server) -> None:
    """Close a server so that nothing which it was accepting is left open: that is ours then, and we end it."""
    for listening in server.sockets:
        asyncio.get_running_loop().remove_reader(listening.fileno())
    await asyncio.sleep(0.01)
    server.close()


class Relay:
    """Passes bytes on from a port of its own; `cut` closes all connections and refuses new ones until `mend`."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._thread.start()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        # The answer to what holds the second bytes never comes on a connection that has sent the first: it breaks.
        self.lost: tuple[bytes, bytes] | None = None
        self.swallow = False  # neither do these bytes reach the database
        self.mend()

    def mend(self) -> None:
        self._do(self._open())

    def cut(self) -> None:
        self._do(self._shut())

    def close(self) -> None:
        self.cut()
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _shut(self) -> None:
        if self._server is not None:
            await close(self._server)
        while self._writers:  # again and again: one that was being opened may come late
            for writer in self._writers:
                writer.transport.abort()
            await asyncio.sleep(0)

    async def _end(self) -> None:
        """Wait until nothing is served any more, not even what was accepted in the last moment before the cut."""
        while served := asyncio.all_tasks() - {asyncio.current_task()}:
            for writer in self._writers:
                writer.transport.abort()
            await asyncio.wait(served, timeout=0.05)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        both = {writer}
        self._writers |= both
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            both.add(far_writer)
            self._writers |= both
            await asyncio.gather(self._there(reader, writer, far_writer), self._back(far_reader, writer))
        except OSError:
            writer.transport.abort()
        finally:
            for one in both:
                one.close()
                with contextlib.suppress(OSError):
                    await one.wait_closed()
            self._writers -= both

    async def _there(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, far_writer: asyncio.StreamWriter
    ) -> None:
        begun = False
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                first, second = self.lost or (b"", b"")
                begun = begun or (bool(first) and first in data)
                if begun and second and second in data:
                    writer.transport.abort()  # before the database can answer
                    data = b"" if self.swallow else data
                far_writer.write(data)
                await far_writer.drain()
            far_writer.write_eof()  # not close: what is unread then would reset the connection, and lose what was sent

    async def _back(self, far_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await far_reader.read(65_536):
                with contextlib.suppress(OSError):
                    writer.write(data)
                    await writer.drain()
        writer.close()


@contextlib.contextmanager
def relayed(database_url: str) -> Iterator[tuple[Relay, str]]:
    """A relay, and the URL of the database by way of it."""
    url = make_url(database_url)
    assert url.port is not None
    relay = Relay(url.host or "127.0.0.1", url.port)
    try:
        yield relay, url.set(host="127.0.0.1", port=relay.port).render_as_string(hide_password=False)
    finally:
        relay.close()
