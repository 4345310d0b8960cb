import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image, ImageFilter

import deploy
from tasks.vision.quality import quality

PHOTOS = sorted((Path(deploy.__file__).parent / "photos").glob("*.[pj][np]g"))
NAMES = [path.name for path in PHOTOS]
SHARES = ("sharpness", "exposure", "contrast", "shadows_clipped", "highlights_clipped")
FLAGS = ("blurred", "underexposed", "overexposed")


@pytest.fixture(params=PHOTOS, ids=NAMES)
def photo(request: pytest.FixtureRequest) -> Iterator[Image.Image]:
    with Image.open(request.param) as image:
        yield image.convert("RGB")


def judged(image: Image.Image) -> dict[str, float | bool]:
    return quality(np.asarray(image))


def blurred(image: Image.Image, share: float) -> Image.Image:
    """With a sigma of so many 512ths of the longer side."""
    return image.filter(ImageFilter.GaussianBlur(share * max(image.size) / 512))


def exposed(image: Image.Image, stops: float) -> Image.Image:
    """As if taken with so many stops more light."""
    value = np.arange(256) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4) * 2.0**stops
    linear = linear.clip(0, 1)
    again = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return image.point(list(np.round(again * 255).astype(int)) * 3)


def plain(shade: int) -> NDArray[np.uint8]:
    return np.full((60, 90, 3), shade, np.uint8)


def test_there_are_four_photographs() -> None:
    assert len(PHOTOS) == 4


def test_a_good_photograph_has_no_fault(photo: Image.Image) -> None:
    seen = judged(photo)

    assert not any(seen[flag] for flag in FLAGS)
    assert seen["sharpness"] > 0.3


def test_a_blurred_photograph_is_called_so(photo: Image.Image) -> None:
    seen = judged(blurred(photo, 1.5))

    assert seen["blurred"]
    assert seen["sharpness"] < 0.15


def test_more_blur_never_makes_it_sharper(photo: Image.Image) -> None:
    values = [judged(blurred(photo, share / 4))["sharpness"] for share in range(33)]

    assert values == sorted(values, reverse=True)
    assert values[0] > 10 * values[-1]


def test_a_soft_background_does_not_make_a_sharp_subject_blurred(photo: Image.Image) -> None:
    soft = blurred(photo, 8)
    wide, high = photo.size
    place = (wide // 4, high // 4, wide * 3 // 4, high * 3 // 4)
    soft.paste(photo.crop(place), place)

    assert not judged(soft)["blurred"]


@pytest.mark.parametrize("factor", [0.8, 2, 3])
def test_sharpness_is_not_a_matter_of_resolution(photo: Image.Image, factor: float) -> None:
    soft = blurred(photo.resize((640, round(640 * photo.height / photo.width))), 0.8)  # so that no size loses detail
    other = soft.resize((round(soft.width * factor), round(soft.height * factor)), Image.Resampling.LANCZOS)

    assert judged(other)["sharpness"] == pytest.approx(judged(soft)["sharpness"], abs=0.05)


def test_a_photograph_is_as_sharp_as_its_smaller_copy(photo: Image.Image) -> None:
    copy = photo.copy()
    copy.thumbnail((512, 512), Image.Resampling.LANCZOS)

    assert judged(copy)["sharpness"] == pytest.approx(judged(photo)["sharpness"], abs=0.1)


def test_the_grain_of_a_large_photograph_is_no_sharpness(photo: Image.Image) -> None:
    large = blurred(photo, 3).resize((2048, round(2048 * photo.height / photo.width)))
    grain = np.random.default_rng(5).normal(0, 8, (large.height, large.width, 1))
    grainy = (np.asarray(large) + grain).clip(0, 255).astype(np.uint8)

    assert quality(grainy)["blurred"]


@pytest.mark.parametrize("stops", [-3, -2, -1, 1])
def test_sharpness_is_not_a_matter_of_light(photo: Image.Image, stops: float) -> None:
    assert judged(exposed(photo, stops))["sharpness"] == pytest.approx(judged(photo)["sharpness"], abs=0.1)


@pytest.mark.parametrize("stops", [-2, -3, -5])
def test_a_photograph_taken_with_a_quarter_of_the_light_is_underexposed(photo: Image.Image, stops: float) -> None:
    seen = judged(exposed(photo, stops))

    assert seen["underexposed"]
    assert not seen["overexposed"]


def test_a_photograph_taken_with_eight_times_the_light_is_overexposed(photo: Image.Image) -> None:
    seen = judged(exposed(photo, 4))

    assert seen["overexposed"]
    assert not seen["underexposed"]


def test_more_light_never_lowers_exposure_or_highlights(photo: Image.Image) -> None:
    seen = [judged(exposed(photo, stops)) for stops in range(-4, 5)]

    for name in ("exposure", "highlights_clipped"):
        values = [one[name] for one in seen]
        assert values == sorted(values)
    shadows = [one["shadows_clipped"] for one in seen]
    assert shadows == sorted(shadows, reverse=True)


def test_black_and_white_are_clipped_and_grey_is_not() -> None:
    black, grey, white = (quality(plain(shade)) for shade in (0, 128, 255))

    assert (black["shadows_clipped"], black["highlights_clipped"], black["underexposed"]) == (1.0, 0.0, True)
    assert (white["shadows_clipped"], white["highlights_clipped"], white["overexposed"]) == (0.0, 1.0, True)
    assert (grey["shadows_clipped"], grey["highlights_clipped"], grey["exposure"]) == (0.0, 0.0, 0.502)
    assert not grey["underexposed"]
    assert not grey["overexposed"]


def test_half_black_and_half_white_has_the_greatest_contrast() -> None:
    pixels = plain(0)
    pixels[:, 45:] = 255

    seen = quality(pixels)

    assert [seen[name] for name in SHARES[1:]] == [0.5, 0.5, 0.5, 0.5]


@given(st.integers(0, 255))
def test_a_plain_picture_shows_nothing_sharp(shade: int) -> None:
    seen = quality(plain(shade))

    assert seen["sharpness"] == 0
    assert seen["contrast"] == 0
    assert seen["blurred"]


@given(pixels=arrays.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))))
def test_every_picture_is_judged_in_plain_json(pixels: NDArray[np.uint8]) -> None:
    seen = quality(pixels)

    assert json.loads(json.dumps(seen, allow_nan=False)) == seen
    assert list(seen) == [*SHARES, *FLAGS]
    assert all(type(seen[name]) is float and 0 <= seen[name] <= 1 for name in SHARES)
    assert all(type(seen[name]) is bool for name in FLAGS)
