import struct
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from PIL import Image, ImageCms

from tasks.images import colours
from tasks.images.model import ImageRejected
from tasks.images.pillow import Pillow
from tests.contracts.engines import Bench
from tests.tasks.samples import (
    BLUE,
    RED,
    cmyk_profile,
    corners,
    decoded,
    encoded,
    grey_profile,
    near,
    painted,
    psnr,
    rgb_profile,
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


def test_a_palette_is_resized_in_full_colour() -> None:
    image = painted(240, 180)
    palette = image.quantize(64)

    small = shown(encoded(palette, "PNG"), width=30)

    assert small.mode == "RGB"
    assert psnr(small, palette.convert("RGB").resize(small.size, LANCZOS)) > 45
    assert len(set(small.tobytes())) > len(set(palette.resize(small.size).convert("RGB").tobytes()))


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


def test_grey_with_alpha_stays_so() -> None:
    image = veiled().convert("LA")

    small = shown(encoded(image, "PNG"), width=20)

    assert small.mode == "LA"
    assert small.getchannel("A").getextrema() != (255, 255)


def test_one_bit_pictures_become_grey() -> None:
    image = Image.new("1", (64, 64))
    image.paste(1, (0, 0, 32, 64))

    for format_ in ("PNG", "TIFF", "BMP", "GIF"):
        small = shown(encoded(image, format_), width=7).convert("L")
        left, edge, right = (small.getpixel((x, 3)) for x in (0, 3, 6))
        assert (left, right) == (255, 0)
        assert isinstance(edge, int)
        assert 60 < edge < 200


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


def test_cmyk_without_a_profile_is_converted_by_arithmetic() -> None:
    data = encoded(Image.new("CMYK", (32, 32), (255, 0, 0, 0)), "JPEG", quality=95)

    assert near(shown(data, width=8).getpixel((4, 4)), (0, 255, 255), 3)


@pytest.mark.parametrize("format_", ["JPEG", "TIFF"])
def test_cmyk_is_converted_by_its_profile(format_: str) -> None:
    image = Image.new("CMYK", (64, 64), (255, 0, 0, 0))
    image.paste((0, 0, 0, 0), (32, 0, 64, 64))

    small = shown(encoded(image, format_, quality=95, icc_profile=cmyk_profile()), width=16)

    assert near(small.getpixel((2, 8)), (0, 192, 251), 4)  # L*a*b* (70, -40, -45)
    assert near(small.getpixel((13, 8)), (255, 255, 255), 2)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_wide_gamut_is_brought_to_srgb(format_: str) -> None:
    wide = ImageCms.ImageCmsProfile(BytesIO(rgb_profile()))
    image = Image.new("RGB", (64, 64), MUTED)
    image = ImageCms.profileToProfile(image, colours.SRGB, wide, ImageCms.Intent.RELATIVE_COLORIMETRIC) or image
    assert not near(image.getpixel((9, 9)), MUTED, 12)  # the same colour has other numbers there

    data = encoded(image, format_, quality=95, icc_profile=rgb_profile())

    for width in (None, 16):
        assert near(shown(data, width).getpixel((9, 9)), MUTED, 4)


def test_a_profile_is_applied_to_colours_and_not_to_alpha() -> None:
    image = Image.new("RGBA", (8, 8), (*MUTED, 99))

    found = shown(encoded(image, "PNG", icc_profile=rgb_profile())).getpixel((4, 4))

    assert near(found, (205, 90, 56, 99), 2)


def test_grey_is_brought_to_srgb_and_stays_grey() -> None:
    for image in (Image.new("L", (8, 8), 128), Image.new("LA", (8, 8), (128, 50))):
        small = shown(encoded(image, "PNG", icc_profile=grey_profile()))
        found = small.getpixel((4, 4))
        assert small.mode == image.mode
        assert near(found if isinstance(found, tuple) else (found,), (188, 50)[: len(image.mode)], 1)


def test_a_picture_with_the_profile_of_srgb_is_left_alone() -> None:
    image = painted()

    assert shown(encoded(image, "PNG", icc_profile=colours.SRGB.tobytes())).tobytes() == image.tobytes()


@pytest.mark.parametrize("profile", [b"nonsense", bytes(200), rgb_profile()[:150], cmyk_profile(), grey_profile()])
def test_a_profile_that_does_not_fit_is_ignored(profile: bytes) -> None:
    image = painted()

    assert shown(encoded(image, "PNG", icc_profile=profile)).tobytes() == image.tobytes()


def test_lab_is_brought_to_srgb() -> None:
    lab = ImageCms.profileToProfile(corners(64, 64), colours.SRGB, colours.LAB, outputMode="LAB")
    assert lab is not None

    small = shown(encoded(lab, "TIFF"), width=16)

    assert small.mode == "RGB"
    assert near(small.getpixel((2, 2)), RED, 4)
    assert near(small.getpixel((2, 13)), BLUE, 8)  # 8 bits of L*a*b* are coarse


def test_premultiplied_pixels_become_plain_ones() -> None:
    image = veiled()

    for mode, premultiplied in (("RGBA", "RGBa"), ("LA", "La")):
        stored = image.convert(mode).convert(premultiplied)
        assert psnr(colours.resizable(stored).convert(premultiplied), stored) > 40


def test_luma_and_chroma_become_red_green_and_blue() -> None:
    image = painted().convert("YCbCr")

    assert psnr(shown(encoded(image, "TIFF")), image.convert("RGB")) > 40
