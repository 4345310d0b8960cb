"""What a picture file says of itself, told by its content alone and bounded before any pixel is decoded. Pure.

A file that could be read as two things is what its first bytes say, or nothing; what stands behind it is left alone.
"""

import math
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

from tasks.images import (
    header_bmp,
    header_gif,
    header_heif,
    header_jpeg,
    header_png,
    header_tiff,
    header_webp,
    pdf,
    refusals,
)
from tasks.images.header_stream import Stream
from tasks.images.model import Header, ImageRejected, Limits

# Magic bytes of what we read: (offset, bytes, format).
OURS = (
    (0, b"\xff\xd8\xff", "jpeg"),
    (0, header_png.SIGNATURE, "png"),
    (0, b"GIF87a", "gif"),
    (0, b"GIF89a", "gif"),
    (8, b"WEBP", "webp"),
    (0, b"II*\0", "tiff"),
    (0, b"MM\0*", "tiff"),
    (0, b"II+\0", "tiff"),
    (0, b"MM\0+", "tiff"),
    (4, b"ftyp", "heif"),
    (0, b"%PDF-", "pdf"),
    (0, b"BM", "bmp"),
)
# Of what people send in the belief that it is a picture like any other: (offset, bytes, name).
FOREIGN = (
    (8, b"AVI ", "AVI video"),
    (0, b"\x1aE\xdf\xa3", "Video"),
    (0, b"8BPS", "Photoshop"),
    (0, b"%!PS", "PostScript"),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript"),
    (0, b"\x00\x00\x01\x00", "ICO"),
    (0, b"\x00\x00\x02\x00", "CUR"),
    (0, b"icns", "ICNS"),
    (0, b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"DDS ", "DDS"),
    (0, b"qoif", "QOI"),
    (0, b"v/1\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"FUJIFILMCCD-RAW", "A raw photograph"),
    (0, b"PK\x03\x04", "A ZIP archive"),
    (0, b"\x1f\x8b", "A gzip file"),
    (4, b"ftypcrx", "A raw photograph"),
    (4, b"ftyp", "Video"),
)
MARKUP = ((b"<svg", "SVG"), (b"<?xml", "SVG or other XML"), (b"<!doctype", "HTML or SVG"), (b"<html", "HTML"))
SPACE = b"\xef\xbb\xbf \t\r\n"  # and a byte order mark, which may stand before markup
MAX_SIDE = 100_000  # pixels; whoever resizes a row keeps several, and tables as long
HEAD = 64  # bytes that tell a format


def read(file: Path | BinaryIO, limits: Limits, *, page: int = 1) -> Header:
    """Read no more than the header, and refuse what is not allowed or passes the limits.

    A file object is read from its beginning and left open; it must be able to seek. AVIF is described as it is stored,
    with `orientation` for its turns and mirrors; HEIC as it is when it has been decoded, and a PDF's page as it is
    when it has been drawn. Raises ImageRejected.
    """
    with file.open("rb") if isinstance(file, Path) else nullcontext(file) as opened:
        stream = Stream(opened)
        if stream.size > limits.max_bytes:
            raise refusals.too_many_bytes(limits)
        header = _parsed(file, stream, limits, page)
    if page > header.pages:
        raise refusals.page_missing(page, header.pages)
    _bound(header, limits)
    return header


def _parsed(file: Path | BinaryIO, stream: Stream, limits: Limits, page: int) -> Header:
    head = stream.take(min(HEAD, stream.size))
    match next((name for offset, magic, name in OURS if head.startswith(magic, offset)), None):
        case "jpeg":
            return header_jpeg.read(stream)
        case "png":
            return header_png.read(stream)
        case "gif":
            return header_gif.read(stream, limits)
        case "webp":
            return header_webp.read(stream, limits)
        case "tiff":
            return header_tiff.read(stream, limits, page)
        case "bmp":
            return header_bmp.read(stream)
        case "pdf":
            return pdf.read(file, limits, page)
        case "heif":
            if format_ := header_heif.format_of(stream):
                return header_heif.read(stream, limits, format_)
    raise _unknown(head)


def _unknown(head: bytes) -> ImageRejected:
    markup = head.lstrip(SPACE).lower()
    name = next((name for magic, name in MARKUP if markup.startswith(magic)), None)
    name = name or next((name for offset, magic, name in FOREIGN if head.startswith(magic, offset)), None)
    if name is not None:
        return refusals.unsupported(name)
    return refusals.unreadable("The file is not a picture that we can read.", refusals.SEND_INSTEAD)


def _bound(header: Header, limits: Limits) -> None:
    """Refuse what is too large to be decoded."""
    pixels = math.prod((header.width, header.height))
    if not pixels:
        raise refusals.unreadable("The picture has no pixels: a side of it is 0.")
    if pixels > limits.max_pixels:
        raise refusals.too_many_pixels(limits)
    if max(header.width, header.height) > MAX_SIDE:
        raise refusals.too_large(f"The picture has more than {MAX_SIDE:,} pixels on a side.")
    if header.frames > limits.max_frames:
        raise refusals.too_many_frames(limits)
    if pixels * header.frames > limits.max_total_pixels:
        raise refusals.too_much_animation(limits, header.frames)
