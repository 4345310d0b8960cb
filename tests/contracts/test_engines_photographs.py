"""What every engine promises about photographs: that they look as they should, however they are made."""

from typing import Any

import pytest
from PIL import Image

from tests.contracts import engines
from tests.contracts.engines import Bench
from tests.tasks.samples import PHOTOS, corners, decoded, encoded, psnr

bench = engines.bench  # the fixture, once per engine

PLAIN: list[dict[str, Any]] = [
    {"width": 300},
    {"width": 120},
    {"width": 90, "height": 90, "fit": "cover"},
    {"width": 64, "height": 200, "fit": "fill"},
    {"width": 150, "rotate": 90, "flip": "horizontal"},
]
OTHERS: list[dict[str, Any]] = [
    {"width": 150, "grayscale": True},
    {"width": 150, "blur": 2.0},
    {"crop": {"x": 50, "y": 40, "width": 301, "height": 203}, "width": 101},
]


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_a_cut_alone_shows_what_it_should(bench: Bench, format_: str) -> None:
    """With nothing else wanted of the file: engines that read it from above meet the cut first."""
    with Image.open(PHOTOS / "coffee.png") as photo:
        data = encoded(photo.convert("RGB"), format_, quality=95)
    straight = decoded(data).convert("RGB").crop((50, 40, 351, 243))

    whole = bench.shown(data, crop={"x": 50, "y": 40, "width": 301, "height": 203})
    small = bench.shown(data, crop={"x": 50, "y": 40, "width": 301, "height": 203}, width=101)

    assert psnr(whole.convert("RGB"), straight) > 45
    assert psnr(small.convert("RGB"), straight.resize((101, 68), Image.Resampling.LANCZOS)) > 32


def test_a_jpeg_decoded_at_a_fraction_keeps_its_edges(bench: Bench) -> None:
    image = bench.shown(encoded(corners(1203, 801), "JPEG", quality=95), width=100)

    assert image.size == (100, 67)
    wanted = corners(1200, 804).resize((100, 67), Image.Resampling.BOX)
    assert psnr(image.convert("RGB"), wanted) > 30


@pytest.mark.parametrize(("format_", "least"), [("JPEG", 35), ("PNG", 42)])
@pytest.mark.parametrize("wanted", [PLAIN, OTHERS], ids=["plain", "others"])
def test_engines_agree_about_a_photograph(
    bench: Bench, format_: str, least: float, wanted: list[dict[str, Any]]
) -> None:
    """From JPEG to JPEG, whose chroma is halved, and from PNG to PNG."""
    with Image.open(PHOTOS / "coffee.png") as photo:
        data = encoded(photo.convert("RGB").resize((600, 400)), format_, quality=92)
    variants = [{**variant, "quality": 89} for variant in wanted]
    reference = Bench(engine=engines.reference(), folder=bench.folder)

    for variant, one, other in zip(variants, bench.all(data, *variants), reference.all(data, *variants), strict=True):
        # A cut may lie half a pixel off, of the larger variant that it is made of.
        is_cut = "crop" in variant or variant.get("fit") == "cover"
        found = psnr(decoded(one.data).convert("RGB"), decoded(other.data).convert("RGB"))
        assert found > (28 if is_cut else least), variant


@pytest.mark.parametrize(("photo", "format_", "least"), [("chelsea.png", "jpeg", 32), ("rocket.jpg", "png", 40)])
def test_variants_look_like_ones_made_straight_from_the_photograph(
    bench: Bench, photo: str, format_: str, least: float
) -> None:
    with Image.open(PHOTOS / photo) as image:
        data = encoded(image.convert("RGB").resize((480, 320)), "JPEG", quality=95)
    straight = decoded(data)
    variants: list[dict[str, Any]] = [
        {"width": width, "format": format_, "quality": 89} for width in (400, 250, 199, 120, 60)
    ]

    made = bench.all(data, *variants)
    alone = [bench.one(data, **variant) for variant in variants[3:]]

    for one in (*made, *alone):
        wanted = straight.resize((one.width, one.height), Image.Resampling.LANCZOS)
        assert psnr(decoded(one.data).convert("RGB"), wanted) > least, one.width
