from base64 import b64encode
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image

import deploy
from tasks.images.thumbhash import MOST, thumbhash

PHOTOS = Path(deploy.__file__).parent / "photos"

# rgbaToThumbHash(width, height, rgba) of the author's npm package thumbhash 0.1.1 on Node.js 20.20, in base64, of the
# pixels that `sampled`, `part` and `veil` below make.
WHOLE = {
    "astronaut.png": "3EgKFwhpaIVPh2aHVnh6aIdp+SVif0IG",
    "chelsea.png": "XEkGFYL2WGix5qmqaEV4hQx31HBm",
    "coffee.png": "GIoKDYSlqIdPUXd3eEeHh9J/YIkI",
    "rocket.jpg": "EOcFFYItd1ZwiZd1h4eIdoVwbgfn",
}
PARTS = {  # upright ones, whose waves are counted the other way
    "astronaut.png": "XokKMg5wKlhkmnapVIBmBlk=",
    "chelsea.png": "XkkGCwKH+O+GdCZ2UBYBZUQ=",
    "coffee.png": "GIoOGghaQGl2hHmFhkUweQY=",
    "rocket.jpg": "EecFEwKDoDiHiXVpeoGvJ/g=",
}
VEILED = {
    "astronaut.png": "3UiGDQQXWWdPl3lmaT8h+Rd0WXZnlpdzgA==",
    "chelsea.png": "XEmCC4AX81fAxpoOavSgZGV4p3MHg3U=",
    "coffee.png": "GZqGC4IXl6hfcnfWf4GbCUVpl2U3gHI=",
    "rocket.jpg": "EOeFC4IXPohwanR0gE4G6GVop2MHgnU=",
}

Pixels = NDArray[np.uint8]


def sampled(name: str) -> Pixels:
    pixels = np.asarray(Image.open(PHOTOS / name).convert("RGB"))
    step = -(-max(pixels.shape) // MOST)
    return pixels[::step, ::step]


def part(name: str) -> Pixels:
    return sampled(name)[:, :23]


def veil(pixels: Pixels) -> Pixels:
    height, width, _ = pixels.shape
    rows, columns = np.indices((height, width))
    return np.dstack([pixels, ((columns * 255 // (width - 1) + rows * 5) % 256).astype(np.uint8)])


def text(pixels: Pixels) -> str:
    return b64encode(thumbhash(pixels)).decode()


@pytest.mark.parametrize("name", WHOLE)
def test_it_is_equal_to_the_authors_package(name: str) -> None:
    assert text(sampled(name)) == WHOLE[name]
    assert text(part(name)) == PARTS[name]
    assert text(veil(sampled(name))) == VEILED[name]


def test_opaque_alpha_changes_nothing() -> None:
    pixels = sampled("chelsea.png")

    assert thumbhash(np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])) == thumbhash(pixels)


def test_colours_behind_transparent_pixels_do_not_count() -> None:
    one = veil(sampled("coffee.png"))
    other = one.copy()
    other[other[:, :, 3] == 0, :3] = (255, 0, 255)

    assert (one != other).any()
    assert thumbhash(one) == thumbhash(other)


@pytest.mark.parametrize("shape", [(MOST + 1, 10, 3), (10, MOST + 1, 4), (0, 5, 3)])
def test_a_large_picture_is_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="1 to 100"):
        thumbhash(np.zeros(shape, np.uint8))


@given(
    colour=st.tuples(*[st.integers(0, 255)] * 3),
    alpha=st.integers(0, 255),
    size=st.tuples(st.integers(7, 30), st.integers(7, 30)),  # fewer pixels than waves alias
)
def test_a_plain_picture_has_no_waves(colour: tuple[int, int, int], alpha: int, size: tuple[int, int]) -> None:
    data = thumbhash(np.full((*size, 4), (*colour, alpha), np.uint8))
    head = int.from_bytes(data[:3], "little")

    assert head >> 18 & 31 == 0  # no lightness waves, whatever the rounding of sums leaves
    assert data[6 if alpha < 255 else 5 :].strip(b"\0") == b""
    assert head >> 23 == (alpha < 255)


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([3, 4]))))
def test_every_picture_has_a_hash(pixels: Pixels) -> None:
    data = thumbhash(pixels)

    assert 5 < len(data) <= 30
    assert bool(data[2] & 0x80) == (pixels.shape[2] == 4 and bool((pixels[:, :, 3] < 255).any()))
