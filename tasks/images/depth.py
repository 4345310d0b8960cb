"""How many bits a channel has in a picture's file; decoders make eight of them. Pure."""

from tasks.images import header_ifd
from tasks.images.header_boxes import Boxes
from tasks.images.header_stream import Stream
from tasks.images.model import Header, ImageRejected

TIFF_BITS = 258
MAX_CHANNELS = 16


def bits(stream: Stream, header: Header, *, page: int = 1) -> int:
    """Bits of the widest channel, or of the numbers of a palette's colours; 8 where the file does not tell.

    `header` is what headers.read has said of the file.
    """
    try:
        match header.format:
            case "png":
                stream.seek(24)  # PNG, third edition, 11.2.1: behind signature, chunk's head, width and height
                return stream.number(1)
            case "tiff":
                return _tiff(stream, page)
            case "avif" | "heic":
                return _heif(Boxes(stream))
    except ImageRejected:
        pass
    return 8 if header.jpeg is None else header.jpeg.bits


def _tiff(stream: Stream, page: int) -> int:
    """TIFF 6.0, section 8: one number a channel, and 1 where there is none."""
    shape, place = header_ifd.begun(stream)
    for _ in range(page - 1):
        count = header_ifd.length(stream, shape, place)
        stream.skip(count * shape.entry)
        place = stream.number(shape.offset, shape.order)
    return max(header_ifd.numbers(stream, shape, header_ifd.entries(stream, shape, place).get(TIFF_BITS)) or (1,))


def _heif(boxes: Boxes) -> int:
    """ISO/IEC 23008-12, 6.5.6: the property of that name lists each channel's bits, of masks and thumbnails, too."""
    stream, most = boxes.stream, 0
    meta = next((box for box in boxes.within(0, stream.size) if box.type == b"meta"), None)
    container = boxes.first(meta, b"iprp", b"ipco", skip=4) if meta else None
    for box in boxes.within(container.begin, container.end) if container else ():
        if box.type == b"pixi":
            stream.seek(box.begin + 4)
            most = max(most, *stream.take(min(stream.number(1), MAX_CHANNELS)), 0)
    return most or 8
