"""What happens to pixels on their way: cut, resized, turned, blurred, sharpened. By libvips: lazily, as it works."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyvips
from numpy.typing import NDArray

from tasks.images.model import Box
from tasks.images.plan import Size, sides

# A Gaussian wider than this is made of a smaller picture and enlarged again, which nobody can tell from the real one.
WIDEST_SIGMA = 3.0
SMALL_SIGMA = 2.0  # in such a smaller picture,
LEAST_SIDE = 128  # which has so many pixels a side
MOST_BESIDE = 12  # pixels that are made beside the wanted ones, so that these lie where they belong
BELL_ENDS = 0.02  # as a share of its height

# EXIF orientation: what puts it upright (EXIF 2.32, 4.6.4)
TURNS: dict[int, Callable[[pyvips.Image], pyvips.Image]] = {
    1: lambda image: image,
    2: lambda image: image.fliphor(),
    3: lambda image: image.rot180(),
    4: lambda image: image.flipver(),
    5: lambda image: image.rot90().fliphor(),
    6: lambda image: image.rot90(),
    7: lambda image: image.rot90().flipver(),
    8: lambda image: image.rot270(),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """What to cut out along an axis: `count` pixels from `first` on become `total`, of which the wanted ones remain."""

    wanted: int
    first: int
    count: int
    before: int = 0
    behind: int = 0

    @property
    def total(self) -> int:
        return self.before + self.wanted + self.behind


def turned(image: pyvips.Image, orientation: int) -> pyvips.Image:
    return TURNS[orientation](image)


def resized(image: pyvips.Image, region: Box, crop: Box, size: Size, *, multiplied: bool = False) -> pyvips.Image:
    """Cut a part of a picture that shows `region` out of it, and resize it; alpha counts, so hidden colours stay so.

    Reads the picture once, from above. Parts are cut at whole pixels but where they are enlarged. `multiplied`: where
    it is transparent it is black, and nowhere half so, as if multiplied by its alpha.
    """
    across, down = image.width / sides(region)[0], image.height / sides(region)[1]
    part = (
        max(0.0, (crop[0] - region[0]) * across),
        max(0.0, (crop[1] - region[1]) * down),
        min(float(image.width), (crop[2] - region[0]) * across),
        min(float(image.height), (crop[3] - region[1]) * down),
    )
    wider = size[0] > image.width or size[0] >= part[2] - part[0] + 1
    taller = size[1] > image.height or size[1] >= part[3] - part[1] + 1
    x = (
        Axis(wanted=image.width, first=0, count=image.width)
        if wider
        else aligned(part[0], part[2], size[0], image.width)
    )
    y = (
        Axis(wanted=image.height, first=0, count=image.height)
        if taller
        else aligned(part[1], part[3], size[1], image.height)
    )
    if (x.count, y.count) != (image.width, image.height):
        image = image.crop(x.first, y.first, x.count, y.count)

    def change(pixels: pyvips.Image) -> pyvips.Image:
        if (x.total, y.total) != (x.count, y.count):
            pixels = pixels.resize(x.total / x.count, vscale=y.total / y.count)
        if wider or taller:
            rest = (part[0] if wider else x.before, part[1] if taller else y.before)
            ends = (part[2] if wider else x.before + size[0], part[3] if taller else y.before + size[1])
            return _enlarged(pixels, (*rest, *ends), size)
        return pixels if (x.total, y.total) == size else pixels.crop(x.before, y.before, *size)

    if (image.width, image.height) == size and (x.total, y.total) == size:
        return image
    return _premultiplied(image, change, already=multiplied)


def blurred(image: pyvips.Image, sigma: float) -> pyvips.Image:
    return _premultiplied(image, lambda pixels: _rounded(_gaussian(pixels, sigma), "uchar"))


def sharpened(image: pyvips.Image, sigma: float) -> pyvips.Image:
    """An unsharp mask: what a blur would take away is added instead."""
    return _premultiplied(image, lambda pixels: _rounded(pixels * 2 - _gaussian(pixels, sigma), "uchar"))


def trimmed(image: pyvips.Image, orientation: int, tolerance: int) -> Box | None:
    """What is left of a picture, as it is stored, without the borders that look like its upper left pixel when upright.

    A pixel belongs to the border if no channel (premultiplied) differs by more than `tolerance`, 0 to 255; None if
    all do. The picture must lie in memory.
    """
    pixels = image.premultiply() if image.hasalpha() else image
    if image.format == "ushort":
        pixels = pixels / 257
    x = image.width - 1 if orientation in (2, 3, 7, 8) else 0
    y = image.height - 1 if orientation in (3, 4, 6, 7) else 0
    stands_out = ((pixels - pixels(x, y)).abs() >= tolerance + 0.5).bandor()
    columns, rows = (_ends(sums) for sums in stands_out.project())
    if columns is None or rows is None:
        return None
    return (columns[0], rows[0], columns[1], rows[1])


def joined(images: Sequence[pyvips.Image]) -> pyvips.Image:
    """Pictures of one size below one another."""
    return images[0] if len(images) == 1 else pyvips.Image.arrayjoin(list(images), across=1)


def array(image: pyvips.Image) -> NDArray[np.uint8]:
    """The pixels [h, w, channels] of a picture with 8 bits a channel."""
    pixels = np.frombuffer(image.write_to_memory(), np.uint8)
    return pixels.reshape(image.height, image.width, image.bands)


def _ends(sums: pyvips.Image) -> tuple[float, float] | None:
    found = np.flatnonzero(np.frombuffer(sums.write_to_memory(), np.uint32))
    return (float(found[0]), float(found[-1] + 1)) if len(found) else None


def aligned(start: float, end: float, wanted: int, length: int) -> Axis:
    """How to shrink the part from `start` to `end` of an axis to the wanted pixels, though it begins between two.

    As libvips cuts and begins at whole pixels only, some more are made on both sides, up to where it happens to be
    whole ones that become whole ones.
    """
    if abs(end - start - wanted) < 1:  # not resized at all
        return Axis(wanted=wanted, first=min(max(0, round(start)), length - wanted), count=wanted)
    step = (end - start) / wanted
    before = min(range(MOST_BESIDE), key=lambda more: _astray(start - more * step, length))
    behind = min(range(MOST_BESIDE), key=lambda more: _astray(end + more * step, length))
    first = round(start - before * step)
    count = max(1, round(end + behind * step) - first)
    return Axis(wanted=wanted, first=min(first, length - count), count=count, before=before, behind=behind)


def _astray(place: float, length: int) -> float:
    """How far a place is from a whole pixel; worse than any for one that does not exist."""
    return abs(place - round(place)) if 0 <= place <= length else 1.0


def _enlarged(image: pyvips.Image, part: Box, size: Size) -> pyvips.Image:
    across, down = size[0] / sides(part)[0], size[1] / sides(part)[1]
    left, top = max(0, math.floor(part[0]) - 2), max(0, math.floor(part[1]) - 2)  # what the kernel sees beside it
    right, bottom = min(image.width, math.ceil(part[2]) + 2), min(image.height, math.ceil(part[3]) + 2)
    image = image.crop(left, top, right - left, bottom - top)
    moved = ((0.5 - (part[0] - left)) * across - 0.5, (0.5 - (part[1] - top)) * down - 0.5)  # middles of pixels
    return image.affine(
        [across, 0, 0, down],
        interpolate=pyvips.Interpolate.new("bicubic"),
        oarea=[0, 0, *size],
        odx=moved[0],
        ody=moved[1],
        extend="copy",
    )


def _gaussian(image: pyvips.Image, sigma: float) -> pyvips.Image:
    """Blurred, in floating point: libvips' quicker way in whole numbers makes pictures darker or brighter."""
    factor = min(sigma / SMALL_SIGMA, image.width / LEAST_SIDE, image.height / LEAST_SIDE)
    if sigma <= WIDEST_SIGMA or factor <= 1:
        return image.gaussblur(sigma, min_ampl=BELL_ENDS, precision="float")
    width, height = max(1, round(image.width / factor)), max(1, round(image.height / factor))
    small = image.resize(width / image.width, vscale=height / image.height).copy_memory()
    soft = small.gaussblur(sigma / factor, min_ampl=BELL_ENDS, precision="float")
    return _enlarged(soft, (0.0, 0.0, float(width), float(height)), (image.width, image.height))


def _premultiplied(
    image: pyvips.Image, change: Callable[[pyvips.Image], pyvips.Image], *, already: bool = False
) -> pyvips.Image:
    """Change colours multiplied by their alpha, so that those of transparent pixels do not show."""
    if not image.hasalpha():
        return change(image)
    kind, format_ = image.interpretation, image.format
    pixels = change(image if already else _rounded(image.premultiply(), format_))
    return _rounded(pixels.unpremultiply(), format_).copy(interpretation=kind)


def _rounded(image: pyvips.Image, format_: str) -> pyvips.Image:
    return image if image.format == format_ else (image + 0.5).cast(format_)
