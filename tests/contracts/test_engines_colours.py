"""What every engine promises about colours: whatever the pixels of a file are, people see the same in 8-bit sRGB."""

import struct
from io import BytesIO
from typing import Any

import pytest
from PIL import Image, ImageCms

from tasks.images import colours
from tests.contracts import engines
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

bench = engines.bench  # the fixture, once per engine

MUTED = (180, 90, 60)  # well within sRGB
STRONG = (205, 90, 56)  # what people see where a file with Adobe RGB's primaries says MUTED


def colour(image: Image.Image, x: int, y: int) -> tuple[int, ...]:
    found = image.convert("RGBA").getpixel((x, y))
    assert isinstance(found, tuple)
    return found


def ramp() -> Image.Image:
    """16-bit grey from black at the left to white at the right, 256 by 8."""
    image = Image.new("I;16", (256, 8))
    image.frombytes(struct.pack("<2048H", *([x * 257 for x in range(256)] * 8)))
    return image


def sixteen_bit_rgb() -> bytes:
    """A TIFF of 8 by 8 pixels of MUTED, 16 bits a channel. Format: TIFF 6.0, section 2."""
    pixels = struct.pack("<3H", *(value * 257 for value in MUTED)) * 64
    entries = [
        *((256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 3, 8 + 2 + 12 * 9 + 4), (259, 3, 1, 1), (262, 3, 1, 2)),
        *((273, 4, 1, 8 + 2 + 12 * 9 + 4 + 6), (277, 3, 1, 3), (278, 3, 1, 8), (279, 4, 1, len(pixels))),
    ]
    table = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 8) + table + bytes(4) + struct.pack("<3H", 16, 16, 16) + pixels


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_wide_gamut_is_brought_to_srgb(bench: Bench, format_: str) -> None:
    data = encoded(Image.new("RGB", (64, 64), MUTED), format_, quality=95, icc_profile=rgb_profile())

    made = bench.all(data, *({"width": width, "format": f} for f in ("png", "jpeg") for width in (None, 16)))

    for one in made:
        image = decoded(one.data)
        assert near(image.getpixel((9, 9)), STRONG, 4)
        assert "icc_profile" not in image.info


def test_display_p3_is_brought_to_srgb(bench: Bench) -> None:
    data = encoded(Image.new("RGB", (8, 8), MUTED), "PNG", icc_profile=engines.display_p3())

    assert near(bench.shown(data).getpixel((4, 4)), (196, 87, 51), 4)


@pytest.mark.parametrize("format_", ["JPEG", "TIFF"])
def test_cmyk_is_converted_by_its_profile(bench: Bench, format_: str) -> None:
    image = Image.new("CMYK", (64, 64), (255, 0, 0, 0))
    image.paste((0, 0, 0, 0), (32, 0, 64, 64))

    small = bench.shown(encoded(image, format_, quality=95, icc_profile=cmyk_profile()), width=16)

    assert near(colour(small, 2, 8)[:3], (0, 192, 251), 5)  # L*a*b* (70, -40, -45)
    assert near(colour(small, 13, 8)[:3], (255, 255, 255), 2)


@pytest.mark.parametrize("format_", ["JPEG", "TIFF"])
def test_cmyk_without_a_profile_looks_as_off_a_press_in_every_engine(bench: Bench, format_: str) -> None:
    image = Image.new("CMYK", (32, 32), (255, 0, 0, 0))
    image.paste((0, 0, 0, 255), (16, 0, 32, 32))
    data = encoded(painted(240, 180).convert("CMYK"), format_, quality=95)
    reference = Bench(engine=engines.reference(), folder=bench.folder)

    plain = bench.shown(encoded(image, format_, quality=95), width=8)

    assert near(colour(plain, 1, 4)[:3], (0, 156, 229), 6)
    assert near(colour(plain, 7, 4)[:3], (37, 37, 37), 6)
    assert psnr(bench.shown(data, width=80).convert("RGB"), reference.shown(data, width=80).convert("RGB")) > 40


def test_a_grey_of_sixteen_bits_can_be_transparent(bench: Bench) -> None:
    data = encoded(ramp(), "PNG", transparency=100 * 257)

    image = bench.shown(data).convert("RGBA")

    assert [colour(image, x, 4)[3] for x in (99, 100, 101)] == [255, 0, 255]
    assert colour(image, 200, 4) == (200, 200, 200, 255)


@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
def test_sixteen_bits_keep_their_range(bench: Bench, format_: str) -> None:
    data = encoded(ramp(), format_)

    whole, small = (bench.shown(data, width=width).convert("L") for width in (None, 64))

    assert all(abs(int(whole.getpixel((x, 4))) - x) <= 1 for x in (0, 1, 100, 254, 255))  # type: ignore[arg-type]
    values = list(small.crop((0, 1, 64, 2)).tobytes())
    assert values == sorted(set(values))


def test_sixteen_bit_colours_become_eight_bit_ones(bench: Bench) -> None:
    assert near(bench.shown(sixteen_bit_rgb(), width=4).convert("RGB").getpixel((2, 2)), MUTED, 1)


def test_float_grey_is_shown_and_not_cut_off(bench: Bench) -> None:
    values = Image.linear_gradient("L").convert("F").point(lambda value: value / 255)

    image = bench.shown(encoded(values, "TIFF")).convert("L")

    assert int(image.getpixel((9, 0))) <= 2  # type: ignore[arg-type]  # L has one number
    assert int(image.getpixel((9, 255))) >= 253  # type: ignore[arg-type]
    assert 100 < int(image.getpixel((9, 128))) < 190  # type: ignore[arg-type]


def test_grey_with_alpha_keeps_both(bench: Bench) -> None:
    image = veiled().convert("LA")

    small = bench.shown(encoded(image, "PNG"), width=61)

    assert psnr(small.convert("RGBA").convert("RGBa"), image.convert("RGBA").convert("RGBa")) > 40


def test_grey_is_brought_to_srgb(bench: Bench) -> None:
    data = encoded(Image.new("L", (8, 8), 128), "PNG", icc_profile=grey_profile())

    assert near(colour(bench.shown(data), 4, 4), (188, 188, 188, 255), 2)


def test_palettes_are_resized_in_full_colour_and_their_transparency_is_kept(bench: Bench) -> None:
    image = painted(240, 180).quantize(64)
    hidden = corners(40, 40).quantize(4)

    small = bench.shown(encoded(image, "PNG"), width=30)

    assert psnr(small.convert("RGB"), image.convert("RGB").resize(small.size, Image.Resampling.LANCZOS)) > 40
    for format_ in ("PNG", "GIF"):
        small = bench.shown(encoded(hidden, format_, transparency=hidden.getpixel((0, 0))), width=20)
        assert near(colour(small, 2, 17), (*BLUE, 255), 14)
        assert colour(small, 2, 2)[3] == 0


@pytest.mark.parametrize("format_", ["PNG", "TIFF", "BMP", "GIF"])
def test_one_bit_pictures_become_grey(bench: Bench, format_: str) -> None:
    image = Image.new("1", (64, 64))
    image.paste(1, (0, 0, 32, 64))

    small = bench.shown(encoded(image, format_), width=7)

    assert colour(small, 0, 3)[0] >= 253
    assert 60 < colour(small, 3, 3)[0] < 200
    assert colour(small, 6, 3)[0] <= 2


def test_lab_is_brought_to_srgb(bench: Bench) -> None:
    lab = ImageCms.profileToProfile(corners(64, 64), colours.SRGB, colours.LAB, outputMode="LAB")
    assert lab is not None

    small = bench.shown(encoded(lab, "TIFF"), width=16)

    assert near(colour(small, 2, 2)[:3], RED, 8)
    assert near(colour(small, 2, 13)[:3], BLUE, 10)  # 8 bits of L*a*b* are coarse


@pytest.mark.parametrize("profile", [b"nonsense" * 20, bytes(200), rgb_profile()[:150], cmyk_profile(), grey_profile()])
def test_a_profile_that_does_not_fit_is_ignored(bench: Bench, profile: bytes) -> None:
    image = painted()

    assert psnr(bench.shown(encoded(image, "PNG", icc_profile=profile)).convert("RGB"), image) > 50


def test_the_own_colours_are_kept_with_their_profile_where_that_is_wanted(bench: Bench) -> None:
    data = encoded(Image.new("RGB", (32, 32), MUTED), "JPEG", quality=95, icc_profile=rgb_profile())

    for format_ in ("jpeg", "png", "webp", "avif", "tiff"):
        image = bench.shown(data, width=16, format=format_, keep_icc=True)
        assert near(image.convert("RGB").getpixel((8, 8)), MUTED, 4), format_
        profile = ImageCms.ImageCmsProfile(BytesIO(image.info["icc_profile"]))
        shown = ImageCms.profileToProfile(image.convert("RGB"), profile, colours.SRGB)
        assert shown is not None
        assert near(shown.getpixel((8, 8)), STRONG, 6)
    assert near(bench.shown(data, format="gif", keep_icc=True).convert("RGB").getpixel((8, 8)), STRONG, 6)


def test_what_is_laid_on_a_picture_in_its_own_colours_is_brought_into_them(bench: Bench) -> None:
    data = encoded(Image.new("RGB", (40, 40), MUTED), "PNG", icc_profile=rgb_profile())
    mark: dict[str, Any] = {"watermark": {"upload": engines.UPLOAD, "gravity": "center", "scale": 0.5}}
    options = {"mark": encoded(Image.new("RGB", (8, 8), STRONG), "PNG")}

    for format_ in ("png", "jpeg"):
        marked = bench.shown(
            data, format=format_, keep_icc=True, pad={"top": 9}, background="#cd5a38", options=options, **mark
        ).convert("RGB")
        assert near(marked.getpixel((20, 29)), MUTED, 3)  # in the profile, what STRONG is in sRGB
        assert near(marked.getpixel((20, 3)), MUTED, 3)
        assert near(marked.getpixel((3, 40)), MUTED, 3)


def test_a_broken_profile_is_not_drawn_on(bench: Bench) -> None:
    broken = rgb_profile()[:150]
    pad: dict[str, Any] = {"pad": {"top": 9}, "background": "#cd5a38"}

    image = bench.shown(encoded(painted(), "PNG", icc_profile=broken), keep_icc=True, **pad)

    assert near(image.convert("RGB").getpixel((5, 5)), STRONG, 0)
    assert "icc_profile" not in image.info


def test_a_profile_is_applied_to_colours_and_not_to_alpha(bench: Bench) -> None:
    data = encoded(Image.new("RGBA", (8, 8), (*MUTED, 99)), "PNG", icc_profile=rgb_profile())

    assert near(bench.shown(data).getpixel((4, 4)), (*STRONG, 99), 3)


def test_colours_that_transparency_hides_do_not_bleed(bench: Bench) -> None:
    image = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 32, 64))

    made = bench.all(
        encoded(image, "PNG"), {"width": 7}, {"width": 7, "blur": 1.5}, {"width": 33, "rotate": 90}, {"sharpen": 2.0}
    )

    for one in made:
        for red, green, blue, alpha in (colour(decoded(one.data), x, 3) for x in range(7)):
            assert alpha < 8 or (red <= 255 * 4 / alpha + 1 and green <= 4 and blue > 220)


def test_transparent_pictures_stand_on_the_background(bench: Bench) -> None:
    data = encoded(Image.new("RGBA", (8, 8), (255, 0, 0, 0)), "PNG")
    half = encoded(Image.new("RGBA", (8, 8), (255, 0, 0, 128)), "PNG")

    assert near(bench.shown(data, format="jpeg").getpixel((4, 4)), (255, 255, 255), 2)
    assert near(bench.shown(data, format="jpeg", background="#204060").getpixel((4, 4)), (32, 64, 96), 3)
    assert near(colour(bench.shown(half, background="#0000ff"), 4, 4), (128, 0, 127, 255), 2)
    assert near(colour(bench.shown(data, background="#0000ff80"), 4, 4), (0, 0, 255, 128), 1)
    assert near(bench.shown(data, format="jpeg", background="#0000ff80").getpixel((4, 4)), (127, 127, 255), 4)


def test_grayscale_shows_how_bright_colours_are(bench: Bench) -> None:
    for read, written in (("PNG", "png"), ("JPEG", "png"), ("JPEG", "jpeg")):
        data = encoded(corners(80, 80), read, quality=95)
        grey = bench.shown(data, grayscale=True, format=written).convert("RGBA")
        spots = [colour(grey, x, y) for x, y in ((20, 60), (20, 20), (60, 20), (60, 60))]
        assert all(red == green == blue for red, green, blue, _ in spots)
        for (found, _, _, _), bright in zip(spots, (73, 116, 173, 221), strict=True):  # as much light as the colours
            assert abs(found - bright) <= 6
    faint = bench.shown(encoded(veiled(), "PNG"), grayscale=True)
    assert psnr(faint.getchannel("A"), veiled().getchannel("A")) > 50


def test_blur_spreads_and_sharpen_steepens(bench: Bench) -> None:
    step = Image.new("RGB", (80, 40), (60, 60, 60))
    step.paste((180, 180, 180), (40, 0, 80, 40))

    blurred, sharpened = (
        decoded(one.data).convert("L") for one in bench.all(encoded(step, "PNG"), {"blur": 4.0}, {"sharpen": 2.0})
    )

    row = [int(blurred.getpixel((x, 20))) for x in range(80)]  # type: ignore[arg-type]  # L has one number
    assert row == sorted(row)
    assert abs(row[44] - 161) < 6  # a sigma from the edge, 84 per cent of the step
    assert near((row[20], row[60]), (60, 180), 2)
    near_edge = [int(sharpened.getpixel((x, 20))) for x in (5, 38, 41, 75)]  # type: ignore[arg-type]
    assert near((near_edge[0], near_edge[3]), (60, 180), 2)
    assert near_edge[1] < 58
    assert near_edge[2] > 182
