"""How a picture is decoded once, and what each network gets of it."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tasks.images.model import ImageRejected, Limits
from tasks.vision import picture
from tasks.vision.manifest import Input
from tasks.vision.picture import Picture
from tests.tasks.samples import BLUE, GREEN, RED, YELLOW, corners, encoded, one_of_each, painted

LIMITS = Limits()


def wanted(width: int = 20, height: int = 20, **more: Any) -> Input:
    return Input(name="x", width=width, height=height, **more)


def of(image: Image.Image) -> Picture:
    return Picture(image, image, image.width, image.height)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_seen_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    read = picture.read(BytesIO(encoded(corners(), "JPEG", exif=exif, quality=95)), [], LIMITS)
    pixels = read.pixels()
    assert pixels.shape == ((40, 60, 3) if orientation < 5 else (60, 40, 3))
    assert (read.height, read.width) == pixels.shape[:2]
    seen = [tuple(int(c) for c in pixels[y, x]) for y in (5, -5) for x in (5, -5)]
    there = {1: "rgby", 2: "gryb", 3: "ybgr", 4: "byrg", 5: "rbgy", 6: "bryg", 7: "ygbr", 8: "gyrb"}[orientation]
    named = {"r": RED, "g": GREEN, "b": BLUE, "y": YELLOW}
    for colour, letter in zip(seen, there, strict=True):
        assert max(abs(a - b) for a, b in zip(colour, named[letter], strict=True)) < 40, (orientation, letter, colour)


@pytest.mark.parametrize("name", one_of_each())
def test_every_sort_of_file_becomes_rgb(name: str) -> None:
    read = picture.read(BytesIO(one_of_each()[name]), [], LIMITS)
    assert read.pixels().dtype == np.uint8
    assert read.pixels().shape[2] == 3
    assert read.tensor(wanted()).shape == (3, 20, 20)


def test_what_telephones_send_is_seen_upright() -> None:
    pixels = picture.read(Path(__file__).parents[1] / "images" / "heic" / "turned.heic", [], LIMITS).pixels()
    assert pixels.shape == (60, 40, 3)
    assert max(abs(int(a) - b) for a, b in zip(pixels[5, 5], BLUE, strict=True)) < 40


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(ImageRejected):
        picture.read(BytesIO(b"not a picture"), [], LIMITS)


@pytest.mark.parametrize("format_", ["JPEG", "PNG"])
@pytest.mark.parametrize(
    ("size", "longest"), [((4000, 3000), 1000), ((1280, 960), 640), ((1279, 960), 1279), ((8000, 600), 4000)]
)
def test_a_large_photograph_is_shrunk_while_it_is_read_and_says_its_full_size(
    format_: str, size: tuple[int, int], longest: int
) -> None:
    """By powers of two, to no less than 640 pixels or what a network needs: the last one is slim."""
    data = encoded(painted(*size), format_)
    read = picture.read(BytesIO(data), [wanted(224, 224, fit="crop", share=0.875)], LIMITS)
    assert (read.width, read.height) == size
    assert max(read.pixels().shape) == longest


@pytest.mark.parametrize("size", [(4000, 3000), (3001, 2000), (2600, 1200), (1500, 900)])
def test_networks_see_the_same_whoever_else_looks(photos: Path, size: tuple[int, int]) -> None:
    with Image.open(photos / "coffee.png") as photo:
        image = photo.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    for format_, within in (("PNG", 0), ("JPEG", 1)):  # a JPEG's decoder shrinks a little otherwise than we
        data = encoded(image, format_)
        alone, beside = (picture.read(BytesIO(data), [wanted()], LIMITS, detail=detail) for detail in (0, 2000))
        assert alone.pixels().shape == beside.pixels().shape
        assert np.abs(alone.pixels().astype(int) - beside.pixels()).mean() <= within


def test_readers_of_small_print_see_more() -> None:
    data = encoded(painted(4100, 300), "PNG")
    assert picture.read(BytesIO(data), [], LIMITS, detail=2000).detail(2000).shape == (146, 2000, 3)
    assert max(picture.read(BytesIO(data), [], LIMITS).pixels().shape) < 1280
    assert of(painted(600, 300)).detail(5000).shape == (300, 600, 3)


def test_a_transparent_picture_lies_on_white() -> None:
    read = picture.read(BytesIO(encoded(Image.new("RGBA", (9, 9), (0, 0, 0, 0)), "PNG")), [], LIMITS)
    assert read.pixels().min() == 255


def test_channels_mean_and_layout_are_those_of_the_input() -> None:
    read = of(Image.new("RGB", (9, 9), (10, 20, 30)))
    rgb = read.tensor(wanted(4, 2, mean=(1.0, 2.0, 3.0), divisor=2.0))
    assert rgb.shape == (3, 2, 4)
    assert rgb[:, 0, 0].tolist() == [4.5, 9.0, 13.5]
    bgr = read.tensor(wanted(4, 2, mean=(1.0, 2.0, 3.0), divisor=2.0, channels="bgr", layout="nhwc"))
    assert bgr.shape == (2, 4, 3)
    assert bgr[0, 0].tolist() == [14.5, 9.0, 3.5]
    assert bgr.flags["C_CONTIGUOUS"]


def test_a_crop_is_the_middle() -> None:
    image = Image.new("RGB", (100, 40), RED)
    image.paste(GREEN, (30, 0, 70, 40))
    seen = of(image).tensor(wanted(8, 8, fit="crop"))
    assert {tuple(seen[:, y, x].tolist()) for y in range(8) for x in range(8)} == {tuple(map(float, GREEN))}


def test_padding_is_at_the_right_and_the_bottom() -> None:
    wide, tall = (of(Image.new("RGB", size, RED)).tensor(wanted(16, 16, fit="pad")) for size in ((80, 40), (40, 80)))
    assert wide[0, :8, :].min() == wide[0, :8, :].max() == RED[0]
    assert wide[:, 8:, :].max() == 0
    assert tall[0, :, :8].min() == RED[0]
    assert tall[:, :, 8:].max() == 0


def test_plain_bilinear_is_that_of_tensorflow_1() -> None:
    """By hand: of [0, 10, 20, 30] in two pixels those at 0 and 2; of [0, 30] in four those at 0, 0.5, 1 and 1."""
    row = Image.fromarray(np.repeat(np.array([[0, 10, 20, 30]], np.uint8)[:, :, None], 3, axis=2))
    assert of(row).tensor(wanted(2, 1, resample="plain"))[0].tolist() == [[0.0, 20.0]]
    pair = Image.fromarray(np.repeat(np.array([[0, 30]], np.uint8)[:, :, None], 3, axis=2))
    assert of(pair).tensor(wanted(4, 1, resample="plain"))[0].tolist() == [[0.0, 15.0, 30.0, 30.0]]


inputs = st.builds(
    wanted,
    st.integers(1, 40),
    st.integers(1, 40),
    fit=st.sampled_from(["crop", "stretch", "pad"]),
    share=st.sampled_from([1.0, 0.875]),
    resample=st.sampled_from(["bilinear", "bicubic", "plain"]),
    layout=st.sampled_from(["nchw", "nhwc"]),
    recompressed=st.booleans(),
)


@given(width=st.integers(1, 90), height=st.integers(1, 90), given=inputs)
def test_every_picture_fits_every_input(width: int, height: int, given: Input) -> None:
    seen = of(painted(width, height)).tensor(given)
    shape = (given.height, given.width)
    assert seen.shape == ((3, *shape) if given.layout == "nchw" else (*shape, 3))
    assert seen.dtype == np.float32
    assert np.isfinite(seen).all()


@given(width=st.integers(1, 300), height=st.integers(1, 300), given=inputs)
def test_a_place_in_the_tensor_is_a_place_in_the_picture(width: int, height: int, given: Input) -> None:
    """The middle of a crop is the middle of the picture; padding begins where the picture ends."""
    read = of(Image.new("RGB", (width, height), (255, 255, 255)))
    if given.fit == "pad":
        seen = read.tensor(given.model_copy(update={"layout": "nchw", "recompressed": False}))[0] > 0
        across, down = int(seen.any(axis=0).sum()), int(seen.any(axis=1).sum())
        assert read.placed(across / given.width, down / given.height, given) == pytest.approx((1, 1))
        assert read.placed(0, 0, given) == (0, 0)
    else:
        assert read.placed(0.5, 0.5, given) == pytest.approx((0.5, 0.5))


def test_one_tensor_is_made_once(photos: Path) -> None:
    read = picture.read(photos / "rocket.jpg", [], LIMITS)
    assert read.tensor(wanted()) is read.tensor(wanted())
    assert read.tensor(wanted()) is not read.tensor(wanted(21))
