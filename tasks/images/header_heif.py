"""The header of AVIF and HEIC files: brands, and the properties of the picture that counts (ISO/IEC 23008-12). Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.images import header_av1, header_items, refusals
from tasks.images.header_boxes import Box, Boxes
from tasks.images.header_stream import Stream
from tasks.images.model import Header, Limits

AVIF = frozenset({b"avif", b"avis"})
HEIC = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
NEUTRAL = frozenset({b"mif1", b"mif2", b"msf1", b"miaf", b"1pic"})  # say nothing of how the pixels are packed
SEQUENCE, AV1 = b"avis", b"av01"
MAX_BRANDS = 64
ALPHA_KINDS = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")

# Quarter turns anticlockwise, then the mirror (None, 0: top and bottom, 1: left and right change places) → EXIF.
TURNS = {
    (0, None): 1,
    (1, None): 8,
    (2, None): 3,
    (3, None): 6,
    (0, 0): 4,
    (1, 0): 5,
    (2, 0): 2,
    (3, 0): 7,
    (0, 1): 2,
    (1, 1): 7,
    (2, 1): 4,
    (3, 1): 5,
}


@dataclass(kw_only=True, slots=True)
class _Picture:
    width: int = 0
    height: int = 0
    turn: int = 0
    mirror: int | None = None
    clean: tuple[int, int] | None = None


def format_of(stream: Stream) -> str | None:
    """avif or heic, by the brands in the first box; None for films and what else begins like that.

    Raises ImageRejected.
    """
    stream.seek(0)
    size = min(stream.number(4), 8 * MAX_BRANDS)
    stream.skip(4)
    brands = stream.take(max(0, size - 8))
    major, others = brands[:4], {brands[at : at + 4] for at in range(8, len(brands) - 3, 4)}
    for format_, known in (("avif", AVIF), ("heic", HEIC)):
        if major in known or (major in NEUTRAL and not others.isdisjoint(known)):
            return format_
    return None


def read(stream: Stream, limits: Limits, format_: str) -> Header:
    """Read size, turns and frames. Raises ImageRejected.

    HEIC is described as its library gives it: turned and cut already; AVIF as it is stored.
    """
    boxes = Boxes(stream)
    tops = {box.type: box for box in boxes.within(0, stream.size)}
    meta = tops.get(b"meta")
    if meta is None:
        raise refusals.truncated() if b"mdat" not in tops else refusals.unreadable()
    primary = boxes.first(meta, b"pitm", skip=4)
    container = boxes.first(meta, b"iprp", b"ipco", skip=4)
    used = boxes.first(meta, b"iprp", b"ipma", skip=4)
    if primary is None or container is None or used is None:
        raise refusals.unreadable()
    properties = list(boxes.within(container.begin, container.end))
    own = _own_properties(stream, used, _item(stream, primary))
    picture = _picture(stream, [properties[number - 1] for number in own if 0 < number <= len(properties)])
    alpha, profile = False, False  # of tiles, too
    for box in properties:
        if box.type == b"ispe" and math.prod(_size(stream, box)) > limits.max_pixels:
            raise refusals.too_many_pixels(limits)  # of tiles, thumbnails and masks, too: who knows what is decoded
        profile |= box.type == b"colr" and _start(stream, box) in (b"prof", b"rICC")
        alpha |= box.type == b"auxC" and _text(stream, box, 4) in ALPHA_KINDS
    types, frames = header_items.types(boxes, meta), 1
    if format_ == "avif":
        for number, place in header_items.places(boxes, meta):
            if types.get(number) == AV1:
                _bound_pixels(stream, place, limits)
        if b"moov" in tops and _major(stream) == SEQUENCE:
            frames = _frames(boxes, tops[b"moov"], limits)
    return _header(picture, format_, frames, alpha=alpha, profile=profile)


def _header(picture: _Picture, format_: str, frames: int, *, alpha: bool, profile: bool) -> Header:
    width, height, orientation = picture.width, picture.height, TURNS[picture.turn, picture.mirror]
    if format_ == "heic":
        width, height = picture.clean or (width, height)
        if orientation >= 5:
            width, height = height, width
        orientation = 1
    return Header(
        format=format_,
        width=width,
        height=height,
        orientation=orientation,
        frames=frames,
        has_alpha=alpha,
        has_profile=profile,
    )


def _major(stream: Stream) -> bytes:
    stream.seek(8)
    return stream.take(4)


def _item(stream: Stream, box: Box) -> int:
    stream.seek(box.begin)
    version = stream.number(4) >> 24
    return stream.number(4 if version else 2)


def _own_properties(stream: Stream, box: Box, item: int) -> Sequence[int]:
    """The numbers of an item's properties, from 1, in their order."""
    stream.seek(box.begin)
    head = stream.number(4)
    wide, long = head & 1, head >> 24 >= 1
    for _ in range(min(stream.number(4), header_items.MAX_ITEMS)):
        this, count = stream.number(4 if long else 2), stream.number(1)
        data = stream.take(count * (2 if wide else 1))
        if this == item:
            if wide:
                return [int.from_bytes(data[at : at + 2]) & 0x7FFF for at in range(0, len(data), 2)]
            return [number & 0x7F for number in data]
    raise refusals.unreadable()


def _picture(stream: Stream, properties: Sequence[Box]) -> _Picture:
    found = _Picture()
    for box in properties:
        match box.type:
            case b"ispe":
                found.width, found.height = _size(stream, box)
            case b"irot":
                stream.seek(box.begin)
                found.turn = stream.number(1) & 3
            case b"imir":
                stream.seek(box.begin)
                found.mirror = stream.number(1) & 1
            case b"clap":
                stream.seek(box.begin)
                across, across_by, down, down_by = (stream.number(4) for _ in range(4))
                if across_by and down_by:
                    found.clean = (across // across_by, down // down_by)
    return found


def _start(stream: Stream, box: Box) -> bytes:
    stream.seek(box.begin)
    return stream.take(4)


def _size(stream: Stream, box: Box) -> tuple[int, int]:
    stream.seek(box.begin + 4)
    return stream.number(4), stream.number(4)


def _text(stream: Stream, box: Box, skip: int) -> bytes:
    stream.seek(box.begin + skip)
    return stream.take(min(box.end - stream.place, 256)).partition(b"\0")[0]


def _bound_pixels(stream: Stream, place: int, limits: Limits) -> None:
    """Refuse data of more pixels than its properties tell, or may tell."""
    if place < stream.size:
        stream.seek(place)
        size = header_av1.size(stream.take(min(header_av1.BYTES, stream.left)))
        if size is not None and math.prod(size) > limits.max_pixels:
            raise refusals.too_many_pixels(limits)


def _frames(boxes: Boxes, moov: Box, limits: Limits) -> int:
    """The samples of the longest track of pictures."""
    most, stream = 1, boxes.stream
    for track in boxes.within(moov.begin, moov.end):
        table = boxes.first(track, b"mdia", b"minf", b"stbl") if track.type == b"trak" else None
        if table is None:
            continue
        if sizes := boxes.first(table, b"stsz"):
            stream.seek(sizes.begin + 8)
            most = max(most, stream.number(4))
        if chunks := boxes.first(table, b"stco"):
            stream.seek(chunks.begin + 8)
            _bound_pixels(stream, stream.number(4), limits)
    return most
