"""Directories of tags, as in TIFF files and EXIF blocks (TIFF 6.0, section 2; BigTIFF). Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO

from tasks.images import refusals
from tasks.images.header_stream import Order, Stream
from tasks.images.model import ImageRejected

ORIENTATION = 274
MAX_ENTRIES = 4_096  # of one directory; cameras write some hundred
MAX_VALUES = 64  # of one tag that are ever looked at
# Bytes of a value, by the number of its type.
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
WHOLE_NUMBERS = frozenset({1, 3, 4, 6, 8, 9, 13, 16, 17, 18})


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """How a file writes its directories: byte order, and BigTIFF's longer numbers."""

    order: Order
    big: bool = False

    @property
    def offset(self) -> int:
        """Bytes of a place in the file."""
        return 8 if self.big else 4

    @property
    def entry(self) -> int:
        return 20 if self.big else 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A tag's `type` and `count`; `at` is where its first value stands in the file."""

    type: int
    count: int
    at: int


def begun(stream: Stream) -> tuple[Shape, int]:
    """Read the eight or sixteen bytes at the beginning: the shape, and where the first directory stands.

    Raises ImageRejected.
    """
    stream.seek(0)
    order: Order = "little" if stream.take(2) == b"II" else "big"
    if stream.number(2, order) != 43:
        return Shape(order=order), stream.number(4, order)
    if stream.number(2, order) != 8:
        raise refusals.unreadable()
    stream.skip(2)
    return Shape(order=order, big=True), stream.number(8, order)


def length(stream: Stream, shape: Shape, at: int) -> int:
    """How many entries the directory there has; leaves the stream before the first. Raises ImageRejected."""
    stream.seek(at)
    count = stream.number(8 if shape.big else 2, shape.order)
    if not 0 < count <= MAX_ENTRIES:
        raise refusals.unreadable()
    return count


def entries(stream: Stream, shape: Shape, at: int) -> Mapping[int, Entry]:
    """The entries of a directory, by tag; of a tag that stands there twice, the first counts. Raises ImageRejected.

    Whether the values that an entry speaks of are in the file is not looked at.
    """
    count = length(stream, shape, at)
    table, begin = stream.take(count * shape.entry), stream.place - count * shape.entry
    found: dict[int, Entry] = {}
    for place in range(0, len(table), shape.entry):
        tag, type_ = (int.from_bytes(table[place + by : place + by + 2], shape.order) for by in (0, 2))
        values = int.from_bytes(table[place + 4 : place + 4 + shape.offset], shape.order)
        inline = place + 4 + shape.offset
        where = begin + inline
        if SIZES.get(type_, 1) * values > shape.offset:
            where = int.from_bytes(table[inline : inline + shape.offset], shape.order)
        found.setdefault(tag, Entry(type=type_, count=values, at=where))
    return found


def numbers(stream: Stream, shape: Shape, entry: Entry | None) -> tuple[int, ...]:
    """The first values of an entry as whole numbers, without a sign; none where it has others. Raises ImageRejected."""
    if entry is None or entry.type not in WHOLE_NUMBERS:
        return ()
    size, count = SIZES[entry.type], min(entry.count, MAX_VALUES)
    stream.seek(entry.at)
    data = stream.take(size * count)
    return tuple(int.from_bytes(data[at : at + size], shape.order) for at in range(0, len(data), size))


def orientation(exif: bytes) -> int:
    """EXIF orientation, 1 to 8, of an EXIF block, with or without "Exif" before it; 1 where it makes no sense."""
    data = exif.removeprefix(b"Exif\0\0")
    if data[:4] not in (b"II*\0", b"MM\0*"):
        return 1
    stream = Stream(BytesIO(data))
    try:
        shape, at = begun(stream)
        found = numbers(stream, shape, entries(stream, shape, at).get(ORIENTATION))
    except ImageRejected:
        return 1  # a broken EXIF block is no reason to refuse good pixels
    return found[0] if found and 1 <= found[0] <= 8 else 1
