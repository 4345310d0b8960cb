"""Bodies on their way: sent piece by piece, and taken in with a bound on what they are and on what they unpack to."""

import asyncio
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator

from tasks.errors import OutboundFailed, OutboundTooLarge
from tasks.outbound_model import FileBody

CHUNK_BYTES = 64 * 1024

_GZIP = frozenset({"gzip", "x-gzip"})
_PLAIN = frozenset({"", "identity"})
_GZIP_FORMAT = 16 + zlib.MAX_WBITS


def size_of(body: bytes | FileBody) -> int:
    """Bytes. Raises OSError where there is no such file."""
    if isinstance(body, bytes):
        return len(body)
    return len(body.before) + body.path.stat().st_size + len(body.after)


async def sent(body: bytes | FileBody) -> AsyncGenerator[bytes]:
    """The body, piece by piece; a file is read while it is sent. Raises OSError."""
    if isinstance(body, bytes):
        yield body
        return
    yield body.before
    with body.path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk
    yield body.after


async def received(chunks: AsyncIterator[bytes], encoding: str, *, host: str, most_bytes: int) -> AsyncGenerator[bytes]:
    """The body, unpacked, in pieces of at most 64 KiB.

    Raises OutboundTooLarge for more than `most_bytes`, packed or unpacked, as soon as they are seen, and OutboundFailed
    (protocol_error) for what cannot be unpacked.
    """
    encoding = encoding.strip().lower()
    if encoding not in _GZIP | _PLAIN:
        raise OutboundFailed("protocol_error", f"{host} answers in an encoding that it was not asked for")
    inflation = _Inflation(host) if encoding in _GZIP else None
    raw = unpacked = 0
    async for chunk in chunks:
        raw += len(chunk)
        for piece in [chunk] if inflation is None else inflation.pieces(chunk):
            unpacked += len(piece)
            if max(raw, unpacked) > most_bytes:
                raise too_large(host, most_bytes)
            yield piece
            if inflation is not None:
                await asyncio.sleep(0)  # a small chunk can unpack to megabytes: others have their turn in between
        if raw > most_bytes:
            raise too_large(host, most_bytes)
    if inflation is not None:
        inflation.end()


def too_large(host: str, most_bytes: int) -> OutboundTooLarge:
    return OutboundTooLarge(f"{host} answers with more than {most_bytes} bytes")


class _Inflation:
    """Unpacks gzip (RFC 1952: one member after another), never more than 64 KiB at a time."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._inflate = zlib.decompressobj(_GZIP_FORMAT)
        self._is_open = False  # whether a member has begun and not ended

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        while chunk:
            self._is_open = True
            try:
                piece = self._inflate.decompress(chunk, CHUNK_BYTES)
            except zlib.error as exc:
                raise self._broken() from exc
            chunk = self._inflate.unconsumed_tail
            if self._inflate.eof:
                chunk = self._inflate.unused_data
                self._inflate, self._is_open = zlib.decompressobj(_GZIP_FORMAT), False
            if piece:
                yield piece

    def end(self) -> None:
        if self._is_open:
            raise self._broken()

    def _broken(self) -> OutboundFailed:
        return OutboundFailed("protocol_error", f"{self._host} answers with gzip that is broken")
