"""The pixels that variants are made of: decoded once, smaller ones from larger. By libvips."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyvips
from numpy.typing import NDArray
from PIL import Image

from tasks.images import foreign, vips_colours, vips_pixels
from tasks.images.model import Box, Format, Task
from tasks.images.plan import Plan, Size, before, needs_pixels, planned, sides, swapped
from tasks.images.vips_load import Loaded, Metadata, loaded, notices_its_end, orientation, read_to_end, stored

# Of one picture, held in memory. Larger ones are decoded again for each variant that needs them, as a stream.
MOST_BYTES = 192 * 1024 * 1024
ASTRAY = 0.15  # pixels off its place that nobody sees
SPARE = 1.25  # pixels a side for one that is wanted, where parts begin anywhere
SMALL = 256  # pixels a side of what gravities and formats are chosen by


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """A part of the picture, as stored, in a size; `native`: in the file's own colours, else in sRGB."""

    crop: Box
    size: Size
    native: bool

    @property
    def scale(self) -> float:
        width, height = sides(self.crop)
        return max(self.size[0] / width, self.size[1] / height)

    def shows(self, other: "Need") -> bool:
        """Whether all that the other one shows is in it, in colours that the other's can be made of."""
        inner, outer = other.crop, self.crop
        within = outer[0] <= inner[0] and outer[1] <= inner[1] and outer[2] >= inner[2] and outer[3] >= inner[3]
        return within and (self.native or not other.native)

    def covers(self, other: "Need") -> bool:
        """Whether it shows the other one with as many pixels, so that nothing is lost to see.

        A part that begins between two pixels can be moved to where it belongs only where there are some more of them.
        """
        if not self.shows(other):
            return False
        across, down = (size / side for size, side in zip(self.size, sides(self.crop), strict=True))
        width, height = sides(other.crop)
        left, top = (other.crop[0] - self.crop[0]) * across, (other.crop[1] - self.crop[1]) * down
        least = 1.0 if max(abs(left - round(left)), abs(top - round(top))) <= ASTRAY else SPARE - 0.05
        return across * width > least * other.size[0] - 1 and down * height > least * other.size[1] - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """Pixels in memory, as stored; `need` is what they show, `best` that the file has no more of them."""

    need: Need
    image: pyvips.Image
    best: bool = False

    def serves(self, need: Need) -> bool:
        return self.need.shows(need) if self.best else self.need.covers(need)


class Levels:
    """What has been decoded and made of one picture so far."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._orientation = orientation(task.header)
        self._stored = stored(task.header)
        self._levels: list[Level] = []
        self._later: list[Need] = []
        self._metadata: Metadata | None = None

    @property
    def metadata(self) -> Metadata:
        """What the file carries beside its pixels."""
        if self._metadata is None:
            self._loaded(1.0)
        assert self._metadata is not None
        return self._metadata

    def plans(self) -> list[Plan]:
        """Plan all that is wanted, the largest scale first; decodes what has to be looked at for that."""
        wanted, upright = self._task.wanted, self._task.header.upright
        trims = self._trims({tolerance for one in wanted if (tolerance := one.variant.trim) is not None})
        plans = planned(wanted, *upright, trims=trims)
        if not self._levels and self._needs_all(plans):
            looked = SMALL / max(upright) if needs_pixels(wanted) else 0.0
            self._hold(max((looked, *(plan.scale for plan in plans))))
        if needs_pixels(wanted):
            plans = planned(wanted, *upright, trims=trims, pixels=self._small())
        self._later = [self._need(plan) for plan in plans]
        return plans

    def pixels(self, plan: Plan) -> pyvips.Image:
        """The plan's part of the picture in its size, upright; to be asked for in the order of the plans."""
        need = self._need(plan)
        self._later.remove(need)
        level = _best(self._levels, need)
        if level is not None:
            image = vips_pixels.resized(level.image, level.need.crop, need.crop, need.size)
            image = self._kept(image, need, native=level.need.native)
        else:
            source = self._loaded(plan.scale)
            image = source.part(need.crop, need.size)
            image = self._kept(image, need, native=True)
            if need.crop[3] < self._stored[1] and not notices_its_end(self._task):
                read_to_end(self._task)
        return vips_pixels.turned(image, self._orientation)

    def native(self, plan: Plan) -> bool:
        """Whether the variant keeps the file's own colours, and its profile."""
        variant, header = plan.wanted.variant, self._task.header
        if not variant.keep_icc or variant.grayscale or not header.has_profile:
            return False
        named = header.format if variant.format is None else variant.format
        format_ = Format(named) if named in list(Format) else Format.WEBP
        found = self.metadata
        return vips_colours.can_keep(plan, format_, found.kind, found.profile, alpha=found.alpha)

    def _kept(self, image: pyvips.Image, need: Need, *, native: bool) -> pyvips.Image:
        """Bring a picture to memory, in the colours that are needed, for this variant and smaller ones."""
        if native:
            image = vips_colours.eight_bits(image) if need.native else vips_colours.srgb(image)
        image = vips_colours.without_idle_alpha(image.copy_memory())
        levels = [*self._levels, Level(need=need, image=image)]
        needed = [_best(levels, later) for later in self._later]
        self._levels = [level for level in levels if any(level is one for one in needed)]
        return image

    def _need(self, plan: Plan) -> Need:
        crop = before(plan.crop, self._orientation, *self._task.header.upright)
        return Need(crop=crop, size=swapped(plan.size, self._orientation), native=self.native(plan))

    def _loaded(self, scale: float) -> Loaded:
        source = loaded(self._task, scale=scale)
        self._metadata = source.metadata
        return source

    def _needs_all(self, plans: Sequence[Plan]) -> bool:
        """Whether the whole picture has to be held, as one pass over it is not enough."""
        if self._task.header.format in foreign.READS or needs_pixels(self._task.wanted):
            return True
        passes: list[Need] = []
        for need in map(self._need, plans):
            if not any(one.covers(need) for one in passes):
                passes.append(need)
        return len(passes) > 1

    def _hold(self, scale: float) -> None:
        """Keep the whole picture in memory, with as many pixels as this scale wants, if that is not too much."""
        scale = 1.0 if scale * SPARE >= 1 else scale * SPARE
        source = self._loaded(scale)
        need = self._whole(scale)
        each = source.image.bands * (2 if source.image.format == "ushort" else 1)
        if self._task.header.format in foreign.READS or need.size[0] * need.size[1] * each <= MOST_BYTES:
            image = source.part(need.crop, need.size).copy_memory()
            image = vips_colours.without_idle_alpha(image)
            self._levels.append(Level(need=need, image=image, best=scale == 1.0))

    def _whole(self, scale: float) -> Need:
        width, height = self._stored
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        return Need(crop=(0.0, 0.0, float(width), float(height)), size=size, native=True)

    def _trims(self, tolerances: set[int]) -> dict[int, Box]:
        if not tolerances:
            return {}
        self._hold(1.0)
        image = (
            self._levels[0].image if self._levels else vips_colours.eight_bits(self._loaded(1.0).image).copy_memory()
        )
        whole, width, height = self._whole(1.0).crop, *self._stored
        undone = {6: 8, 8: 6}.get(self._orientation, self._orientation)  # the other way of `before`
        found = {tolerance: vips_pixels.trimmed(image, self._orientation, tolerance) for tolerance in tolerances}
        return {tolerance: before(box or whole, undone, width, height) for tolerance, box in found.items()}

    def _small(self) -> NDArray[np.uint8]:
        """The whole upright picture [h, w, 3] in sRGB, with at most SMALL pixels a side."""
        if self._levels:
            image = self._levels[0].image
        else:
            need = self._whole(min(1.0, SMALL / max(self._stored)))
            source = self._loaded(need.scale)
            image = source.part(need.crop, need.size)
        image = vips_colours.srgb(image)
        if image.hasalpha():
            image = image.flatten(background=255)
        return looked_at(vips_pixels.turned(image.copy_memory(), self._orientation))


def looked_at(image: pyvips.Image) -> NDArray[np.uint8]:
    """The pixels [h, w, 3 or 4] of an sRGB picture, with at most SMALL a side."""
    if (factor := max(image.width, image.height) // (4 * SMALL)) > 1:
        image = image.shrink(min(factor, image.width), min(factor, image.height))
    pixels = vips_pixels.array(vips_colours.coloured(image))
    height, width = pixels.shape[:2]
    scale = min(1.0, SMALL / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # Means of squares, by Pillow, as in the other engine: what is chosen by them is then the same, too.
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX, reducing_gap=2.0))


def _best(levels: Sequence[Level], need: Need) -> Level | None:
    """The smallest that it can be made of at no loss."""
    return min((level for level in levels if level.serves(need)), key=lambda level: level.need.scale, default=None)
