"""Which format suits a picture, by what is to be seen in it. Pure, on NumPy, the same in every engine."""

import numpy as np
from numpy.typing import NDArray

from tasks.images.bounds import MEMORY, memory
from tasks.images.model import Format
from tasks.images.plan import Size

# A drawing, a logo or a picture of a screen: few colours fill most of it, and its neighbours are often equal. Of a
# photograph neither is true, not even of one in black and white, nor of goods before a white wall.
COMMONEST = 16
FILLED = 0.75
FLAT = 0.5


def chosen(pixels: NDArray[np.uint8], *, animated: bool, size: Size | None = None) -> tuple[Format, bool]:
    """The format, and whether to code without loss: WebP where it can, as AVIF takes too long to be picked unasked.

    `pixels` are [h, w, 3 or 4], a small version (about 256 a side) of the picture. Transparent pictures and drawings
    are coded without loss, animations and photographs with it. A picture whose finished `size` is too much for WebP
    becomes PNG or JPEG.
    """
    transparent = pixels.shape[2] == 4 and bool((pixels[:, :, 3] < 255).any())
    lossless = not animated and (transparent or _is_drawing(pixels[:, :, :3]))
    if size is None or _fits(Format.WEBP, size, lossless=lossless):
        return Format.WEBP, lossless
    flat = not (transparent or lossless)
    return (Format.JPEG, False) if flat and _fits(Format.JPEG, size, lossless=False) else (Format.PNG, True)


def _fits(format_: Format, size: Size, *, lossless: bool) -> bool:
    return max(size) <= format_.largest_side and memory(format_, size, costly=lossless) <= MEMORY


def _is_drawing(pixels: NDArray[np.uint8]) -> bool:
    wide = pixels.astype(np.uint32)
    colours = wide[:, :, 0] << 16 | wide[:, :, 1] << 8 | wide[:, :, 2]
    _, counts = np.unique(colours, return_counts=True)
    filled = np.sort(counts)[-COMMONEST:].sum() / colours.size
    equal = (colours[:, 1:] == colours[:, :-1]).sum() + (colours[1:] == colours[:-1]).sum()
    pairs = 2 * colours.size - sum(colours.shape)
    return bool(filled >= FILLED and equal >= FLAT * pairs)
