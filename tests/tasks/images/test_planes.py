from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from tasks.images import planes, turbojpeg, turbojpeg_library, vips_library
from tasks.images.model import ImageRejected, Limits
from tests.contracts.engines import Bench
from tests.tasks.images import planes_bench
from tests.tasks.images.planes_bench import compare, jpeg, photo, straight
from tests.tasks.samples import decoded, psnr

pytestmark = pytest.mark.skipif(turbojpeg.available() is None, reason="libjpeg-turbo is not installed")

bench = planes_bench.bench  # the fixture


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("progressive", [False, True])
def test_pictures_are_as_good_as_pillows(bench: Bench, sampling: str, progressive: bool) -> None:
    data = jpeg(photo(), subsampling=sampling, progressive=progressive)

    compare(bench, data, [{}, {"width": 200}, {"width": 97}, {"width": 64, "height": 64, "fit": "cover"}])


def test_grey_files_have_one_component(bench: Bench) -> None:
    data = jpeg(photo().convert("L"))

    for one in compare(bench, data, [{}, {"width": 200, "grayscale": True}, {"width": 97, "rotate": 90}]):
        assert decoded(one.data).mode == "L"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_upright_and_turned(bench: Bench, orientation: int) -> None:
    data = jpeg(photo(), orientation=orientation, subsampling="4:2:2")
    turns: list[dict[str, Any]] = [{"rotate": 90}, {"rotate": 180, "flip": "horizontal"}, {"flip": "vertical"}]

    compare(bench, data, [{"width": 151}, *({"width": 99, **turn} for turn in turns)])


def test_parts_are_cut_out_where_they_lie(bench: Bench) -> None:
    data = jpeg(photo(600, 450))
    parts: list[dict[str, Any]] = [
        {"crop": {"x": 101, "y": 53, "width": 311, "height": 207}, "width": 101},
        {"crop": {"x": 100, "y": 52, "width": 200, "height": 100}},  # nothing is resampled
        {"crop": {"x": 0.25, "y": 0.5, "width": 0.5, "height": 0.5, "unit": "share"}, "width": 90},
        {"width": 77, "height": 100, "fit": "cover", "gravity": "northwest"},
        {"width": 100, "height": 31, "fit": "cover", "gravity": "south"},
        {"width": 120, "height": 30, "fit": "fill"},
        {"width": 120, "height": 100, "fit": "outside"},
    ]

    for variant in parts:
        compare(bench, data, [variant])
    compare(bench, data, parts[:1] + parts[2:])


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:0"])
def test_large_pictures_are_decoded_smaller(bench: Bench, sampling: str) -> None:
    data = jpeg(photo(1203, 901), orientation=6, subsampling=sampling)

    for width in (320, 150, 70):
        compare(bench, data, [{"width": width}, {"width": 41, "flip": "both"}], within=0.7)


@pytest.mark.parametrize(
    ("width", "wide", "orientation", "rotate"),
    [(399, 133, 1, 0), (401, 150, 2, 0), (399, 101, 3, 180), (331, 77, 6, 90), (801, 151, 4, 0)],
)
def test_colours_lie_where_they_did(bench: Bench, width: int, wide: int, orientation: int, rotate: int) -> None:
    """A slope of Cb along odd sides tells where every sample lies, to a fraction of a pixel."""
    across = "height" if orientation >= 5 and rotate in (0, 180) else "width"
    variant = {"rotate": rotate, across: wide}
    inner, off = slice(wide // 5, -wide // 5), list[float]()
    for start, end in ((40, 215), (215, 40)):  # so that what rounding adds cancels out
        slope = np.tile(np.linspace(start, end, width), (81, 1)).round().astype(np.uint8)
        channels = [np.full_like(slope, 128), slope, np.full_like(slope, 128)]
        image = Image.merge("YCbCr", [Image.fromarray(channel) for channel in channels])
        data = jpeg(image, orientation=orientation, subsampling="4:2:0", quality=100)

        [one] = bench.all(data, {"quality": 89, **variant})

        assert one.engine.startswith("planes ")
        found, wanted = _blue(decoded(one.data)), _blue(straight(data, variant))
        step = (wanted[inner][-1] - wanted[inner][0]) / (len(wanted[inner]) - 1)  # levels per pixel
        off.append((found - wanted)[inner].mean() / step)
    assert abs(sum(off)) / 2 < 0.1


def _blue(image: Image.Image) -> NDArray[np.float64]:
    """Cb along the longer side."""
    channel = np.asarray(image.convert("YCbCr"))[:, :, 1]
    return np.asarray(channel.mean(0 if image.width > image.height else 1), np.float64)


def test_the_smallest_pictures_keep_their_colours(bench: Bench) -> None:
    lane = 0
    for width in range(1, 18):
        for height in (1, 2, 3, 8, 17):
            data = jpeg(Image.new("RGB", (width, height), (200, 40, 90)), orientation=width % 8 + 1)
            upright = ImageOps.exif_transpose(decoded(data)).size

            for one, wide in zip(bench.all(data, {}, {"width": 1}, {"width": 5}), (99, 1, 5), strict=True):
                image = decoded(one.data)
                assert image.size == (one.width, one.height)
                assert image.width == min(wide, upright[0])
                assert np.abs(np.asarray(image).astype(int) - (200, 40, 90)).max() <= 5
                lane += one.engine.startswith("planes ")
    assert lane > 90


def test_qualities_change_chroma_as_elsewhere(bench: Bench) -> None:
    data = jpeg(photo(600, 450), subsampling="4:4:4")

    made = bench.all(data, {"width": 300, "quality": 92}, {"width": 200, "quality": 40}, {"width": 100, "quality": 95})

    assert all(one.engine.startswith("planes ") for one in made)
    factors = [decoded(one.data).layer[0][1:3] for one in made]  # type: ignore[attr-defined]
    assert factors == [(1, 1), (2, 2), (1, 1)]
    assert psnr(decoded(made[2].data), straight(data, {"width": 100})) > 35


def test_max_bytes_are_kept(bench: Bench) -> None:
    data = jpeg(photo())
    free, bound = (bench.one(data, width=200, max_bytes=most) for most in (None, 4_000))

    assert free.engine == bound.engine
    assert bound.engine.startswith("planes ")
    assert len(bound.data) <= 4_000 < len(free.data)
    with pytest.raises(ImageRejected) as refused:
        bench.one(data, width=200, max_bytes=256)
    assert refused.value.code == "max_bytes_unreachable"


def test_too_large_pictures_are_refused_before_any_work(bench: Bench) -> None:
    task = replace(bench.task(jpeg(photo()), {"width": 200}), limits=Limits(max_output_pixels=1_000))

    with pytest.raises(ImageRejected) as refused:
        next(bench.engine.render(task))
    assert refused.value.code == "image_too_large"


def test_the_largest_comes_first_and_each_when_it_is_asked_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    encodes = list[int]()
    encode = turbojpeg.encoded

    def counted(*arguments: Any) -> bytes:
        encodes.append(1)
        return encode(*arguments)

    monkeypatch.setattr(turbojpeg, "encoded", counted)
    pictures = bench.engine.render(bench.task(jpeg(photo()), {"width": 50}, {"width": 200}, {"width": 100}))

    assert next(pictures).width == 200
    assert len(encodes) == 1
    assert [one.width for one in pictures] == [100, 50]


def test_every_library_gives_the_same_bytes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    data, variants = jpeg(photo(), orientation=8), ({"width": 200}, {"width": 97, "flip": "both"})
    names = [turbojpeg_library.SONAME, *turbojpeg_library.carried()]
    made = list[list[bytes]]()
    for library in filter(None, map(turbojpeg_library.loaded, names)):
        monkeypatch.setattr(planes, "found", lambda library=library: library)
        made += [[one.data for one in bench.all(data, *variants)] for _ in range(2)]

    assert len(made) >= 2
    assert all(one == made[0] for one in made)


def test_the_engine_tells_its_libraries(bench: Bench) -> None:
    one = bench.one(jpeg(photo()), width=200)

    assert one.engine == bench.engine.version == f"planes {turbojpeg.available()} {vips_library.version()}"
    assert Image.open(BytesIO(one.data)).format == "JPEG"
