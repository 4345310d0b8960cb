from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tasks.images.pictures import Limits
from tasks.images.pillow import render
from tasks.images.plan import Fit, Format, VariantSpec, planned
from tests.tasks.samples import decoded, encoded

side = st.integers(1, 300)
specs = st.builds(
    VariantSpec,
    name=st.just("a"),
    width=st.none() | side,
    height=st.none() | side,
    format=st.just(Format.PNG),
    enlarge=st.booleans(),
) | st.builds(
    VariantSpec,
    name=st.just("a"),
    width=side,
    height=side,
    fit=st.just(Fit.COVER),
    format=st.just(Format.PNG),
    enlarge=st.booleans(),
)


def is_rounded(found: int, exact: float) -> bool:
    return found >= 1 and (abs(found - exact) <= 0.5 + 1e-6 or (found == 1 and exact < 1))


@given(spec=specs, width=st.integers(1, 5_000), height=st.integers(1, 5_000))
def test_sizes_keep_their_promises(spec: VariantSpec, width: int, height: int) -> None:
    [plan] = planned([spec], width, height)

    across, down = plan.size
    left, top, right, bottom = plan.crop
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    if not spec.enlarge:
        assert across <= width
        assert down <= height
    assert spec.width is None or across <= spec.width
    assert spec.height is None or down <= spec.height
    if spec.fit is Fit.COVER:
        assert spec.width is not None
        assert spec.height is not None
        grows = spec.width > width or spec.height > height
        if spec.enlarge or not grows:
            assert (across, down) == (spec.width, spec.height)
        else:  # the largest of its proportions: it reaches from side to side
            assert across == width or down == height
            scale = min(width / spec.width, height / spec.height)
            assert is_rounded(across, spec.width * scale)
            assert is_rounded(down, spec.height * scale)
    else:
        assert plan.crop == (0, 0, width, height)
        assert is_rounded(across, width * plan.scale) or is_rounded(down, height * plan.scale)
        if across > 1 and down > 1:  # proportions, within the rounding of either side
            assert (across - 0.5) / (down + 0.5) <= width / height * (1 + 1e-9)
            assert (across + 0.5) / (down - 0.5) >= width / height * (1 - 1e-9)
        wishes = [wish == found for wish, found in ((spec.width, across), (spec.height, down)) if wish is not None]
        assert (across, down) == (width, height) or any(wishes)


@settings(deadline=None)  # makes real pictures, while other work runs beside it
@given(wanted=st.lists(specs, min_size=1, max_size=5), width=side, height=side)
def test_pictures_have_the_planned_sizes(wanted: list[VariantSpec], width: int, height: int) -> None:
    file = BytesIO(encoded(Image.new("L", (width, height), 90), "PNG"))

    variants = list(render(file, wanted, Limits()))

    assert [(v.width, v.height) for v in variants] == [plan.size for plan in planned(wanted, width, height)]
    for variant in variants:
        image = decoded(variant.data)
        assert image.size == (variant.width, variant.height)
        assert image.getextrema() == (90, 90)  # no border is drawn, nothing from outside is mixed in


@pytest.mark.parametrize(
    ("size", "spec", "wanted"),
    [
        ((1, 1), {"width": 320}, (1, 1)),
        ((1, 1), {"width": 320, "enlarge": True}, (320, 320)),
        ((1, 5000), {"width": 320}, (1, 5000)),
        ((1, 5000), {"height": 320}, (1, 320)),
        ((5000, 1), {"width": 320}, (320, 1)),
        ((5000, 1), {"width": 320, "height": 320, "fit": Fit.COVER}, (1, 1)),
        ((5000, 1), {"width": 32, "height": 32, "fit": Fit.COVER, "enlarge": True}, (32, 32)),
        ((4000, 3000), {"width": 2048, "height": 2048}, (2048, 1536)),
        ((3000, 4000), {"width": 2048, "height": 2048}, (1536, 2048)),
        ((4000, 3000), {}, (4000, 3000)),
        ((4000, 3000), {"enlarge": True}, (4000, 3000)),
        ((400, 300), {"width": 600, "height": 600, "fit": Fit.COVER}, (300, 300)),
        ((400, 300), {"width": 600, "height": 200, "fit": Fit.COVER}, (400, 133)),
    ],
)
def test_sizes_of_known_cases(size: tuple[int, int], spec: dict[str, object], wanted: tuple[int, int]) -> None:
    full = VariantSpec(name="a", format=Format.PNG, **spec)  # type: ignore[arg-type]  # one spec's fields, as given

    [variant] = render(BytesIO(encoded(Image.new("L", size), "PNG")), [full], Limits())

    assert (variant.width, variant.height) == wanted


@pytest.mark.parametrize(
    "spec",
    [
        {"width": 0},
        {"height": -1},
        {"width": 5, "fit": Fit.COVER},
        {"quality": 0},
        {"quality": 101},
        {"background": "white"},
        {"background": "#fffff"},
    ],
)
def test_a_spec_that_means_nothing_cannot_be_made(spec: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must be|needs"):
        VariantSpec(name="a", **spec)  # type: ignore[arg-type]  # wrong on purpose
