"""What an engine takes and gives: one picture in, the wanted ones out. Pure."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from tasks.image_params import Variant

Box = tuple[float, float, float, float]  # left, top, right, bottom


class Format(StrEnum):
    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    AVIF = "avif"
    GIF = "gif"
    TIFF = "tiff"

    @property
    def content_type(self) -> str:
        return f"image/{self.value}"

    @property
    def largest_side(self) -> int:
        """Pixels that the format can hold a side."""
        return _LARGEST_SIDE[self]

    @property
    def has_alpha(self) -> bool:
        return self is not Format.JPEG

    @property
    def animates(self) -> bool:
        """Whether we keep the frames of an animation in it."""
        return self in (Format.GIF, Format.WEBP)

    @property
    def has_quality(self) -> bool:
        return self in (Format.JPEG, Format.WEBP, Format.AVIF)


_LARGEST_SIDE = {
    Format.JPEG: 65_500,
    Format.PNG: 2**31 - 1,
    Format.WEBP: 16_383,
    Format.AVIF: 16_384,
    Format.GIF: 65_535,
    Format.TIFF: 2**31 - 1,
}


class ImageRejected(Exception):
    """The file cannot become what is wanted, whoever tries and however often.

    `code` is stable: `image_unreadable`, `image_truncated`, `image_format_unsupported`, `image_too_large`,
    `page_missing`, `crop_outside` or `max_bytes_unreachable`; `str()` is a sentence or two for the person who sent
    the file.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        return self.detail


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much one file may ask of us; every one is checked from the header, before pixels are decoded.

    `max_bytes` of the file; `max_pixels` is width times height of one frame or page, `max_total_pixels` that times the
    number of frames; `max_frames` of an animation; `max_output_pixels` of a picture that is made, frames included.
    """

    max_bytes: int = 512 * 1024 * 1024
    max_pixels: int = 100_000_000
    max_total_pixels: int = 250_000_000
    max_frames: int = 1_000
    max_output_pixels: int = 100_000_000

    @property
    def of_one_frame(self) -> "Limits":
        """The same for whoever looks at the first frame only: however many follow, they cost nothing."""
        return replace(self, max_frames=sys.maxsize, max_total_pixels=sys.maxsize)


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """What a file says of itself before its pixels are read; its type is told by its content alone.

    `format` in small letters (jpeg png webp gif tiff bmp avif heic pdf); `width` and `height` in pixels as stored,
    `orientation` 1 to 8 (EXIF) still to be applied; `frames` of an animation, `pages` of a document; `has_alpha` where
    the header tells; `has_profile`: an ICC profile is embedded. `jpeg` is told of JPEG files only.
    """

    format: str
    width: int
    height: int
    orientation: int = 1
    frames: int = 1
    pages: int = 1
    has_alpha: bool = False
    has_profile: bool = False
    jpeg: "JpegFrame | None" = None

    @property
    def moves(self) -> bool:
        """Whether it is an animation whose frames we keep."""
        return self.frames > 1 and self.format in ("gif", "webp")

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height with the orientation applied."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


@dataclass(frozen=True, kw_only=True, slots=True)
class JpegFrame:
    """The frame header of a JPEG (ITU-T T.81, B.2.2): what decides whether the fast lane may take it.

    `sampling` holds horizontal and vertical factors per component, `adobe_transform` the Adobe marker's, None without.
    """

    bits: int
    progressive: bool
    arithmetic: bool
    components: tuple[int, ...]  # their ids
    sampling: tuple[tuple[int, int], ...]
    adobe_transform: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A picture to make: the `variant` as it was asked for; `focus`, boxes as shares of the upright picture's sides, of
    which `cover` keeps as many as fit, the largest first; `watermark`, the file of the variant's watermark.
    """

    variant: Variant
    focus: tuple[Box, ...] = ()
    watermark: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A finished picture, upright; sides in pixels of one frame, `data` is the encoded file.

    `engine` says what made it, with versions: "vips 8.18.7", "planes 2.1.5 vips 8.18.7", "pillow 13.0.0".
    """

    name: str
    format: Format
    width: int
    height: int
    frames: int
    data: bytes
    engine: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One file and all that is wanted of it. `page` counts from 1."""

    file: Path
    header: Header
    wanted: Sequence[Wanted]
    limits: Limits = field(default_factory=Limits)
    page: int = 1
    allow_truncated: bool = False


class Engine(Protocol):
    """Makes pictures. One contract suite holds for all: tests/contracts/test_engines.py."""

    @property
    def version(self) -> str:
        """Its name and its library's version, as in Made.engine."""

    def render(self, task: Task) -> Iterator[Made]:
        """Make all that is wanted from one decode, the largest first, each when it is asked for.

        The same task gives the same bytes. Raises ImageRejected, for a damaged or hostile file at the latest while the
        first picture is made.
        """
