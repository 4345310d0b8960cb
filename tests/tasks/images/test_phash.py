from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image, ImageFilter

import deploy
from tasks.images.phash import phash

PHOTOS = Path(deploy.__file__).parent / "photos"
REFERENCE = {  # str(imagehash.phash(image, hash_size=8)) of ImageHash 4.3.2 with Pillow 13.0
    "astronaut.png": "c2924c5532bddfc8",
    "chelsea.png": "b15fe6465121175e",
    "coffee.png": "bb8320376c0f3637",
    "rocket.jpg": "c0371bec1be51267",
}
PARTS = {  # the same of parts of them, whose hash is another one if the picture is shrunk in another way
    ("astronaut.png", (0, 0, 200, 200)): "9e8779a7604aa46b",
    ("rocket.jpg", (0, 0, 200, 200)): "9f70417a5d285d63",
    ("rocket.jpg", (37, 41, 290, 177)): "802d7f2d7c03fe03",
}


def photo(name: str) -> Image.Image:
    return Image.open(PHOTOS / name).convert("RGB")


def hashed(image: Image.Image) -> str:
    return phash(np.asarray(image))


def apart(one: str, other: str) -> int:
    return (int(one, 16) ^ int(other, 16)).bit_count()


@pytest.mark.parametrize("name", REFERENCE)
def test_it_is_equal_to_the_reference_library(name: str) -> None:
    assert hashed(photo(name)) == REFERENCE[name]


@pytest.mark.parametrize(("name", "box"), PARTS)
def test_so_it_is_for_parts_of_pictures(name: str, box: tuple[int, int, int, int]) -> None:
    assert hashed(photo(name).crop(box)) == PARTS[name, box]


@pytest.mark.parametrize("name", REFERENCE)
def test_copies_of_a_picture_stay_near_it(name: str) -> None:
    image = photo(name)
    smaller = image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC)
    darker = image.point(lambda value: value * 0.7)
    softer = image.filter(ImageFilter.GaussianBlur(2))

    assert all(apart(hashed(copy), REFERENCE[name]) <= 6 for copy in (smaller, darker, softer))


def test_other_pictures_are_far_away() -> None:
    hashes = list(REFERENCE.values())

    assert min(apart(one, other) for one in hashes for other in hashes if one != other) > 20


@pytest.mark.parametrize("shade", [1, 77, 128, 255])
def test_a_plain_picture_has_no_frequency_but_its_brightness(shade: int) -> None:
    assert phash(np.full((50, 70, 3), shade, np.uint8)) == "8000000000000000"


def test_a_picture_that_is_its_own_mirror_image_has_no_random_bits() -> None:
    half = np.asarray(photo("chelsea.png"))[:, :192]
    bits = f"{int(phash(np.concatenate([half, half[:, ::-1]], axis=1)), 16):064b}"

    assert len(set(bits[1::2])) == 1  # its odd frequencies are all nought, so all on one side of the median


@given(pixels=arrays.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))))
def test_every_picture_has_a_hash_of_16_digits(pixels: NDArray[np.uint8]) -> None:
    text = phash(pixels)

    assert len(text) == 16
    assert 0 <= int(text, 16) < 1 << 64
    assert text == text.lower()
