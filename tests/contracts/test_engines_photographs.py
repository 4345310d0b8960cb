"""What every engine promises about photographs: that they look as they should, however they are made."""

from typing import Any

import pytest
from PIL import Image

from tasks.images.vips import Vips
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


JPEGS: list[dict[str, Any]] = [
    {"width": 211},
    {"width": 140, "height": 90, "fit": "cover", "gravity": "northwest"},
    {"width": 90, "height": 140, "fit": "cover", "gravity": "south"},
    {"crop": {"x": 0.25, "y": 0.5, "width": 0.5, "height": 0.5, "unit": "share"}, "width": 100},
    {"width": 99, "rotate": 270, "flip": "vertical"},
]


@pytest.mark.parametrize(("orientation", "sampling"), [(1, "4:2:0"), (4, "4:4:4"), (6, "4:2:2"), (7, "4:2:0")])
def test_from_jpeg_to_jpeg_engines_agree(bench: Bench, orientation: int, sampling: str) -> None:
    """Each by itself and all from one decode: what the lane in front of libvips is for."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    with Image.open(PHOTOS / "coffee.png") as photo:
        image = photo.convert("RGB").resize((600, 400))
    data = encoded(image, "JPEG", quality=92, exif=exif, subsampling=sampling)
    variants = [{**variant, "format": "jpeg", "quality": 89} for variant in JPEGS]
    inner = Bench(engine=Vips(), folder=bench.folder)

    together, alone = bench.all(data, *variants), [bench.one(data, **variant) for variant in variants]

    if bench.engine.version.startswith("planes"):
        assert any(one.engine == bench.engine.version for one in together)
        assert all(one.engine == bench.engine.version for one in alone)
    for variant, one, by_itself, other in zip(variants, together, alone, inner.all(data, *variants), strict=True):
        for found in (one, by_itself):
            assert (found.width, found.height) == (other.width, other.height)
            least = 28 if "crop" in variant or variant.get("fit") == "cover" else 33
            assert psnr(decoded(found.data).convert("RGB"), decoded(other.data).convert("RGB")) > least, variant


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
