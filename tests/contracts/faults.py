"""A relay to a server that stops relaying after so many bytes, and then refuses everybody."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit


@contextlib.asynccontextmanager
async def relay(endpoint: str, *, limit: int) -> AsyncIterator[str]:
    """Listen on loopback and yield the address; `limit` is in bytes, of both directions together."""
    target = urlsplit(endpoint)
    left = limit
    writers: set[asyncio.StreamWriter] = set()
    server: asyncio.Server

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(64 * 1024):
                left -= len(data)
                if left < 0:
                    break
                writer.write(data)
                await writer.drain()
        if left < 0:
            server.close()
            for each in writers:
                each.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(target.hostname, target.port)
        writers.update((writer, far_writer))
        await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.close()
        for each in writers:
            each.close()


@contextlib.asynccontextmanager
async def silence() -> AsyncIterator[str]:
    """A server that takes connections and never answers."""
    writers: set[asyncio.StreamWriter] = set()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        with contextlib.suppress(ConnectionError):
            while await reader.read(64 * 1024):
                pass

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.close()
        for each in writers:
            each.close()
