"""The engine of image.resize: one picture in, the wanted ones out, the largest first. On libvips."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from pathlib import Path

import pyvips

from tasks.images import animation, auto, exif, vips_colours, vips_frames, vips_pixels
from tasks.images.bounds import bounded, readable
from tasks.images.marks import Mark, needed, placed
from tasks.images.model import Format, ImageRejected, Limits, Made, Task
from tasks.images.pillow import Pillow
from tasks.images.plan import Plan, Size, swapped
from tasks.images.refusals import UNREADABLE
from tasks.images.vips_ground import grounded, marked
from tasks.images.vips_levels import Levels, looked_at
from tasks.images.vips_library import ready, refusing, version, working
from tasks.images.vips_load import loaded, orientation, read_to_end
from tasks.images.vips_save import Sheet, encoded


class Vips:
    """Makes pictures with libvips, on `threads` threads; nothing of it is touched before the first `render`."""

    def __init__(self, *, threads: int = 1) -> None:
        self._threads = threads

    @cached_property
    def version(self) -> str:
        return version()

    def render(self, task: Task) -> Iterator[Made]:
        """As Engine says. An animation is read again for each variant that keeps its frames.

        The many kinds of TIFF that libvips does not know are left to Pillow.
        """
        ready(self._threads)
        with working():
            made = _Work(task).made(self.version)
            try:
                first = list(islice(made, 1))
            except ImageRejected as exc:
                if task.header.format != "tiff" or exc.code != UNREADABLE:
                    raise
                first, made = [], Pillow().render(task)
            yield from first
            yield from made


@dataclass(frozen=True, kw_only=True, slots=True)
class _Target:
    """A plan with the format it comes out in: None where that depends on what is to be seen."""

    plan: Plan
    format: Format | None
    moves: bool


class _Work:
    """One task on its way."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._levels = Levels(task)
        self._marks: dict[Path, tuple[pyvips.Image, Size]] = {}  # with the sides that their files have
        self._reading = partial(refusing, task.file, task.header.format)

    def made(self, engine: str) -> Iterator[Made]:
        with self._reading():
            targets = [_target(self._task, plan) for plan in self._levels.plans()]
        for target in targets:
            frames = self._task.header.frames if target.moves else 1
            bounded(target.plan, target.format or Format.PNG, self._task.limits, frames=frames)
        plans = [target.plan for target in targets]
        marks = needed(plans, self._task.limits)
        readable(self._task.header, plans, (mark.size for mark in marks))
        self._marks = {mark.file: (_mark(mark, self._task.limits), mark.header.upright) for mark in marks}
        if any(target.moves for target in targets[1:]) and not targets[0].moves:
            with self._reading():
                read_to_end(self._task, frames=True)  # nothing is made of an animation that breaks off
        for target in targets:
            sheet = self._moving(target) if target.moves else self._still(target)
            data = encoded(sheet)
            yield Made(
                name=sheet.variant.name,
                format=sheet.format,
                width=sheet.image.width,
                height=sheet.image.height // sheet.frames,
                frames=animation.frames(data) if sheet.frames > 1 else 1,
                data=data,
                engine=engine,
            )

    def _still(self, target: _Target) -> Sheet:
        plan, variant = target.plan, target.plan.wanted.variant
        with self._reading():
            image, metadata = self._levels.pixels(plan), self._levels.metadata
            profile = metadata.profile if self._levels.native(plan) else None
        format_, lossless = target.format, variant.lossless
        if variant.format == "auto":
            format_, picked = auto.chosen(looked_at(image), animated=False, size=plan.canvas)
            lossless = lossless or picked
        elif format_ is None:
            format_ = Format.PNG if image.hasalpha() else Format.JPEG
        bounded(plan, format_, self._task.limits, transparent=image.hasalpha(), lossless=lossless)
        return Sheet(
            image=self._finished(image, plan, format_, profile),
            format=format_,
            variant=variant,
            lossless=lossless,
            exif=exif.kept(metadata.exif, variant.metadata),
            profile=profile,
        )

    def _moving(self, target: _Target) -> Sheet:
        plan, variant, format_ = target.plan, target.plan.wanted.variant, target.format
        assert format_ is not None
        image, source = vips_frames.moving(self._task, plan, lambda frame: self._finished(frame, plan, format_))
        metadata = source.metadata
        return Sheet(
            image=image,
            format=format_,
            variant=variant,
            lossless=variant.lossless,
            exif=exif.kept(metadata.exif, variant.metadata),
            frames=source.frames,
            delays=metadata.delays,
            loop=metadata.loop,
        )

    def _finished(self, image: pyvips.Image, plan: Plan, format_: Format, profile: bytes | None = None) -> pyvips.Image:
        """From the resized picture, in its profile or sRGB, to the one that is encoded: the steps in their order."""
        variant = plan.wanted.variant
        image = vips_pixels.turned(image, plan.turn)
        if variant.grayscale:
            image = vips_colours.grey(image)
        if variant.blur is not None:
            image = vips_pixels.blurred(image, variant.blur)
        if variant.sharpen is not None:
            image = vips_pixels.sharpened(image, variant.sharpen)
        if variant.watermark is not None and plan.wanted.watermark is not None:
            mark, sides = self._marks[plan.wanted.watermark]
            place = placed(variant.watermark, variant.dpr, (image.width, image.height), sides)
            image = marked(image, mark, place, variant.watermark.opacity, profile)
        return grounded(image, plan, format_, profile)


def _target(task: Task, plan: Plan) -> _Target:
    variant, header = plan.wanted.variant, task.header
    many = header.moves and variant.animated
    format_: Format | None
    if variant.format == "auto":
        format_ = Format.WEBP if many and max(plan.canvas) <= Format.WEBP.largest_side else None
    elif variant.format is not None:
        format_ = Format(variant.format)
    elif header.format in list(Format):
        format_ = Format(header.format)
    else:
        format_ = Format.PNG if header.format == "bmp" else None
    return _Target(plan=plan, format=format_, moves=many and format_ is not None and format_.animates)


def _mark(mark: Mark, limits: Limits) -> pyvips.Image:
    """The watermark's picture, RGBA in sRGB, upright, in the size that is needed."""
    header, turn = mark.header, orientation(mark.header)
    with refusing(mark.file, header.format):
        scale = max(mark.size[0] / header.upright[0], mark.size[1] / header.upright[1])
        source = loaded(Task(file=mark.file, header=header, wanted=(), limits=limits), scale=min(1.0, scale))
        image = vips_colours.srgb(source.part(source.region, swapped(mark.size, turn)))
        image = vips_colours.coloured(image).copy_memory()
        image = image if image.hasalpha() else image.bandjoin(255).copy(interpretation="srgb")
        return vips_pixels.turned(image, turn).copy_memory()
