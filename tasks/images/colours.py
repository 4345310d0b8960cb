"""From whatever pixels a file holds to 8-bit sRGB ones. Pure, on Pillow."""

import math
from collections.abc import Callable
from functools import lru_cache
from io import BytesIO
from typing import cast

import numpy as np
from PIL import Image, ImageChops, ImageCms

from tasks.images import press
from tasks.images.model import Format
from tasks.images.plan import Plan

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))

# As in most print and photo software; the perceptual tables of cameras' profiles are often missing anyway.
INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION

RGB, GREY, CMYK = b"RGB ", b"GRAY", b"CMYK"  # as profiles call them (ICC.1:2022, 7.2.6)
SPACES = {"L": GREY, "LA": GREY, "RGB": RGB, "RGBA": RGB, "CMYK": CMYK}

STEPS = range(0, 256, 51)
PROBE = Image.frombytes("RGB", (36, 6), bytes(c for r in STEPS for g in STEPS for b in STEPS for c in (r, g, b)))


def resizable(image: Image.Image) -> Image.Image:
    """The same picture in a mode that resizes well: L, LA, RGB, RGBA, CMYK or LAB, 8 bits a channel.

    Palettes and 1-bit pixels become full colours (Pillow would resize them by nearest neighbour), transparent colours
    an alpha channel, and an alpha channel that hides nothing goes. 16-bit grey keeps its range; 32-bit and float grey
    have no white of their own and are stretched from their darkest to their lightest pixel. Raises ValueError where
    that is not a number.
    """
    match image.mode:
        case "L" | "LA" | "RGB" | "RGBA" | "CMYK" | "LAB" if "transparency" not in image.info:
            return without_idle_alpha(image)
        case "1" | "L" | "LA" | "La":
            return without_idle_alpha(image.convert("LA" if image.has_transparency_data else "L"))
        case "I;16" if "transparency" in image.info:
            return _without(image, image.info["transparency"])
        case "I;16":
            return image.point(lambda value: value * (1 / 257) + 0.5).convert("L")
        case "I;16B":  # in this mode Pillow resizes and converts wrongly: read the same bytes as I;16
            return resizable(Image.frombytes("I;16", image.size, image.tobytes(), "raw", "I;16B"))
        case "I" | "F":
            return _stretched(image)
        case _:
            return without_idle_alpha(image.convert("RGBA" if image.has_transparency_data else "RGB"))


def srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The same picture as L, LA, RGB or RGBA in sRGB.

    `profile` is the ICC profile that the file carried; one that is broken, or belongs to another kind of pixels, is
    ignored, as browsers do. CMYK without a profile is taken for what comes off an ordinary press.
    """
    if image.mode == "LAB":
        return _converted(image, None, "RGB") or image.convert("RGB")
    if profile is not None and (converted := _by_profile(image, profile)) is not None:
        return converted
    if image.mode == "CMYK":
        return _converted(image, press.profile(), "RGB") or image.convert("RGB")
    return image


def own(image: Image.Image, profile: bytes) -> Image.Image | None:
    """An sRGB picture in the colours of an RGB profile: None if the profile does not allow that."""
    return _applied(image, _transform_to(profile, image.mode))


def can_keep(
    plan: Plan, format_: Format, space: bytes, profile: bytes, *, alpha: bool, takes: Callable[[bytes], bool]
) -> bool:
    """Whether the format can hold pixels in their own colours, with what is laid on or behind them.

    `space` of the pixels is the profile's, or it belongs to others (ICC.1:2022, 7.2.6); `takes` says whether sRGB can
    be brought into it.
    """
    if profile[16:20] != space:
        return False
    if space == RGB:
        return format_ is not Format.GIF and (not plan.draws or takes(profile))
    if plan.draws or (alpha and (space == CMYK or not format_.has_alpha)):
        return False
    return format_ in (Format.JPEG, Format.TIFF) or (space == GREY and format_ is Format.PNG)


def takes(profile: bytes) -> bool:
    """Whether colours can be brought into it."""
    return _transform_to(profile, "RGB") is not None


def flattened(image: Image.Image, background: str) -> Image.Image:
    """The same picture without an alpha channel, laid on a background ("#rrggbb")."""
    if image.mode not in ("LA", "RGBA"):
        return image
    ground = Image.new("RGB", image.size, background)
    ground.paste(image.convert("RGB"), mask=image.getchannel("A"))
    return ground


def _by_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    """Convert, or None if the profile does not fit the image."""
    if image.mode in ("RGB", "RGBA"):  # the alpha channel of RGBA is copied
        return image if _changes_nothing(profile) else _converted(image, profile, image.mode)
    if image.mode == "CMYK":
        return _converted(image, profile, "RGB")
    # There is no grey sRGB to convert to: by way of RGB, whose channels come out equal.
    grey = _converted(image.getchannel("L"), profile, "RGB")
    if grey is None:
        return None
    grey = grey.convert("L")
    if image.mode == "LA":
        grey.putalpha(image.getchannel("A"))
    return grey


def _converted(image: Image.Image, profile: bytes | None, mode: str) -> Image.Image | None:
    return _applied(image, _transform(profile, image.mode, mode))


def _applied(image: Image.Image, transform: ImageCms.ImageCmsTransform | None) -> Image.Image | None:
    if transform is None:
        return None
    try:
        result = ImageCms.applyTransform(image, transform)
    except ImageCms.PyCMSError:
        return None
    assert result is not None  # only None when it works in place
    result.info.clear()  # Pillow puts sRGB's profile there, and would write it out
    return result


# To build a transform takes longer than to apply it to a small picture, and most pictures have one of few profiles.
@lru_cache(maxsize=16)
def _transform(profile: bytes | None, mode: str, to: str) -> ImageCms.ImageCmsTransform | None:
    """To sRGB from the profile's colours, or from LAB; None if the profile is broken, or of another kind of pixels."""
    try:
        source = LAB if profile is None else ImageCms.ImageCmsProfile(BytesIO(profile))
        return ImageCms.buildTransform(source, SRGB, mode, to, INTENT, FLAGS)
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return None


@lru_cache(maxsize=16)
def _transform_to(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From sRGB to the profile's colours; None as above."""
    try:
        return ImageCms.buildTransform(SRGB, ImageCms.ImageCmsProfile(BytesIO(profile)), mode, mode, INTENT, FLAGS)
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return None


@lru_cache(maxsize=16)
def _changes_nothing(profile: bytes) -> bool:
    """Whether it is sRGB's own, which many cameras write, or none for RGB: converting is a sixth of all the work."""
    probe = _converted(PROBE, profile, "RGB")
    return probe is None or _alike(probe, PROBE)


def _alike(one: Image.Image, other: Image.Image) -> bool:
    extrema = cast("tuple[tuple[int, int], ...]", ImageChops.difference(one, other).getextrema())
    return max(most for _, most in extrema) <= 1


def _without(image: Image.Image, hidden: int) -> Image.Image:
    """16-bit grey as LA, in which one of its numbers is transparent."""
    alpha = Image.fromarray(np.where(np.asarray(image) == hidden, 0, 255).astype(np.uint8))
    image.info.pop("transparency")
    grey = resizable(image)
    grey.putalpha(alpha)
    return without_idle_alpha(grey)


def without_idle_alpha(image: Image.Image) -> Image.Image:
    if image.mode in ("LA", "RGBA") and image.getchannel("A").getextrema() == (255, 255):
        return image.convert(image.mode.removesuffix("A"))
    return image


def _stretched(image: Image.Image) -> Image.Image:
    darkest, lightest = cast("tuple[float, float]", image.getextrema())
    if not math.isfinite(lightest - darkest):
        raise ValueError("pixels that are not numbers")
    scale = 255 / (lightest - darkest) if lightest > darkest else 0.0
    offset = 0.5 - darkest * scale
    return image.point(lambda value: value * scale + offset).convert("L")
