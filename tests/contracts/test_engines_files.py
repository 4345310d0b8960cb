"""What every engine promises about the files that it reads and writes."""

import hashlib
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from tasks.images import pdf
from tasks.images.model import Format, ImageRejected
from tests.contracts import engines
from tests.contracts.engines import Bench
from tests.tasks.samples import PHOTOS, RED, YELLOW, corners, decoded, encoded, near, one_of_each, painted, psnr, veiled

bench = engines.bench  # the fixture, once per engine

HEIC = Path(__file__).parents[1] / "tasks" / "images" / "heic"
FORMATS = [format_.value for format_ in Format]
ORIENTATION, ARTIST, COPYRIGHT, MAKER, GPS, SERIAL = 0x0112, 0x013B, 0x8298, 0x010F, 0x8825, 0xA431


def photograph(width: int = 240, height: int = 160) -> Image.Image:
    with Image.open(PHOTOS / "coffee.png") as image:
        return image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)


def drawing() -> Image.Image:
    image = Image.new("RGB", (200, 120), (255, 255, 255))
    image.paste((0, 90, 160), (20, 20, 120, 60))
    image.paste((240, 120, 0), (60, 50, 180, 100))
    return image


def secretive() -> list[bytes]:
    """Pictures full of metadata that nobody may see, with an artist and a copyright."""
    exif = Image.Exif()
    exif[MAKER] = "SECRETMAKER"
    exif[ARTIST], exif[COPYRIGHT], exif[ORIENTATION] = "Ada Artist", "(c) Ada", 6
    exif.get_ifd(0x8769)[SERIAL] = "SECRETSERIAL"
    exif.get_ifd(GPS)[29] = "2011:11:11SECRETGPS"
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "SECRETTEXT")
    text.add_itxt("XML:com.adobe.xmp", "<SECRETXMP/>")
    return [
        encoded(painted(), "JPEG", exif=exif, comment=b"SECRETCOMMENT", xmp=b"<SECRETXMP/>"),
        encoded(painted(), "PNG", exif=exif, pnginfo=text),
        encoded(painted(), "WEBP", exif=exif, xmp=b"<SECRETXMP/>"),
        encoded(painted(), "TIFF", exif=exif, description="SECRETDESCRIPTION"),
        encoded(painted(), "AVIF", exif=exif, xmp=b"<SECRETXMP/>"),
        encoded(painted(), "GIF", comment=b"SECRETCOMMENT"),
    ]


def test_all_formats_are_read_and_written(bench: Bench) -> None:
    for name, data in one_of_each().items():
        for one in bench.all(data, *({"format": format_} for format_ in FORMATS)):
            image = decoded(one.data)
            assert image.format == one.format.upper(), name
            assert image.size == (one.width, one.height) == (61, 47)
            assert one.engine == bench.engine.version or bench.engine.version.startswith("planes")
            if name not in ("png transparent", "webp lossless", "jpeg cmyk"):  # CMYK has no colours of its own
                assert psnr(image.convert("RGB"), painted()) > 22, (name, one.format)


def test_without_a_format_ours_are_kept_and_others_chosen_by_transparency(bench: Bench) -> None:
    kept = {format_: bench.one(encoded(painted(), format_)).format for format_ in FORMATS}

    assert list(kept.values()) == list(Format)
    assert bench.one(encoded(painted(), "BMP")).format is Format.PNG


def test_auto_chooses_by_what_is_to_be_seen(bench: Bench) -> None:
    made = [bench.one(encoded(image, "PNG"), format="auto") for image in (photograph(), drawing(), veiled())]
    moves = bench.one(one_of_each()["gif animated"], format="auto")

    assert {one.format for one in (*made, moves)} == {Format.WEBP}
    assert moves.frames == 2
    assert b"VP8 " in made[0].data
    assert decoded(made[1].data).convert("RGB").tobytes() == drawing().tobytes()
    assert decoded(made[2].data).getchannel("A").tobytes() == veiled().getchannel("A").tobytes()
    assert psnr(decoded(made[2].data).convert("RGBa"), veiled().convert("RGBa")) > 50


@pytest.mark.parametrize("format_", ["jpeg", "webp", "avif"])
def test_more_quality_takes_more_bytes_and_shows_more(bench: Bench, format_: str) -> None:
    photo = photograph()

    made = bench.all(encoded(photo, "PNG"), *({"format": format_, "quality": quality} for quality in (15, 50, 80, 95)))

    assert all(len(less.data) < len(more.data) for less, more in pairwise(made))
    found = [psnr(decoded(one.data).convert("RGB"), photo) for one in made]
    assert found == sorted(found)


@pytest.mark.parametrize("format_", ["jpeg", "webp", "avif", "auto"])
def test_the_best_quality_below_max_bytes_is_taken(bench: Bench, format_: str) -> None:
    data = encoded(photograph(), "PNG")
    free = bench.one(data, format=format_, quality=90)
    most = len(free.data) // 2

    bound, ample = bench.all(
        data,
        {"format": format_, "quality": 90, "max_bytes": most},
        {"format": format_, "quality": 90, "max_bytes": len(free.data)},
    )

    assert 0.7 * most < len(bound.data) <= most
    assert ample.data == free.data
    with pytest.raises(ImageRejected) as caught:
        bench.one(data, format=format_, max_bytes=256)
    assert caught.value.code == "max_bytes_unreachable"


def test_max_bytes_is_a_promise_for_formats_without_quality_too(bench: Bench) -> None:
    data = encoded(painted(), "PNG")
    with pytest.raises(ImageRejected) as caught:
        bench.one(data, max_bytes=300)

    assert caught.value.code == "max_bytes_unreachable"
    assert len(bench.one(data, max_bytes=30_000).data) <= 30_000
    drawn = bench.one(encoded(drawing(), "PNG"), format="auto")
    with pytest.raises(ImageRejected) as caught:
        bench.one(encoded(drawing(), "PNG"), format="auto", max_bytes=256, width=150)
    assert len(drawn.data) > 256 or caught.value.code == "max_bytes_unreachable"


@pytest.mark.parametrize("format_", FORMATS)
def test_no_metadata_survives(bench: Bench, format_: str) -> None:
    for data in secretive():
        assert b"SECRET" in data
        for one in bench.all(data, {"format": format_}, {"format": format_, "metadata": "copyright", "width": 20}):
            assert b"SECRET" not in one.data
            assert dict(decoded(one.data).getexif()).get(ORIENTATION, 1) == 1
        plain = bench.one(data, format=format_)
        assert not any(mark in plain.data for mark in (b"Exif\0", b"EXIF", b"eXIf", b"Ada", b"iCCP", b"xmp"))


@pytest.mark.parametrize("format_", ["jpeg", "png", "webp", "avif", "tiff"])
def test_copyright_or_all_metadata_is_kept_on_demand(bench: Bench, format_: str) -> None:
    for data in secretive()[:5]:
        owners, everything = bench.all(
            data, {"format": format_, "metadata": "copyright"}, {"format": format_, "metadata": "all", "width": 30}
        )

        for one in (owners, everything):
            found = decoded(one.data).getexif()
            assert (found[ARTIST], found[COPYRIGHT]) == ("Ada Artist", "(c) Ada")
            assert found.get(ORIENTATION, 1) == 1
        assert decoded(everything.data).getexif()[MAKER] == "SECRETMAKER"
        if decoded(data).format != "TIFF":  # Pillow writes no second table of fields into those
            assert b"SECRETSERIAL" in everything.data
            assert b"SECRETGPS" in everything.data


def test_progressive_pictures_come_in_passes(bench: Bench) -> None:
    for mode in ("RGB", "L", "RGBA"):
        data = encoded(veiled().convert(mode), "PNG")

        jpeg, png, plain = bench.all(
            data,
            {"format": "jpeg", "progressive": True},
            {"format": "png", "progressive": True},
            {"format": "jpeg"},
        )

        assert decoded(jpeg.data).info.get("progressive") == 1
        assert "progressive" not in decoded(plain.data).info
        assert png.data[28] == 1  # the last byte of IHDR: Adam7
        assert decoded(png.data).convert(mode).tobytes() == decoded(data).tobytes()


def test_lossless_is_exact(bench: Bench) -> None:
    photo = photograph(90, 60)

    webp, avif, png, tiff = bench.all(
        encoded(photo, "PNG"),
        *({"format": format_, "lossless": True} for format_ in ("webp", "avif")),
        *({"format": format_} for format_ in ("png", "tiff")),
    )

    for one in (webp, png, tiff):
        assert decoded(one.data).convert("RGB").tobytes() == photo.tobytes()
    assert psnr(decoded(avif.data).convert("RGB"), photo) > 47  # by way of luma and chroma: at most two levels off


def test_effort_makes_smaller_files_of_the_same_pixels(bench: Bench) -> None:
    data = encoded(photograph(), "PNG")

    for format_ in ("jpeg", "png"):
        quick, slow = bench.all(data, {"format": format_, "effort": 1}, {"format": format_, "effort": 9})
        assert len(slow.data) < len(quick.data)
        assert decoded(slow.data).tobytes() == decoded(quick.data).tobytes()


def test_a_page_of_a_tiff_is_taken(bench: Bench) -> None:
    pages = [Image.new("RGB", (20 + number, 10), (number * 80, 0, 0)) for number in range(3)]
    data = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])

    for number in (1, 3):
        image = bench.shown(data, options={"page": number})
        assert image.size == (19 + number, 10)
        assert near(image.convert("RGB").getpixel((5, 5)), ((number - 1) * 80, 0, 0), 0)
    with pytest.raises(ImageRejected) as caught:
        bench.one(data, options={"page": 4})
    assert caught.value.code == "page_missing"


def test_heic_comes_in_upright_in_its_own_colours(bench: Bench) -> None:
    turned, veiled_, plain = (bench.one((HEIC / f"{name}.heic").read_bytes()) for name in ("turned", "veiled", "plain"))

    assert (turned.format, veiled_.format, plain.format) == (Format.JPEG, Format.PNG, Format.JPEG)
    low_left = decoded(turned.data).convert("RGB").getpixel((3, turned.height - 4))
    assert near(low_left, YELLOW, 40)  # turned once, although its EXIF block says so, too
    assert decoded(veiled_.data).mode == "RGBA"
    assert "icc_profile" not in decoded(bench.one((HEIC / "profile.heic").read_bytes(), format="png").data).info


@pytest.mark.skipif(not pdf.installed(), reason="the extra pdf is not installed")
def test_a_page_of_a_pdf_is_drawn(bench: Bench) -> None:
    data = encoded(painted(72, 72), "PDF", save_all=True, append_images=[corners(360, 180)])

    whole, small = bench.all(data, {}, {"width": 50, "rotate": 90}, page=2)

    assert (whole.format, whole.width, whole.height) == (Format.JPEG, 1000, 500)
    assert near(decoded(small.data).convert("RGB").getpixel((40, 10)), RED, 20)
    assert (small.width, small.height) == (50, 100)
    with pytest.raises(ImageRejected) as caught:
        bench.one(data, options={"page": 3})
    assert caught.value.code == "page_missing"


@pytest.mark.parametrize("format_", ["JPEG", "PNG"])
def test_files_that_are_cut_short_are_refused_or_taken_as_they_are(bench: Bench, format_: str) -> None:
    photo = photograph()
    whole = encoded(photo, format_, **({"quality": 95} if format_ == "JPEG" else {}))
    data = whole[: len(whole) * 6 // 10]

    wanted: list[dict[str, Any]] = [{}, {"width": 60, "format": "jpeg"}]
    for variant in wanted:
        with pytest.raises(ImageRejected) as caught:
            bench.one(data, **variant)
        assert caught.value.code == "image_truncated"
    image = bench.shown(data, options={"allow_truncated": True})
    assert image.size == photo.size
    assert psnr(image.convert("RGB").crop((0, 0, 240, 60)), photo.crop((0, 0, 240, 60))) > 30


@pytest.mark.parametrize("name", sorted(one_of_each()))
def test_no_cut_ever_crashes(bench: Bench, name: str) -> None:
    whole = one_of_each()[name]

    for share in (0.2, 0.5, 0.8, 0.97):
        for allow in (False, True):
            cut = whole[: int(len(whole) * share)]
            assert outcome(bench, cut, allow_truncated=allow) in ("image_truncated", "image_unreadable", (61, 47))


def outcome(bench: Bench, data: bytes, **options: Any) -> object:
    """The code with which a file is refused, or the size of what is made of it."""
    try:
        return bench.shown(data, options=options).size
    except ImageRejected as refused:
        return refused.code


def test_a_watermark_that_is_no_picture_is_refused(bench: Bench) -> None:
    with pytest.raises(ImageRejected) as caught:
        bench.one(encoded(painted(), "PNG"), watermark={"upload": engines.UPLOAD}, options={"mark": b"no picture"})
    assert caught.value.code == "image_unreadable"


DETERMINED: list[dict[str, Any]] = [
    *({"format": format_, "width": 60} for format_ in FORMATS),
    {"format": "webp", "max_bytes": 2000},
    {"format": "png", "progressive": True},
    {"fit": "cover", "width": 50, "height": 20, "gravity": "attention", "blur": 1.0},
]


def test_the_same_task_gives_the_same_bytes_in_any_process(bench: Bench, request: pytest.FixtureRequest) -> None:
    data = encoded(photograph(), "JPEG", quality=90)
    name = request.node.callspec.params["bench"]
    code = f"from tests.contracts.test_engines_files import digest; print(digest({name!r}, {str(bench.folder)!r}))"

    bench.one(data)  # leaves the file
    once, again = (digest(name, str(bench.folder)) for _ in range(2))
    other = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert once == again == other.stdout.strip()


def digest(name: str, folder: str) -> str:
    """Of all that an engine makes of the picture in the folder."""
    bench = Bench(engine=engines.ENGINES[name](), folder=Path(folder))
    made = bench.all((bench.folder / "picture").read_bytes(), *DETERMINED)
    return hashlib.sha256(b"".join(one.data for one in made)).hexdigest()
