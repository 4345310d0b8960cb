"""The fast lane: from JPEG to JPEG on the planes that JPEG stores, without a way through RGB."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from tasks.images import quality, turbojpeg, vips_library
from tasks.images.model import Engine, Format, ImageRejected, Made, Task
from tasks.images.planes_plan import Program, Step, program
from tasks.images.planes_profile import is_srgb
from tasks.images.planes_resize import filled, resized, turned
from tasks.images.turbojpeg import Pixels
from tasks.images.turbojpeg_library import Library, found


class Planes:
    """An engine in front of another: takes the tasks of which all can be done on planes, and leaves it the others.

    So a file that libjpeg-turbo finds damaged: whether it is refused, and how, is the other's to say. libvips works
    with `threads` threads, and is first used by `render`, as it must be after the last fork.
    """

    def __init__(self, inner: Engine, *, threads: int = 1) -> None:
        self._inner = inner
        self._threads = threads

    @property
    def version(self) -> str:
        return f"planes {turbojpeg.available()} {vips_library.version()}"

    def render(self, task: Task) -> Iterator[Made]:
        """As Engine.render; Made.engine tells which of the two it was."""
        library, todo = found(), program(task)
        if library is None or todo is None or (picture := _decoded(library, todo, task)) is None:
            yield from self._inner.render(task)
            return
        vips_library.ready(self._threads)
        pictures = {0: picture}
        del picture
        for index, step in enumerate(todo.steps):
            with vips_library.working():
                made = _resized(pictures[step.source], step)
            wanted_later = {later.source for later in todo.steps[index + 1 :]}
            pictures = {key: kept for key, kept in (pictures | {index + 1: made}).items() if key in wanted_later}
            yield self._made(library, made, step)

    def _made(self, library: Library, picture: turbojpeg.Planes, step: Step) -> Made:
        variant = step.plan.wanted.variant
        width, height = step.plan.canvas
        finished = _finished(library, picture, step)
        data = quality.best(partial(_encoded, library, finished, step), step.quality, variant.max_bytes)
        return Made(
            name=variant.name, format=Format.JPEG, width=width, height=height, frames=1, data=data, engine=self.version
        )


def _decoded(library: Library, todo: Program, task: Task) -> turbojpeg.Planes | None:
    """None where the file is damaged, or its colours are not those of its planes."""
    data: Pixels = np.memmap(task.file, np.uint8, "r")
    if not is_srgb(task.header, data):
        return None
    try:
        return turbojpeg.decoded(library, data, todo.frame, todo.divisor, apart=todo.progressive)
    except ImageRejected:
        return None


def _resized(picture: turbojpeg.Planes, step: Step) -> turbojpeg.Planes:
    """As wide and high as the result, not yet turned."""
    return turbojpeg.Planes(
        luma=resized(picture.luma, *step.luma),
        chroma=None if picture.chroma is None or step.chroma is None else resized(picture.chroma, *step.chroma),
    )


def _finished(library: Library, picture: turbojpeg.Planes, step: Step) -> turbojpeg.Planes:
    """Turned, and with the sides that libjpeg-turbo wants."""
    luma, *chroma = (
        filled(turned(part, step.turn), *turbojpeg.plane_size(library, *step.plan.canvas, step.sampling, plane))
        for plane, part in enumerate((picture.luma, picture.chroma))
        if part is not None
    )
    return turbojpeg.Planes(luma=luma, chroma=chroma[0] if chroma else None)


def _encoded(library: Library, picture: turbojpeg.Planes, step: Step, quality: int) -> bytes:
    return turbojpeg.encoded(library, picture, *step.plan.canvas, step.sampling, quality)
