"""What every engine promises about sizes, turns, crops and margins. The other promises: test_engines_*.py."""

from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image, ImageOps

from tasks.images.model import ImageRejected, Limits
from tests.contracts import engines
from tests.contracts.engines import UPLOAD, Bench
from tests.tasks.samples import BLUE, GREEN, RED, YELLOW, corners, decoded, encoded, near, painted, psnr

bench = engines.bench  # the fixture, once per engine

ORIENTATION = 0x0112
# What a camera does for each orientation: it stores the upright picture turned like this.
STORED_AS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
FLIPS: dict[str | None, Callable[[Image.Image], Image.Image]] = {
    None: lambda image: image,
    "horizontal": ImageOps.mirror,
    "vertical": ImageOps.flip,
    "both": lambda image: image.transpose(Image.Transpose.ROTATE_180),
}
SHARE = {"x": 0.5, "y": 0.25, "width": 0.5, "height": 0.5, "unit": "share"}

# Of a picture of 400 by 300 pixels.
SIZES: list[tuple[dict[str, Any], tuple[int, int]]] = [
    ({}, (400, 300)),
    ({"enlarge": True}, (400, 300)),
    ({"width": 200}, (200, 150)),
    ({"height": 100}, (133, 100)),
    ({"width": 200, "height": 50}, (67, 50)),
    ({"width": 800}, (400, 300)),
    ({"width": 800, "enlarge": True}, (800, 600)),
    ({"width": 100, "dpr": 1.5}, (150, 112)),
    ({"width": 100, "height": 100, "fit": "cover"}, (100, 100)),
    ({"width": 100, "height": 300, "fit": "cover", "gravity": "east"}, (100, 300)),
    ({"width": 600, "height": 200, "fit": "cover"}, (400, 133)),
    ({"width": 600, "height": 200, "fit": "cover", "enlarge": True}, (600, 200)),
    ({"width": 500, "height": 450, "fit": "contain"}, (500, 450)),
    ({"width": 100, "height": 300, "fit": "contain"}, (100, 300)),
    ({"width": 50, "height": 200, "fit": "fill"}, (50, 200)),
    ({"width": 800, "height": 200, "fit": "fill"}, (400, 200)),
    ({"width": 500, "height": 200, "fit": "fill", "enlarge": True}, (500, 200)),
    ({"width": 100, "height": 100, "fit": "outside"}, (133, 100)),
    ({"width": 500, "height": 100, "fit": "outside"}, (400, 300)),
    ({"width": 600, "height": 100, "fit": "outside", "enlarge": True}, (600, 450)),
    ({"rotate": 90}, (300, 400)),
    ({"rotate": 270, "width": 150}, (150, 200)),
    ({"rotate": 90, "width": 30, "height": 200, "fit": "cover"}, (30, 200)),
    ({"crop": {"x": 10, "y": 20, "width": 100, "height": 50}}, (100, 50)),
    ({"crop": {"x": 350, "y": 250, "width": 100, "height": 100}}, (50, 50)),
    ({"crop": SHARE, "width": 100}, (100, 75)),
    ({"pad": {"top": 3, "left": 5}, "width": 40, "dpr": 2}, (90, 66)),
]
TINY: list[tuple[tuple[int, int], list[tuple[dict[str, Any], tuple[int, int]]]]] = [
    ((1, 1), [({}, (1, 1)), ({"width": 9}, (1, 1)), ({"width": 9, "enlarge": True}, (9, 9))]),
    ((1, 700), [({"width": 9}, (1, 700)), ({"height": 70}, (1, 70)), ({"rotate": 90, "width": 70}, (70, 1))]),
    ((700, 1), [({"width": 70}, (70, 1)), ({"width": 8, "height": 8, "fit": "cover"}, (1, 1))]),
    ((3, 5), [({"width": 2}, (2, 3)), ({"width": 2, "height": 2, "fit": "cover"}, (2, 2)), ({"blur": 5.0}, (3, 5))]),
]


def turned(upright: Image.Image, orientation: int, format_: str) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = upright.transpose(STORED_AS[orientation]) if orientation > 1 else upright
    return encoded(stored, format_, exif=exif, **({"quality": 95, "subsampling": 0} if format_ == "JPEG" else {}))


def colour_at(image: Image.Image, x: float, y: float) -> object:
    place = (min(image.width - 1, int(x * image.width)), min(image.height - 1, int(y * image.height)))
    return image.convert("RGB").getpixel(place)


@pytest.mark.parametrize("format_", ["JPEG", "PNG"])
def test_sizes_are_those_that_were_asked_for(bench: Bench, format_: str) -> None:
    data = encoded(painted(400, 300), format_)

    made = bench.all(data, *(variant for variant, _ in SIZES))

    assert [(one.width, one.height) for one in made] == [size for _, size in SIZES]
    assert [decoded(one.data).size for one in made] == [size for _, size in SIZES]


@pytest.mark.parametrize(("size", "cases"), TINY)
@pytest.mark.parametrize("format_", ["JPEG", "PNG"])
def test_the_smallest_pictures_have_sizes_too(
    bench: Bench, format_: str, size: tuple[int, int], cases: list[tuple[dict[str, Any], tuple[int, int]]]
) -> None:
    made = bench.all(encoded(Image.new("RGB", size, RED), format_), *(variant for variant, _ in cases))

    assert [decoded(one.data).size for one in made] == [wanted for _, wanted in cases]
    assert all(near(colour_at(decoded(one.data), 0.5, 0.5), RED, 4) for one in made)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "PNG"])
def test_every_orientation_is_applied_then_rotated_then_flipped(bench: Bench, format_: str, orientation: int) -> None:
    upright = painted(64, 48)
    wishes = [(rotate, flip) for rotate in (0, 90, 180, 270) for flip in FLIPS]
    variants = [{"rotate": rotate, "flip": flip, "quality": 89} for rotate, flip in wishes]
    smaller = [{**variant, "width": 24, "name": f"s{number}"} for number, variant in enumerate(variants)]

    made = bench.all(turned(upright, orientation, format_), *variants, *smaller)

    for (rotate, flip), whole, small in zip(wishes, made[:16], made[16:], strict=True):
        wanted = FLIPS[flip](upright.rotate(-rotate, expand=True))
        assert psnr(decoded(whole.data).convert("RGB"), wanted) > 32, (rotate, flip)
        found = decoded(small.data).convert("RGB")
        assert psnr(found, wanted.resize(found.size, Image.Resampling.LANCZOS)) > 30, (rotate, flip)
        assert decoded(small.data).getexif().get(ORIENTATION, 1) == 1


@pytest.mark.parametrize("format_", ["WEBP", "TIFF", "AVIF"])
def test_the_orientation_of_other_formats_is_applied_too(bench: Bench, format_: str) -> None:
    image = bench.shown(turned(corners(64, 48), 6, format_), width=32)

    assert image.size == (32, 24)
    for (x, y), colour in zip(
        ((0.2, 0.2), (0.8, 0.2), (0.2, 0.8), (0.8, 0.8)), (RED, GREEN, BLUE, YELLOW), strict=True
    ):
        assert near(colour_at(image, x, y), colour, 12)


@pytest.mark.parametrize("format_", ["JPEG", "PNG"])
def test_gravity_says_what_a_cover_keeps(bench: Bench, format_: str) -> None:
    data = encoded(corners(120, 80), format_)
    wide, high = {"width": 60, "height": 10}, {"width": 10, "height": 40}
    wanted = {
        "north": (wide, RED, GREEN),
        "south": (wide, BLUE, YELLOW),
        "southeast": (wide, BLUE, YELLOW),
        "west": (high, RED, BLUE),
        "east": (high, GREEN, YELLOW),
        "northwest": (high, RED, BLUE),
    }
    variants = [{"fit": "cover", "gravity": gravity, **size} for gravity, (size, _, _) in wanted.items()]

    for one, (gravity, (_, first, last)) in zip(bench.all(data, *variants), wanted.items(), strict=True):
        image = decoded(one.data)
        assert near(colour_at(image, 0.1, 0.1), first, 40), gravity
        assert near(colour_at(image, 0.9, 0.9), last, 40), gravity
    [rotated] = bench.all(data, {"fit": "cover", "gravity": "north", "rotate": 90, "width": 40, "height": 10})
    assert near(colour_at(decoded(rotated.data), 0.1, 0.5), BLUE, 40)
    assert near(colour_at(decoded(rotated.data), 0.9, 0.5), RED, 40)


def test_what_an_analysis_found_is_kept(bench: Bench) -> None:
    image = Image.new("RGB", (300, 100), BLUE)
    image.paste(RED, (200, 20, 230, 80))
    found: dict[str, Any] = {"options": {"focus": ((0.66, 0.2, 0.77, 0.8),)}}

    for gravity, wanted in (("face", RED), ("objects", RED), ("center", BLUE)):
        square = bench.shown(encoded(image, "PNG"), fit="cover", width=50, height=50, gravity=gravity, **found)
        assert near(colour_at(square, 0.5, 0.5), wanted, 4)
    part: dict[str, Any] = {
        "crop": {"x": 100, "y": 0, "width": 200, "height": 100},
        "fit": "cover",
        "width": 25,
        "height": 50,
    }
    assert near(colour_at(bench.shown(encoded(image, "PNG"), gravity="face", **part, **found), 0.5, 0.5), RED, 4)


@pytest.mark.parametrize("gravity", ["attention", "entropy"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_where_most_is_to_be_seen_is_kept(bench: Bench, gravity: str, orientation: int) -> None:
    image = Image.new("RGB", (300, 100), (90, 90, 90))
    image.paste(painted(60, 60), (220, 20))

    square = bench.shown(turned(image, orientation, "PNG"), fit="cover", width=80, height=80, gravity=gravity)

    assert psnr(square.crop((20, 20, 60, 60)).convert("L"), Image.new("L", (40, 40), 90)) < 25


def test_trim_cuts_borders_off_within_its_tolerance(bench: Bench) -> None:
    image = Image.new("RGB", (60, 40), (250, 250, 250))
    image.paste((245, 250, 250), (5, 5, 50, 35))
    image.paste(RED, (10, 12, 30, 25))

    made = bench.all(encoded(image, "PNG"), {"trim": 0}, {"trim": 10}, {"trim": 10, "rotate": 90, "width": 13})

    assert [(one.width, one.height) for one in made] == [(45, 30), (20, 13), (13, 20)]
    assert bench.one(encoded(Image.new("RGB", (9, 7), RED), "PNG"), trim=5).width == 9
    turned_ = bench.one(turned(image, 6, "PNG"), trim=10, crop={"x": 5, "y": 5, "width": 50, "height": 4})
    assert (turned_.width, turned_.height) == (15, 4)


def test_a_crop_shows_its_part(bench: Bench) -> None:
    data = turned(corners(80, 60), 8, "PNG")

    quarter = bench.shown(data, crop={"x": 0.5, "y": 0.5, "width": 0.5, "height": 0.5, "unit": "share"})

    assert quarter.size == (40, 30)
    assert all(near(colour_at(quarter, *at), YELLOW, 0) for at in ((0, 0), (0.99, 0), (0, 0.99), (0.99, 0.99)))
    with pytest.raises(ImageRejected) as caught:
        bench.one(data, crop={"x": 80, "y": 0, "width": 5, "height": 5})
    assert caught.value.code == "crop_outside"


def test_contain_and_pad_put_the_picture_in_its_place(bench: Bench) -> None:
    data = encoded(Image.new("RGB", (20, 10), RED), "PNG")
    box: dict[str, Any] = {"fit": "contain", "width": 40, "height": 40, "background": "#1428dc"}

    low = bench.shown(data, gravity="southeast", **box)
    padded = bench.shown(data, pad={"top": 1, "right": 2, "bottom": 3, "left": 4}, background="#1428dc", dpr=2)
    enlarged = bench.shown(data, enlarge=True, **box)

    for image, place in ((low, (20, 30)), (padded, (8, 2)), (enlarged, (0, 10))):
        wanted = Image.new("RGB", image.size, BLUE)
        wanted.paste(Image.new("RGB", (40, 20) if image is enlarged else (20, 10), RED), place)
        assert image.convert("RGB").tobytes() == wanted.tobytes()
    assert padded.size == (32, 18)


def test_margins_are_transparent_where_the_format_can_and_else_white(bench: Bench) -> None:
    data = encoded(Image.new("RGB", (20, 10), RED), "PNG")
    box: dict[str, Any] = {"fit": "contain", "width": 20, "height": 20}

    for format_ in ("png", "webp", "avif", "gif", "tiff"):
        image = bench.shown(data, format=format_, **box).convert("RGBA")
        assert image.getpixel((3, 2))[3] == 0, format_  # type: ignore[index]  # RGBA pixels are tuples
        assert near(image.getpixel((10, 10)), (*RED, 255), 12), format_
    assert near(bench.shown(data, format="jpeg", **box).getpixel((3, 1)), (255, 255, 255), 6)


@pytest.mark.parametrize(
    ("gravity", "margin", "place"),
    [("northwest", 10, (10, 10)), ("southeast", 10, (70, 40)), ("center", 0, (40, 25)), ("east", 9, (71, 25))],
)
def test_a_watermark_lies_where_it_should(bench: Bench, gravity: str, margin: int, place: tuple[int, int]) -> None:
    watermark = {"upload": UPLOAD, "gravity": gravity, "margin": margin}
    mark = {"mark": encoded(Image.new("RGB", (40, 20), BLUE), "PNG")}

    image = bench.shown(encoded(Image.new("RGB", (100, 60), RED), "PNG"), watermark=watermark, options=mark)

    wanted = Image.new("RGB", (100, 60), RED)
    wanted.paste(BLUE, (*place, place[0] + 20, place[1] + 10))
    assert psnr(image.convert("RGB"), wanted) > 40


def test_a_watermark_has_opacity_and_its_own_transparency(bench: Bench) -> None:
    mark = Image.new("RGBA", (20, 20), (0, 0, 255, 255))
    mark.paste((0, 0, 255, 0), (0, 0, 10, 20))
    watermark = {"upload": UPLOAD, "opacity": 0.5, "scale": 1.0, "margin": 0, "gravity": "center"}

    image = bench.shown(
        encoded(Image.new("RGB", (40, 40), (255, 0, 0)), "PNG"),
        watermark=watermark,
        options={"mark": encoded(mark, "PNG")},
    )

    assert near(colour_at(image, 0.2, 0.5), (255, 0, 0), 1)
    assert near(colour_at(image, 0.8, 0.5), (128, 0, 128), 2)


def test_a_watermark_is_repeated_all_over(bench: Bench) -> None:
    mark = encoded(Image.new("RGB", (10, 10), BLUE), "PNG")
    watermark = {"upload": UPLOAD, "tile": True, "scale": 0.1, "margin": 5, "gravity": "northwest"}

    image = bench.shown(
        encoded(Image.new("RGB", (100, 40), RED), "PNG"), watermark=watermark, options={"mark": mark}
    ).convert("RGB")

    wanted = Image.new("RGB", (100, 40), RED)
    for x in range(-10, 100, 15):
        for y in range(-10, 40, 15):
            wanted.paste(BLUE, (x, y, x + 10, y + 10))
    assert psnr(image, wanted) > 40


def test_the_largest_comes_first_and_each_only_when_it_is_taken(bench: Bench) -> None:
    variants = [{"name": str(width), "width": width} for width in (50, 400, 120, 200)]

    made = iter(bench.engine.render(bench.task(encoded(painted(400, 300), "JPEG"), *variants)))

    assert next(made).name == "400"
    assert [one.name for one in made] == ["200", "120", "50"]


def test_what_is_too_large_is_refused_by_name(bench: Bench) -> None:
    tall = encoded(Image.new("L", (1, 17_000)), "PNG")
    small = Bench(engine=bench.engine, folder=bench.folder, limits=Limits(max_output_pixels=10_000))

    with pytest.raises(ImageRejected, match="'long' would have 1 by 17,000 pixels, and WEBP holds") as caught:
        bench.one(tall, name="long", format="webp")
    assert caught.value.code == "image_too_large"
    assert bench.one(tall, format="jpeg").height == 17_000
    with pytest.raises(ImageRejected, match="at most 10,000 in all"):
        small.one(encoded(Image.new("L", (30, 20)), "PNG"), width=300, enlarge=True)
