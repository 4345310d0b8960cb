"""The portable engine, and the second opinion: one picture in, the wanted ones out, largest to smallest. On Pillow."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

from tasks.images import animation, auto, exif
from tasks.images.bounds import bounded, readable
from tasks.images.colours import SPACES, can_keep, flattened, srgb, takes
from tasks.images.marks import Mark, needed
from tasks.images.model import Box, Format, Limits, Made, Task
from tasks.images.pictures import refusing
from tasks.images.pillow_decode import CASCADE_RATIO, Source, as_stored, small, sources, trimmed, upright
from tasks.images.pillow_encode import Coding, encoded
from tasks.images.pillow_steps import WHITE, finished
from tasks.images.plan import Plan, Size, needs_pixels, planned, sides, swapped

LANCZOS = Image.Resampling.LANCZOS


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """A plan with all that was decided about it; `own`: in the file's own colours, with its profile."""

    plan: Plan
    format: Format
    lossless: bool
    animated: bool
    own: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Reel:
    """The resized frames of a stage, one of a still picture, upright and not turned any further."""

    stage: Stage
    frames: Sequence[Image.Image]
    delays: Sequence[int]


class Pillow:
    """Makes pictures with Pillow alone, which runs wherever Python does."""

    @property
    def version(self) -> str:
        return f"pillow {PIL.__version__}"

    def render(self, task: Task) -> Iterator[Made]:
        """As Engine says. An animation is read again for each variant that no other one can be made of."""
        plans = planned(task.wanted, *task.header.upright, trims=_untrimmed(task))
        marks = needed(plans, task.limits)
        readable(task.header, plans, (mark.size for mark in marks))
        trims = {one.variant.trim for one in task.wanted if one.variant.trim is not None}
        scale = 0.0 if trims else max((plan.scale for plan in plans), default=0.0)
        with closing(sources(task, scale, animated=False)) as found:
            first = next(found)
        with refusing(task.limits):
            pixels = _seen(first) if needs_pixels(task.wanted) else None
            boxes = {tolerance: trimmed(first, tolerance) for tolerance in trims}
            plans = planned(task.wanted, first.width, first.height, trims=boxes, pixels=pixels)
            stages = _staged(task, first, plans)
        for stage in stages:
            frames = task.header.frames if stage.animated else 1
            transparent = first.level.image.mode in ("LA", "RGBA")
            bounded(
                stage.plan,
                stage.format,
                task.limits,
                frames=frames,
                transparent=transparent,
                lossless=stage.lossless,
            )
        if any(stage.animated for stage in stages[1:]) and not stages[0].animated:
            for _ in sources(task, 0.0, animated=True):  # nothing is made of an animation that breaks off
                pass
        pictures = {mark.file: (_mark(mark, task.limits), mark.header.upright) for mark in marks}
        return self._made(task, first, stages, pictures)

    def _made(
        self, task: Task, first: Source, stages: Sequence[Stage], marks: Mapping[Path, tuple[Image.Image, Size]]
    ) -> Iterator[Made]:
        reels: list[Reel] = []  # what has been made and will be needed, the largest scale first
        for number, stage in enumerate(stages):
            plan, variant = stage.plan, stage.plan.wanted.variant
            source = _best(reels, stage)
            reel = _from_source(task, first, stage) if source is None else _from_reel(source, stage)
            best = [_best([*reels, reel], later) for later in stages[number + 1 :]]
            reels = [one for one in [*reels, reel] if any(one is needed for needed in best)]
            mark = None if plan.wanted.watermark is None else marks[plan.wanted.watermark]
            profile = first.profile if stage.own else None
            frames = [finished(frame, plan, stage.format, mark, profile) for frame in reel.frames]
            coding = Coding(
                format=stage.format,
                lossless=stage.lossless,
                exif=exif.kept(first.exif, variant.metadata),
                profile=profile,
                delays=reel.delays,
                plays=first.plays,
            )
            data = encoded(frames, variant, coding)
            yield Made(
                name=variant.name,
                format=stage.format,
                width=plan.canvas[0],
                height=plan.canvas[1],
                frames=animation.frames(data) if len(frames) > 1 else 1,
                data=data,
                engine=self.version,
            )


def _untrimmed(task: Task) -> dict[int, Box]:
    width, height = task.header.upright
    whole = (0.0, 0.0, float(width), float(height))
    return {one.variant.trim: whole for one in task.wanted if one.variant.trim is not None}


def _seen(first: Source) -> np.ndarray:
    return np.asarray(flattened(small(first), WHITE).convert("RGB"))


def _staged(task: Task, first: Source, plans: Sequence[Plan]) -> list[Stage]:
    moves = task.header.moves
    look: np.ndarray | None = None
    stages = []
    for plan in plans:
        variant, lossless = plan.wanted.variant, plan.wanted.variant.lossless
        if variant.format == "auto":
            if look is None:
                shown = small(first)
                look = np.asarray(shown.convert("RGBA" if shown.mode in ("LA", "RGBA") else "RGB"))
            format_, picked = auto.chosen(look, animated=moves and variant.animated, size=plan.canvas)
            lossless = lossless or picked
        else:
            format_ = _format(variant.format, first)
        stages.append(
            Stage(
                plan=plan,
                format=format_,
                lossless=lossless,
                animated=moves and variant.animated and format_.animates,
                own=variant.keep_icc and _can_keep(first, plan, format_),
            )
        )
    return stages


def _format(asked: str | None, first: Source) -> Format:
    if asked is not None:
        return Format(asked)
    if first.format in list(Format):
        return Format(first.format)
    return Format.PNG if first.format == "bmp" or first.level.image.mode in ("LA", "RGBA") else Format.JPEG


def _can_keep(first: Source, plan: Plan, format_: Format) -> bool:
    mode = first.level.image.mode
    if first.profile is None or plan.wanted.variant.grayscale or mode not in SPACES:
        return False
    return can_keep(plan, format_, SPACES[mode], first.profile, alpha=mode.endswith("A"), takes=takes)


def _mark(mark: Mark, limits: Limits) -> Image.Image:
    """The watermark's picture, RGBA in sRGB, upright, in the size that is needed."""
    task = Task(file=mark.file, header=mark.header, wanted=(), limits=limits)
    scale = max(mark.size[0] / mark.header.upright[0], mark.size[1] / mark.header.upright[1])
    with closing(sources(task, scale, animated=False)) as found:
        source = next(found)
    with refusing(limits):
        size = swapped(mark.size, source.orientation)
        image = source.level.image.resize(size, LANCZOS, reducing_gap=3.0)
        return upright(srgb(image, source.profile), source.orientation).convert("RGBA")


def _best(reels: Sequence[Reel], stage: Stage) -> Reel | None:
    """The smallest of what has been made that this can be made of at no loss."""
    fitting = [reel for reel in reels if _serves(reel, stage)]
    return fitting[-1] if fitting else None


def _serves(reel: Reel, stage: Stage) -> bool:
    if (reel.stage.own, reel.stage.animated) != (stage.own, stage.animated):
        return False
    inner, outer = stage.plan.crop, reel.stage.plan.crop
    if inner == outer and reel.stage.plan.size == stage.plan.size:
        return True
    covers = outer[0] <= inner[0] and outer[1] <= inner[1] and outer[2] >= inner[2] and outer[3] >= inner[3]
    return covers and reel.stage.plan.least_scale >= CASCADE_RATIO * stage.plan.scale


def _from_reel(reel: Reel, stage: Stage) -> Reel:
    plan, region = stage.plan, reel.stage.plan.crop
    frames = [_resized(frame, region, plan.crop, plan.size) for frame in reel.frames]
    return Reel(stage=stage, frames=frames, delays=reel.delays)


def _from_source(task: Task, first: Source, stage: Stage) -> Reel:
    frames, delays = [], []
    for source in sources(task, 0.0, animated=True) if stage.animated else [first]:
        with refusing(task.limits):
            frames.append(_shown(source, stage))
        delays.append(animation.shown(source.delay))
    return Reel(stage=stage, frames=frames, delays=delays)


def _shown(source: Source, stage: Stage) -> Image.Image:
    """Resized first, since the other steps then have less to do."""
    size = stage.plan.size if source.orientation < 5 else (stage.plan.size[1], stage.plan.size[0])
    image = _resized(source.level.image, source.level.region, as_stored(stage.plan.crop, source), size)
    return upright(image if stage.own else srgb(image, source.profile), source.orientation)


def _resized(image: Image.Image, region: Box, crop: Box, size: tuple[int, int]) -> Image.Image:
    """Resize the crop of an image that shows a region. Pillow premultiplies for it, so that hidden colours stay so."""
    if crop == region and size == image.size:
        return image
    across, down = image.width / sides(region)[0], image.height / sides(region)[1]
    box = (
        max(0.0, (crop[0] - region[0]) * across),
        max(0.0, (crop[1] - region[1]) * down),
        min(float(image.width), (crop[2] - region[0]) * across),
        min(float(image.height), (crop[3] - region[1]) * down),
    )
    return image.resize(size, LANCZOS, box=box)
