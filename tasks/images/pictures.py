"""Opening picture files that strangers sent: what is allowed, how large, and every way to refuse it. Pure, on Pillow.

Of an animation or a multi-page file only the first frame is ever decoded.
"""

import math
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

# Tried in this order; no other parser of Pillow ever sees a stranger's bytes.
ALLOWED_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF")
SEND_INSTEAD = "Send JPEG, PNG, WebP, GIF, TIFF, BMP or AVIF."

# Magic bytes of what people send in the belief that it is a picture like any other: (offset, bytes, name).
FOREIGN_FORMATS = (
    (4, b"ftypheic", "HEIC"),
    (4, b"ftypheix", "HEIC"),
    (4, b"ftyphevc", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
    (4, b"ftypisom", "Video"),
    (4, b"ftypmp4", "Video"),
    (4, b"ftypqt", "Video"),
    (0, b"8BPS", "Photoshop"),
    (0, b"%PDF", "PDF"),
    (0, b"%!PS", "PostScript"),
    (0, b"<svg", "SVG"),
    (0, b"<?xml", "SVG or other XML"),
    (0, b"\x00\x00\x01\x00", "ICO"),
    (0, b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
)

COUNTED_FRAMES = 10_000  # a GIF's frames are counted by walking the file; beyond this the answer no longer matters
MAX_JPEG_SCANS = 200  # encoders write about ten; each costs a pass over the whole picture, however few its bytes
JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")  # those that begin a segment, and the end of the image
START_OF_SCAN, END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"

# Where in `info` Pillow's plugins put what may hold an orientation.
ORIENTATION_SOURCES = ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif")

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


class ImageRejected(Exception):
    """The file cannot become variants, whoever tries and however often.

    `code` is stable: `image_unreadable`, `image_format_unsupported` or `image_too_large`; `str()` is a sentence or
    two for the person who sent the file.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        return self.detail


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much one file may ask of us.

    `max_bytes` of the file, since WebP and AVIF are read whole; `max_pixels` is width times height of one frame (at
    most what Pillow itself allows, 178,956,970), `max_total_pixels` that times the number of frames. Peak memory
    by pixel, measured: 6 to 12 bytes, for WebP 22.
    """

    max_bytes: int = 512 * 1024 * 1024
    max_pixels: int = 100_000_000
    max_total_pixels: int = 1_000_000_000

    def __post_init__(self) -> None:
        ceiling = 2 * (Image.MAX_IMAGE_PIXELS or 0)  # Pillow warns at half of this, which we silence, and refuses here
        if not 0 < self.max_pixels <= ceiling:
            raise ValueError(f"max_pixels must be between 1 and {ceiling}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """What a file's header says: `format` in small letters, sides in pixels with the EXIF orientation applied.

    `frames` of a GIF, PNG, WebP or AVIF animation (a GIF's are counted up to 10,000); 1 for all else. Pages of a
    TIFF are not counted, since only the first is ever read.
    """

    format: str
    width: int
    height: int
    frames: int


def inspect(file: Path | BinaryIO, limits: Limits) -> Picture:
    """Say what the file is, from its header, without decoding pixels. Raises ImageRejected.

    A PNG whose EXIF block stands behind its pixels is described as it is stored; when it is decoded, it is turned.
    """
    with opened(file, limits) as (_, picture):
        return picture


@contextmanager
def opened(file: Path | BinaryIO, limits: Limits) -> Iterator[tuple[ImageFile, Picture]]:
    """Open a file, header only, and refuse it if it is not allowed or passes the limits. Raises ImageRejected.

    A file object is read from its beginning and left open; it must be able to seek.
    """
    with file.open("rb") if isinstance(file, Path) else nullcontext(file) as stream:
        if stream.seek(0, 2) > limits.max_bytes:
            raise ImageRejected(
                "image_too_large",
                f"The file has more than {limits.max_bytes:,} bytes, the most that a picture may have. "
                "Compress it more or send a smaller picture.",
            )
        with refusing(limits):
            image = _identify(stream)
        with image:
            with refusing(limits):
                _bound_pixels(image, limits)
                picture = _describe(image, stream)
                if picture.format == "jpeg":
                    _bound_scans(stream)
            _bound_frames(picture, limits)
            yield image, picture


@contextmanager
def refusing(limits: Limits) -> Iterator[None]:
    """Turn whatever a hostile file makes Pillow raise into ImageRejected, and silence Pillow's warnings about it.

    Warnings are silenced for the whole process while this lasts, so pictures are worked on by processes, not threads.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd tags are no news; sizes are bounded by us
        try:
            yield
        except ImageRejected:
            raise
        except (Image.DecompressionBombError, MemoryError) as exc:
            raise _too_many_pixels(limits) from exc
        except HOSTILE_ERRORS as exc:
            raise ImageRejected(
                "image_unreadable",
                "The picture is damaged or cut short and cannot be read to its end. Send the complete file again.",
            ) from exc


def orientation_of(image: ImageFile) -> int:
    """EXIF orientation, 1 to 8, still to be applied: 1 if there is none or it makes no sense.

    Reads what is known so far and never decodes: for a PNG, more may be known after `load`.
    """
    if image.format == "TIFF":
        return 1  # Pillow turns it while decoding, and reports the turned size before
    if image.info.keys().isdisjoint(ORIENTATION_SOURCES):
        return 1  # and do not ask Pillow, which would remember the answer and overlook what comes behind the pixels
    try:
        # The base class's method: PNG's own would decode the whole picture to look for EXIF behind the pixels.
        orientation = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    except HOSTILE_ERRORS:
        return 1  # a broken EXIF block is no reason to refuse good pixels
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _identify(stream: BinaryIO) -> ImageFile:
    try:
        return Image.open(stream, formats=ALLOWED_FORMATS)
    except UnidentifiedImageError as exc:
        stream.seek(0)
        head = stream.read(16)
        for offset, magic, name in FOREIGN_FORMATS:
            if head.startswith(magic, offset):
                raise ImageRejected("image_format_unsupported", f"{name} is not supported. {SEND_INSTEAD}") from exc
        raise ImageRejected("image_unreadable", f"The file is not a picture that we can read. {SEND_INSTEAD}") from exc


def _describe(image: ImageFile, stream: BinaryIO) -> Picture:
    width, height = image.size
    if orientation_of(image) >= 5:
        width, height = height, width
    format_ = "jpeg" if image.format == "MPO" else str(image.format).lower()  # MPO: JPEGs in a row, the first counts
    match format_:
        case "gif":
            frames = _count_gif_frames(stream)
        case "png" | "webp" | "avif":
            frames = max(1, int(getattr(image, "n_frames", 1)))
        case _:
            frames = 1
    return Picture(format=format_, width=width, height=height, frames=frames)


def _bound_pixels(image: ImageFile, limits: Limits) -> None:
    if min(image.size) < 1:
        raise ImageRejected("image_unreadable", "The picture has no pixels: a side of it is 0. Send another file.")
    if math.prod(image.size) > limits.max_pixels:
        raise _too_many_pixels(limits)


def _bound_frames(picture: Picture, limits: Limits) -> None:
    if picture.width * picture.height * picture.frames > limits.max_total_pixels:
        raise ImageRejected(
            "image_too_large",
            f"The animation has more than {limits.max_total_pixels:,} pixels in all its {picture.frames:,} frames. "
            "Send a smaller or shorter one.",
        )


def _too_many_pixels(limits: Limits) -> ImageRejected:
    return ImageRejected(
        "image_too_large",
        f"The picture has more than {limits.max_pixels:,} pixels (width times height). Send a smaller one.",
    )


def _bound_scans(stream: BinaryIO) -> None:
    """Refuse a JPEG that repeats its scans to burn time: a megabyte of them can cost minutes."""
    stream.seek(2)
    scans = 0
    while (marker := _next_jpeg_marker(stream)) != END_OF_IMAGE:
        scans += marker == START_OF_SCAN
        if scans > MAX_JPEG_SCANS:
            raise ImageRejected(
                "image_unreadable",
                f"The JPEG has more than {MAX_JPEG_SCANS} scans, the most that we read. Save it again as a plain JPEG.",
            )
        _skip(stream, max(0, int.from_bytes(stream.read(2)) - 2))


def _next_jpeg_marker(stream: BinaryIO) -> bytes:
    """Move behind the next marker that is not part of the pixels' data, and return it; the end if there is none."""
    while len(block := stream.read(1 << 12)) > 1:
        if found := JPEG_MARKER.search(block):
            _skip(stream, found.end() - len(block))
            return found.group()
        if block.endswith(b"\xff"):
            _skip(stream, -1)
    return END_OF_IMAGE


def _count_gif_frames(stream: BinaryIO) -> int:
    """Walk over the blocks of a GIF, which nothing but walking tells; at least 1, at most COUNTED_FRAMES.

    Format: GIF89a specification, section 17 on. A file that is cut short has the frames that begin in it.
    """
    stream.seek(10)
    _skip(stream, 2 + _colour_table_bytes(stream.read(1)))
    frames = 0
    while frames < COUNTED_FRAMES:
        match stream.read(1):
            case b"!":  # extension: label, then sub-blocks
                _skip(stream, 1)
            case b",":  # image: position and size, own colours, code size, then sub-blocks
                frames += 1
                _skip(stream, 8)
                _skip(stream, _colour_table_bytes(stream.read(1)) + 1)
            case _:
                break
        while size := stream.read(1).strip(b"\0"):
            _skip(stream, size[0])
    return max(1, frames)


def _colour_table_bytes(flags: bytes) -> int:
    return 3 << ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0


def _skip(stream: BinaryIO, count: int) -> None:
    stream.seek(count, 1)
