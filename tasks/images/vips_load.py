"""Pixels out of a file, by the loader of the format that its header told."""

import math
from dataclasses import dataclass
from typing import cast

import pyvips
from PIL import Image

from tasks.images import animation, colours, foreign, refusals, vips_colours, vips_pixels
from tasks.images.model import Box, Header, Task
from tasks.images.pictures import HOSTILE_ERRORS, opened
from tasks.images.plan import Size
from tasks.images.vips_colours import PROFILE
from tasks.images.vips_library import LOADERS, is_whole

SHRUNK = ("jpeg", "webp")  # decoded smaller at next to no cost, and a WebP in a fraction of the memory, too
SHRINKS = (8, 4, 2)

# Pixels that are left per pixel wanted when a picture is decoded smaller: from 1.4 on the difference to a whole decode
# is far below what the encoder of the result takes away (45 dB and more against 37).
LEFT_OVER = 1.4
NEGLIGIBLE = 0.25  # of a wanted pixel: what may be left out at the sides

# For other formats "truncated" is enough. A TIFF whose packing libvips does not know would then come out blank, and a
# PNG with damage in the midst of its pixels as if there were none.
FAIL_ON = {"tiff": "error", "png": "error"}

ROW_BY_ROW = ("jpeg", "png", "tiff")  # read as far as is needed; others are read in full

TURNED = ("avif",)  # by libvips, as the format wants it

INTERPRETATIONS = {"L": "b-w", "LA": "b-w", "RGB": "srgb", "RGBA": "srgb", "CMYK": "cmyk"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Metadata:
    """What a file carries beside its pixels: blocks as they are, `kind` of its colours as libvips calls it.

    Of an animation, `delays` per frame in milliseconds, and `loop`: how often it is played, 0 without end.
    """

    kind: str
    alpha: bool
    profile: bytes | None
    exif: bytes | None
    delays: tuple[int, ...] = ()
    loop: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """A picture as it is stored, its pixels perhaps still to be read, once and from above.

    `image` has 1 to 5 channels of 8 or 16 bits and shows `region`, in pixels of the full size as stored. Of an
    animation, it has `frames` frames of one size below one another, each of which shows the region. `multiplied`:
    where it is transparent, it is black.
    """

    image: pyvips.Image
    region: Box
    metadata: Metadata
    frames: int = 1
    multiplied: bool = False

    def part(self, crop: Box, size: Size, *, frame: int = 0) -> pyvips.Image:
        """A part of a frame (of its full size, as stored), resized."""
        image, height = self.image, self.image.height // self.frames
        if self.frames > 1:
            image = image.crop(0, frame * height, image.width, height)
        return vips_pixels.resized(image, self.region, crop, size, multiplied=self.multiplied)


def loaded(task: Task, *, scale: float = 1.0, frames: bool = False) -> Loaded:
    """Open a picture of which no more than `scale` of its pixels a side are wanted; with `frames`, all of them.

    Raises ImageRejected, also for a picture of another size than its header says, and what libvips raises.
    """
    header = task.header
    if header.format in foreign.READS:
        longest = max(1, math.ceil(max(header.upright) * min(1.0, scale)))
        return _by_pillow(foreign.decode(task, longest=longest), header)
    if frames and header.format == "gif" and not task.allow_truncated and not is_whole(task.file, "gif"):
        raise refusals.truncated()  # libvips complains only where there is no whole frame
    shrink = _shrink(task, scale)
    image = _opened(task, shrink, frames=frames)
    count = _bounded(task, image, shrink)
    width, height = stored(header)
    if header.format == "jpeg":
        width, height = int(image.width) * shrink, int(image.height) * shrink
    return Loaded(
        image=vips_colours.resizable(image),
        region=(0.0, 0.0, float(width), float(height)),
        metadata=_metadata(image, task),
        frames=count,
        multiplied=header.format == "gif",
    )


def read_to_end(task: Task, *, frames: bool = False) -> None:
    """Read all pixels and keep none; raises as `loaded` and libvips do."""
    image = loaded(task, frames=frames).image
    image.crop(0, image.height - 1, image.width, 1).copy_memory()


def notices_its_end(task: Task) -> bool:
    """Whether it is noticed that a file is cut short though not all of it is read."""
    return task.header.format not in ROW_BY_ROW or is_whole(task.file, task.header.format)


def stored(header: Header) -> Size:
    """Sides of the picture as `loaded` gives it in full: some decoders turn it themselves."""
    return header.upright if header.format in TURNED else (header.width, header.height)


def orientation(header: Header) -> int:
    """What puts the picture upright that `loaded` gives."""
    return 1 if header.format in TURNED else header.orientation


def _shrink(task: Task, scale: float) -> int:
    """By how much the picture may be decoded smaller where no more than this scale is wanted.

    libvips then leaves out what a JPEG's sides have over, and would not notice that a file is cut short in there.
    """
    header = task.header
    if header.format not in SHRUNK or header.frames > 1:
        return 1
    left_out = NEGLIGIBLE if notices_its_end(task) else 0.0
    sides = (header.width, header.height)
    for shrink in SHRINKS:
        if shrink * scale * LEFT_OVER <= 1 and all(side % shrink * scale <= left_out for side in sides):
            return shrink
    return 1


def _opened(task: Task, shrink: int, *, frames: bool) -> pyvips.Image:
    header = task.header
    options: dict[str, object] = {
        "access": "sequential",
        "fail_on": "none" if task.allow_truncated else FAIL_ON.get(header.format, "truncated"),
    }
    if shrink > 1:
        options |= {"shrink": shrink} if header.format == "jpeg" else {"scale": 1 / shrink}
    if header.format == "tiff":
        options["page"] = task.page - 1
    if frames:
        options["n"] = -1
    return pyvips.Operation.call(LOADERS[header.format], str(task.file), **options)


def _bounded(task: Task, image: pyvips.Image, shrink: int) -> int:
    """The number of frames, each of which has the size that was told."""
    height = cast("int", _field(image, "page-height") or image.height)
    sides = zip((int(image.width), height), stored(task.header), strict=True)
    if any(abs(side * shrink - told) >= shrink for side, told in sides) or image.height % height:
        raise refusals.unreadable("The picture has another size than its header says.")
    frames = int(image.height) // height
    if frames > task.limits.max_frames:
        raise refusals.too_many_frames(task.limits)
    if frames > 1 and image.width * image.height > task.limits.max_total_pixels:
        raise refusals.too_much_animation(task.limits, frames)
    return frames


def _metadata(image: pyvips.Image, task: Task) -> Metadata:
    exif = cast("bytes | None", _field(image, "exif-data"))
    if task.header.format == "tiff" and any(one.variant.metadata != "strip" for one in task.wanted):
        exif = _tiff_exif(task)
    return Metadata(
        kind=image.interpretation,
        alpha=image.hasalpha(),
        profile=cast("bytes | None", _field(image, PROFILE)),
        exif=exif,
        delays=tuple(map(animation.shown, cast("list[int]", _field(image, "delay") or ()))),
        loop=cast("int", _field(image, "loop") or 0),
    )


def _field(image: pyvips.Image, name: str) -> object:
    return image.get(name) if image.get_typeof(name) else None


def _tiff_exif(task: Task) -> bytes | None:
    """What the tags of a TIFF say, as a block; libvips reads only a few of them."""
    with opened(task.file, task.limits) as (image, _):
        try:
            return image.getexif().tobytes()
        except HOSTILE_ERRORS:
            return None  # broken tags are no reason to refuse good pixels


def _by_pillow(picture: Image.Image, header: Header) -> Loaded:
    """Take over what Pillow has decoded, which may be smaller than its header says."""
    profile, exif = picture.info.get("icc_profile"), picture.info.get("exif")
    picture = colours.resizable(picture)
    bands = len(picture.getbands())
    image = pyvips.Image.new_from_memory(picture.tobytes(), picture.width, picture.height, bands, "uchar")
    image = image.copy(interpretation=INTERPRETATIONS[picture.mode])
    if profile:
        image.set_type(pyvips.GValue.blob_type, PROFILE, profile)
    width, height = stored(header)
    return Loaded(
        image=vips_colours.resizable(image),
        region=(0.0, 0.0, float(width), float(height)),
        metadata=Metadata(kind=image.interpretation, alpha=image.hasalpha(), profile=profile, exif=exif),
    )
