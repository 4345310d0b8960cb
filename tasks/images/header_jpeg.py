"""The header of a JPEG: what stands before its pixels, and how many scans they take (ITU-T T.81, annex B). Pure."""

import re
from dataclasses import dataclass, field

from tasks.images import refusals
from tasks.images.header_ifd import orientation
from tasks.images.header_stream import Stream
from tasks.images.model import Header, ImageRejected, JpegFrame

MAX_SEGMENTS = 4_096  # profiles and depth maps of phones take some hundred, of 64 kB each
MAX_SCANS = 100  # encoders write about ten; each costs a pass over the whole picture, however few its bytes
MAX_JUNK = 4_096  # bytes between two segments
BLOCK = 1 << 15

SOI, EOI, SOS, APP1, APP2, APP14 = 0xD8, 0xD9, 0xDA, 0xE1, 0xE2, 0xEE
ALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # markers that no length follows
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
PROGRESSIVE, ARITHMETIC = frozenset({0xC2, 0xCA}), frozenset({0xC9, 0xCA})
DECODED = frozenset({0xC0, 0xC1}) | PROGRESSIVE | ARITHMETIC  # neither lossless nor hierarchical
MARKER = re.compile(rb"\xff[^\x00\xff]")
SEGMENT = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")  # what begins a segment or ends the image, among pixels' data
SAVE_AGAIN = "Save it again as a plain JPEG."


@dataclass(kw_only=True, slots=True)
class _Found:
    size: tuple[int, int] = (0, 0)
    process: int = 0
    bits: int = 8
    components: list[int] = field(default_factory=list)
    sampling: list[tuple[int, int]] = field(default_factory=list)
    exif: bytes | None = None
    profile: bool = False
    adobe: int | None = None


def read(stream: Stream) -> Header:
    """Read up to the pixels, and count the scans where there can be several. Raises ImageRejected."""
    found = _Found()
    stream.seek(2)
    for _ in range(MAX_SEGMENTS):
        marker = _marker(stream)
        if marker in ALONE:
            continue
        if marker in (SOI, EOI):
            raise refusals.unreadable()
        length = stream.number(2) - 2
        if length < 0:
            raise refusals.unreadable()
        end = stream.place + length
        if marker == SOS:
            return _header(stream, found, length)
        _segment(stream, found, marker, length)
        stream.seek(end)
    raise refusals.unreadable(f"The JPEG has more than {MAX_SEGMENTS:,} blocks before its pixels.", SAVE_AGAIN)


def _marker(stream: Stream) -> int:
    """The next marker; what stands before it is skipped, as decoders do, but not without end."""
    first, second = stream.take(2)
    if first == 0xFF and second not in (0, 0xFF):
        return second
    stream.skip(-2)
    block = stream.take(min(MAX_JUNK, stream.left))
    if not (found := MARKER.search(block)):
        raise refusals.unreadable()
    stream.skip(found.end() - len(block))
    return block[found.end() - 1]


def _segment(stream: Stream, found: _Found, marker: int, length: int) -> None:
    if marker in FRAMES:
        _frame(stream, found, marker, length)
    elif marker == APP1 and found.exif is None and length >= 14:
        if stream.take(6) == b"Exif\0\0":
            found.exif = stream.take(length - 6)
    elif marker == APP2 and length >= 14:
        found.profile |= stream.take(12) == b"ICC_PROFILE\0"
    elif marker == APP14 and length >= 12 and (data := stream.take(12)).startswith(b"Adobe"):
        found.adobe = data[11]


def _frame(stream: Stream, found: _Found, marker: int, length: int) -> None:
    if found.process or length < 6:  # a second frame would be another picture than the one that was measured
        raise refusals.unreadable()
    if marker not in DECODED:
        raise refusals.unsupported("A lossless or hierarchical JPEG", SAVE_AGAIN)
    found.process = marker
    found.bits, height, width, count = (stream.number(size) for size in (1, 2, 2, 1))
    found.size = (width, height)
    if found.bits != 8:
        raise refusals.unsupported(f"A JPEG of {found.bits} bits a sample", "Save it again with 8 bits.")
    if count not in (1, 3, 4) or length != 6 + 3 * count:
        raise refusals.unreadable()
    for _ in range(count):
        name, factors, _table = stream.take(3)
        if not (1 <= factors >> 4 <= 4 and 1 <= factors & 15 <= 4):
            raise refusals.unreadable()
        found.components.append(name)
        found.sampling.append((factors >> 4, factors & 15))


def _header(stream: Stream, found: _Found, length: int) -> Header:
    if not found.process or length < 1:
        raise refusals.unreadable()
    in_scan = stream.number(1)
    if found.process in PROGRESSIVE or in_scan != len(found.components):
        _bound_scans(stream, length - 1)
    return Header(
        format="jpeg",
        width=found.size[0],
        height=found.size[1],
        orientation=orientation(found.exif or b""),
        has_profile=found.profile,
        jpeg=JpegFrame(
            bits=found.bits,
            progressive=found.process in PROGRESSIVE,
            arithmetic=found.process in ARITHMETIC,
            components=tuple(found.components),
            sampling=tuple(found.sampling),
            adobe_transform=found.adobe,
        ),
    )


def _bound_scans(stream: Stream, left: int) -> None:
    """Refuse a JPEG that repeats its scans to burn time: a megabyte of them can cost minutes."""
    scans = 1
    try:
        stream.skip(left)
        for _ in range(MAX_SEGMENTS):
            if (marker := _next_segment(stream)) in (None, EOI):
                return
            scans += marker == SOS
            if scans > MAX_SCANS:
                break
            stream.skip(max(0, stream.number(2) - 2))
    except ImageRejected:
        return  # it is cut short, which those find who decode it
    raise refusals.unreadable(f"The JPEG has more than {MAX_SCANS} scans, the most that we read.", SAVE_AGAIN)


def _next_segment(stream: Stream) -> int | None:
    """Move behind the next marker that is not part of the pixels' data; None if there is none."""
    while stream.left > 1:
        block = stream.take(min(BLOCK, stream.left))
        if found := SEGMENT.search(block):
            stream.skip(found.end() - len(block))
            return block[found.end() - 1]
        if block.endswith(b"\xff"):
            stream.skip(-1)
    return None
