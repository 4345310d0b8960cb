import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import DataObject, data, floats, integers
from PIL import Image, ImageFilter

from tasks.images import vips_levels
from tasks.images.vips import Vips
from tasks.images.vips_pixels import aligned
from tests.contracts.engines import Bench
from tests.tasks.samples import PHOTOS, decoded, encoded, painted, psnr, rgb_profile, veiled

LEAST_LIKE = 44  # dB: what a JPEG of quality 80 takes away leaves 37


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(engine=Vips(), folder=tmp_path)


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    image = Image.open(PHOTOS / "rocket.jpg").convert("RGB")
    image.info.clear()  # its profile is not the matter here
    return image


class TestLevels:
    def test_smaller_from_larger_is_as_good_as_from_the_file(self, bench: Bench, photo: Image.Image) -> None:
        widths = (480, 400, 200, 90)
        made = bench.all(encoded(photo, "PNG"), *({"width": width, "format": "png"} for width in widths))
        for width, one in zip(widths, made, strict=True):
            reference = photo.resize((one.width, one.height), Image.Resampling.LANCZOS)
            assert one.width == width
            assert psnr(decoded(one.data), reference) > LEAST_LIKE

    @pytest.mark.parametrize(("format_", "options"), [("JPEG", {"quality": 95}), ("WEBP", {"quality": 95})])
    def test_decoded_smaller_is_as_good_as_decoded_in_full(
        self, bench: Bench, photo: Image.Image, format_: str, options: dict[str, int]
    ) -> None:
        large = photo.resize((1280, 848), Image.Resampling.BICUBIC)
        data = encoded(large, format_, **options)
        shown = bench.shown(data, width=300)
        assert psnr(shown, decoded(data).convert("RGB").resize(shown.size, Image.Resampling.LANCZOS)) > LEAST_LIKE

    def test_what_is_too_large_for_memory_is_decoded_again_and_comes_out_alike(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        left, right = ({"x": x, "y": 0, "width": 0.5, "height": 1, "unit": "share"} for x in (0, 0.5))
        wanted = [{"crop": crop, "width": 25, "format": "png"} for crop in (left, right)]
        data = encoded(painted(200, 100), "PNG")
        held = bench.all(data, *wanted)
        monkeypatch.setattr(vips_levels, "MOST_BYTES", 0)
        for one, other in zip(held, bench.all(data, *wanted), strict=True):
            assert psnr(decoded(one.data), decoded(other.data)) > LEAST_LIKE

    def test_with_a_trim_too_large_for_memory(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(vips_levels, "MOST_BYTES", 0)
        framed = Image.new("RGB", (90, 80), "white")
        framed.paste(Image.new("RGB", (30, 20), "red"), (40, 10))
        shown = bench.shown(encoded(framed, "PNG"), trim=0)
        assert (shown.size, shown.getpixel((0, 0))) == ((30, 20), (255, 0, 0))


class TestPixels:
    @pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0, 12.0])
    def test_a_blur_keeps_the_brightness(self, bench: Bench, sigma: float) -> None:
        shown = bench.shown(encoded(Image.new("RGB", (300, 300), (137, 90, 11)), "PNG"), blur=sigma)
        assert shown.getextrema() == ((137, 137), (90, 90), (11, 11))

    def test_a_wide_blur_is_a_gaussian(self, bench: Bench, photo: Image.Image) -> None:
        shown = bench.shown(encoded(photo, "PNG"), blur=12)
        assert psnr(shown, photo.filter(ImageFilter.GaussianBlur(12))) > LEAST_LIKE

    def test_one_side_shrinks_while_the_other_grows(self, bench: Bench, photo: Image.Image) -> None:
        small = photo.resize((160, 200), Image.Resampling.LANCZOS)
        shown = bench.shown(encoded(small, "PNG"), width=240, height=90, fit="fill", enlarge=True)
        assert psnr(shown, small.resize((240, 90), Image.Resampling.LANCZOS)) > 30

    def test_colours_go_through_the_embedded_profile(self, bench: Bench) -> None:
        data = encoded(Image.new("RGB", (20, 20), (200, 60, 60)), "PNG", icc_profile=rgb_profile())
        red, green, _ = colour(bench.shown(data))
        assert red > 210
        assert green < 60
        kept = bench.shown(data, keep_icc=True)
        assert colour(kept) == (200, 60, 60)
        assert kept.info["icc_profile"] == rgb_profile()

    @pytest.mark.parametrize("mode", ["LAB", "I", "F"])
    def test_a_tiff_that_libvips_does_not_know_is_left_to_pillow(self, bench: Bench, mode: str) -> None:
        image = (
            painted(30, 20).convert("L").convert(mode) if mode != "LAB" else Image.new("LAB", (30, 20), (128, 128, 128))
        )
        made = bench.one(encoded(image, "TIFF"), format="png")
        assert made.engine.startswith("pillow" if mode == "LAB" else "vips")

    def test_hidden_colours_do_not_bleed(self, bench: Bench) -> None:
        image = Image.new("RGBA", (80, 80), (255, 0, 0, 0))
        image.paste((0, 0, 255, 255), (0, 0, 41, 80))
        shown = np.asarray(bench.shown(encoded(image, "PNG"), width=30))
        seen = shown[shown[:, :, 3] > 20]
        assert seen[:, 0].max() < 12


@given(data())
def test_what_is_cut_and_shrunk_lies_where_it_belongs(drawn: DataObject) -> None:
    length = drawn.draw(integers(2, 5000))
    start = drawn.draw(floats(0, length - 1))
    end = drawn.draw(floats(start + 1, length))
    wanted = drawn.draw(integers(1, max(1, math.floor(end - start))))

    axis = aligned(start, end, wanted, length)

    assert 0 <= axis.first < axis.first + axis.count <= length
    made_of = axis.count / axis.total  # pixels, for each that is made
    left, right = (axis.first + at * made_of for at in (axis.before, axis.before + wanted))
    astray = max(abs(left - start), abs(right - end)) / ((end - start) / wanted)
    assert astray <= (1.0 if axis.count == axis.total else 0.5)


class TestFiles:
    def test_max_bytes_is_kept(self, bench: Bench, photo: Image.Image) -> None:
        made = bench.one(encoded(photo, "PNG"), format="jpeg", max_bytes=12_000)
        assert 8_000 < len(made.data) <= 12_000

    @pytest.mark.parametrize("effort", [0, 10])
    @pytest.mark.parametrize("format_", ["jpeg", "png", "webp", "gif"])
    def test_more_effort_makes_no_larger_files(self, bench: Bench, format_: str, effort: int) -> None:
        data = encoded(veiled(), "PNG") if format_ == "webp" else encoded(painted(160, 120), "PNG")
        usual = len(bench.one(data, format=format_).data)
        made = len(bench.one(data, format=format_, effort=effort).data)
        assert made <= usual * 1.01 if effort else made >= usual * 0.99

    def test_a_tiff_keeps_its_copyright(self, bench: Bench) -> None:
        exif = Image.Exif()
        exif[0x8298], exif[0x0110] = "(c) Ann", "Camera 1"
        data = encoded(painted(), "JPEG", exif=exif.tobytes())
        told = decoded(bench.one(data, format="tiff", metadata="copyright").data).getexif()
        assert (told.get(0x8298), 0x0110 in told) == ("(c) Ann", False)


def colour(image: Image.Image) -> tuple[int, ...]:
    found = image.convert("RGB").getpixel((10, 10))
    assert isinstance(found, tuple)
    return found
