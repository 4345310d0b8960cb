"""From pixels to files, with Pillow. Pure: the same pixels and options give the same bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from PIL import ExifTags, Image
from PIL.ImageFile import ImageFile

from tasks.image_params import Variant
from tasks.images import pillow_png, quality
from tasks.images.model import Format
from tasks.images.pillow_decode import ALL_PLAYS

# Efforts, 0 to 10, where none is asked for. JPEG: from 4 on the Huffman tables are fitted to the picture.
EFFORT = {Format.JPEG: 0, Format.PNG: 4, Format.WEBP: 6, Format.AVIF: 1}
FITTED_TABLES = 4

GIF_COLOURS = 255  # and one that is transparent
LEFT, CLEARED = 1, 2  # what becomes of a frame before the next one is painted (GIF89a, section 23)
PREDICTOR, FROM_THE_LEFT = 317, 2  # TIFF 6.0, section 14: only differences are stored
TABLES = frozenset((ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo))
WEBP_FLAGS, WEBP_ALPHA = 20, 0x10  # of the chunk VP8X (RFC 9649, section 2.7.1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Coding:
    """How a variant is written: `lossless` as decided, `exif` and `profile` as they are to stand in it.

    `delays` per frame in milliseconds and `plays` (0 without end) are for animations, which have several frames.
    """

    format: Format
    lossless: bool
    exif: bytes | None = None
    profile: bytes | None = None
    delays: Sequence[int] = ()
    plays: int = ALL_PLAYS


def encoded(frames: Sequence[Image.Image], variant: Variant, coding: Coding) -> bytes:
    """Write the file, within `max_bytes` by quality. Raises ImageRejected (max_bytes_unreachable)."""
    format_ = coding.format
    if not format_.has_quality:
        return quality.within(_saved(frames, variant, coding, None), variant)
    if coding.lossless and format_ is not Format.JPEG:
        data = _saved(frames, variant, coding, None)
        if variant.lossless or variant.max_bytes is None or len(data) <= variant.max_bytes:
            return quality.within(data, variant)
    most = variant.quality or quality.USUAL[format_]
    return quality.best(lambda tried: _saved(frames, variant, coding, tried), most, variant.max_bytes)


def _saved(frames: Sequence[Image.Image], variant: Variant, coding: Coding, tried: int | None) -> bytes:
    """Encode with the quality that is tried, or without loss where that is None."""
    image, *others = frames
    image = image.copy() if isinstance(image, ImageFile) else image  # else a TIFF would hand all its fields on
    if coding.format is Format.PNG and variant.progressive:
        return pillow_png.interlaced(image, _level(_effort(variant, Format.PNG)), coding.exif, coding.profile)
    options = _options(variant, coding, tried)
    transparent = any(frame.mode in ("LA", "RGBA") for frame in frames)
    if coding.format is Format.GIF:
        image, *others = map(_paletted, frames)
        options["disposal"] = CLEARED if transparent else LEFT
    if others:
        options |= {"save_all": True, "append_images": others, "duration": list(coding.delays)}
        options |= _loop(coding)
    if coding.exif is not None and coding.format is not Format.GIF:
        options["exif"] = coding.exif
    if coding.format is Format.TIFF:
        options |= tiff_options(coding.exif)
    if coding.profile is not None:
        options["icc_profile"] = coding.profile
    file = BytesIO()
    image.save(file, coding.format.upper(), **options)
    data = file.getvalue()
    return with_alpha(data) if coding.format is Format.WEBP and transparent else data


def _options(variant: Variant, coding: Coding, tried: int | None) -> dict[str, Any]:
    match coding.format:
        case Format.JPEG:
            fitted = _effort(variant, Format.JPEG) >= FITTED_TABLES
            colours = {"subsampling": "4:4:4"} if tried is not None and tried >= quality.FULL_COLOURS else {}
            return {"quality": tried, "optimize": fitted, "progressive": variant.progressive} | colours
        case Format.PNG:
            return {"compress_level": _level(_effort(variant, Format.PNG))}
        case Format.WEBP:
            method = round(_effort(variant, Format.WEBP) * 0.6)
            return {"method": method} | ({"lossless": True} if tried is None else {"quality": tried})
        case Format.AVIF:  # one thread, as the tiles, and so the bytes, depend on their number
            options = {"speed": 10 - _effort(variant, Format.AVIF), "max_threads": 1}
            return options | ({"quality": 100, "subsampling": "4:4:4"} if tried is None else {"quality": tried})
        case Format.GIF:
            return {"optimize": False}
        case Format.TIFF:
            return {}


def _effort(variant: Variant, format_: Format) -> int:
    return EFFORT[format_] if variant.effort is None else variant.effort


def _level(effort: int) -> int:
    """Of zlib, 0 to 9: 1 at least, as nothing is won by no compression at all."""
    return max(1, round(effort * 0.9))


def _loop(coding: Coding) -> dict[str, int]:
    """How often it is played: a GIF says how often it is repeated, and nothing if it is not."""
    if coding.format is not Format.GIF or coding.plays == ALL_PLAYS:
        return {"loop": coding.plays}
    return {} if coding.plays == 1 else {"loop": coding.plays - 1}


def tiff_options(block: bytes | None) -> dict[str, Any]:
    """Compressed, but with more than one table of fields, of which Pillow then writes only the first."""
    fields = Image.Exif()
    if block is not None:
        fields.load(block)
    if TABLES & set(fields):
        return {"exif": fields, "compression": "raw"}
    fields[PREDICTOR] = FROM_THE_LEFT
    return {"exif": fields, "compression": "tiff_adobe_deflate"}


def with_alpha(data: bytes) -> bytes:
    """Say in the header that there is transparency: libwebp forgets it where each frame's changed part is opaque."""
    if data[12:16] != b"VP8X":
        return data
    return data[:WEBP_FLAGS] + bytes([data[WEBP_FLAGS] | WEBP_ALPHA]) + data[WEBP_FLAGS + 1 :]


def _paletted(image: Image.Image) -> Image.Image:
    """The picture in the colours that suit it best, with the last one for what is more than half transparent."""
    if image.mode in ("L", "P"):
        return image
    alpha = image.getchannel("A") if image.mode in ("LA", "RGBA") else None
    colours = image.convert("RGB")
    palette = colours.quantize(GIF_COLOURS, Image.Quantize.MEDIANCUT)
    found = colours.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    if alpha is not None:
        hidden = alpha.point([255 if value < 128 else 0 for value in range(256)])
        found.paste(GIF_COLOURS, mask=hidden)
        found.info["transparency"] = GIF_COLOURS
    return found
