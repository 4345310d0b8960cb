import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image

import deploy
from tasks.images.blurhash import DIGITS, blurhash

PHOTOS = Path(deploy.__file__).parent / "photos"
REFERENCE = {  # blurhash.encode(image, x_components=4, y_components=3) of blurhash-python 1.2.2, Wolt's code in C
    "astronaut.png": "LNJGyh:*Ipo}*J5kR+xaOXozRQIo",
    "chelsea.png": "L8HdT$v|u6sl9Z%MRP?Ho~xuxYR-",
    "coffee.png": "LMJ=.MJAv}xG~AE257IpOqSgkVR+",
    "rocket.jpg": "L97nd_%O9Zae0MRj-Tju#}jDNdj]",
}


def photo(name: str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(PHOTOS / name).convert("RGB"))


def number(text: str) -> int:
    value = 0
    for digit in text:
        value = value * 83 + DIGITS.index(digit)
    return value


def mean_colour(text: str) -> tuple[int, int, int]:
    value = number(text[2:6])
    return value >> 16, value >> 8 & 255, value & 255


@pytest.mark.parametrize("name", REFERENCE)
def test_it_is_equal_to_the_reference_library(name: str) -> None:
    assert blurhash(photo(name)) == REFERENCE[name]


@pytest.mark.parametrize("name", REFERENCE)
def test_a_picture_too_large_to_be_read_whole_keeps_its_hash(name: str) -> None:
    pixels = photo(name)
    factor = math.ceil(2048 / max(pixels.shape))  # so that the blocks that are averaged lie within one pixel
    large = pixels.repeat(factor, axis=0).repeat(factor, axis=1)
    small = blurhash(pixels)

    assert max(large.shape) >= 2048
    assert mean_colour(blurhash(large)) == mean_colour(small)
    assert sum(one != other for one, other in zip(blurhash(large), small, strict=True)) <= 4


def test_its_length_and_head_tell_the_number_of_waves() -> None:
    for across in range(1, 10):
        for down in range(1, 10):
            text = blurhash(photo("chelsea.png")[::8, ::8], across, down)

            assert len(text) == 4 + 2 * across * down
            assert number(text[0]) == (across - 1) + 9 * (down - 1)


@pytest.mark.parametrize(("across", "down"), [(0, 3), (4, 0), (10, 3), (4, 10)])
def test_more_waves_than_the_format_knows_are_refused(across: int, down: int) -> None:
    with pytest.raises(ValueError, match="1 to 9"):
        blurhash(photo("chelsea.png"), across, down)


def test_one_wave_is_the_mean_colour_in_linear_light() -> None:
    pixels = np.zeros((10, 20, 3), np.uint8)
    pixels[:, ::2] = 255

    assert mean_colour(blurhash(pixels, 1, 1)) == (188, 188, 188)  # half of the light, not half of the value


@given(st.tuples(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255)))
def test_a_plain_picture_keeps_its_colour(colour: tuple[int, int, int]) -> None:
    pixels = np.full((9, 14, 3), colour, np.uint8)

    assert mean_colour(blurhash(pixels)) == colour


@given(
    pixels=arrays.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))),
    across=st.integers(1, 9),
    down=st.integers(1, 9),
)
def test_every_picture_has_a_hash(pixels: NDArray[np.uint8], across: int, down: int) -> None:
    text = blurhash(pixels, across, down)

    assert len(text) == 4 + 2 * across * down
    assert set(text) <= set(DIGITS)
    assert number(text[2:6]) < 1 << 24
    assert all(number(text[place : place + 2]) < 19**3 for place in range(6, len(text), 2))
