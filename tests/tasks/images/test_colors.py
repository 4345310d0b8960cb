from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image

import deploy
from tasks.images.colors import colors

PHOTOS = Path(deploy.__file__).parent / "photos"
COLOUR = st.tuples(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))


def photo(name: str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(PHOTOS / name).convert("RGB"))


def channels(name: object) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(str(name).removeprefix("#"))
    return red, green, blue


@given(COLOUR, st.integers(1, 200), st.integers(1, 200))
def test_a_plain_picture_has_one_colour(colour: tuple[int, int, int], height: int, width: int) -> None:
    pixels = np.full((height, width, 3), colour, np.uint8)

    assert colors(pixels) == [{"name": "#" + bytes(colour).hex(), "score": 1.0}]


def test_flat_areas_keep_their_colours_and_shares() -> None:
    pixels = np.zeros((100, 100, 3), np.uint8)
    pixels[:50], pixels[50:80], pixels[80:] = (230, 30, 40), (20, 60, 200), (250, 250, 250)

    assert colors(pixels) == [
        {"name": "#e61e28", "score": 0.5},
        {"name": "#143cc8", "score": 0.3},
        {"name": "#fafafa", "score": 0.2},
    ]


@pytest.mark.parametrize("period", [2, 3, 4, 8, 16])
@pytest.mark.parametrize("axis", [0, 1])
def test_stripes_of_a_large_picture_are_seen_in_equal_shares(period: int, axis: int) -> None:
    place = np.indices((1024, 2048))[axis]
    pixels = np.where((place % period < period / 2)[..., None], (255, 0, 0), (0, 0, 255)).astype(np.uint8)
    wanted = float(np.mean(np.arange(period) < period / 2))

    shares = {entry["name"]: float(entry["score"]) for entry in colors(pixels)}

    assert shares == pytest.approx({"#ff0000": wanted, "#0000ff": 1 - wanted}, abs=0.01)


def test_shades_that_hardly_differ_are_one_colour() -> None:
    noise = np.random.default_rng(7).integers(-6, 7, (64, 64, 3))
    pixels = (np.array([90, 140, 60]) + noise).astype(np.uint8)

    (only,) = colors(pixels)

    assert only["score"] == 1.0
    assert np.abs(np.subtract(channels(only["name"]), (90, 140, 60))).max() <= 2


def test_a_vivid_thing_among_many_greys_is_told() -> None:
    pixels = np.repeat(np.linspace(0, 255, 200).astype(np.uint8)[:, None, None], 200, axis=1).repeat(3, axis=2)
    pixels[90:110, 80:120] = (220, 30, 30)

    assert "#dc1e1e" in [entry["name"] for entry in colors(pixels)]


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("astronaut.png", (222, 106, 70)),  # the orange suit
        ("chelsea.png", (152, 114, 87)),  # the fur
        ("coffee.png", (160, 60, 26)),  # the cup
        ("rocket.jpg", (34, 47, 73)),  # the evening sky
    ],
)
def test_the_colours_of_a_photograph_are_those_one_would_name(name: str, seen: tuple[int, int, int]) -> None:
    found = [channels(entry["name"]) for entry in colors(photo(name))[:3]]

    assert min(np.abs(np.subtract(one, seen)).max() for one in found) <= 25


@pytest.mark.parametrize("name", ["astronaut.png", "rocket.jpg"])
def test_the_size_of_a_picture_hardly_matters(name: str) -> None:
    image = Image.fromarray(photo(name))
    first, *_ = colors(np.asarray(image))
    smaller, *_ = colors(np.asarray(image.resize((image.width // 2, image.height // 2))))

    assert np.abs(np.subtract(channels(first["name"]), channels(smaller["name"]))).max() <= 16
    assert abs(float(first["score"]) - float(smaller["score"])) < 0.15  # an evening sky has no edge to cut it at


@given(
    pixels=arrays.arrays(np.uint8, st.tuples(st.integers(1, 30), st.integers(1, 30), st.just(3))),
    most=st.integers(1, 8),
)
def test_every_picture_has_colours_in_order_and_always_the_same(pixels: NDArray[np.uint8], most: int) -> None:
    found = colors(pixels, most)
    scores = [float(entry["score"]) for entry in found]

    assert 1 <= len(found) <= most
    assert scores == sorted(scores, reverse=True)
    assert min(scores) > 0
    assert sum(scores) <= 1 + 0.0001 * len(scores)
    assert found == colors(pixels.copy(), most)
