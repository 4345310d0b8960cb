"""The EXIF block of a picture: what of it may stand in a picture made of it, and what it says. Pure.

A block is a TIFF without pixels (TIFF 6.0, section 2; EXIF 2.32, section 4.6): a few tables of entries, of which we
follow only the three that matter, each once. It comes from strangers: what makes no sense in it is left out, and
nothing in here raises for it.
"""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from tasks.exif_tags import EXIF, GPS, IFD0, TAGS
from tasks.images import exif_values
from tasks.images.exif_values import Order, Raw, Value

PREFIX = b"Exif\0\0"
MAX_BYTES = 65_000  # of a block: the segment of a JPEG that carries it holds 65,533
MAX_ENTRIES = 512  # of a table; cameras write fewer than a hundred
ORDERS: Mapping[bytes, Order] = {b"II*\0": "<", b"MM\0*": ">"}
BYTES_OF = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 129: 1}  # by type
TEXTS = frozenset({2, 129})
SHORT, LONG, IFD = 3, 4, 13
JPEG_BEGINS = b"\xff\xd8\xff"

ORIENTATION, ARTIST, COPYRIGHT, MAKER_NOTE = 0x0112, 0x013B, 0x8298, 0x927C
POINTERS = (EXIF, GPS)  # the tags in IFD0 that point to the other tables

# What speaks of the file that the block came from, and would be untrue in another, or a second way to say the same:
# sizes, where pixels and thumbnails lie, what their values mean, the profile, XMP, IPTC and Photoshop's blocks.
OF_THE_FILE = frozenset(
    {*range(0x00FE, 0x0104), 0x0106, 0x010A, 0x0111, 0x0115, 0x0116, 0x0117, 0x011C, 0x012D, *range(0x013D, 0x014B)}
    | {0x0152, 0x0153, 0x015B, *range(0x0200, 0x0215), 0x02BC, 0x83BB, 0x8649, 0x8773, 0xA001, 0xA002, 0xA003, 0xA005}
    | {0xA500}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One value: `count` of its `type`, in the block's byte order; `place` is where it lies if not in the table."""

    type: int
    count: int
    value: memoryview
    place: int | None = None


Tables = Mapping[int, Mapping[int, Entry]]  # by the tag that points to it, IFD0 for the first: entries by tag


def kept(exif: bytes | None, metadata: Literal["strip", "copyright", "all"]) -> bytes | None:
    """What may stand in a picture that is made of the one with this block: a block under 64 KB, or None if nothing.

    It begins with PREFIX, as in a JPEG: Pillow's `exif=` and libvips' `exif-data` take it so for every format that they
    write. "copyright" keeps Artist and Copyright; "all" keeps everything, the place and serial numbers too, but for
    what is true of the old file only: the orientation is 1, thumbnails and previews go (they show what has been cut
    off), and so do sizes, colour space, XMP and the like.
    """
    if metadata == "strip" or exif is None or (found := _parsed(exif)) is None:
        return None
    order, tables = found
    if metadata == "copyright":
        owners = {tag: entry for tag, entry in tables[IFD0].items() if tag in (ARTIST, COPYRIGHT)}
        return _written(order, _fitting({IFD0: {tag: entry for tag, entry in owners.items() if entry.type in TEXTS}}))
    return _written(order, _fitting({of: _still_true(order, entries) for of, entries in tables.items()}))


def fields(exif: bytes, names: Iterable[str]) -> dict[str, Value]:
    """What the block says under these names, of tasks.exif_tags, as exif_values.told gives it.

    Left out are names that it does not have, or that nobody knows. GPSInfo stands for all names that begin with GPS.
    """
    if (found := _parsed(exif)) is None:
        return {}
    order, tables = found
    raw = {
        TAGS[of, tag]: Raw(order=order, type=entry.type, count=entry.count, data=entry.value)
        for of, entries in tables.items()
        for tag, entry in entries.items()
        if (of, tag) in TAGS
    }
    return exif_values.told(raw, names)


def _parsed(exif: bytes) -> tuple[Order, Tables] | None:
    """The byte order and the tables, of which IFD0 is always there; None if it is no block."""
    block = memoryview(exif)
    if block[: len(PREFIX)] == PREFIX:
        block = block[len(PREFIX) :]
    order = ORDERS.get(bytes(block[:4]))
    if order is None or len(block) < 8:
        return None
    first = _table(block, order, *struct.unpack_from(order + "I", block, 4))
    tables = {IFD0: first}
    for pointer in POINTERS:
        entry = first.pop(pointer, None)
        if entry is not None and entry.type in (LONG, IFD) and entry.count == 1:
            tables[pointer] = _table(block, order, *struct.unpack(order + "I", entry.value))
    return order, tables


def _table(block: memoryview, order: Order, place: int) -> dict[int, Entry]:
    """The entries of the table at this place that make sense; of two with one tag, the first."""
    entries: dict[int, Entry] = {}
    if not 8 <= place <= len(block) - 2:
        return entries
    (count,) = struct.unpack_from(order + "H", block, place)
    for at in range(place + 2, min(place + 2 + 12 * min(count, MAX_ENTRIES), len(block) - 11), 12):
        tag, type_, many = struct.unpack_from(order + "HHI", block, at)
        size = BYTES_OF.get(type_, 0) * many
        (start,) = struct.unpack_from(order + "I", block, at + 8) if size > 4 else (at + 8,)
        if tag not in entries and 0 < size <= len(block) - start and start >= 8:
            value = block[start : start + size]
            entries[tag] = Entry(type=type_, count=many, value=value, place=start if size > 4 else None)
    return entries


def _still_true(order: Order, entries: Mapping[int, Entry]) -> dict[int, Entry]:
    """What is true of a picture that is made of this one, too."""
    left = {tag: entry for tag, entry in entries.items() if tag not in OF_THE_FILE and tag not in POINTERS}
    if ORIENTATION in left:
        left[ORIENTATION] = Entry(type=SHORT, count=1, value=memoryview(struct.pack(order + "H", 1)))
    return left


def _fitting(tables: Tables) -> Tables:
    """The same without previews, and without the largest values as long as they are too much for MAX_BYTES."""
    found = [(len(entry.value), of, tag) for of, entries in tables.items() for tag, entry in entries.items()]
    room = MAX_BYTES - len(PREFIX) - 8 - sum(6 + 12 for _ in tables) - 12 * len(found)
    fits: dict[int, dict[int, Entry]] = {of: {} for of in tables}
    for _, of, tag in sorted(found):
        entry = tables[of][tag]
        room -= _outside(entry)
        if room < 0:
            break
        if JPEG_BEGINS not in bytes(entry.value):
            fits[of][tag] = entry
    return fits


def _written(order: Order, tables: Tables) -> bytes | None:
    """A block of these tables; None if there is nothing in them."""
    filled = {of: dict(entries) for of, entries in tables.items() if entries}
    if not filled:
        return None
    first = filled.setdefault(IFD0, {})
    pointers = [of for of in POINTERS if of in filled]
    first.update((of, _pointing(order, 0)) for of in pointers)  # they take room
    starts, end = _layout(filled)
    first.update((of, _pointing(order, starts[of, None])) for of in pointers)
    block = bytearray(end)
    magic = next(magic for magic, its in ORDERS.items() if its == order)
    struct.pack_into(order + "4sI", block, 0, magic, starts[IFD0, None])
    for of, entries in filled.items():
        at = starts[of, None]
        struct.pack_into(order + "H", block, at, len(entries))
        for number, tag in enumerate(sorted(entries)):
            entry, own = entries[tag], at + 2 + 12 * number
            start = starts.get((of, tag), own + 8)
            struct.pack_into(order + "HHI", block, own, tag, entry.type, entry.count)
            if (of, tag) in starts:
                struct.pack_into(order + "I", block, own + 8, start)
            block[start : start + len(entry.value)] = entry.value
    return PREFIX + bytes(block)


def _layout(tables: Tables) -> tuple[dict[tuple[int, int | None], int], int]:
    """Where each table (tag None) and each value outside of its table begins, and where the last one ends.

    The maker's notes stay where they were, if there is room: they speak of places by the distance from the block's
    beginning, and could not be read elsewhere.
    """
    sizes: dict[tuple[int, int | None], int] = {(of, None): 6 + 12 * len(tables[of]) for of in sorted(tables)}
    for of, entries in tables.items():
        sizes |= {(of, tag): size for tag, entry in entries.items() if (size := _outside(entry))}
    starts: dict[tuple[int, int | None], int] = {}
    stays = range(0)
    notes = tables.get(EXIF, {}).get(MAKER_NOTE)
    if notes is not None and notes.place is not None and notes.place + sum(sizes.values()) <= MAX_BYTES - len(PREFIX):
        stays = range(notes.place, notes.place + sizes.pop((EXIF, MAKER_NOTE)))
        starts[EXIF, MAKER_NOTE] = stays.start
    end = 8
    for key, size in sizes.items():
        if end < stays.stop and end + size > stays.start:
            end = stays.stop + stays.stop % 2
        starts[key], end = end, end + size
    return starts, max(end, stays.stop)


def _pointing(order: Order, place: int) -> Entry:
    return Entry(type=LONG, count=1, value=memoryview(struct.pack(order + "I", place)))


def _outside(entry: Entry) -> int:
    """The bytes that a value takes outside of its table, with one that makes the next one's place even."""
    size = len(entry.value)
    return size + size % 2 if size > 4 else 0
