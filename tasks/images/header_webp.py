"""The header of a WebP: its first chunk, and a walk over the others (RFC 9649). Pure."""

from dataclasses import dataclass

from tasks.images import refusals
from tasks.images.header_ifd import orientation
from tasks.images.header_stream import Stream
from tasks.images.model import Header, Limits

MAX_CHUNKS = 100_000
MAX_EXIF = 1024 * 1024
ANIMATED, ALPHA, PROFILE = 0x02, 0x10, 0x20  # flags of the chunk VP8X


@dataclass(kw_only=True, slots=True)
class _Found:
    frames: int = 0
    orientation: int = 1
    profile: bool = False


def read(stream: Stream, limits: Limits) -> Header:
    """Read the size from the first chunk, and what else there is from those behind it. Raises ImageRejected."""
    stream.seek(4)
    end = min(stream.size, stream.number(4, "little") + 8)  # what stands behind it is not part of the picture
    stream.seek(12)
    name, length = stream.take(4), stream.number(4, "little")
    match name:
        case b"VP8 ":
            width, height = _lossy(stream)
            return Header(format="webp", width=width, height=height)
        case b"VP8L":
            width, height, alpha = _lossless(stream)
            return Header(format="webp", width=width, height=height, has_alpha=alpha)
        case b"VP8X" if length >= 10:
            return _extended(stream, limits, stream.place + length + length % 2, end)
        case _:
            raise refusals.unreadable()


def _lossy(stream: Stream) -> tuple[int, int]:
    """RFC 6386, 9.1: three bytes of which the lowest bit says key frame, a start code, sides of 14 bits."""
    data = stream.take(10)
    if data[0] & 1 or data[3:6] != b"\x9d\x01\x2a":
        raise refusals.unreadable()
    return int.from_bytes(data[6:8], "little") & 0x3FFF, int.from_bytes(data[8:10], "little") & 0x3FFF


def _lossless(stream: Stream) -> tuple[int, int, bool]:
    """RFC 9649, 3.4: a signature, sides less one of 14 bits, whether alpha is used, a version of 3 bits."""
    if stream.number(1) != 0x2F:
        raise refusals.unreadable()
    bits = stream.number(4, "little")
    if bits >> 29:
        raise refusals.unreadable()
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bits >> 28 & 1 == 1


def _extended(stream: Stream, limits: Limits, place: int, end: int) -> Header:
    flags = stream.take(4)[0]
    width, height = stream.number(3, "little") + 1, stream.number(3, "little") + 1
    found = _Found()
    for _ in range(MAX_CHUNKS):
        if place + 8 > end or found.frames > limits.max_frames:
            break
        stream.seek(place)
        name, length = stream.take(4), stream.number(4, "little")
        place = stream.place + length + length % 2
        if place <= end + length % 2:
            _chunk(stream, found, name, length, (width, height))
    else:
        raise refusals.unreadable(f"The WebP has more than {MAX_CHUNKS:,} chunks.", "Save it again as a plain WebP.")
    if flags & ANIMATED and not found.frames:
        raise refusals.truncated()
    return Header(
        format="webp",
        width=width,
        height=height,
        orientation=found.orientation,
        frames=found.frames if flags & ANIMATED else 1,
        has_alpha=bool(flags & ALPHA),
        has_profile=bool(flags & PROFILE) and found.profile,
    )


def _chunk(stream: Stream, found: _Found, name: bytes, length: int, canvas: tuple[int, int]) -> None:
    """Note what the chunk tells; pixels of another size than the canvas holds are a lie."""
    match name:
        case b"VP8 " if _lossy(stream) != canvas:
            raise refusals.unreadable()
        case b"VP8L" if _lossless(stream)[:2] != canvas:
            raise refusals.unreadable()
        case b"ANMF" if length >= 16:
            left, top, width, height = (stream.number(3, "little") for _ in range(4))
            if 2 * left + width + 1 > canvas[0] or 2 * top + height + 1 > canvas[1]:
                raise refusals.unreadable()
            found.frames += 1
        case b"EXIF" if length <= MAX_EXIF:
            found.orientation = orientation(stream.take(length))
        case b"ICCP":
            found.profile = True
