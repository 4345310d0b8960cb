"""The header of a BMP (Windows' BITMAPINFOHEADER and its successors, OS/2's two kinds). Pure."""

from tasks.images import refusals
from tasks.images.header_stream import Stream
from tasks.images.model import Header

SMALLEST = 12  # bytes of OS/2's header, whose sides have 16 bits
KINDS = frozenset({SMALLEST, 40, 52, 56, 64, 108, 124})
DEPTHS = (1, 4, 8, 16, 24, 32)
PACKED = (4, 5)  # a JPEG or PNG within
MASKS = 56  # from this kind on the header has a mask of alpha, at byte 52


def read(stream: Stream) -> Header:
    """Read size and depth; a negative height means that rows begin above. Raises ImageRejected."""
    stream.seek(14)
    kind = stream.number(4, "little")
    if kind not in KINDS:
        raise refusals.unreadable()
    header = bytes(4) + stream.take(kind - 4)
    if kind == SMALLEST:
        width, height, _planes, bits = (int.from_bytes(header[at : at + 2], "little") for at in (4, 6, 8, 10))
        _check(bits)
        return Header(format="bmp", width=width, height=height)
    width, height = (int.from_bytes(header[at : at + 4], "little", signed=True) for at in (4, 8))
    if int.from_bytes(header[16:20], "little") in PACKED:
        raise refusals.unsupported("A JPEG or PNG within a BMP", "Send it as what it is.")
    bits = int.from_bytes(header[14:16], "little")
    _check(bits)
    alpha = bits == 32 and kind >= MASKS and any(header[52:56])
    return Header(format="bmp", width=max(0, width), height=abs(height), has_alpha=alpha)


def _check(bits: int) -> None:
    if bits not in DEPTHS:
        raise refusals.unsupported(f"A BMP of {bits} bits a pixel", "Save it again with 24.")
