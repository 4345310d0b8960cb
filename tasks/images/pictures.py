"""Opening picture files that strangers sent with Pillow, and every way to refuse them. Pure.

Of an animation or a multi-page file the first frame is opened; whoever wants more has to seek.
"""

import math
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pi_heif
from PIL import Image, ImageFile, PngImagePlugin, UnidentifiedImageError

from tasks.images import header_png, headers, refusals
from tasks.images.header_ifd import orientation
from tasks.images.model import Header, ImageRejected, Limits

# The one parser of Pillow that sees a file of each format.
PARSERS = {
    "jpeg": "JPEG",
    "png": "PNG",
    "webp": "WEBP",
    "gif": "GIF",
    "tiff": "TIFF",
    "bmp": "BMP",
    "avif": "AVIF",
    "heic": "HEIF",
}

# All that Pillow's parsers were seen to raise on hostile bytes. Named one by one, and not `Exception`, so that a time
# limit or a lost lease, which may be raised in the midst of a decode, passes through as itself.
HOSTILE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    EOFError,
    RuntimeError,
    struct.error,
    zlib.error,
)

# Of a HEIC without colours pi-heif 1.4 takes the header's word for it that a shade has 16 bits, and writes past the end
# of its memory where the pixels have 8.
DEEP_GREY = "I;16"

pi_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
PngImagePlugin.MAX_TEXT_CHUNK = header_png.MAX_UNPACKED  # bounded by us, and more generously than by Pillow


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """What a file's header says: `format` in small letters, sides in pixels with the EXIF orientation applied."""

    format: str
    width: int
    height: int
    frames: int


@contextmanager
def opened(file: Path | BinaryIO, limits: Limits) -> Iterator[tuple[ImageFile.ImageFile, Picture]]:
    """Open a file, header only, and refuse it if it is not allowed or passes the limits. Raises ImageRejected.

    A file object is read from its beginning and left open; it must be able to seek. A PDF is no picture to Pillow.
    """
    header = headers.read(file, limits)
    if header.format not in PARSERS:
        raise refusals.unsupported(header.format.upper())
    with file.open("rb") if isinstance(file, Path) else nullcontext(file) as stream:
        stream.seek(0)
        with refusing(limits):
            image = Image.open(stream, formats=(PARSERS[header.format],))
        with image:
            if image.size not in ((header.width, header.height), header.upright):  # a TIFF tells the turned size
                raise refusals.unreadable("The picture has another size than its header says.")
            if header.format == "heic" and image.mode == DEEP_GREY:
                raise refusals.unsupported("HEIC in shades of grey with more than 8 bits", "Send it in colours.")
            yield image, _picture(header)


@contextmanager
def refusing(limits: Limits) -> Iterator[None]:
    """Turn whatever a hostile file makes Pillow raise into ImageRejected, and silence Pillow's warnings about it.

    Warnings are silenced, and Pillow's own bound on pixels is ours, for the whole process while this lasts: pictures
    are worked on by processes, not threads.
    """
    before = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd tags are no news; sizes are bounded by us
        Image.MAX_IMAGE_PIXELS = math.ceil(limits.max_pixels / 2)  # at this Pillow warns, at twice as many it refuses
        try:
            yield
        except ImageRejected:
            raise
        except (Image.DecompressionBombError, MemoryError) as exc:
            raise refusals.too_many_pixels(limits) from exc
        except HOSTILE_ERRORS as exc:
            raise _refusal(exc) from exc
        finally:
            Image.MAX_IMAGE_PIXELS = before


@contextmanager
def truncated_files(allowed: bool) -> Iterator[None]:
    """Let Pillow make what there is of files that are cut short; for the whole process while this lasts."""
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = allowed
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def orientation_of(image: ImageFile.ImageFile) -> int:
    """EXIF orientation, 1 to 8, still to be applied: 1 if there is none or it makes no sense.

    Reads what is known so far and never decodes: for a PNG, more may be known after `load`. As headers.read, and as
    browsers do, it looks at EXIF blocks alone, not at XMP or at what ImageMagick hides in texts.
    """
    if image.format == "TIFF":
        return 1  # Pillow turns it while decoding, and reports the turned size before
    exif = image.info.get("exif")
    return orientation(exif) if isinstance(exif, bytes) else 1


def _picture(header: Header) -> Picture:
    width, height = header.upright
    return Picture(format=header.format, width=width, height=height, frames=header.frames)


def _refusal(exc: Exception) -> ImageRejected:
    if isinstance(exc, UnidentifiedImageError) or "truncated" not in str(exc).lower():
        return refusals.unreadable("The picture is damaged or cut short and cannot be read to its end.")
    return refusals.truncated()
