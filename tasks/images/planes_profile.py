"""Whether a JPEG's colours are those of sRGB already, so that its planes can stay as they are. Pure."""

from collections.abc import Iterator

from tasks.images import colours
from tasks.images.model import Header
from tasks.images.turbojpeg import Pixels

APP2, SOS = 0xE2, 0xDA
NAME = b"ICC_PROFILE\0"  # then the number of this piece, from 1 on, and of all pieces, a byte each (ICC.1, B.4)
START = len(NAME) + 2


def is_srgb(header: Header, data: Pixels) -> bool:
    """Whether a file [bytes] needs no conversion: without a profile, or with one that changes nothing.

    A profile that cannot be pieced together, or belongs to shades of grey, is the other engine's to judge.
    """
    if not header.has_profile:
        return True
    if header.jpeg is None or len(header.jpeg.components) != 3:
        return False
    profile = _embedded(data)
    return profile is not None and colours.srgb(colours.PROBE, profile) is colours.PROBE


def _embedded(data: Pixels) -> bytes | None:
    pieces, counts = dict[int, bytes](), set[int]()
    for segment in _segments(data):
        if segment.startswith(NAME) and len(segment) > START:
            number, count = segment[START - 2 : START]
            if number in pieces:
                return None
            pieces[number] = segment[START:]
            counts.add(count)
    if counts != {len(pieces)} or set(pieces) != set(range(1, len(pieces) + 1)):
        return None
    return b"".join(pieces[number] for number in sorted(pieces))


def _segments(data: Pixels) -> Iterator[bytes]:
    """What the APP2 segments before the pixels hold; ends where the file is not as it should be."""
    place = 2
    while place + 4 <= len(data):
        first, marker, high, low = (int(byte) for byte in data[place : place + 4])
        length = high << 8 | low
        if first != 0xFF or marker in (SOS, 0xFF) or length < 2:
            return
        if marker == APP2:
            yield data[place + 4 : place + 2 + length].tobytes()
        place += 2 + length
