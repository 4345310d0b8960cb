"""The best quality whose file is small enough. Pure."""

from collections.abc import Callable

from tasks.image_params import Variant
from tasks.images.model import Format, ImageRejected

USUAL = {Format.JPEG: 80, Format.WEBP: 80, Format.AVIF: 60}  # where none is asked for
FULL_COLOURS = 90  # from this on a JPEG has as much of its colours as of its brightness


def within(data: bytes, variant: Variant) -> bytes:
    """A file whose bytes no quality changes, if they are few enough. Raises ImageRejected (max_bytes_unreachable)."""
    if variant.max_bytes is not None and len(data) > variant.max_bytes:
        raise ImageRejected(
            "max_bytes_unreachable",
            f"Without loss the variant {variant.name!r} has {len(data):,} bytes, more than {variant.max_bytes:,}. "
            "Allow more bytes, or ask for jpeg, webp or avif, or for a smaller picture.",
        )
    return data


def best(encode: Callable[[int], bytes], most: int, max_bytes: int | None) -> bytes:
    """What `encode` makes of the best quality, 1 to `most`, that gives at most `max_bytes`; at most 7 tries.

    From 64 on every second quality is tried, which nobody can tell from the next. Raises ImageRejected
    (max_bytes_unreachable), and what `encode` raises.
    """
    data = encode(most)
    if max_bytes is None or len(data) <= max_bytes:
        return data
    qualities = sorted({1, *range(most - 1, 1, -1 if most <= 64 else -2)} - {most})
    fitting: bytes | None = None
    low, high = 0, len(qualities)  # those before `low` fit, those from `high` on do not
    while low < high:
        middle = (low + high) // 2
        data = encode(qualities[middle])
        if len(data) <= max_bytes:
            fitting, low = data, middle + 1
        else:
            high = middle
    if fitting is None:
        raise ImageRejected(
            "max_bytes_unreachable",
            f"Even at the lowest quality the picture has more than {max_bytes:,} bytes. "
            "Allow more bytes, or ask for a smaller picture.",
        )
    return fitting
