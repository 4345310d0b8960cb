"""The arithmetic of watermarks: how large a mark is laid, and where. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tasks.image_params import Watermark
from tasks.images import headers
from tasks.images.bounds import readable
from tasks.images.model import Header, Limits
from tasks.images.plan import COMPASS, Plan, Size


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """A watermark's file, and the largest size in which it is laid over a picture."""

    file: Path
    header: Header
    size: Size


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """The mark, resized to `size`, lies at `corner` (left, top); with `step` it is repeated every so many pixels to
    the right and downwards, and `corner` is the first one's, at or before the picture's own corner.
    """

    size: Size
    corner: tuple[int, int]
    step: Size | None


def needed(plans: Iterable[Plan], limits: Limits) -> list[Mark]:
    """All the marks of these plans, each file once. Raises ImageRejected, as headers.read does."""
    found: dict[Path, Mark] = {}
    for plan in plans:
        asked, file = plan.wanted.variant.watermark, plan.wanted.watermark
        if asked is None or file is None:
            continue
        header = found[file].header if file in found else headers.read(file, limits)
        size = placed(asked, plan.wanted.variant.dpr, plan.turned, header.upright).size
        if file not in found or size > found[file].size:
            found[file] = Mark(file=file, header=header, size=size)
    for mark in found.values():
        readable(mark.header, (), [mark.size])
    return list(found.values())


def placed(mark: Watermark, dpr: float, picture: Size, sides: Size) -> Place:
    """Place a mark whose file has these sides on a resized picture; without `tile` it lies wholly in it."""
    margin = round(mark.margin * dpr)
    scale = min(mark.scale * picture[0] / sides[0], picture[1] / sides[1])
    size = (_side(sides[0] * scale, picture[0]), _side(sides[1] * scale, picture[1]))
    room = (picture[0] - size[0], picture[1] - size[1])
    x, y = (_along(direction, free, margin) for direction, free in zip(COMPASS[mark.gravity], room, strict=True))
    if not mark.tile:
        return Place(size=size, corner=(x, y), step=None)
    step = (size[0] + margin, size[1] + margin)
    return Place(size=size, corner=(-(-x % step[0]), -(-y % step[1])), step=step)


def _along(direction: int, free: int, margin: int) -> int:
    """Where the mark begins on an axis; the margin gives way where there is too little room."""
    if direction == 0:
        return free // 2
    margin = min(margin, free // 2)
    return margin if direction < 0 else free - margin


def _side(length: float, most: int) -> int:
    return min(max(1, round(length)), most)
