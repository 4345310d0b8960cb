"""What stands in a picture's place: a PNG that every decoder reads, of the colours that its BlurHash says."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from api.placeholder import GREY, SIDE, decoded, placeholder, png
from tasks.images.blurhash import DIGITS, blurhash


def waves(width: int, height: int) -> NDArray[np.uint8]:
    """A picture of slow changes only, as a hash holds them: [height, width, 3]."""
    x = np.cos(np.pi * np.arange(width) / width)[None, :]
    y = np.cos(np.pi * np.arange(height) / height)[:, None]
    light = np.stack([0.4 + 0.2 * x + 0 * y, 0.4 + 0.2 * y + 0 * x, 0.4 + 0.2 * x * y], axis=-1)
    return np.asarray(np.round(255 * (1.055 * light ** (1 / 2.4) - 0.055)), dtype=np.uint8)


def pixels(file: bytes) -> NDArray[np.int64]:
    with Image.open(io.BytesIO(file)) as image:
        image.load()
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.asarray(image).astype(np.int64)


@pytest.mark.parametrize(("across", "down"), [(2, 2), (4, 3), (9, 9)])
def test_a_hash_is_decoded_to_the_picture_that_it_was_made_of(across: int, down: int) -> None:
    picture = waves(48, 32)
    got = np.frombuffer(decoded(blurhash(picture, across, down), 48, 32), np.uint8).reshape(32, 48, 3)
    assert np.abs(got.astype(int) - picture).mean() < 8  # a wave has 19 heights, which is not many


@pytest.mark.parametrize("colour", [0x000000, 0x1280EE, 0x800001, 0xFFFFFF])
def test_a_hash_of_one_wave_is_of_its_colour_all_over(colour: int) -> None:
    """The mean colour stands in characters 3 to 6, in base 83."""
    digits = "".join(DIGITS[colour // 83**place % 83] for place in (3, 2, 1, 0))
    assert decoded(f"00{digits}", 3, 2) == colour.to_bytes(3, "big") * 6


@given(width=st.integers(1, 20_000), height=st.integers(1, 20_000))
def test_a_placeholder_has_the_proportions_of_the_picture(width: int, height: int) -> None:
    shape = pixels(placeholder("00TI:j", width, height)).shape
    assert max(shape[:2]) == SIDE
    assert abs(shape[1] / shape[0] - width / height) <= max(width, height) / min(width, height) * 0.5 or min(shape) == 1


WRONG = [None, "", "L", "00TI:", "00TI:jj", "00TI:\x00", "ÄÄÄÄÄÄ", "~" * 6, "LEHV6nWB2yk8pyo0adR*.7kCMdn"]


@pytest.mark.parametrize("unreadable", WRONG)
def test_where_nothing_is_known_it_is_grey(unreadable: str | None) -> None:
    assert set(map(tuple, pixels(placeholder(unreadable, 3, 2)).reshape(-1, 3).tolist())) == {GREY}


@given(st.text(max_size=12) | st.text("0L~TI:j", min_size=6, max_size=6))
def test_whatever_stands_for_a_hash_becomes_a_picture(text: str) -> None:
    assert placeholder(text, 1, 1).startswith(b"\x89PNG")


@given(width=st.integers(1, 40), height=st.integers(1, 40), seed=st.integers(0, 9))
def test_a_png_holds_the_pixels_that_were_given(width: int, height: int, seed: int) -> None:
    given_pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert (pixels(png(given_pixels.tobytes(), width, height)) == given_pixels).all()
