"""Crops around what an analysis has found, whichever way up the picture lies in its file."""

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tasks.images.pictures import Limits
from tasks.images.pillow import TURNS, render
from tasks.images.plan import Box, Fit, Format, VariantSpec, planned, sides
from tests.tasks.samples import RED, decoded, encoded, psnr

BACK = {
    Image.Transpose.ROTATE_270: Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270,
}

SPOT: Box = (0.7, 0.1, 0.8, 0.3)


def spotted(width: int, height: int) -> Image.Image:
    image = Image.new("RGB", (width, height), (200, 200, 200))
    image.paste(RED, (round(0.7 * width), round(0.1 * height), round(0.8 * width), round(0.3 * height)))
    return image


def cover(width: int, height: int, *focus: Box, enlarge: bool = False) -> VariantSpec:
    return VariantSpec(
        name="v", width=width, height=height, fit=Fit.COVER, format=Format.PNG, focus=focus, enlarge=enlarge
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_crop_shows_the_face_whichever_way_up_the_file_is(orientation: int) -> None:
    upright = spotted(400, 200)
    turn = TURNS.get(orientation)
    stored = upright if turn is None else upright.transpose(BACK.get(turn, turn))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = encoded(stored, "PNG", exif=exif)
    [variant] = render(BytesIO(file), [cover(60, 100, SPOT)], Limits())
    made = decoded(variant.data)
    [expected] = render(BytesIO(encoded(upright, "PNG")), [cover(60, 100, SPOT)], Limits())
    assert made.size == (60, 100)
    assert made.getpixel((30, 20)) == RED
    assert psnr(made, decoded(expected.data)) > 40


box = st.tuples(st.floats(0, 0.9), st.floats(0, 0.9), st.floats(0.02, 1), st.floats(0.02, 1)).map(
    lambda b: (b[0], b[1], min(1.0, b[0] + b[2]), min(1.0, b[1] + b[3]))
)


@given(focus=st.lists(box, max_size=4), width=st.integers(1, 3000), height=st.integers(1, 3000), to=st.integers(1, 900))
def test_a_crop_lies_in_the_picture_and_holds_the_largest_box_if_it_can(
    focus: list[Box], width: int, height: int, to: int
) -> None:
    [plan] = planned([cover(to, 300, *focus, enlarge=True)], width, height)
    left, top, right, bottom = plan.crop
    assert left >= -1e-6
    assert top >= -1e-6
    assert right <= width + 1e-6
    assert bottom <= height + 1e-6
    if focus:
        largest = max(focus, key=lambda one: sides(one)[0] * sides(one)[1])
        across, down = sides(largest)
        if across * width <= right - left:
            assert left - 1e-6 <= largest[0] * width <= largest[2] * width <= right + 1e-6
        if down * height <= bottom - top:
            assert top - 1e-6 <= largest[1] * height <= largest[3] * height <= bottom + 1e-6
    else:
        assert left + right == pytest.approx(width)
        assert top + bottom == pytest.approx(height)


def test_several_faces_are_kept_together_where_they_fit() -> None:
    one, near, far = (0.1, 0.4, 0.2, 0.6), (0.3, 0.4, 0.38, 0.55), (0.9, 0.4, 0.95, 0.5)
    [plan] = planned([cover(100, 100, far, near, one)], 1000, 400)
    assert plan.crop[0] <= 100
    assert plan.crop[2] >= 380
    assert plan.crop[2] < 900
