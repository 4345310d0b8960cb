"""How long an animation takes, by the delays that its file gives to the frames. Pure."""

from collections.abc import Iterator
from contextlib import suppress

from tasks.images.header_boxes import Boxes
from tasks.images.header_gif import MAX_BLOCKS
from tasks.images.header_png import SIGNATURE
from tasks.images.header_stream import Stream
from tasks.images.model import Header, ImageRejected

EXTENSION, IMAGE, CONTROL = 0x21, 0x2C, 0xF9  # of GIF
HUNDREDTH, THOUSANDTH = 0.01, 0.001  # of a second


def seconds(stream: Stream, header: Header) -> float:
    """The delays of all frames together, as the file has them; browsers show very short ones for longer.

    `header` is what headers.read has said of the file, which has thereby bounded how far this walks. A file that is cut
    short counts as far as it goes.
    """
    total = 0.0
    with suppress(ImageRejected):
        for delay in _delays(stream, header.format):
            total += delay
    return round(total, 3)


def _delays(stream: Stream, format_: str) -> Iterator[float]:
    match format_:
        case "gif":
            return _gif(stream)
        case "webp":
            return _webp(stream)
        case "png":
            return _png(stream)
        case "avif":
            return _avif(Boxes(stream))
        case _:
            return iter(())


def _gif(stream: Stream) -> Iterator[float]:
    """GIF89a specification, sections 18 to 26: a frame's delay stands in an extension before it."""
    stream.seek(10)
    stream.skip(2 + _colours(stream.number(1)))
    left = MAX_BLOCKS
    while left > 0 and (block := stream.number(1)) in (EXTENSION, IMAGE):
        control = block == EXTENSION and stream.number(1) == CONTROL
        if block == IMAGE:
            stream.skip(8)
            stream.skip(_colours(stream.number(1)) + 1)
        while left > 0 and (size := stream.number(1)):
            data = stream.take(size)
            if control and size == 4:
                yield int.from_bytes(data[1:3], "little") * HUNDREDTH
            left -= 1


def _colours(flags: int) -> int:
    """Bytes of the table of colours that follows."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _webp(stream: Stream) -> Iterator[float]:
    """RFC 9649, 2.7.1.1: twelve bytes of place and size, then the delay in three."""
    stream.seek(4)
    end, place = stream.number(4, "little"), 12
    while place < end:  # what stands behind it is not part of the picture
        stream.seek(place)
        name, length = stream.take(4), stream.number(4, "little")
        place = stream.place + length + length % 2
        if name == b"ANMF":
            stream.skip(12)
            yield stream.number(3, "little") * THOUSANDTH


def _png(stream: Stream) -> Iterator[float]:
    """PNG, third edition, 11.3.6.2: a fraction of a second in two numbers of two bytes; 0 below it means 100."""
    place, name = len(SIGNATURE), b""
    while name != b"IEND":
        stream.seek(place)
        length, name = stream.number(4), stream.take(4)
        place = stream.place + length + 4
        if name == b"fcTL":
            stream.skip(20)
            above, below = stream.number(2), stream.number(2)
            yield above / (below or 100)


def _avif(boxes: Boxes) -> Iterator[float]:
    """ISO/IEC 14496-12, 8.4.2: how long the media of the first track are, without how often they are repeated."""
    stream = boxes.stream
    moov = next((box for box in boxes.within(0, stream.size) if box.type == b"moov"), None)
    head = boxes.first(moov, b"trak", b"mdia", b"mdhd") if moov else None
    if head is not None:
        stream.seek(head.begin)
        long = stream.number(4) >> 24 == 1
        stream.skip(16 if long else 8)
        scale, duration = stream.number(4), stream.number(8 if long else 4)
        if scale:
            yield duration / scale
