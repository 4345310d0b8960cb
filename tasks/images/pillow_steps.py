"""What happens to a picture after it has been resized: grey, blur, sharpen, watermark, margins. Pure, on Pillow."""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageFilter

from tasks.image_params import Variant
from tasks.images import marks
from tasks.images.colours import flattened, own, without_idle_alpha
from tasks.images.model import Format
from tasks.images.pillow_decode import upright
from tasks.images.plan import Plan, Size

LANCZOS = Image.Resampling.LANCZOS
WHITE = "#ffffff"
CLEAR = (0, 0, 0, 0)

# How much the unsharp mask adds, in per cent of what the blur takes away.
SHARPENING = 100

# Shares of red, green and blue light in brightness (ITU-R BT.709, 3.2), in 1/65536ths that add up to one.
LUMINANCE = (13_933, 46_871, 4_732)


def finished(
    image: Image.Image,
    plan: Plan,
    format_: Format,
    mark: tuple[Image.Image, Size] | None,
    profile: bytes | None = None,
) -> Image.Image:
    """From the resized picture, which has a profile or is in sRGB, to the one that is encoded, in the format's terms.

    `mark` is the watermark, RGBA in sRGB, and the sides that its file has.
    """
    variant = plan.wanted.variant
    image = upright(image, plan.turn)
    if variant.grayscale:
        image = _grey(image)
    if variant.blur is not None:
        image = _filtered(image, ImageFilter.GaussianBlur(variant.blur))
    if variant.sharpen is not None:
        image = _filtered(image, ImageFilter.UnsharpMask(variant.sharpen, SHARPENING, 0))
    if mark is not None:
        image = _marked(image, _in_its_colours(mark[0], profile), mark[1], variant)
    return _grounded(image, plan, format_, profile)


def _grey(image: Image.Image) -> Image.Image:
    """The brightness of each pixel: the sum of its light, not of its numbers."""
    if image.mode in ("L", "LA"):
        return image
    light, numbers = _light()
    channels = [light[np.asarray(image.getchannel(channel))] for channel in "RGB"]
    sums = sum(channel * share for channel, share in zip(channels, LUMINANCE, strict=True))
    grey = Image.fromarray(numbers[(sums + (1 << 15)) >> 16])
    if image.mode == "RGBA":
        grey.putalpha(image.getchannel("A"))
    return grey


@cache
def _light() -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Light, 0..65535, by the number of an sRGB channel, and the number by the light (IEC 61966-2-1)."""
    share = np.arange(256) / 255
    light = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    share = np.arange(65_536) / 65_535
    number = np.where(share <= 0.0031308, share * 12.92, 1.055 * share ** (1 / 2.4) - 0.055)
    return np.round(light * 65_535).astype(np.int64), np.round(number * 255).astype(np.uint8)


def _filtered(image: Image.Image, by: ImageFilter.Filter) -> Image.Image:
    """Filter premultiplied pixels, so that hidden colours do not bleed."""
    if image.mode not in ("LA", "RGBA"):
        return image.filter(by)
    return image.convert(image.mode[:-1] + "a").filter(by).convert(image.mode)


def _marked(image: Image.Image, mark: Image.Image, sides: Size, variant: Variant) -> Image.Image:
    assert variant.watermark is not None
    place = marks.placed(variant.watermark, variant.dpr, image.size, sides)
    mark = mark.copy() if mark.size == place.size else mark.resize(place.size, LANCZOS)
    mark.putalpha(mark.getchannel("A").point([round(alpha * variant.watermark.opacity) for alpha in range(256)]))
    layer = Image.new("RGBA", image.size, CLEAR)
    if place.step is None:
        layer.paste(mark, place.corner)
    else:
        layer = _tiled(mark, place.corner, place.step, image.size)
    return without_idle_alpha(Image.alpha_composite(image.convert("RGBA"), layer))


def _in_its_colours(image: Image.Image, profile: bytes | None) -> Image.Image:
    """An sRGB picture in the colours of the profile, if there is one."""
    return image if profile is None else own(image, profile) or image


def _tiled(mark: Image.Image, corner: tuple[int, int], step: tuple[int, int], size: tuple[int, int]) -> Image.Image:
    """A layer full of marks; whole pixels are looked up, as there may be millions of small marks."""
    cell = Image.new("RGBA", step, CLEAR)
    cell.paste(mark, (0, 0))
    columns, rows = (np.arange(size[axis]) - corner[axis] for axis in (0, 1))
    return Image.fromarray(np.asarray(cell)[(rows % step[1])[:, None], columns % step[0]])


def _grounded(image: Image.Image, plan: Plan, format_: Format, profile: bytes | None) -> Image.Image:
    """The picture on its canvas, in front of its background."""
    background = plan.wanted.variant.background
    if plan.canvas != image.size or (background is not None and image.mode in ("LA", "RGBA")):
        opaque = WHITE if background is None and not format_.has_alpha else background
        colour = Image.new("RGBA", (1, 1), CLEAR if opaque is None else ImageColor.getcolor(opaque, "RGBA"))
        ground = _in_its_colours(colour, profile).resize(plan.canvas, Image.Resampling.NEAREST)
        layer = Image.new("RGBA", plan.canvas, CLEAR)
        layer.paste(image.convert("RGBA"), plan.offset)
        image = without_idle_alpha(Image.alpha_composite(ground, layer))
    return image if format_.has_alpha else flattened(image, WHITE)
