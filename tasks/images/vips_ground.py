"""What is laid over a picture and what is put behind it: watermark, canvas, background. By libvips."""

import pyvips

from tasks.images import vips_colours, vips_pixels
from tasks.images.marks import Place
from tasks.images.model import Format
from tasks.images.plan import Plan, Size

CLEAR = (0, 0, 0, 0)
WHITE = (255, 255, 255, 255)


def marked(
    image: pyvips.Image, mark: pyvips.Image, place: Place, opacity: float, profile: bytes | None = None
) -> pyvips.Image:
    """Lay a watermark, RGBA in sRGB, over a picture, which has a profile or is in sRGB, too."""
    whole = (0.0, 0.0, float(mark.width), float(mark.height))
    mark = vips_pixels.resized(mark, whole, whole, place.size)
    mark = mark if profile is None else vips_colours.own(mark, profile)
    mark = (mark * [1, 1, 1, opacity] + 0.5).cast("uchar").copy(interpretation="srgb").copy_memory()
    image = vips_colours.coloured(image)
    if place.step is not None:
        return _over(image, _tiled(mark, place, (image.width, image.height)))
    part = image.crop(*place.corner, mark.width, mark.height)
    return image.insert(_over(part, mark), *place.corner)


def grounded(image: pyvips.Image, plan: Plan, format_: Format, profile: bytes | None = None) -> pyvips.Image:
    """The picture, which has a profile or is in sRGB, on its canvas, in front of its background."""
    background = plan.wanted.variant.background
    on_canvas = plan.canvas != (image.width, image.height)
    if background is None and not on_canvas:
        return _behind(image, WHITE) if image.hasalpha() and not format_.has_alpha else image
    behind = (CLEAR if format_.has_alpha else WHITE) if background is None else _rgba(background)
    if not format_.has_alpha:
        behind = _on_white(behind)
    if profile is not None:
        behind = (*_own(behind[:3], profile), behind[3])
    if image.hasalpha():
        image = _behind(image, behind)
    if on_canvas:
        image = _on_canvas(image, plan, behind)
    return image


def _on_canvas(image: pyvips.Image, plan: Plan, behind: tuple[int, ...]) -> pyvips.Image:
    image = vips_colours.coloured(image)
    if behind[3] < 255 and not image.hasalpha():
        image = image.bandjoin(255)
    return image.embed(*plan.offset, *plan.canvas, extend="background", background=list(behind[: image.bands])).copy(
        interpretation="srgb"
    )


def _behind(image: pyvips.Image, behind: tuple[int, ...]) -> pyvips.Image:
    """Put a colour behind a transparent picture."""
    grey = behind[0] == behind[1] == behind[2]
    image = image if grey else vips_colours.coloured(image)
    colours = image.bands - 1
    if behind[3] == 255:
        return image.flatten(background=list(behind[:colours]))
    if behind[3] == 0:
        return image
    ground = (
        image.new_from_image([*behind[:colours], behind[3]]).cast("uchar").copy(interpretation=image.interpretation)
    )
    return _over(ground, image)


def _over(below: pyvips.Image, above: pyvips.Image) -> pyvips.Image:
    """Lay one picture over another of its size, which stays opaque if it was (W3C Compositing, 9.1.4)."""
    if not below.hasalpha():
        return _mixed(below, above)
    kind = below.interpretation
    return (below.composite2(above, "over", compositing_space=kind) + 0.5).cast("uchar").copy(interpretation=kind)


def _mixed(below: pyvips.Image, above: pyvips.Image) -> pyvips.Image:
    colours, alpha = above[: above.bands - 1], above[above.bands - 1] / 255
    return ((colours - below) * alpha + below + 0.5).cast("uchar").copy(interpretation=below.interpretation)


def _tiled(mark: pyvips.Image, place: Place, size: Size) -> pyvips.Image:
    """A layer full of marks."""
    assert place.step is not None
    cell = mark.embed(0, 0, *place.step, extend="background", background=list(CLEAR)).copy(interpretation="srgb")
    left, top = (-corner % step for corner, step in zip(place.corner, place.step, strict=True))
    across, down = (
        -(-(length + first) // step) for length, first, step in zip(size, (left, top), place.step, strict=True)
    )
    return cell.copy_memory().replicate(across, down).crop(left, top, *size)


def _own(colour: tuple[int, ...], profile: bytes) -> tuple[int, ...]:
    pixel = pyvips.Image.new_from_memory(bytes(colour), 1, 1, 3, "uchar").copy(interpretation="srgb")
    return tuple(bytes(vips_colours.own(pixel, profile).write_to_memory()))


def _rgba(colour: str) -> tuple[int, ...]:
    """Of #rrggbb or #rrggbbaa."""
    return tuple(bytes.fromhex(colour[1:].ljust(8, "f")))


def _on_white(colour: tuple[int, ...]) -> tuple[int, ...]:
    alpha = colour[3]
    return (*((channel * alpha + 255 * (255 - alpha) + 127) // 255 for channel in colour[:3]), 255)
