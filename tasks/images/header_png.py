"""The header of a PNG: a walk over its chunks (PNG, third edition; APNG is part of it). Pure."""

import struct
import zlib
from dataclasses import dataclass

from tasks.images import refusals
from tasks.images.header_ifd import orientation
from tasks.images.header_stream import Stream
from tasks.images.model import Header, ImageRejected

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_CHUNKS = 100_000  # of 8 kB, as encoders write them, they hold more than a file may have
MAX_UNPACKED = 8 * 1024 * 1024  # bytes of all compressed texts and of the profile together
UNPACKED_IN_VAIN = 512 * 1024  # what a damaged one is taken for: that it was work, too, must not be forgotten
MAX_EXIF = 1024 * 1024
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}  # of a channel, by colour type
WITH_ALPHA = (4, 6)


@dataclass(kw_only=True, slots=True)
class _Found:
    frames: int = 1
    orientation: int = 1
    transparency: bool = False
    profile: bool = False
    pixels: bool = False
    unpacked: int = 0


def read(stream: Stream) -> Header:
    """Walk over all chunks; what stands behind the pixels counts, too. Raises ImageRejected."""
    width, height, colour_type = _first(stream)
    found = _Found()
    for _ in range(MAX_CHUNKS):
        if stream.left < 8:
            break  # it is cut short, which those find who decode it
        length, name = struct.unpack(">I4s", stream.take(8))
        if name == b"IEND" or length + 4 > stream.left:
            break
        end = stream.place + length + 4
        _chunk(stream, found, name, length)
        stream.seek(end)
    else:
        raise refusals.unreadable(f"The PNG has more than {MAX_CHUNKS:,} chunks.", "Save it again as a plain PNG.")
    return Header(
        format="png",
        width=width,
        height=height,
        orientation=found.orientation,
        frames=found.frames,
        has_alpha=colour_type in WITH_ALPHA or found.transparency,
        has_profile=found.profile,
    )


def _first(stream: Stream) -> tuple[int, int, int]:
    stream.seek(len(SIGNATURE))
    length, name = struct.unpack(">I4s", stream.take(8))
    if (length, name) != (13, b"IHDR"):
        raise refusals.unreadable()
    data = stream.take(13)
    width, height, depth, colour_type, packing, filtering, interlace = struct.unpack(">IIBBBBB", data)
    if stream.number(4) != zlib.crc32(b"IHDR" + data):
        raise refusals.unreadable()
    if depth not in DEPTHS.get(colour_type, ()) or packing or filtering or interlace > 1 or max(width, height) >> 31:
        raise refusals.unreadable()
    return width, height, colour_type


def _chunk(stream: Stream, found: _Found, name: bytes, length: int) -> None:
    match name:
        case b"IDAT":
            found.pixels = True
        case b"acTL" if not found.pixels and length == 8:
            found.frames = max(1, stream.number(4))
        case b"tRNS":
            found.transparency |= not found.pixels
        case b"eXIf" if length <= MAX_EXIF:
            found.orientation = orientation(stream.take(length))
        case b"iCCP":
            found.profile |= not found.pixels
            _unpack(stream, found, length, texts=1)
        case b"zTXt":
            _unpack(stream, found, length, texts=1)
        case b"iTXt":
            _unpack(stream, found, length, texts=3)


def _unpack(stream: Stream, found: _Found, length: int, *, texts: int) -> None:
    """Refuse what would unpack to more than anyone needs, before a library does it; broken data is no reason to."""
    if length > MAX_UNPACKED:
        raise _too_much()
    rest = stream.take(length).partition(b"\0")[2]
    if texts == 3:  # flag, method, language, translated keyword
        packed = rest[:1] == b"\1"
        rest = rest[2:].split(b"\0", 2)[-1] if packed else b""
    else:
        rest = rest[1:]
    try:
        found.unpacked += len(zlib.decompressobj().decompress(rest, MAX_UNPACKED + 1)) if rest else 0
    except zlib.error:
        found.unpacked += UNPACKED_IN_VAIN
    if found.unpacked > MAX_UNPACKED:
        raise _too_much()


def _too_much() -> ImageRejected:
    return refusals.too_large(
        f"The PNG's texts and colour profile have more than {MAX_UNPACKED:,} bytes.", "Save it again without them."
    )
