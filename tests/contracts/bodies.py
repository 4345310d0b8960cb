"""Bodies to store: sources that come in pieces, that break, and that wait."""

import asyncio
import contextlib
import functools
import random
from collections.abc import AsyncIterator, Iterator

from storage.objects import Opened

MIB = 1024 * 1024


class Broken(Exception):
    """What a source of these tests raises."""


@functools.lru_cache(maxsize=16)
def body(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


async def pieces(data: bytes, size: int = 64 * 1024) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]
        await asyncio.sleep(0)


async def mixed_pieces(data: bytes) -> AsyncIterator[bytes]:
    """Empty, tiny and huge pieces in turn."""
    at = 0
    for size in _sizes():
        if at >= len(data):
            return
        yield data[at : at + size]
        at += size


def _sizes() -> Iterator[int]:
    while True:
        yield from (0, 1, 7, 12 * MIB, 100, 65_537, 3 * MIB)


async def broken_after(data: bytes) -> AsyncIterator[bytes]:
    async for piece in pieces(data):
        yield piece
    raise Broken


async def waiting_after(data: bytes, reached: asyncio.Event) -> AsyncIterator[bytes]:
    """Say when all the data has been taken, and then wait for ever."""
    async for piece in pieces(data):
        yield piece
    reached.set()
    await asyncio.Event().wait()


async def endless(announce_at: int, reached: asyncio.Event) -> AsyncIterator[bytes]:
    """Say when so many bytes have been taken, and go on without a pause."""
    count = 0
    while True:
        yield bytes(MIB)
        count += MIB
        if count >= announce_at:
            reached.set()


async def content(opened: Opened) -> bytes:
    async with contextlib.aclosing(opened.chunks) as chunks:
        return b"".join([chunk async for chunk in chunks])
