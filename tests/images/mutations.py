"""Damages picture files as accidents and attackers do: the same dice, the same damage. Pure."""

import random
import struct
import zlib
from collections.abc import Callable, Sequence

NUMBERS = (0, 1, 2, 7, 255, 256, 32_767, 65_535, 65_536, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
MOST_GROWTH = 1 << 16
PNG = b"\x89PNG\r\n\x1a\n"


def mutated(data: bytes, others: Sequence[bytes], dice: random.Random) -> bytes:
    """The file with one to three kinds of damage; `others` are files from which pieces may come."""
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        data = dice.choice(KINDS)(data, others, dice)
    return _mended(data) if data.startswith(PNG) and dice.random() < 0.7 else data


def _flipped(data: bytes, _others: Sequence[bytes], dice: random.Random) -> bytes:
    found = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 5, 20, 100)) if found else 0):
        found[dice.randrange(len(found))] ^= 1 << dice.randrange(8)
    return bytes(found)


def _cut(data: bytes, _others: Sequence[bytes], dice: random.Random) -> bytes:
    return data[: dice.randrange(len(data) + 1)]


def _spliced(data: bytes, others: Sequence[bytes], dice: random.Random) -> bytes:
    """A piece of another file in the place of one of this file, or between two bytes of it."""
    other = dice.choice(others)
    begin, at = dice.randrange(len(other)), dice.randrange(len(data) + 1)
    piece = other[begin : begin + dice.choice((8, 64, 1024, MOST_GROWTH))]
    return data[:at] + piece + data[at + dice.choice((0, len(piece))) :]


def _renumbered(data: bytes, _others: Sequence[bytes], dice: random.Random) -> bytes:
    """A length, size or place that is another: mostly near the beginning, where they are."""
    if len(data) < 8:
        return data
    found = bytearray(data)
    reach = dice.choice((40, 400, len(data)))
    for _ in range(dice.choice((1, 1, 2, 4))):
        at, width = dice.randrange(min(reach, len(data) - 4)), dice.choice("BHI")
        number = dice.choice((*NUMBERS, len(data), at)) % 256 ** struct.calcsize(width)
        struct.pack_into(dice.choice("<>") + width, found, at, number)
    return bytes(found)


def _repeated(data: bytes, _others: Sequence[bytes], dice: random.Random) -> bytes:
    begin = dice.randrange(len(data) + 1)
    piece = data[begin : begin + dice.choice((1, 12, 100, 1000))]
    return data[:begin] + piece * min(dice.choice((2, 20, 500)), MOST_GROWTH // max(1, len(piece))) + data[begin:]


def _without(data: bytes, _others: Sequence[bytes], dice: random.Random) -> bytes:
    begin = dice.randrange(len(data) + 1)
    return data[:begin] + data[begin + dice.choice((1, 4, 12, 100, 1000)) :]


def _zeroed(data: bytes, _others: Sequence[bytes], dice: random.Random) -> bytes:
    begin, count = dice.randrange(len(data) + 1), dice.choice((4, 32, 500))
    piece = dice.choice((b"\0", b"\xff")) * len(data[begin : begin + count])
    return data[:begin] + piece + data[begin + count :]


KINDS: Sequence[Callable[[bytes, Sequence[bytes], random.Random], bytes]] = (
    _flipped,
    _cut,
    _spliced,
    _renumbered,
    _renumbered,
    _repeated,
    _without,
    _zeroed,
)


def _mended(data: bytes) -> bytes:
    """A PNG whose chunks have the right checksums again, so that readers go on to what is in them."""
    found, at = bytearray(data), len(PNG)
    while at + 12 <= len(found):
        (length,) = struct.unpack_from(">I", found, at)
        if at + 12 + length > len(found):
            break
        struct.pack_into(">I", found, at + 8 + length, zlib.crc32(found[at + 4 : at + 8 + length]))
        at += 12 + length
    return bytes(found)
