"""From a file to pixels, with Pillow: no larger than needed, still as they lie in the file. Pure."""

import math
from collections.abc import Generator
from dataclasses import dataclass

from PIL import Image, ImageChops
from PIL.ImageFile import ImageFile

from tasks.images import colours, pdf, refusals
from tasks.images.model import Box, ImageRejected, Limits, Task
from tasks.images.pictures import HOSTILE_ERRORS, opened, orientation_of, refusing, truncated_files
from tasks.images.plan import before

TURNS = {  # EXIF orientation: what puts the picture upright (EXIF 2.32, 4.6.4 A)
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# A variant is made from another one, or from a JPEG decoded smaller, only where that is at least this many times
# larger: then nothing is lost to see, and most of the time is saved.
CASCADE_RATIO = 2

ALL_PLAYS = 0  # without end


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """Pixels to resize from: `image` shows the part `region` of the picture, in pixels of its full size."""

    image: Image.Image
    region: Box


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """The decoded picture as it lay in the file, to be turned upright and brought to sRGB; its sides are upright.

    `exif` is the file's EXIF block; `plays` of an animation, 0 without end, and `delay` of this frame in milliseconds.
    """

    format: str
    width: int
    height: int
    orientation: int
    profile: bytes | None
    level: Level
    exif: bytes | None = None
    plays: int = ALL_PLAYS
    delay: int = 0


def sources(task: Task, scale: float, *, animated: bool) -> Generator[Source]:
    """Decode the page that the task names, or all frames of an animation, one after the other.

    A JPEG is decoded smaller, and a page of a PDF drawn so, where no variant needs more than `scale`. Raises
    ImageRejected.
    """
    if task.header.format == "pdf":
        longest = math.ceil(max(task.header.upright) * scale * CASCADE_RATIO) if scale > 0 else None
        with refusing(task.limits):
            image = pdf.draw(task.file, task.limits, task.page, longest=longest)
            shrink = max(task.header.upright) / max(image.size)
            page = _source(image, "pdf", task.header.upright, shrink, orientation=1)
        yield page
        return
    # Of a HEIC that is cut short nothing can be made, and its plugin would give a black picture for it.
    allowed = task.allow_truncated and task.header.format != "heic"
    with opened(task.file, task.limits) as (file, picture):
        for number in range(task.header.frames if animated else 1):
            try:
                with refusing(task.limits), truncated_files(allowed):
                    _sought(file, number or task.page - 1, task.limits)
                    source = _frame(file, picture.format) if animated else decode(file, picture.format, scale)
            except ImageRejected:
                if number and allowed:
                    return  # what there is of it
                raise
            yield source


def decode(image: ImageFile, format_: str, scale: float) -> Source:
    """Read all pixels; of a JPEG a half, quarter or eighth as many a side where no variant needs more than `scale`."""
    size, shrink = image.size, 1.0
    if format_ == "jpeg" and scale > 0:
        wanted = (math.ceil(size[0] * scale * CASCADE_RATIO), math.ceil(size[1] * scale * CASCADE_RATIO))
        if drafted := image.draft(None, wanted):
            shrink = size[0] / drafted[1][2]
    image.load()
    if format_ == "tiff":
        size = image.size  # Pillow has turned it by now
    return _source(image, format_, size, shrink, orientation=orientation_of(image))


def _frame(image: ImageFile, format_: str) -> Source:
    """One of an animation, copied, as the next one is painted over it."""
    image.load()
    return _source(image.copy(), format_, image.size, 1.0, orientation=orientation_of(image))


def upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def trimmed(source: Source, tolerance: int) -> Box:
    """What is left of the upright picture without the borders that look like its top left pixel; all if that is none.

    A pixel belongs to the border if no channel differs by more than the tolerance, of 0 to 255.
    """
    image = upright(source.level.image, source.orientation)
    whole = (0.0, 0.0, float(image.width), float(image.height))
    if image.mode in ("LA", "RGBA"):
        image = image.convert(image.mode[:-1] + "a")  # premultiplied: colours that nobody sees are alike
    ground = Image.new(image.mode, image.size)
    ground.paste(image.getpixel((0, 0)) or 0, (0, 0, *image.size))
    stands_out: Image.Image | None = None
    for band in ImageChops.difference(image, ground).split():
        found = band.point([255 if value > tolerance else 0 for value in range(256)])
        stands_out = found if stands_out is None else ImageChops.lighter(stands_out, found)
    box = None if stands_out is None else stands_out.getbbox()
    return whole if box is None else (float(box[0]), float(box[1]), float(box[2]), float(box[3]))


def small(source: Source, longest: int = 256) -> Image.Image:
    """The whole picture upright in sRGB, with at most so many pixels a side."""
    image = source.level.image
    scale = min(1.0, longest / max(image.size))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    image = image.resize(size, Image.Resampling.BOX, reducing_gap=2.0) if size != image.size else image
    return upright(colours.srgb(image, source.profile), source.orientation)


def as_stored(box: Box, source: Source) -> Box:
    """Where a part of the upright picture lies in the picture as it is stored."""
    return before(box, source.orientation, source.width, source.height)


def _sought(image: ImageFile, number: int, limits: Limits) -> None:
    if number == 0:
        return
    try:
        image.seek(number)
    except EOFError as exc:
        pages = int(getattr(image, "n_frames", 1))
        raise refusals.truncated() if number < pages else refusals.page_missing(number + 1, pages) from exc
    if math.prod(image.size) > limits.max_pixels:
        raise refusals.too_many_pixels(limits)


def _source(image: Image.Image, format_: str, size: tuple[int, int], shrink: float, *, orientation: int) -> Source:
    info, exif, plays = image.info, _exif(image), _plays(image, format_)
    pixels = colours.resizable(image)
    pixels.info = {}  # what is not there cannot leak into a variant: comments, GPS, text, profile
    width, height = (size[1], size[0]) if orientation >= 5 else size
    # A picture decoded smaller is rounded up to whole pixels: its last ones show a little more than there is.
    region = (0.0, 0.0, pixels.width * shrink, pixels.height * shrink)
    return Source(
        format=format_,
        width=width,
        height=height,
        orientation=orientation,
        profile=info.get("icc_profile"),
        level=Level(image=pixels, region=region),
        exif=exif,
        plays=plays,
        delay=round(info.get("duration", 0)),
    )


def _plays(image: Image.Image, format_: str) -> int:
    loop = image.info.get("loop")
    if format_ != "gif":
        return int(loop or ALL_PLAYS)
    if loop is None:
        return 1
    return int(loop) + 1 if loop else ALL_PLAYS  # a GIF says how often it is repeated


def _exif(image: Image.Image) -> bytes | None:
    """The EXIF block, wherever the format keeps it; None if there is none that can be read."""
    raw = image.info.get("exif")
    if isinstance(raw, bytes):
        return raw
    if image.format != "TIFF" and "Raw profile type exif" not in image.info:
        return None
    try:
        return image.getexif().tobytes()
    except HOSTILE_ERRORS:
        return None  # a broken block is no reason to refuse good pixels
