import struct
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from PIL import Image

from tasks.images import colours
from tasks.images.model import ImageRejected
from tasks.images.pillow import Pillow
from tests.contracts.engines import Bench
from tests.tasks.samples import (
    BLUE,
    RED,
    corners,
    decoded,
    encoded,
    grey_profile,
    near,
    painted,
    psnr,
    veiled,
)

LANCZOS = Image.Resampling.LANCZOS
MUTED = (180, 90, 60)  # well within sRGB


def shown(data: bytes, width: int | None = None) -> Image.Image:
    """What a PNG variant of the file shows."""
    with TemporaryDirectory() as folder:
        return Bench(engine=Pillow(), folder=Path(folder)).shown(data, width=width)


def ramp(mode: str) -> Image.Image:
    """16-bit grey from black at the left to white at the right, 256 by 8."""
    values = [x * 257 for x in range(256)] * 8
    image = Image.new("I;16", (256, 8))
    image.frombytes(struct.pack("<2048H", *values))
    return image.convert("I").convert(mode) if mode != "I;16" else image


def test_transparent_palette_entries_become_an_alpha_channel() -> None:
    image = corners(40, 40).quantize(4)
    hidden = image.getpixel((0, 0))
    for data in (encoded(image, "PNG", transparency=hidden), encoded(image, "GIF", transparency=hidden)):
        small = shown(data, width=20)
        assert small.mode == "RGBA"
        assert near(small.getpixel((2, 17)), (*BLUE, 255), 12)
        assert near(small.getpixel((2, 2)), (0, 0, 0, 0), 0)


def test_a_transparent_colour_becomes_an_alpha_channel() -> None:
    for image, transparent in ((corners(), RED), (Image.new("L", (8, 8), 77), 77), (Image.new("1", (8, 8), 0), 0)):
        small = shown(encoded(image, "PNG", transparency=transparent))
        assert small.mode == ("RGBA" if image.mode == "RGB" else "LA")
        assert small.getchannel("A").getpixel((0, 0)) == 0


@pytest.mark.parametrize(("mode", "format_"), [("I;16", "PNG"), ("I;16", "TIFF"), ("I;16B", "TIFF")])
def test_sixteen_bit_grey_keeps_its_range(mode: str, format_: str) -> None:
    data = encoded(ramp(mode), format_)

    assert decoded(data).mode == mode
    assert [shown(data).getpixel((x, 4)) for x in (0, 1, 100, 254, 255)] == [0, 1, 100, 254, 255]
    small = shown(data, width=64)
    assert small.mode == "L"
    values = [small.getpixel((x, 1)) for x in range(64)]
    assert all(isinstance(a, int) and isinstance(b, int) and a < b for a, b in pairwise(values))


@pytest.mark.parametrize("mode", ["I", "F"])
def test_grey_without_a_white_of_its_own_is_stretched(mode: str) -> None:
    image = ramp("I").point(lambda value: value * 3 + 1000)
    small = shown(encoded(image.convert(mode), "TIFF"))

    assert [small.getpixel((x, 4)) for x in (0, 100, 255)] == [0, 100, 255]
    assert shown(encoded(Image.new(mode, (3, 3), 70_000), "TIFF")).getpixel((1, 1)) == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_pixels_that_are_no_numbers_are_refused(value: float) -> None:
    image = Image.new("F", (2, 2), 1.0)
    image.putpixel((0, 0), value)

    with pytest.raises(ImageRejected) as caught:
        shown(encoded(image, "TIFF"))
    assert caught.value.code == "image_unreadable"


def test_grey_is_brought_to_srgb_and_stays_grey() -> None:
    for image in (Image.new("L", (8, 8), 128), Image.new("LA", (8, 8), (128, 50))):
        small = shown(encoded(image, "PNG", icc_profile=grey_profile()))
        found = small.getpixel((4, 4))
        assert small.mode == image.mode
        assert near(found if isinstance(found, tuple) else (found,), (188, 50)[: len(image.mode)], 1)


def test_a_picture_with_the_profile_of_srgb_is_left_alone() -> None:
    image = painted()

    assert shown(encoded(image, "PNG", icc_profile=colours.SRGB.tobytes())).tobytes() == image.tobytes()


def test_premultiplied_pixels_become_plain_ones() -> None:
    image = veiled()

    for mode, premultiplied in (("RGBA", "RGBa"), ("LA", "La")):
        stored = image.convert(mode).convert(premultiplied)
        assert psnr(colours.resizable(stored).convert(premultiplied), stored) > 40


def test_luma_and_chroma_become_red_green_and_blue() -> None:
    image = painted().convert("YCbCr")

    assert psnr(shown(encoded(image, "TIFF")), image.convert("RGB")) > 40
