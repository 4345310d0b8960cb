"""One picture in, its variants out: a single decode, largest to smallest. Pure, on Pillow."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image
from PIL.ImageFile import ImageFile

from tasks.images import colours
from tasks.images.pictures import ImageRejected, Limits, opened, orientation_of, refusing
from tasks.images.plan import Box, Format, Plan, VariantSpec, planned, sides

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

PNG_LEVEL = 4  # of zlib: level 6 takes twice the time for one per cent fewer bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """A finished picture: sRGB, upright, free of metadata. Sides in pixels; `data` is the encoded file."""

    name: str
    format: Format
    width: int
    height: int
    data: bytes

    @property
    def content_type(self) -> str:
        return self.format.content_type

    @property
    def extension(self) -> str:
        """Without a dot."""
        return self.format.extension


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """Pixels to resize from: `image` shows the part `region` of the picture, in pixels of its full size."""

    image: Image.Image
    region: Box

    @property
    def scale(self) -> float:
        return max(self.image.size) / max(sides(self.region))


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """The decoded picture as it lay in the file, to be turned upright and brought to sRGB; its sides are upright."""

    format: str
    width: int
    height: int
    orientation: int
    profile: bytes | None
    level: Level


def render(file: Path | BinaryIO, specs: Sequence[VariantSpec], limits: Limits) -> Iterator[Variant]:
    """Make all variants of a picture from one decode, the largest first, each when it is asked for.

    The file has been read to its end when this returns; of an animation, the first frame counts. The same file and
    specs give the same bytes. Raises ImageRejected, here and not later, if the file cannot become these variants.
    """
    with opened(file, limits) as (image, picture), refusing(limits):
        plans = planned(specs, picture.width, picture.height)
        source = decode(image, picture.format, max((plan.scale for plan in plans), default=0.0))
    plans = planned(specs, source.width, source.height)  # again, as only a decoded PNG has told all of its EXIF
    formats = [_format(plan.spec, source) for plan in plans]
    for plan, format_ in zip(plans, formats, strict=True):
        _bound(plan, format_, limits)
    return _made(source, plans, formats)


def _made(source: Source, plans: Sequence[Plan], formats: Sequence[Format]) -> Iterator[Variant]:
    levels: list[Level] = []  # what has been made, upright and in sRGB, the largest scale first
    for plan, format_ in zip(plans, formats, strict=True):
        fitting = [level for level in levels if _serves(level, plan)]
        image = _resized(fitting[-1], plan.crop, plan.size) if fitting else _from_source(source, plan)
        levels.append(Level(image=image, region=plan.crop))
        data = _encode(image, format_, plan.spec)
        yield Variant(name=plan.spec.name, format=format_, width=image.width, height=image.height, data=data)


def decode(image: ImageFile, format_: str, scale: float) -> Source:
    """Read all pixels; of a JPEG a half, quarter or eighth as many a side where no variant needs more than `scale`."""
    size, shrink = image.size, 1.0
    if format_ == "jpeg" and scale > 0:
        wanted = (math.ceil(size[0] * scale * CASCADE_RATIO), math.ceil(size[1] * scale * CASCADE_RATIO))
        if drafted := image.draft(None, wanted):
            shrink = size[0] / drafted[1][2]
    image.load()
    orientation, profile = orientation_of(image), image.info.get("icc_profile")
    pixels = colours.resizable(image)
    pixels.info.clear()  # what is not there cannot leak into a variant: comments, GPS, text, profile
    if format_ == "tiff":
        size = pixels.size  # Pillow has turned it by now
    width, height = (size[1], size[0]) if orientation >= 5 else size
    # A picture decoded smaller is rounded up to whole pixels: its last ones show a little more than there is.
    region = (0.0, 0.0, pixels.width * shrink, pixels.height * shrink)
    level = Level(image=pixels, region=region)
    return Source(format=format_, width=width, height=height, orientation=orientation, profile=profile, level=level)


def _from_source(source: Source, plan: Plan) -> Image.Image:
    """Make a variant's pixels from the decoded ones: resized first, since the other steps then have less to do."""
    size = plan.size if source.orientation < 5 else (plan.size[1], plan.size[0])
    crop = _as_stored(plan.crop, source)
    image = colours.srgb(_resized(source.level, crop, size), source.profile)
    turn = TURNS.get(source.orientation)
    return image if turn is None else image.transpose(turn)


def _as_stored(box: Box, source: Source) -> Box:
    """Where a part of the upright picture lies in the picture as it is stored: `TURNS` the other way."""
    left, top, right, bottom = box
    if source.orientation in (2, 3, 6, 7):  # what is left when upright comes from the far end of its axis
        left, right = source.width - right, source.width - left
    if source.orientation in (3, 4, 7, 8):
        top, bottom = source.height - bottom, source.height - top
    return (top, left, bottom, right) if source.orientation >= 5 else (left, top, right, bottom)


def _resized(level: Level, crop: Box, size: tuple[int, int]) -> Image.Image:
    """Resize a part of a level. Pillow premultiplies by alpha for it, so that hidden colours do not bleed."""
    if crop == level.region and size == level.image.size:
        return level.image
    left, top, _, _ = level.region
    width, height = level.image.size
    across, down = width / sides(level.region)[0], height / sides(level.region)[1]
    box = (
        max(0.0, (crop[0] - left) * across),
        max(0.0, (crop[1] - top) * down),
        min(float(width), (crop[2] - left) * across),
        min(float(height), (crop[3] - top) * down),
    )
    return level.image.resize(size, Image.Resampling.LANCZOS, box=box)


def _serves(level: Level, plan: Plan) -> bool:
    """Whether a variant that has been made can be the source of this one at no loss."""
    inner, outer = plan.crop, level.region
    if inner == outer and level.image.size == plan.size:
        return True
    covers = outer[0] <= inner[0] and outer[1] <= inner[1] and outer[2] >= inner[2] and outer[3] >= inner[3]
    return covers and level.scale >= CASCADE_RATIO * plan.scale


def _format(spec: VariantSpec, source: Source) -> Format:
    if spec.format is not None:
        return spec.format
    for format_ in Format:
        if source.format == format_:
            return format_
    return Format.PNG if source.level.image.mode in ("LA", "RGBA") else Format.JPEG


def _bound(plan: Plan, format_: Format, limits: Limits) -> None:
    width, height = plan.size
    if max(width, height) > format_.largest_side:
        reason = f"{format_.upper()} holds at most {format_.largest_side:,} a side"
    elif width * height > limits.max_pixels:
        reason = f"a variant may have at most {limits.max_pixels:,} in all"
    else:
        return
    raise ImageRejected(
        "image_too_large",
        f"The variant {plan.spec.name!r} would have {width:,} by {height:,} pixels, and {reason}. "
        "Ask for a smaller one.",
    )


def _encode(image: Image.Image, format_: Format, spec: VariantSpec) -> bytes:
    options: dict[str, Any]
    match format_:
        case Format.JPEG:
            image, options = colours.flattened(image, spec.background), {"quality": spec.quality}
        case Format.PNG:
            options = {"compress_level": PNG_LEVEL}
        case Format.WEBP:
            options = {"quality": spec.quality}
    data = BytesIO()
    image.save(data, format_.upper(), **options)
    return data.getvalue()
