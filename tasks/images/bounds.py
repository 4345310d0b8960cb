"""What is too large to be read or made: by the limits, by its format, and by the memory that it would take. Pure.

Beside a limit on memory libraries fail in ways that look like a damaged file, or end the process; so what cannot fit is
refused before. The bytes per pixel are what engines were seen to take, rounded up.
"""

import math
from collections.abc import Iterable

from tasks.images import refusals
from tasks.images.model import Format, Header, JpegFrame, Limits
from tasks.images.plan import Plan, Size

MEMORY = 900 * 1024 * 1024  # bytes, of the 1,024 MiB that a step of image.resize may take

HELD = 4  # bytes a pixel that is in memory
MOVING = 7  # bytes a pixel of an animation, all frames together, held and written

# Bytes for each pixel of the file while it is read in full, opaque or transparent; other formats come row by row.
READING = {"avif": (16, 20), "heic": (12, 15), "webp": (5, 5), "gif": (5, 5), "bmp": (8, 8)}
COEFFICIENT = 2  # bytes for each sample of a progressive JPEG, which are all held

# Bytes for each pixel of a picture that is written, those that are held among them: opaque or plain, and the others.
PLAIN = {Format.JPEG: 5, Format.PNG: 6, Format.WEBP: 9, Format.AVIF: 30, Format.GIF: 18, Format.TIFF: 7}
COSTLY = {Format.JPEG: 11, Format.PNG: 9, Format.WEBP: 28, Format.AVIF: 50, Format.GIF: 18, Format.TIFF: 9}


def bounded(
    plan: Plan, format_: Format, limits: Limits, *, frames: int = 1, transparent: bool = False, lossless: bool = False
) -> None:
    """Refuse a picture that its format cannot hold or that is too large; raises ImageRejected."""
    width, height = plan.canvas
    variant = plan.wanted.variant
    costly = transparent or lossless or variant.progressive
    if max(width, height) > format_.largest_side:
        reason = f"{format_.upper()} holds at most {format_.largest_side:,} a side"
    elif width * height * frames > limits.max_output_pixels:
        reason = f"a variant may have at most {limits.max_output_pixels:,} in all" + (
            f", its {frames:,} frames together" if frames > 1 else ""
        )
    elif memory(format_, plan.canvas, frames=frames, costly=costly) > MEMORY:
        reason = f"to write so many as {format_.upper()} takes more memory than there is"
    else:
        return
    raise refusals.too_large(
        f"The variant {variant.name!r} would have {width:,} by {height:,} pixels, and {reason}.",
        "Ask for a smaller one.",
    )


def memory(format_: Format, size: Size, *, frames: int = 1, costly: bool = False) -> int:
    """Bytes that it takes to write a picture of this size, if it is transparent, lossless or progressive `costly`."""
    each = MOVING if frames > 1 else (COSTLY if costly else PLAIN)[format_]
    return size[0] * size[1] * frames * each


def readable(header: Header, plans: Iterable[Plan], marks: Iterable[Size] = ()) -> None:
    """Refuse a picture that takes too much memory to be read while the largest wanted one and the watermarks, of these
    sizes, are held; raises ImageRejected.
    """
    held = HELD * (max((math.prod(plan.size) for plan in plans), default=0) + sum(map(math.prod, marks)))
    if header.width * header.height * _reading(header) + held > MEMORY:
        raise refusals.too_large(
            f"A picture of {header.width:,} by {header.height:,} pixels takes too much memory to be made from this "
            f"{header.format.upper()} file.",
            "Ask for smaller variants, or send a smaller picture, or a plain JPEG or PNG.",
        )


def _reading(header: Header) -> float:
    """Bytes for each pixel."""
    if header.jpeg is not None:
        return COEFFICIENT * samples(header.jpeg) if header.jpeg.progressive else 0
    return READING.get(header.format, (0, 0))[header.has_alpha]


def samples(frame: JpegFrame) -> float:
    """Of all components, for each pixel."""
    across, down = (max(factors) for factors in zip(*frame.sampling, strict=True))
    return sum(h * v for h, v in frame.sampling) / float(across * down)
