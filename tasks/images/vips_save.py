"""Encoded files out of pixels, by libvips."""

from contextlib import nullcontext
from dataclasses import dataclass
from io import BytesIO
from typing import assert_never, cast

import pyvips
from PIL import Image

from tasks.image_params import Variant
from tasks.images import quality
from tasks.images.model import Format
from tasks.images.pillow_encode import tiff_options, with_alpha
from tasks.images.vips_colours import PROFILE
from tasks.images.vips_library import single

OPTIMISED_FROM = 4  # effort from which JPEGs get Huffman tables of their own: twice the time for some per cent
DENSITY = 72 / 25.4  # pixels a millimetre, where a format wants to know
EFFORT = 10  # the largest that can be asked for

# Without an effort that was asked for. PNG: with the difference to the row above, level 2 of zlib is both quicker and
# smaller than level 6 without. AVIF: what 4 of libvips' 9 make smaller by 15 % takes them thirty times as long.
# GIF: 5 of 10 takes twice as long as 1, for 1 % fewer bytes. WebP: method 4 of 6 takes twice as long as 2, for 3 %.
PNG_LEVEL, WEBP_METHOD, AVIF_EFFORT, GIF_EFFORT = 2, 2, 0, 1
EVERY_FILTER_FROM = 7  # effort from which each row of a PNG gets the filter that suits it: 2 % for half the time again


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """What is to be encoded: a picture, or `frames` below one another; `lossless` for formats that can be either way.

    `exif` is the block to embed; of an animation, `delays` in milliseconds and `loop` as libvips counts it.
    """

    image: pyvips.Image
    format: Format
    variant: Variant
    lossless: bool = False
    exif: bytes | None = None
    frames: int = 1
    delays: tuple[int, ...] = ()
    loop: int = 0
    profile: bytes | None = None


def encoded(sheet: Sheet) -> bytes:
    """The file, of the best quality that the variant's `max_bytes` allow; raises ImageRejected."""
    image = _prepared(sheet)
    if sheet.format is Format.TIFF and sheet.exif is not None:
        return _tiff(image, sheet.exif, sheet.profile)
    options = _options(sheet)
    options["keep"] = _kept(sheet)
    name = {Format.AVIF: "heifsave_buffer"}.get(sheet.format, f"{sheet.format}save_buffer")
    transparent = sheet.format is Format.WEBP and sheet.frames > 1 and image.hasalpha()

    def encode(at: int) -> bytes:
        if sheet.format.has_quality:
            options["Q"] = at
        with single() if sheet.format is Format.AVIF else nullcontext():
            data = cast("bytes", pyvips.Operation.call(name, image, **options))
        return with_alpha(data) if transparent else data

    most_bytes = sheet.variant.max_bytes
    if most_bytes is not None:
        image = image.copy_memory()  # it is read up to seven times
    if sheet.lossless or not sheet.format.has_quality:
        data = encode(100)
        if sheet.variant.lossless or not sheet.format.has_quality:
            return quality.within(data, sheet.variant)
        if most_bytes is None or len(data) <= most_bytes:
            return data
        options["lossless"] = False  # which nobody asked for
    return quality.best(encode, sheet.variant.quality or quality.USUAL[sheet.format], most_bytes)


def _prepared(sheet: Sheet) -> pyvips.Image:
    """The picture with the metadata that libvips is to write, and no other."""
    image = sheet.image.copy(xres=DENSITY, yres=DENSITY)
    for name in image.get_fields():
        if name.startswith(("exif-", "gif-", "png-comment")) or name in ("orientation", "palette", "bits-per-sample"):
            image.remove(name)
    if sheet.profile is not None:
        image.set_type(pyvips.GValue.blob_type, PROFILE, sheet.profile)
    if sheet.exif is not None:
        image.set_type(pyvips.GValue.blob_type, "exif-data", sheet.exif)
    for name in ("page-height", "n-pages", "delay", "loop"):
        image.remove(name)
    if sheet.frames > 1:
        image.set_type(pyvips.GValue.gint_type, "page-height", image.height // sheet.frames)
        image.set_type(pyvips.GValue.array_int_type, "delay", list(sheet.delays))
        image.set_type(pyvips.GValue.gint_type, "loop", sheet.loop)
    return image


def _kept(sheet: Sheet) -> str | int:
    flags = pyvips.enums.ForeignKeep
    return (0 if sheet.exif is None else flags.EXIF) | (0 if sheet.profile is None else flags.ICC)


def _options(sheet: Sheet) -> dict[str, object]:
    variant, effort = sheet.variant, sheet.variant.effort
    match sheet.format:
        case Format.JPEG:
            return {
                "optimize_coding": variant.progressive or (effort is not None and effort >= OPTIMISED_FROM),
                "interlace": variant.progressive,
            }
        case Format.PNG:
            level = PNG_LEVEL if effort is None else _scaled(effort, 9)
            rows = "all" if effort is not None and effort >= EVERY_FILTER_FROM else "up"
            return {"compression": level, "filter": rows, "interlace": variant.progressive}
        case Format.WEBP:
            method = WEBP_METHOD if effort is None else _scaled(effort, 6)
            return {"effort": method, "lossless": sheet.lossless}
        case Format.AVIF:
            own = AVIF_EFFORT if effort is None else _scaled(effort, 9)
            return {"compression": "av1", "effort": own, "lossless": sheet.lossless}
        case Format.GIF:
            return {"effort": GIF_EFFORT if effort is None else max(1, effort)}
        case Format.TIFF:
            return {"compression": "lzw", "predictor": "horizontal"}
        case _ as never:
            assert_never(never)


def _scaled(effort: int, most: int) -> int:
    return round(effort * most / EFFORT)


def _tiff(image: pyvips.Image, exif: bytes, profile: bytes | None) -> bytes:
    """A TIFF with an EXIF block, which libvips cannot write."""
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "CMYK" if image.interpretation == "cmyk" else "RGBA"}[image.bands]
    picture = Image.frombuffer(mode, (image.width, image.height), image.write_to_memory(), "raw", mode, 0, 1)
    data = BytesIO()
    picture.save(data, "TIFF", icc_profile=profile, **tiff_options(exif))
    return data.getvalue()
