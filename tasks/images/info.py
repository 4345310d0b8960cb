"""What there is to say of a picture without a network: its header, its EXIF, and one small decode. Pure."""

import math
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageCms

from tasks.analysis import Named
from tasks.exif_tags import USUAL
from tasks.image_facts import Animation, ImageFacts
from tasks.images import blurhash, colors, colours, depth, exif, exif_values, foreign, headers, phash, thumbhash, timing
from tasks.images.header_stream import Stream
from tasks.images.model import Header, Limits, Task
from tasks.images.pillow_decode import CASCADE_RATIO, Source, sources, upright

LONGEST = 640  # pixels of the longer side that hashes and colours are made of at least, as in an analysis
BACKGROUND = "#ffffff"  # stands behind transparent pixels
CONTENT_TYPES = {"pdf": "application/pdf"}
SPACES: dict[str, Literal["gray", "rgb", "cmyk", "lab"]] = {"L": "gray", "LA": "gray", "CMYK": "cmyk", "LAB": "lab"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """A small version of the page or first frame, upright in sRGB (L, LA, RGB, RGBA), and what its decoder told.

    `plays` of an animation, 0 without end.
    """

    image: Image.Image
    space: Literal["gray", "rgb", "cmyk", "lab"] = "rgb"
    exif: bytes = b""
    profile: bytes | None = None
    plays: int = 0


def facts(file: Path, limits: Limits, *, page: int = 1, names: Sequence[str] | None = None) -> ImageFacts:
    """Say what the picture is; `names` are the EXIF fields to tell, by default those of tasks.exif_tags.USUAL.

    Raises ImageRejected.
    """
    header = headers.read(file, limits, page=page)
    seen = _seen(Task(file=file, header=header, wanted=(), limits=limits, page=page))
    width, height = header.upright
    with file.open("rb") as opened:
        stream = Stream(opened)
        size, bits = stream.size, depth.bits(stream, header, page=page)
        animation = None if header.frames == 1 else _animation(stream, header, seen)
    transparent = seen.image.mode.endswith("A")
    flat = np.asarray(colours.flattened(seen.image, BACKGROUND).convert("RGB"))
    return ImageFacts(
        format=header.format,
        content_type=CONTENT_TYPES.get(header.format, f"image/{header.format}"),
        bytes=size,
        width=width,
        height=height,
        megapixels=round(width * height / 1e6, 3),
        orientation=header.orientation,
        frames=header.frames,
        pages=header.pages,
        animation=animation,
        color_space=seen.space,
        bits=bits,
        has_alpha=header.has_alpha or transparent,
        transparent=transparent,
        profile=_name(seen.profile),
        exif=exif.fields(seen.exif, USUAL if names is None else names),
        colors=[Named.model_validate(one) for one in colors.colors(flat)],
        blurhash=blurhash.blurhash(flat),
        thumbhash=b64encode(thumbhash.thumbhash(_tiny(seen.image))).decode(),
        phash=phash.phash(flat),
    )


def _seen(task: Task) -> Seen:
    """Decode the page or first frame, a JPEG or a page of a PDF no larger than needed."""
    header = task.header
    if header.format == "pdf":
        return Seen(image=foreign.decode(task, longest=CASCADE_RATIO * LONGEST))
    factor = _factor(max(header.width, header.height))
    [source] = sources(task, 1 / factor / CASCADE_RATIO, animated=False)
    return Seen(
        image=_small(source, factor),
        space=SPACES.get(source.level.image.mode, "rgb"),
        exif=source.exif or b"",
        profile=source.profile,
        plays=source.plays,
    )


def _factor(longer: int) -> int:
    """The largest power of two by which the sides may be divided so that LONGEST pixels are left."""
    return int(2 ** max(0, math.floor(math.log2(longer / LONGEST))))


def _small(source: Source, factor: int) -> Image.Image:
    """What was decoded, with the picture's sides divided by the factor, upright in sRGB."""
    image = source.level.image
    left = round(factor * max(image.size) / max(source.width, source.height))
    return upright(colours.srgb(image.reduce(left) if left > 1 else image, source.profile), source.orientation)


def _tiny(image: Image.Image) -> "np.typing.NDArray[np.uint8]":
    scale = min(1.0, thumbhash.MOST / max(image.size))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    image = image.convert("RGBA" if image.mode.endswith("A") else "RGB")
    return np.asarray(image.resize(size, Image.Resampling.BOX))


def _animation(stream: Stream, header: Header, seen: Seen) -> Animation:
    """An AVIF's repetitions stand in lists of edits, which nobody reads."""
    loop = None if header.format == "avif" else seen.plays
    return Animation(seconds=timing.seconds(stream, header), loop=loop)


def _name(profile: bytes | None) -> str | None:
    """What an ICC profile calls itself, None where it is broken or does not."""
    if profile is None:
        return None
    try:
        return exif_values.cleaned(ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(BytesIO(profile))))
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return None
