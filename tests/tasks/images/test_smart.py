import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from tasks.images import smart
from tests.tasks.samples import PHOTOS, painted

WHOLE = (0.0, 0.0, 1.0, 1.0)
WAYS = [smart.attention, smart.entropy]


def scene(width: int, height: int, *things: tuple[int, int]) -> NDArray[np.uint8]:
    """A grey wall with a painted thing of 40 by 40 at each place."""
    image = Image.new("RGB", (width, height), (120, 120, 120))
    for place in things:
        image.paste(painted(40, 40), place)
    return np.asarray(image)


@pytest.mark.parametrize("find", WAYS)
def test_the_only_thing_is_found_along_either_axis(find: smart.Finder) -> None:
    for x in (0, 70, 216):
        left, _ = find(scene(256, 60, (x, 10)), WHOLE, (60 / 256, 1.0))
        assert left * 256 <= x
        assert left * 256 + 60 >= x + 40
        _, top = find(scene(60, 256, (10, x)), WHOLE, (1.0, 60 / 256))
        assert top * 256 <= x
        assert top * 256 + 60 >= x + 40


def test_attention_puts_it_in_the_middle() -> None:
    left, top = smart.attention(scene(256, 60, (100, 10)), WHOLE, (60 / 256, 1.0))

    assert left * 256 == pytest.approx(90, abs=4)
    assert top == 0


@pytest.mark.parametrize("find", WAYS)
def test_where_nothing_stands_out_the_middle_is_taken(find: smart.Finder) -> None:
    assert find(scene(100, 40), WHOLE, (0.4, 1.0)) == (0.3, 0.0)


@pytest.mark.parametrize("find", WAYS)
def test_only_what_lies_in_the_crop_counts(find: smart.Finder) -> None:
    pixels = scene(240, 60, (0, 10), (150, 10))

    left, _ = find(pixels, (0.25, 0.0, 1.0, 1.0), (0.25, 1.0))

    assert left * 240 <= 150
    assert left * 240 + 60 >= 190


def test_faces_skin_and_strong_colours_draw_more_than_plain_surfaces() -> None:
    with Image.open(PHOTOS / "astronaut.png") as photo:
        pixels = np.asarray(photo.convert("RGB").resize((256, 256)))

    left, _ = smart.attention(pixels, WHOLE, (0.5, 1.0))

    assert left < 0.3 < 0.62 < left + 0.5  # she stands there


def test_the_same_pixels_give_the_same_part() -> None:
    with Image.open(PHOTOS / "coffee.png") as photo:
        pixels = np.asarray(photo.convert("RGB").resize((256, 170)))

    assert smart.attention(pixels, WHOLE, (0.4, 1.0)) == (74 / 256, 0.0)
    assert smart.entropy(pixels, WHOLE, (0.4, 1.0)) == smart.entropy(pixels.copy(), WHOLE, (0.4, 1.0))


share = st.floats(0, 1)


@given(
    size=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    edges=st.tuples(share, share, share, share),
    part=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)),
    find=st.sampled_from(WAYS),
)
def test_a_part_lies_in_its_crop_whatever_the_sizes(
    size: tuple[int, int],
    edges: tuple[float, float, float, float],
    part: tuple[float, float],
    find: smart.Finder,
) -> None:
    pixels = np.asarray(painted(*size))
    left, right = sorted((edges[0], edges[1]))
    top, bottom = sorted((edges[2], edges[3]))

    x, y = find(pixels, (left, top, right, bottom), part)

    assert left - 1 / size[0] <= x <= max(left, right - part[0]) + 1 / size[0]
    assert top - 1 / size[1] <= y <= max(top, bottom - part[1]) + 1 / size[1]
