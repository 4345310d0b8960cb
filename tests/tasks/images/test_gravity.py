"""Crops around what an analysis has found, whichever way up the picture lies in its file."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tasks.image_params import Variant
from tasks.images.model import Box, Wanted
from tasks.images.pillow import Pillow
from tasks.images.pillow_decode import TURNS
from tasks.images.plan import planned, sides
from tests.contracts.engines import Bench
from tests.tasks.samples import RED, encoded, psnr

BACK = {
    Image.Transpose.ROTATE_270: Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270,
}

SPOT: Box = (0.7, 0.1, 0.8, 0.3)


def spotted(width: int, height: int) -> Image.Image:
    image = Image.new("RGB", (width, height), (200, 200, 200))
    image.paste(RED, (round(0.7 * width), round(0.1 * height), round(0.8 * width), round(0.3 * height)))
    return image


def cover(width: int, height: int, **more: Any) -> dict[str, Any]:
    return {"width": width, "height": height, "fit": "cover", "gravity": "face", "format": "png", **more}


def wanted(*focus: Box, **variant: Any) -> Wanted:
    return Wanted(variant=Variant(name="v", **variant), focus=focus)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_crop_shows_the_face_whichever_way_up_the_file_is(tmp_path: Path, orientation: int) -> None:
    upright = spotted(400, 200)
    turn = TURNS.get(orientation)
    stored = upright if turn is None else upright.transpose(BACK.get(turn, turn))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = encoded(stored, "PNG", exif=exif)
    bench = Bench(engine=Pillow(), folder=tmp_path)
    made = bench.shown(file, options={"focus": (SPOT,)}, **cover(60, 100))
    expected = bench.shown(encoded(upright, "PNG"), options={"focus": (SPOT,)}, **cover(60, 100))
    assert made.size == (60, 100)
    assert made.getpixel((30, 20)) == RED
    assert psnr(made, expected) > 40


box = st.tuples(st.floats(0, 0.9), st.floats(0, 0.9), st.floats(0.02, 1), st.floats(0.02, 1)).map(
    lambda b: (b[0], b[1], min(1.0, b[0] + b[2]), min(1.0, b[1] + b[3]))
)


@given(focus=st.lists(box, max_size=4), width=st.integers(1, 3000), height=st.integers(1, 3000), to=st.integers(1, 900))
def test_a_crop_lies_in_the_picture_and_holds_the_largest_box_if_it_can(
    focus: list[Box], width: int, height: int, to: int
) -> None:
    [plan] = planned([wanted(*focus, **cover(to, 300, enlarge=True))], width, height)
    left, top, right, bottom = plan.crop
    assert left >= -1e-6
    assert top >= -1e-6
    assert right <= width + 1e-6
    assert bottom <= height + 1e-6
    within = 1 if plan.scale == 1 else 1e-6 * max(width, height)  # at its own size a part is cut at whole pixels
    if focus:
        largest = max(focus, key=lambda one: sides(one)[0] * sides(one)[1])
        across, down = sides(largest)
        if across * width <= right - left:
            assert left - within <= largest[0] * width <= largest[2] * width <= right + within
        if down * height <= bottom - top:
            assert top - within <= largest[1] * height <= largest[3] * height <= bottom + within
    else:
        assert abs(left + right - width) <= within
        assert abs(top + bottom - height) <= within


def test_several_faces_are_kept_together_where_they_fit() -> None:
    one, near, far = (0.1, 0.4, 0.2, 0.6), (0.3, 0.4, 0.38, 0.55), (0.9, 0.4, 0.95, 0.5)
    [plan] = planned([wanted(far, near, one, **cover(100, 100))], 1000, 400)
    assert plan.crop[0] <= 100
    assert plan.crop[2] >= 380
    assert plan.crop[2] < 900


def test_boxes_outside_the_crop_do_not_count() -> None:
    inside, outside = (0.5, 0.4, 0.55, 0.5), (0.0, 0.0, 0.3, 0.9)
    half = {"x": 400, "y": 0, "width": 600, "height": 400}

    [plan] = planned([wanted(outside, inside, **cover(100, 100, crop=half))], 1000, 400)
    [alone] = planned([wanted(outside, **cover(100, 100, crop=half))], 1000, 400)

    assert plan.crop == (400, 0, 800, 400)
    assert alone.crop == (500, 0, 900, 400)  # the centre


def test_boxes_are_for_the_gravities_that_ask_for_them() -> None:
    [plan] = planned([wanted((0.0, 0.0, 0.1, 1.0), **cover(100, 100, gravity="east"))], 1000, 400)

    assert plan.crop == (600, 0, 1000, 400)
