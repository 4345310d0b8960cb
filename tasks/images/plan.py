"""Which variants to make of a picture, and the arithmetic of their sizes. Pure."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

Box = tuple[float, float, float, float]  # left, top, right, bottom


class Fit(StrEnum):
    INSIDE = "inside"  # at most this size, proportions kept
    COVER = "cover"  # exactly this size, the centre cropped


class Format(StrEnum):
    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"

    @property
    def content_type(self) -> str:
        return f"image/{self.value}"

    @property
    def extension(self) -> str:
        """Without a dot."""
        return "jpg" if self is Format.JPEG else self.value

    @property
    def largest_side(self) -> int:
        """Pixels that the format can hold a side."""
        return {Format.JPEG: 65_500, Format.PNG: 2**31 - 1, Format.WEBP: 16_383}[self]


@dataclass(frozen=True, kw_only=True, slots=True)
class VariantSpec:
    """A picture to make.

    With `inside`, a missing side is free; with neither the picture keeps its size. Without `enlarge` nothing grows:
    `inside` keeps the size of a smaller input, `cover` gives the largest crop of its proportions that the input
    holds. `format` None: as the input where that is one of ours, else PNG for transparent pictures and JPEG for
    others. `quality` 1 to 100, for JPEG and WebP; `background` ("#rrggbb") stands behind transparency in JPEG.
    `focus`: boxes, as shares of the upright picture's sides, of which `cover` keeps as many as fit, the largest first;
    without any it keeps the centre. Raises ValueError.
    """

    name: str
    width: int | None = None
    height: int | None = None
    fit: Fit = Fit.INSIDE
    format: Format | None = None
    quality: int = 80
    background: str = "#ffffff"
    enlarge: bool = False
    focus: tuple[Box, ...] = ()

    def __post_init__(self) -> None:
        if any(side is not None and side < 1 for side in (self.width, self.height)):
            raise ValueError("width and height must be at least 1")
        if self.fit is Fit.COVER and (self.width is None or self.height is None):
            raise ValueError("cover needs width and height")
        if not 1 <= self.quality <= 100:
            raise ValueError("quality must be between 1 and 100")
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", self.background):
            raise ValueError("background must be #rrggbb")


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A variant's arithmetic: the part `crop` of the upright picture (pixels of its full size) becomes `size`."""

    spec: VariantSpec
    crop: Box
    size: tuple[int, int]

    @property
    def scale(self) -> float:
        return max(self.size) / max(sides(self.crop))


def planned(specs: Sequence[VariantSpec], width: int, height: int) -> list[Plan]:
    """Plan all variants of an upright picture of this size; the largest scale first, equals as they were given."""
    plans = [_inside(spec, width, height) if spec.fit is Fit.INSIDE else _cover(spec, width, height) for spec in specs]
    return sorted(plans, key=lambda plan: (-plan.scale, -math.prod(plan.size)))


def sides(box: Box) -> tuple[float, float]:
    return box[2] - box[0], box[3] - box[1]


def _inside(spec: VariantSpec, width: int, height: int) -> Plan:
    scale = min((spec.width or math.inf) / width, (spec.height or math.inf) / height)
    if scale > 1 and not (spec.enlarge and math.isfinite(scale)):
        scale = 1
    return Plan(spec=spec, crop=(0, 0, width, height), size=(_side(width * scale), _side(height * scale)))


def _cover(spec: VariantSpec, width: int, height: int) -> Plan:
    assert spec.width is not None
    assert spec.height is not None
    scale = max(spec.width / width, spec.height / height)
    if scale > 1 and not spec.enlarge:
        size = (_side(spec.width / scale), _side(spec.height / scale))
        left, top = map(int, _corner(spec, (width, height), size))  # whole pixels: nothing is resampled
        return Plan(spec=spec, crop=(left, top, left + size[0], top + size[1]), size=size)
    across, down = min(width, spec.width / scale), min(height, spec.height / scale)
    x, y = _corner(spec, (width, height), (across, down))
    return Plan(spec=spec, crop=(x, y, x + across, y + down), size=(spec.width, spec.height))


def _corner(spec: VariantSpec, picture: tuple[int, int], crop: tuple[float, float]) -> tuple[float, float]:
    """Left and top of the part of this size around what the variant is to show."""
    left, top, right, bottom = _shown(spec, picture, crop)
    x, y = ((left + right) * picture[0] - crop[0]) / 2, ((top + bottom) * picture[1] - crop[1]) / 2
    return min(max(0.0, x), picture[0] - crop[0]), min(max(0.0, y), picture[1] - crop[1])


def _shown(spec: VariantSpec, picture: tuple[int, int], crop: tuple[float, float]) -> Box:
    """What the largest box of the focus and as many of the next ones cover together as the crop can hold."""
    boxes = sorted(spec.focus, key=lambda box: -math.prod(sides(box)))
    together = boxes[0] if boxes else (0.0, 0.0, 1.0, 1.0)
    for box in boxes[1:]:
        left, top = min(together[0], box[0]), min(together[1], box[1])
        right, bottom = max(together[2], box[2]), max(together[3], box[3])
        if (right - left) * picture[0] <= crop[0] and (bottom - top) * picture[1] <= crop[1]:
            together = (left, top, right, bottom)
    return together


def _side(length: float) -> int:
    return max(1, round(length))
