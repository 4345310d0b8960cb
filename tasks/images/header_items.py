"""The items of AVIF and HEIC files: what they are called, and where their data is (ISO/IEC 14496-12, 8.11). Pure."""

from collections.abc import Iterator, Mapping

from tasks.images import refusals
from tasks.images.header_boxes import Box, Boxes

MAX_ITEMS = 10_000
MAX_NAMES = 65_536  # bytes of an item's names


def types(boxes: Boxes, meta: Box) -> Mapping[int, bytes]:
    """The type of each item, by its number.

    Raises ImageRejected, for names that are no text, too: pi-heif 1.4 does not survive them.
    """
    stream, table = boxes.stream, boxes.first(meta, b"iinf", skip=4)
    found: dict[int, bytes] = {}
    if table is None:
        return found
    stream.seek(table.begin)
    skip = 8 if stream.number(4) >> 24 else 6
    for box in boxes.within(table.begin + skip, table.end):
        stream.seek(box.begin)
        number = stream.number(4 if stream.number(4) >> 24 >= 3 else 2)
        stream.skip(2)
        found[number] = _text(stream.take(min(MAX_NAMES + 1, max(0, box.end - stream.place))))[:4]
    return found


def places(boxes: Boxes, meta: Box) -> Iterator[tuple[int, int]]:
    """The number of each item that lies in the file, and where its data begins. Raises ImageRejected."""
    stream, table = boxes.stream, boxes.first(meta, b"iloc", skip=4)
    if table is None:
        return
    stream.seek(table.begin)
    version, sizes = stream.number(4) >> 24, stream.number(2)
    offset, length, base, index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    for _ in range(min(stream.number(4 if version == 2 else 2), MAX_ITEMS)):
        number = stream.number(4 if version == 2 else 2)
        elsewhere = version in (1, 2) and stream.number(2) & 15  # in the box idat, or made of other items
        stream.skip(2)
        begin = stream.number(base)
        extents = stream.number(2)
        each = (index if version in (1, 2) else 0) + offset + length
        entries = stream.take(extents * each)
        if extents and not elsewhere:
            first = entries[each - offset - length : each - length]
            place = stream.place
            yield number, begin + int.from_bytes(first)
            stream.seek(place)


def _text(words: bytes) -> bytes:
    try:
        words.decode()
    except UnicodeDecodeError as exc:
        raise refusals.unreadable() from exc
    if len(words) > MAX_NAMES:
        raise refusals.unreadable()
    return words
