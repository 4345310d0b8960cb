"""Animations, frame by frame, by libvips: read as one tall picture, from above, and never held as a whole."""

from collections.abc import Callable

import pyvips

from tasks.images import vips_colours, vips_pixels
from tasks.images.model import Task
from tasks.images.plan import Plan, before, swapped
from tasks.images.vips_library import refusing
from tasks.images.vips_load import Loaded, loaded, orientation


def moving(task: Task, plan: Plan, finished: Callable[[pyvips.Image], pyvips.Image]) -> tuple[pyvips.Image, Loaded]:
    """All frames below one another, each cut, resized and finished as the plan has it; and what they came from.

    What is not brought to memory frame by frame waits in libvips for its turn, which takes ten times as much of it.
    """
    with refusing(task.file, task.header.format):
        source = loaded(task, frames=True)
    turn = orientation(task.header)
    crop = before(plan.crop, turn, *task.header.upright)
    size = swapped(plan.size, turn)
    frames = []
    for number in range(source.frames):
        with refusing(task.file, task.header.format):
            frame = vips_colours.srgb(source.part(crop, size, frame=number)).copy_memory()
        done = finished(vips_pixels.turned(frame, turn))
        frames.append(done if done is frame else done.copy_memory())
    return vips_pixels.joined(frames), source
