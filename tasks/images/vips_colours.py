"""From whatever pixels a file holds to 8-bit sRGB ones, by libvips."""

import math
from functools import lru_cache

import pyvips

from tasks.images import colours, press, refusals
from tasks.images.model import Format
from tasks.images.plan import Plan

PROFILE = "icc-profile-data"
GREY, COLOUR = ("b-w", "grey16"), ("srgb", "rgb16")
STEPS = range(0, 256, 51)
PROBE = bytes(channel for r in STEPS for g in STEPS for b in STEPS for channel in (r, g, b))


def resizable(image: pyvips.Image) -> pyvips.Image:
    """The same picture in grey, RGB or CMYK, perhaps with alpha, 8 or 16 bits a channel.

    Numbers of other kinds have no white of their own and are stretched from their darkest to their lightest; Lab
    becomes sRGB. Raises ImageRejected where the pixels are not numbers.
    """
    if image.coding != "none" or image.interpretation in ("lab", "labs", "labq", "xyz", "scrgb", "lch"):
        image = image.colourspace("srgb")
    if image.format not in ("uchar", "ushort"):
        image = _stretched(image)
    kind = image.interpretation
    if kind == "cmyk" and image.bands >= 4:
        return _first(image, 5)
    if kind in COLOUR and image.bands >= 3:
        return _first(image, 4)
    if kind in GREY:
        return _first(image, 2)
    wide = image.format == "ushort"  # how many channels there are has to tell
    if image.bands < 3:
        return image.copy(interpretation="grey16" if wide else "b-w")
    return _first(image, 4).copy(interpretation="rgb16" if wide else "srgb")


def srgb(image: pyvips.Image) -> pyvips.Image:
    """The same picture in sRGB (or shades of its grey), 8 bits a channel, by its own profile where it carries one.

    A profile that is broken, or belongs to another kind of pixels, is ignored. CMYK without one is taken for what
    comes off an ordinary press.
    """
    grey = image.interpretation in GREY
    if image.interpretation == "cmyk" and not image.get_typeof(PROFILE):
        image = image.copy()
        image.set_type(pyvips.GValue.blob_type, PROFILE, press.profile())
    if not _needs_profile(image):
        return eight_bits(image)
    image = image.icc_transform("srgb", embedded=True, intent="relative", black_point_compensation=True, depth=8)
    if not grey:
        return image
    kept = [0, *range(3, image.bands)]  # there is no grey sRGB: the three channels came out equal
    return _picked(image, kept).copy(interpretation="b-w")


def own(image: pyvips.Image, profile: bytes) -> pyvips.Image:
    """An sRGB picture in the colours of an RGB profile: the other way round."""
    image = image.icc_import(input_profile="srgb", intent="relative", pcs="lab")
    image.set_type(pyvips.GValue.blob_type, PROFILE, profile)
    image = image.icc_export(intent="relative", black_point_compensation=True, depth=8)
    return image.copy(interpretation="srgb")


def can_keep(plan: Plan, format_: Format, kind: str, profile: bytes | None, *, alpha: bool) -> bool:
    """Whether the format can hold pixels of this kind with their own profile, and what is laid on or behind them."""
    space = colours.GREY if kind in GREY else colours.RGB if kind in COLOUR else colours.CMYK
    return profile is not None and colours.can_keep(plan, format_, space, profile, alpha=alpha, takes=_takes)


def eight_bits(image: pyvips.Image) -> pyvips.Image:
    if image.format != "ushort":
        return image
    kind = {"grey16": "b-w", "rgb16": "srgb"}.get(image.interpretation, image.interpretation)
    return image.linear([1 / 257], [0.5], uchar=True).copy(interpretation=kind)


def grey(image: pyvips.Image) -> pyvips.Image:
    """The brightness of each pixel of an sRGB picture: the sum of its light, not of its numbers."""
    return image if image.bands < 3 else image.colourspace("b-w")


def coloured(image: pyvips.Image) -> pyvips.Image:
    """The same picture with three colours, if it had one."""
    if image.bands >= 3:
        return image
    return _picked(image, [0, 0, 0, *range(1, image.bands)]).copy(interpretation="srgb")


def without_idle_alpha(image: pyvips.Image) -> pyvips.Image:
    """The same picture without its alpha channel, if that hides nothing. Reads all pixels."""
    if not image.hasalpha():
        return image
    opaque = 65_535 if image.format == "ushort" else 255
    return image[: image.bands - 1] if image[image.bands - 1].min() == opaque else image


def _needs_profile(image: pyvips.Image) -> bool:
    if not image.get_typeof(PROFILE):
        return False
    return image.interpretation not in COLOUR or not _changes_nothing(bytes(image.get(PROFILE)))


@lru_cache(maxsize=16)
def _takes(profile: bytes) -> bool:
    """Whether colours can be brought into it."""
    try:
        own(_probe(), profile)
    except pyvips.Error:
        return False
    return True


def _probe() -> pyvips.Image:
    return pyvips.Image.new_from_memory(PROBE, len(PROBE) // 3, 1, 3, "uchar").copy(interpretation="srgb")


@lru_cache(maxsize=16)
def _changes_nothing(profile: bytes) -> bool:
    """Whether it is sRGB's own, which many cameras write: converting is a third of all the work."""
    probe = _probe()
    tagged = probe.copy()
    tagged.set_type(pyvips.GValue.blob_type, PROFILE, profile)
    after = tagged.icc_transform("srgb", embedded=True, intent="relative", black_point_compensation=True)
    return bool((after - probe).abs().max() <= 1)


def _stretched(image: pyvips.Image) -> pyvips.Image:
    image = image.copy_memory()
    bands = image.bands - 1 if image.hasalpha() else image.bands
    colours = image[:bands]
    darkest, lightest = colours.min(), colours.max()
    if not math.isfinite(lightest - darkest):
        raise refusals.unreadable("The picture has pixels that are not numbers.")
    scale = 255 / (lightest - darkest) if lightest > darkest else 0.0
    kind = "b-w" if bands < 3 else "srgb"
    return colours.linear([scale], [0.5 - darkest * scale], uchar=True).copy(interpretation=kind)


def _first(image: pyvips.Image, bands: int) -> pyvips.Image:
    return image if image.bands <= bands else image[:bands]  # a copy, even of all


def _picked(image: pyvips.Image, bands: list[int]) -> pyvips.Image:
    first, *others = (image[band] for band in bands)
    return first.bandjoin(others) if others else first
