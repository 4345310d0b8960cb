"""The header of a GIF, whose frames nothing but walking counts (GIF89a specification, section 17 on). Pure."""

import math
from dataclasses import dataclass

from tasks.images import refusals
from tasks.images.header_stream import Stream
from tasks.images.model import Header, ImageRejected, Limits

MAX_BLOCKS = 2_200_000  # of at most 255 bytes: more than a file of 512 MiB has, if they are full
EXTENSION, IMAGE, CONTROL = 0x21, 0x2C, 0xF9


@dataclass(kw_only=True, slots=True)
class _Found:
    frames: int = 0
    screen: tuple[int, int] = (0, 0)  # of the first frame, too, where that is larger
    reached: tuple[int, int] = (0, 0)  # by any frame
    transparency: bool = False
    blocks: int = 0


def read(stream: Stream, limits: Limits) -> Header:
    """Walk over the blocks, up to one frame more than is allowed. Raises ImageRejected.

    The size is that of the screen, or of a first frame that reaches beyond it; what later ones show beyond it is cut
    off. A file that is cut short has the frames that begin in it.
    """
    stream.seek(6)
    found = _Found(screen=(stream.number(2, "little"), stream.number(2, "little")))
    flags, cut = stream.take(3)[0], False
    try:
        stream.skip(_colours(flags))
        while found.frames <= limits.max_frames and _block(stream, found):
            pass
    except ImageRejected as exc:
        if exc.code != "image_truncated":
            raise
        cut = True
    if not found.frames:
        raise refusals.truncated() if cut else refusals.unreadable("The GIF has no picture in it.")
    if math.prod(found.reached) > limits.max_pixels:
        raise refusals.too_many_pixels(limits)
    width, height = found.screen
    return Header(format="gif", width=width, height=height, frames=found.frames, has_alpha=found.transparency)


def _block(stream: Stream, found: _Found) -> bool:
    """Move behind the next block; False at the end."""
    kind = stream.number(1)
    if kind == EXTENSION:
        _extension(stream, found)
    elif kind == IMAGE:
        _image(stream, found)
    else:
        return False
    _count(found)
    while size := stream.take(1)[0]:
        stream.skip(size)
        _count(found)
    return True


def _count(found: _Found) -> None:
    found.blocks += 1
    if found.blocks > MAX_BLOCKS:
        raise refusals.unreadable(f"The GIF has more than {MAX_BLOCKS:,} blocks.", "Save it again as a plain GIF.")


def _extension(stream: Stream, found: _Found) -> None:
    if stream.number(1) == CONTROL:
        size = stream.number(1)
        found.transparency |= size > 0 and stream.take(1)[0] & 1 == 1
        stream.skip(max(0, size - 1))


def _image(stream: Stream, found: _Found) -> None:
    left, top, width, height = (stream.number(2, "little") for _ in range(4))
    found.frames += 1
    found.reached = (max(found.reached[0], left + width), max(found.reached[1], top + height))
    if found.frames == 1:
        found.screen = (max(found.screen[0], left + width), max(found.screen[1], top + height))
    stream.skip(_colours(stream.number(1)) + 1)


def _colours(flags: int) -> int:
    """Bytes of the table of colours that follows."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0
