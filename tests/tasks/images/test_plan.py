import math
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tasks.image_params import Crop, Gravity, Pad, Variant
from tasks.images.model import Box, ImageRejected, Wanted
from tasks.images.pillow import Pillow
from tasks.images.pillow_decode import upright
from tasks.images.plan import Plan, before, composed, needs_pixels, planned, sides, swapped
from tests.contracts.engines import Bench
from tests.tasks.samples import decoded, encoded, painted

side = st.integers(1, 300)
free = st.fixed_dictionaries(
    {
        "width": st.none() | side,
        "height": st.none() | side,
        "enlarge": st.booleans(),
        "rotate": st.sampled_from((0, 90)),
    }
)
exact = st.fixed_dictionaries(
    {
        "width": side,
        "height": side,
        "enlarge": st.booleans(),
        "fit": st.sampled_from(("inside", "outside", "cover", "contain", "fill")),
        "rotate": st.sampled_from((0, 90, 180, 270)),
        "flip": st.sampled_from((None, "horizontal", "vertical")),
    }
)
variants = free | exact


def plan_of(across: int, down: int, /, **variant: Any) -> Plan:
    [plan] = planned([Wanted(variant=Variant(**{"name": "a", **variant}))], across, down)
    return plan


def is_rounded(found: int, exact: float) -> bool:
    return found >= 1 and (abs(found - exact) <= 0.5 + 1e-6 or (found == 1 and exact < 1))


@given(variant=variants, width=st.integers(1, 5_000), height=st.integers(1, 5_000))
def test_sizes_keep_their_promises(variant: dict[str, Any], width: int, height: int) -> None:
    plan = plan_of(width, height, **variant)

    wanted = plan.wanted.variant
    across, down = plan.turned
    source = swapped((width, height), plan.turn)  # as the finished picture lies
    left, top, right, bottom = plan.crop
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    if not wanted.enlarge:
        assert across <= source[0]
        assert down <= source[1]
    if wanted.fit != "outside":
        assert wanted.width is None or across <= wanted.width
        assert wanted.height is None or down <= wanted.height
    if wanted.fit == "cover":
        _check_cover(wanted, source, (across, down))
    else:
        assert plan.crop == (0, 0, width, height)
        assert plan.canvas == ((wanted.width, wanted.height) if wanted.fit == "contain" else (across, down))
    if wanted.fit in ("inside", "outside", "contain"):
        _check_proportions(wanted, source, (across, down))


def _check_cover(wanted: Variant, source: tuple[int, int], size: tuple[int, int]) -> None:
    assert wanted.width is not None
    assert wanted.height is not None
    grows = wanted.width > source[0] or wanted.height > source[1]
    if wanted.enlarge or not grows:
        assert size == (wanted.width, wanted.height)
        return
    scale = min(source[0] / wanted.width, source[1] / wanted.height)
    assert size[0] == source[0] or size[1] == source[1]  # the largest of its proportions: from side to side
    assert is_rounded(size[0], wanted.width * scale)
    assert is_rounded(size[1], wanted.height * scale)


def _check_proportions(wanted: Variant, source: tuple[int, int], size: tuple[int, int]) -> None:
    if min(size) > 1:  # within the rounding of either side
        assert (size[0] - 0.5) / (size[1] + 0.5) <= source[0] / source[1] * (1 + 1e-9)
        assert (size[0] + 0.5) / (size[1] - 0.5) >= source[0] / source[1] * (1 - 1e-9)
    wishes = [(wish, found) for wish, found in ((wanted.width, size[0]), (wanted.height, size[1])) if wish is not None]
    assert size == source or any(wish == found for wish, found in wishes)
    if wanted.fit == "outside" and wanted.enlarge:
        assert all(found >= wish for wish, found in wishes)


@settings(deadline=None, max_examples=60)  # makes real pictures, while other work runs beside it
@given(wanted=st.lists(variants, min_size=1, max_size=5), width=side, height=side)
def test_pictures_have_the_planned_sizes(wanted: list[dict[str, Any]], width: int, height: int) -> None:
    data = encoded(Image.new("L", (width, height), 90), "PNG")

    with TemporaryDirectory() as folder:
        made = Bench(engine=Pillow(), folder=Path(folder)).all(data, *wanted)

    for variant, one in zip(wanted, made, strict=True):
        image = decoded(one.data)
        assert image.size == (one.width, one.height) == plan_of(width, height, **variant).canvas
        if variant.get("fit") != "contain":
            assert image.getextrema() == (90, 90)  # no border is drawn, nothing from outside is mixed in


@pytest.mark.parametrize(
    ("size", "variant", "wanted"),
    [
        ((1, 1), {"width": 320}, (1, 1)),
        ((1, 1), {"width": 320, "enlarge": True}, (320, 320)),
        ((1, 5000), {"width": 320}, (1, 5000)),
        ((1, 5000), {"height": 320}, (1, 320)),
        ((5000, 1), {"width": 320}, (320, 1)),
        ((5000, 1), {"width": 320, "height": 320, "fit": "cover"}, (1, 1)),
        ((5000, 1), {"width": 32, "height": 32, "fit": "cover", "enlarge": True}, (32, 32)),
        ((4000, 3000), {"width": 2048, "height": 2048}, (2048, 1536)),
        ((3000, 4000), {"width": 2048, "height": 2048}, (1536, 2048)),
        ((4000, 3000), {}, (4000, 3000)),
        ((4000, 3000), {"enlarge": True}, (4000, 3000)),
        ((4000, 3000), {"dpr": 3}, (4000, 3000)),
        ((4000, 3000), {"width": 333, "dpr": 1.5}, (500, 375)),
        ((400, 300), {"width": 600, "height": 600, "fit": "cover"}, (300, 300)),
        ((400, 300), {"width": 600, "height": 200, "fit": "cover"}, (400, 133)),
        ((400, 300), {"width": 600, "height": 200, "fit": "cover", "dpr": 0.5}, (300, 100)),
        ((400, 300), {"width": 500, "fit": "outside"}, (400, 300)),
    ],
)
def test_sizes_of_known_cases(size: tuple[int, int], variant: dict[str, Any], wanted: tuple[int, int]) -> None:
    assert plan_of(*size, **variant).canvas == wanted


def test_two_turns_are_one() -> None:
    image = painted(7, 5)

    for first, then in product(range(1, 9), repeat=2):
        wanted = upright(upright(image, first), then)
        found = upright(image, composed(first, then))
        assert (found.size, found.tobytes()) == (wanted.size, wanted.tobytes()), (first, then)


@given(
    turn=st.integers(1, 8), box=st.tuples(st.integers(0, 6), st.integers(0, 4), st.integers(1, 7), st.integers(1, 5))
)
def test_a_part_is_found_again_before_the_turn(turn: int, box: tuple[int, int, int, int]) -> None:
    left, top, width, height = box
    image = painted(20, 14)
    turned = upright(image, turn)

    part = tuple(int(edge) for edge in before((left, top, left + width, top + height), turn, *turned.size))
    assert len(part) == 4

    wanted = turned.crop((left, top, left + width, top + height))
    assert upright(image.crop(part), turn).tobytes() == wanted.tobytes()


def test_the_largest_scale_comes_first_and_equals_stay_in_order() -> None:
    wanted = [Wanted(variant=Variant(name=str(number), width=width)) for number, width in enumerate((50, 400, 50, 90))]

    assert [plan.wanted.variant.name for plan in planned(wanted, 400, 300)] == ["1", "3", "0", "2"]


@pytest.mark.parametrize(
    ("crop", "wanted"),
    [
        ({"x": 10, "y": 20, "width": 30, "height": 40}, (10, 20, 40, 60)),
        ({"x": 10.4, "y": 20.6, "width": 30, "height": 40}, (10, 21, 40, 61)),
        ({"x": 390, "y": 0, "width": 30, "height": 400}, (390, 0, 400, 300)),
        ({"x": 0.25, "y": 0, "width": 0.5, "height": 1, "unit": "share"}, (100, 0, 300, 300)),
        ({"x": 0.5, "y": 0.5, "width": 0.0001, "height": 0.0001, "unit": "share"}, (200, 150, 201, 151)),
        ({"x": 399.9, "y": 299.9, "width": 5, "height": 5}, (399, 299, 400, 300)),
    ],
)
def test_crops_are_whole_pixels_of_the_picture(crop: dict[str, Any], wanted: Box) -> None:
    assert plan_of(400, 300, crop=crop).crop == wanted


@pytest.mark.parametrize("crop", [{"x": 400, "y": 0}, {"x": 0, "y": 1e9}, {"x": 1, "y": 0, "unit": "share"}])
def test_a_crop_beside_the_picture_is_refused(crop: dict[str, Any]) -> None:
    with pytest.raises(ImageRejected, match="400 by 300") as caught:
        plan_of(400, 300, crop={"width": 1, "height": 1, **crop})
    assert caught.value.code == "crop_outside"


def test_a_crop_counts_from_what_trim_has_left() -> None:
    variant = Variant(name="a", trim=7, crop=Crop(x=5, y=0, width=500, height=10))

    [plan] = planned([Wanted(variant=variant)], 400, 300, trims={7: (20, 30, 120, 90)})

    assert plan.crop == (25, 30, 120, 40)
    with pytest.raises(KeyError):
        planned([Wanted(variant=variant)], 400, 300, trims={8: (20, 30, 120, 90)})


def test_contain_and_pad_say_where_the_picture_lies() -> None:
    contained = plan_of(400, 300, width=100, height=100, fit="contain", gravity="south", dpr=2, pad=Pad(left=3, top=1))
    turned = plan_of(400, 300, width=100, height=100, fit="contain", gravity="west", rotate=90)

    assert (contained.size, contained.canvas, contained.offset) == ((200, 150), (206, 202), (6, 52))
    assert (turned.size, turned.turned, turned.canvas, turned.offset) == ((100, 75), (75, 100), (100, 100), (0, 0))


def test_gravity_is_meant_as_the_finished_picture_is_seen() -> None:
    cover: dict[str, Any] = {"fit": "cover", "width": 100, "height": 100}

    assert plan_of(300, 100, gravity="west", **cover).crop == (0, 0, 100, 100)
    assert plan_of(300, 100, gravity="west", flip="horizontal", **cover).crop == (200, 0, 300, 100)
    assert plan_of(300, 100, gravity="north", rotate=90, **cover).crop == (0, 0, 100, 100)
    assert plan_of(300, 100, gravity="north", rotate=270, **cover).crop == (200, 0, 300, 100)


def test_only_crops_that_depend_on_what_is_seen_need_pixels() -> None:
    cover: dict[str, Any] = {"name": "a", "fit": "cover", "width": 9, "height": 9}

    wishes: dict[Gravity, bool] = {"attention": True, "entropy": True, "center": False, "face": False}
    for gravity, needs in wishes.items():
        assert needs_pixels([Wanted(variant=Variant(gravity=gravity, **cover))]) is needs


def test_a_plan_knows_its_scale() -> None:
    plan = plan_of(100, 20_000)

    assert sides(plan.crop) == (100, 20_000)
    assert math.isclose(plan.scale, 1)
