"""The arithmetic of a variant: which part of the picture becomes what size, and where it lies in the result. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.image_params import Crop, Variant
from tasks.images import smart
from tasks.images.model import Box, ImageRejected, Wanted

Size = tuple[int, int]

# EXIF orientations as matrices (a, b, c, d): the point (x, y) from the centre, y downwards, goes to (ax + by, cx + dy).
MATRICES = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, -1, 1, 0),
    7: (0, -1, -1, 0),
    8: (0, 1, -1, 0),
}
ROTATIONS = {0: 1, 90: 6, 180: 3, 270: 8}
MIRRORS = {None: 1, "horizontal": 2, "vertical": 4, "both": 3}

# Where compass points lie, -1 to 1 from the centre to the right and downwards.
COMPASS = {
    "northwest": (-1, -1),
    "north": (0, -1),
    "northeast": (1, -1),
    "west": (-1, 0),
    "center": (0, 0),
    "east": (1, 0),
    "southwest": (-1, 1),
    "south": (0, 1),
    "southeast": (1, 1),
}
FOUND = ("face", "objects")  # gravities that an analysis answers
SEEN: dict[str, smart.Finder] = {
    "attention": smart.attention,
    "entropy": smart.entropy,
}  # gravities that the pixels answer


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The part `crop` of the upright picture (pixels of its full size, after trim, crop and what `cover` cuts off)
    becomes `size`, is then turned like a picture with the EXIF orientation `turn` (rotate, then flip), and lies at
    `offset` (left, top) in a picture of the size `canvas`.
    """

    wanted: Wanted
    crop: Box
    size: Size
    turn: int
    canvas: Size
    offset: Size

    @property
    def scale(self) -> float:
        """Of the side that shrinks the least."""
        width, height = sides(self.crop)
        return max(self.size[0] / width, self.size[1] / height)

    @property
    def least_scale(self) -> float:
        """Of the side that shrinks the most."""
        width, height = sides(self.crop)
        return min(self.size[0] / width, self.size[1] / height)

    @property
    def draws(self) -> bool:
        """Whether colours come into the picture that are not its own."""
        variant = self.wanted.variant
        return variant.watermark is not None or variant.background is not None or self.canvas != self.turned

    @property
    def turned(self) -> Size:
        """The size after the turn: what lies in the canvas."""
        return swapped(self.size, self.turn)


def planned(
    wanted: Sequence[Wanted],
    width: int,
    height: int,
    *,
    trims: Mapping[int, Box] = {},
    pixels: NDArray[np.uint8] | None = None,
) -> list[Plan]:
    """Plan all that is wanted of an upright picture of this size; the largest scale first, equals as they were given.

    `trims` says per tolerance what trim leaves of the picture, in pixels of its full size. `pixels` [h, w, 3], RGB of
    the whole upright picture with at most about 256 a side, place the crops of the gravities attention and entropy
    (`needs_pixels`); without them the crops lie in the centre, and have the right scale already. Raises ImageRejected
    (crop_outside), and KeyError for a tolerance that `trims` lacks.
    """
    plans = [_plan(one, width, height, trims, pixels) for one in wanted]
    return sorted(plans, key=lambda plan: (-plan.scale, -math.prod(plan.size)))


def needs_pixels(wanted: Sequence[Wanted]) -> bool:
    """Whether crops depend on what is to be seen."""
    return any(one.variant.fit == "cover" and one.variant.gravity in SEEN for one in wanted)


def composed(first: int, then: int) -> int:
    """Two orientations, applied after one another, as one."""
    a, b, c, d = MATRICES[then]
    e, f, g, h = MATRICES[first]
    product = (a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h)
    return next(turn for turn, matrix in MATRICES.items() if matrix == product)


def before(box: Box, turn: int, width: float, height: float) -> Box:
    """Where a part of a turned picture lies in the picture before the turn; the sides are those after it."""
    left, top, right, bottom = box
    if turn in (2, 3, 6, 7):  # what is left after the turn comes from the far end of its axis
        left, right = width - right, width - left
    if turn in (3, 4, 7, 8):
        top, bottom = height - bottom, height - top
    return (top, left, bottom, right) if turn >= 5 else (left, top, right, bottom)


def swapped(size: Size, turn: int) -> Size:
    """A size after the turn (or before it, which is the same)."""
    return (size[1], size[0]) if turn >= 5 else size


def sides(box: Box) -> tuple[float, float]:
    return box[2] - box[0], box[3] - box[1]


def _plan(one: Wanted, width: int, height: int, trims: Mapping[int, Box], pixels: NDArray[np.uint8] | None) -> Plan:
    variant = one.variant
    crop: Box = (0.0, 0.0, float(width), float(height)) if variant.trim is None else trims[variant.trim]
    if variant.crop is not None:
        crop = _cropped(variant.name, variant.crop, crop)
    turn = composed(ROTATIONS[variant.rotate], MIRRORS[variant.flip])
    asked = (_pixels(variant.width, variant.dpr), _pixels(variant.height, variant.dpr))
    target = (asked[1], asked[0]) if turn >= 5 else asked  # of the picture before the turn
    if variant.fit == "cover":
        part, size = _covering(variant, crop, target)
        x, y = _corner(one, crop, part, (width, height), turn, pixels)
        if part == size:  # from whole pixels on: nothing is resampled
            x, y = math.floor(x), math.floor(y)
        crop = (x, y, x + part[0], y + part[1])
    else:
        size = _scaled(variant, crop, target)
    canvas, offset = _canvas(variant, swapped(size, turn), asked)
    return Plan(wanted=one, crop=crop, size=size, turn=turn, canvas=canvas, offset=offset)


def _cropped(name: str, crop: Crop, region: Box) -> Box:
    """The crop in whole pixels, as far as it lies in the region; at least one pixel of it."""
    width, height = sides(region)
    across, down = (width, height) if crop.unit == "share" else (1.0, 1.0)
    if crop.x * across >= width or crop.y * down >= height:
        raise ImageRejected(
            "crop_outside",
            f"The crop of the variant {name!r} lies outside the picture, which has {width:,.0f} by {height:,.0f} "
            "pixels there. Ask for a part that lies in it.",
        )
    left, right = _ends(crop.x * across, (crop.x + crop.width) * across, width)
    top, bottom = _ends(crop.y * down, (crop.y + crop.height) * down, height)
    return region[0] + left, region[1] + top, region[0] + right, region[1] + bottom


def _ends(start: float, end: float, length: float) -> tuple[float, float]:
    first = min(round(start), length - 1)
    return float(first), float(min(max(round(end), first + 1), length))


def _scaled(variant: Variant, crop: Box, target: tuple[int | None, int | None]) -> Size:
    """What the crop is resized to where all of it is shown."""
    width, height = sides(crop)
    if variant.fit == "fill":
        across, down = _both(target)
        return (across, down) if variant.enlarge else (min(across, round(width)), min(down, round(height)))
    ratios = [side / length for side, length in zip(target, (width, height), strict=True) if side is not None]
    scale = (max(ratios) if variant.fit == "outside" else min(ratios)) if ratios else 1.0
    if not variant.enlarge:
        scale = min(scale, 1.0)
    return _side(width * scale), _side(height * scale)


def _covering(variant: Variant, crop: Box, target: tuple[int | None, int | None]) -> tuple[tuple[float, float], Size]:
    """Sides of the part that `cover` keeps, and what it is resized to."""
    (width, height), (across, down) = sides(crop), _both(target)
    scale = max(across / width, down / height)
    if scale > 1 and not variant.enlarge:
        size = (_side(across / scale), _side(down / scale))
        return (float(size[0]), float(size[1])), size
    return (min(width, across / scale), min(height, down / scale)), (across, down)


def _corner(
    one: Wanted, crop: Box, part: tuple[float, float], picture: Size, turn: int, pixels: NDArray[np.uint8] | None
) -> tuple[float, float]:
    """Left and top of the part of the crop that shows what the variant's gravity wants."""
    gravity = one.variant.gravity
    room = (sides(crop)[0] - part[0], sides(crop)[1] - part[1])
    if gravity in SEEN and pixels is not None:
        shares = (crop[0] / picture[0], crop[1] / picture[1], crop[2] / picture[0], crop[3] / picture[1])
        x, y = SEEN[gravity](pixels, shares, (part[0] / picture[0], part[1] / picture[1]))
        x, y = x * picture[0] - crop[0], y * picture[1] - crop[1]
    elif gravity in FOUND and (shown := _shown(one.focus, crop, part, picture)) is not None:
        x, y = (shown[0] + shown[2] - part[0]) / 2 - crop[0], (shown[1] + shown[3] - part[1]) / 2 - crop[1]
    else:
        a, b, c, d = MATRICES[turn]
        east, south = COMPASS.get(gravity, (0, 0))  # as the finished picture is seen: back through the turn
        x, y = room[0] * (1 + a * east + c * south) / 2, room[1] * (1 + b * east + d * south) / 2
    return crop[0] + min(max(0.0, x), room[0]), crop[1] + min(max(0.0, y), room[1])


def _shown(focus: Sequence[Box], crop: Box, part: tuple[float, float], picture: Size) -> Box | None:
    """What the largest box in the crop and as many of the next ones cover together as the part can hold, in pixels."""
    boxes = [
        (
            max(crop[0], box[0] * picture[0]),
            max(crop[1], box[1] * picture[1]),
            min(crop[2], box[2] * picture[0]),
            min(crop[3], box[3] * picture[1]),
        )
        for box in focus
    ]
    boxes = sorted((box for box in boxes if min(sides(box)) > 0), key=lambda box: -math.prod(sides(box)))
    if not boxes:
        return None
    together = boxes[0]
    for box in boxes[1:]:
        left, top = min(together[0], box[0]), min(together[1], box[1])
        right, bottom = max(together[2], box[2]), max(together[3], box[3])
        if right - left <= part[0] and bottom - top <= part[1]:
            together = (left, top, right, bottom)
    return together


def _canvas(variant: Variant, turned: Size, asked: tuple[int | None, int | None]) -> tuple[Size, Size]:
    """The size of the finished picture, and where the resized one lies in it."""
    (width, height), left, top = turned, 0, 0
    if variant.fit == "contain":
        width, height = _both(asked)
        east, south = COMPASS.get(variant.gravity, (0, 0))
        left, top = (width - turned[0]) * (1 + east) // 2, (height - turned[1]) * (1 + south) // 2
    if (pad := variant.pad) is not None:
        above, after, below, ahead = (
            round(margin * variant.dpr) for margin in (pad.top, pad.right, pad.bottom, pad.left)
        )
        width, height, left, top = width + ahead + after, height + above + below, left + ahead, top + above
    return (width, height), (left, top)


def _both(target: tuple[int | None, int | None]) -> Size:
    across, down = target
    assert across is not None
    assert down is not None
    return across, down


def _pixels(side: int | None, dpr: float) -> int | None:
    return None if side is None else _side(side * dpr)


def _side(length: float) -> int:
    return max(1, round(length))
