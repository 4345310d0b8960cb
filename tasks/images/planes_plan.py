"""Which tasks can be done on planes, and by which passes. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tasks.image_params import Variant
from tasks.images.bounds import COEFFICIENT, bounded, readable, samples
from tasks.images.model import Box, Format, Header, JpegFrame, Task
from tasks.images.plan import SEEN, Plan, Size, before, composed, planned, swapped
from tasks.images.planes_grid import Grid, Pass, between
from tasks.images.quality import FULL_COLOURS, USUAL
from tasks.images.turbojpeg import DIVISORS, SCALABLE, Colours, Frame, Sampling

QUALITY = USUAL[Format.JPEG]
PLAIN_HUFFMAN = 3  # the largest effort without tables of the file's own
SAMPLINGS = {sampling.factors: sampling for sampling in Sampling if sampling is not Sampling.GREY}
RGB_NAMES = (ord("R"), ord("G"), ord("B"))  # component ids that say there is no YCbCr

# How many samples a side there must be to one of the result, for them to be taken from a smaller decode or from a
# result before: closer than that, two filters after one another would show.
LEFT_OVER = 1.4
MOST_BYTES = 768 * 1024 * 1024  # larger pictures are left to the other engine, which takes less memory
RESULT = 9  # bytes for each pixel of a result: three planes, and a buffer that any picture would fit in
CLOSE = 1e-6

Axes = tuple[Grid, Grid]
Passes = tuple[Pass, Pass]  # across, down


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Where the samples of a picture lie on the full one as it is stored; it shows `box`."""

    box: Box
    luma: Axes
    chroma: Axes | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One picture to make: from the result of step `source` - 1, or from what was decoded if that is 0."""

    plan: Plan
    source: int
    luma: Passes
    chroma: Passes | None
    turn: int
    sampling: Sampling
    quality: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """All that is to be done: decode the file, whose header the library must find to be `frame`, to 1/`divisor`."""

    frame: Frame
    progressive: bool
    divisor: int
    steps: Sequence[Step]


def program(task: Task) -> Program | None:
    """How to make all that is wanted; None if anything of it is not for planes, a profile's colours excepted.

    Raises ImageRejected as every engine does, for a picture that would be too large or shows nothing.
    """
    frame, jpeg = _frame(task.header), task.header.jpeg
    if frame is None or frame.sampling is None or jpeg is None or task.allow_truncated or task.page != 1:
        return None
    is_grey = frame.sampling is Sampling.GREY
    if not all(_fits(one.variant, task.header, is_grey=is_grey) for one in task.wanted):
        return None
    plans = planned(task.wanted, *task.header.upright)
    readable(task.header, plans)
    for plan in plans:
        bounded(plan, Format.JPEG, task.limits)
        if plan.canvas != plan.turned:
            return None
    for divisor in DIVISORS:
        if _divisible(frame, plans, divisor) and _memory(task.header, jpeg, plans, divisor) <= MOST_BYTES:
            steps = _steps(_stored(frame, frame.sampling, divisor), plans, task.header)
            if steps is not None:
                return Program(frame=frame, progressive=jpeg.progressive, divisor=divisor, steps=steps)
    return None


def _frame(header: Header) -> Frame | None:
    """What libjpeg-turbo should find in the header; None if it is not of the kinds that planes can take."""
    jpeg = header.jpeg
    if header.format != "jpeg" or jpeg is None or jpeg.bits != 8 or jpeg.arithmetic:
        return None
    if len(jpeg.components) == 1 and jpeg.sampling == ((1, 1),):
        return Frame(width=header.width, height=header.height, sampling=Sampling.GREY, colours=Colours.GREY)
    if len(jpeg.components) != 3 or jpeg.components == RGB_NAMES or jpeg.adobe_transform not in (None, 1):
        return None
    luma, *chroma = jpeg.sampling
    sampling = SAMPLINGS.get(luma)
    if chroma != [(1, 1), (1, 1)] or sampling is None:
        return None
    return Frame(width=header.width, height=header.height, sampling=sampling, colours=Colours.YCBCR)


def _fits(variant: Variant, header: Header, *, is_grey: bool) -> bool:
    return (
        variant.format in (None, "jpeg")
        and variant.trim is None
        and not (variant.fit == "cover" and variant.gravity in SEEN)
        and variant.blur is None
        and variant.sharpen is None
        and variant.watermark is None
        and not variant.lossless
        and (variant.effort or 0) <= PLAIN_HUFFMAN
        and not variant.progressive
        and (variant.max_bytes is None or (variant.quality or QUALITY) < FULL_COLOURS)
        and variant.metadata == "strip"
        and not (variant.keep_icc and header.has_profile)
        and not (variant.grayscale and not is_grey)  # luma is no measure of light
    )


def _divisible(frame: Frame, plans: Sequence[Plan], divisor: int) -> bool:
    """Whether a picture decoded to a part of its size has enough samples left."""
    if divisor == 1:
        return True
    scale = max(plan.scale for plan in plans)
    return min(frame.width, frame.height) >= SCALABLE and divisor * scale * LEFT_OVER <= 1


def _memory(header: Header, jpeg: JpegFrame, plans: Sequence[Plan], divisor: int) -> float:
    """Bytes: of the file's coefficients and planes, and of the largest result, before and after it is encoded."""
    each = samples(jpeg) * (1 / divisor**2 + (COEFFICIENT if jpeg.progressive else 0))
    largest = max(plan.size[0] * plan.size[1] for plan in plans)
    return header.width * header.height * each + largest * RESULT


def _stored(frame: Frame, sampling: Sampling, divisor: int) -> Layout:
    size = (frame.width, frame.height)
    luma, chroma = (
        tuple(
            Grid(start=0.0, pitch=float(divisor * factor), count=-(-side // (divisor * factor)))
            for side, factor in zip(size, factors, strict=True)
        )
        for factors in ((1, 1), sampling.factors)
    )
    return Layout(
        box=(0.0, 0.0, float(size[0]), float(size[1])),
        luma=(luma[0], luma[1]),
        chroma=None if sampling is Sampling.GREY else (chroma[0], chroma[1]),
    )


def _steps(stored: Layout, plans: Sequence[Plan], header: Header) -> list[Step] | None:
    layouts, steps = [stored], list[Step]()
    for plan in plans:
        quality = plan.wanted.variant.quality or QUALITY
        sampling = Sampling.QUARTER if quality < FULL_COLOURS else Sampling.FULL
        if stored.chroma is None:
            sampling = Sampling.GREY
        turn = composed(header.orientation, plan.turn)
        for box in _boxes(plan, header, stored.luma[0].pitch):
            target = _target(box, swapped(plan.size, header.orientation), turn, sampling)
            if (found := _source(layouts, target)) is not None:
                break
        else:
            return None
        source, luma, chroma = found
        layouts.append(target)
        steps.append(
            Step(plan=plan, source=source, luma=luma, chroma=chroma, turn=turn, sampling=sampling, quality=quality)
        )
    return steps


def _boxes(plan: Plan, header: Header, pitch: float) -> Iterator[Box]:
    """The part that is shown, of the picture as it is stored; and where that is ours to choose those near to it that
    libvips can keep to: around a middle between samples, and from a sample of chroma on. They lie off by at most half
    a sample of what is decoded, and by one.
    """
    left, top, right, bottom = box = before(plan.crop, header.orientation, *header.upright)
    yield box
    variant = plan.wanted.variant
    if variant.fit != "cover" or variant.crop is not None or variant.gravity not in ("center", "face", "objects"):
        return
    free = (right - left < header.width - CLOSE, bottom - top < header.height - CLOSE)
    places = (((left + right) / 2, (top + bottom) / 2), pitch), ((left, top), 2 * pitch)
    for place, step in places:
        x, y = (round(at / step) * step - at if may else 0.0 for at, may in zip(place, free, strict=True))
        near = (left + x, top + y, right + x, bottom + y)
        if _shows((0.0, 0.0, float(header.width), float(header.height)), near):
            yield near


def _target(box: Box, size: Size, turn: int, sampling: Sampling) -> Layout:
    """Where the samples of a result lie that shows a part, before it is turned."""
    left, top, right, bottom = box
    luma = (
        Grid(start=left, pitch=(right - left) / size[0], count=size[0]),
        Grid(start=top, pitch=(bottom - top) / size[1], count=size[1]),
    )
    if sampling is Sampling.GREY:
        return Layout(box=box, luma=luma, chroma=None)
    # The samples begin at the edge that will be left or above. The corner there is, before the turn, this one:
    x, y, _, _ = before((0.0, 0.0, 0.0, 0.0), turn, 1.0, 1.0)
    chroma = tuple(
        _coarser(grid, factor, from_end=from_end == 1)
        for grid, factor, from_end in zip(luma, sampling.factors, (x, y), strict=True)
    )
    return Layout(box=box, luma=luma, chroma=(chroma[0], chroma[1]))


def _coarser(grid: Grid, factor: int, *, from_end: bool) -> Grid:
    count, pitch = -(-grid.count // factor), factor * grid.pitch
    start = grid.start + grid.count * grid.pitch - count * pitch if from_end else grid.start
    return Grid(start=start, pitch=pitch, count=count)


def _source(layouts: Sequence[Layout], target: Layout) -> tuple[int, Passes, Passes | None] | None:
    """The smallest of the pictures there are that the target can be made of, and how."""
    for index in reversed(range(len(layouts))):
        layout = layouts[index]
        if not _shows(layout.box, target.box):
            continue
        luma = _passes(layout.luma, target.luma)
        if luma is None or (index and any(1 < one.shrink < LEFT_OVER for one in luma)):
            continue
        if target.chroma is None:
            return index, luma, None
        if layout.chroma is not None and (chroma := _passes(layout.chroma, target.chroma)) is not None:
            return index, luma, chroma
    return None


def _passes(source: Axes, target: Axes) -> Passes | None:
    across, down = between(source[0], target[0]), between(source[1], target[1])
    return None if across is None or down is None else (across, down)


def _shows(box: Box, part: Box) -> bool:
    return (
        part[0] >= box[0] - CLOSE
        and part[1] >= box[1] - CLOSE
        and part[2] <= box[2] + CLOSE
        and part[3] <= box[3] + CLOSE
    )
