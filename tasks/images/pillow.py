"""The portable engine, and the second opinion: one picture in, the wanted ones out, largest to smallest. On Pillow."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

from tasks.images import auto, exif
from tasks.images.colours import flattened, srgb
from tasks.images.model import Box, Format, Limits, Made, Task
from tasks.images.pictures import opened, refusing
from tasks.images.pillow_decode import CASCADE_RATIO, Source, as_stored, decode, small, sources, trimmed, upright
from tasks.images.pillow_encode import Coding, encoded
from tasks.images.pillow_steps import WHITE, draws, finished
from tasks.images.plan import Plan, bounded, needs_pixels, planned, sides

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
            bounded(stage.plan, stage.format, task.limits, frames=frames)
        if any(stage.animated for stage in stages[1:]) and not stages[0].animated:
            for _ in sources(task, 0.0, animated=True):  # nothing is made of an animation that breaks off
                pass
        return self._made(task, first, stages, _marks(stages, task.limits))

    def _made(
        self, task: Task, first: Source, stages: Sequence[Stage], marks: Mapping[Path, Image.Image]
    ) -> Iterator[Made]:
        reels: list[Reel] = []  # what has been made and will be needed, the largest scale first
        for number, stage in enumerate(stages):
            plan, variant = stage.plan, stage.plan.wanted.variant
            source = _best(reels, stage)
            reel = _from_source(task, first, stage) if source is None else _from_reel(source, stage)
            best = [_best([*reels, reel], later) for later in stages[number + 1 :]]
            reels = [one for one in [*reels, reel] if any(one is needed for needed in best)]
            mark = None if plan.wanted.watermark is None else marks[plan.wanted.watermark]
            frames = [finished(frame, plan, stage.format, mark) for frame in reel.frames]
            coding = Coding(
                format=stage.format,
                lossless=stage.lossless,
                exif=exif.kept(first.exif, variant.metadata),
                profile=first.profile if stage.own else None,
                delays=reel.delays,
                plays=first.plays,
            )
            data = encoded(frames, variant, coding)
            yield Made(
                name=variant.name,
                format=stage.format,
                width=plan.canvas[0],
                height=plan.canvas[1],
                frames=_count(data) if len(frames) > 1 else 1,
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
    moves = task.header.frames > 1
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
    """Whether the format can hold the picture's own colours, with nothing in it that has others."""
    if first.profile is None or plan.wanted.variant.grayscale:
        return False
    mode, space = first.level.image.mode, first.profile[16:20]  # ICC.1:2022, 7.2.6
    match space:
        case b"RGB ":
            return mode in ("RGB", "RGBA") and format_ is not Format.GIF
        case b"GRAY":
            plain = mode == "L" or (mode == "LA" and format_.has_alpha)
            return plain and format_ in (Format.JPEG, Format.PNG, Format.TIFF) and not draws(plan)
        case b"CMYK":
            return mode == "CMYK" and format_ in (Format.JPEG, Format.TIFF) and not draws(plan)
        case _:
            return False


def _marks(stages: Sequence[Stage], limits: Limits) -> dict[Path, Image.Image]:
    """The watermarks' pictures, RGBA in sRGB, no larger than what they are laid on."""
    longest: dict[Path, int] = {}
    for stage in stages:
        if (file := stage.plan.wanted.watermark) is not None:
            longest[file] = max(longest.get(file, 1), *stage.plan.turned)
    marks = {}
    for file, most in longest.items():
        with opened(file, limits) as (image, picture), refusing(limits):
            source = decode(image, picture.format, 0.0)
            marks[file] = small(source, most).convert("RGBA")
    return marks


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
        delays.append(source.delay)
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


def _count(data: bytes) -> int:
    """Frames of an animation that we have written: encoders make one of several that are alike."""
    with Image.open(BytesIO(data)) as image:
        return int(getattr(image, "n_frames", 1))
