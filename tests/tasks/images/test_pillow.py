"""What is Pillow's alone; what all engines promise stands in tests/contracts/test_engines*.py."""

import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tasks.images import headers
from tasks.images.model import Format, ImageRejected, Limits, Task
from tasks.images.pillow import Pillow
from tasks.images.pillow_png import interlaced
from tests.contracts.engines import UPLOAD, Bench
from tests.tasks.samples import decoded, encoded, grey_profile, one_of_each, painted, psnr, rgb_profile, veiled

ORIENTATION = 0x0112


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(engine=Pillow(), folder=tmp_path)


def film(count: int, size: tuple[int, int] = (40, 30)) -> bytes:
    frames = [painted(*size).rotate(90 * number) for number in range(count)]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=40)


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8))


def test_an_orientation_behind_the_pixels_of_a_png_is_applied(bench: Bench) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    block = b"eXIf" + exif.tobytes()[6:]
    chunk = struct.pack(">I", len(block) - 4) + block + struct.pack(">I", zlib.crc32(block))
    data = encoded(painted(40, 60), "PNG")

    made = bench.one(data[:-12] + chunk + data[-12:])  # before the end, as exiftool writes it

    assert (made.width, made.height) == (60, 40)


def test_a_path_is_read_whatever_its_name_says(tmp_path: Path) -> None:
    for name, data in one_of_each().items():
        lie = tmp_path / ("lie.gif" if name.startswith("jpeg") else "lie.jpg")
        lie.write_bytes(data)
        header = headers.read(lie, Limits())
        bench = Bench(engine=Pillow(), folder=tmp_path)
        [made] = Pillow().render(Task(file=lie, header=header, wanted=bench.task(data, {}).wanted))
        assert (made.width, made.height) == (61, 47)
        assert made.format == {"bmp": "png"}.get(name.split()[0], name.split()[0])


def test_the_file_is_not_needed_any_more_once_it_has_been_read(bench: Bench) -> None:
    made = bench.engine.render(bench.task(encoded(painted(400, 300), "PNG"), {"width": 300}, {"width": 20}))
    (bench.folder / "picture").unlink()

    assert [one.width for one in made] == [300, 20]


def test_smaller_ones_are_made_of_larger_ones_only_where_nothing_is_lost(bench: Bench) -> None:
    data = encoded(noise(256, 192), "PNG")
    alone = bench.shown(data, width=100)

    near, far = bench.all(data, {"width": 100, "format": "png"}, {"width": 199, "format": "png"})
    cascaded = bench.all(data, {"width": 100, "format": "png"}, {"width": 230, "format": "png"})[0]

    assert near.data == bench.one(data, width=100, format="png").data
    assert far.width == 199
    assert cascaded.data != near.data
    assert psnr(decoded(cascaded.data), alone) > 30


def test_an_animation_that_breaks_off_makes_nothing(bench: Bench) -> None:
    data = film(6)
    wanted: list[dict[str, Any]] = [{"format": "png"}, {"width": 20, "format": "webp"}]

    for cut in (len(data) // 2, len(data) * 4 // 5):
        task = bench.task(data, *wanted)
        task.file.write_bytes(data[:cut])
        with pytest.raises(ImageRejected):
            next(iter(bench.engine.render(task)))
        still, moving = bench.engine.render(
            Task(file=task.file, header=task.header, wanted=task.wanted, allow_truncated=True)
        )
        assert still.frames == 1
        assert 1 <= moving.frames <= 6


def test_the_frames_of_all_sizes_are_the_same(bench: Bench) -> None:
    whole, half, third = bench.all(film(5), {}, {"width": 20}, {"width": 13, "format": "webp", "lossless": True})

    assert (whole.frames, half.frames, third.frames) == (5, 5, 5)
    with Image.open(BytesIO(third.data)) as image:
        for number in range(5):
            image.seek(number)
            wanted = painted(40, 30).rotate(90 * number).resize((13, 10), Image.Resampling.LANCZOS)
            assert psnr(image.convert("RGB"), wanted) > 22


def test_frames_that_are_alike_are_counted_as_they_were_written(bench: Bench) -> None:
    frames = [painted(), painted(), painted().rotate(180)]
    data = encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=[40, 50, 60], lossless=True)

    made = bench.one(data, format="gif")

    assert made.frames == getattr(decoded(made.data), "n_frames", 1)


def test_the_frames_of_what_is_made_are_bounded_together(bench: Bench) -> None:
    small = Bench(engine=Pillow(), folder=bench.folder, limits=Limits(max_output_pixels=3_000))

    with pytest.raises(ImageRejected, match="its 4 frames together"):
        small.one(film(4))
    assert small.one(film(4), animated=False).frames == 1


def test_no_field_of_a_tiff_is_handed_on(bench: Bench) -> None:
    data = encoded(painted(), "TIFF", description="SECRET", software="SECRET", dpi=(300, 300), artist="SECRET")

    for format_ in Format:
        assert b"SECRET" not in bench.one(data, format=format_.value).data


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 3), (5, 5), (8, 8), (17, 13)])
def test_interlaced_png_is_read_back_whatever_its_size(size: tuple[int, int]) -> None:
    for mode in ("L", "LA", "RGB", "RGBA"):
        image = veiled(*size).convert(mode)

        data = interlaced(image, 6, None, rgb_profile())

        found = decoded(data)
        assert found.info["interlace"] == 1
        assert found.info["icc_profile"] == rgb_profile()
        assert (found.mode, found.size, found.tobytes()) == (mode, size, image.tobytes())


@pytest.mark.parametrize("options", [{"effort": 9}, {"progressive": True}, {}])
def test_noise_fits_into_a_jpeg_of_any_quality(bench: Bench, options: dict[str, Any]) -> None:
    data = encoded(noise(128, 96), "PNG")

    for quality in (80, 94, 95, 100):
        assert decoded(bench.one(data, format="jpeg", quality=quality, **options).data).size == (128, 96)


def test_cmyk_and_grey_keep_their_own_colours_only_where_nothing_else_is_drawn(bench: Bench) -> None:
    from_grey = encoded(Image.new("L", (16, 16), 128), "PNG", icc_profile=grey_profile())
    kept = bench.shown(from_grey, keep_icc=True)
    padded = bench.shown(from_grey, keep_icc=True, pad={"left": 2}, background="#ff0000")

    assert (kept.mode, kept.getpixel((5, 5))) == ("L", 128)
    assert "icc_profile" in kept.info
    assert "icc_profile" not in padded.info
    assert padded.getpixel((9, 9)) == (188, 188, 188)


def test_a_watermark_larger_than_the_picture_is_brought_down_with_its_colours(bench: Bench) -> None:
    mark = encoded(Image.new("RGB", (900, 300), (180, 90, 60)), "PNG", icc_profile=rgb_profile())
    watermark = {"upload": UPLOAD, "scale": 1.0, "margin": 0, "gravity": "center"}

    image = bench.shown(encoded(Image.new("RGB", (60, 60)), "PNG"), watermark=watermark, options={"mark": mark})

    assert image.getpixel((30, 30)) == (205, 90, 56)
    assert image.getpixel((30, 15)) == (0, 0, 0)


def test_the_version_names_the_library() -> None:
    assert Pillow().version.startswith("pillow 1")
