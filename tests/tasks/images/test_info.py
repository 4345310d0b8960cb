"""What a file is, said of files of which it is known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from tasks.image_facts import Animation, ImageFacts
from tasks.images import info, pdf
from tasks.images.blurhash import blurhash
from tasks.images.colors import colors
from tasks.images.model import ImageRejected, Limits
from tasks.images.phash import phash
from tasks.vision import picture
from tests.tasks.images.blocks import camera
from tests.tasks.samples import PHOTOS, encoded, one_of_each, painted, rgb_profile, veiled

LIMITS = Limits()


def facts(data: bytes, tmp_path: Path, **options: Any) -> ImageFacts:
    file = tmp_path / "file"
    file.write_bytes(data)
    return info.facts(file, LIMITS, **options)


@pytest.mark.parametrize("name", one_of_each())
def test_every_format_is_described(name: str, tmp_path: Path) -> None:
    told = facts(one_of_each()[name], tmp_path)
    assert told.format == name.split()[0]
    assert told.content_type == f"image/{told.format}"
    assert (told.width, told.height, told.bytes) == (61, 47, len(one_of_each()[name]))
    assert told.frames == (2 if "animated" in name else 1)
    assert (told.animation is not None) == ("animated" in name)
    assert told.transparent == (name in ("png transparent", "webp lossless"))
    assert told.color_space == ("cmyk" if "cmyk" in name else "rgb")
    assert ImageFacts.model_validate_json(told.model_dump_json()) == told


def test_a_photograph_is_told_as_people_see_it(tmp_path: Path) -> None:
    image = Image.open(PHOTOS / "coffee.png").convert("RGB").resize((3000, 2000))
    told = facts(encoded(image, "JPEG", exif=camera()), tmp_path)
    assert (told.width, told.height, told.orientation, told.megapixels) == (2000, 3000, 6, 6.0)
    assert told.exif["Make"] == "Lumen"
    assert told.exif["DateTimeOriginal"] == "2024-05-01T10:11:12+02:00"
    pixels = picture.read(tmp_path / "file", (), LIMITS).pixels()
    assert pixels.shape == (750, 500, 3)
    assert told.blurhash == blurhash(pixels)
    assert told.phash == phash(pixels)
    assert [one.model_dump() for one in told.colors] == colors(pixels)


def test_places_and_serial_numbers_are_told_only_if_asked_for(tmp_path: Path) -> None:
    data = encoded(painted(), "JPEG", exif=camera())
    told = facts(data, tmp_path).model_dump_json()
    assert "Lumen" in told
    assert not any(word in told for word in ("GPS", "SERIAL", "33.8", "Ann"))
    asked = facts(data, tmp_path, names=["GPSInfo", "BodySerialNumber"]).exif
    assert asked.keys() == {"GPSInfo", "BodySerialNumber"}
    assert facts(data, tmp_path, names=[]).exif == {}


@pytest.mark.parametrize("format_", ["PNG", "WEBP", "AVIF", "TIFF"])
def test_exif_is_read_wherever_the_format_keeps_it(format_: str, tmp_path: Path) -> None:
    block = Image.Exif()
    block.update({0x010F: "Lumen"})
    assert facts(encoded(painted(), format_, exif=block), tmp_path).exif == {"Make": "Lumen"}


def wide(values: np.ndarray[Any, Any]) -> Image.Image:
    return Image.fromarray(values)


PIXELS: dict[str, tuple[bytes, str, int]] = {
    "grey png": (encoded(painted().convert("L"), "PNG"), "gray", 8),
    "1 bit png": (encoded(painted().convert("1"), "PNG"), "gray", 1),
    "16 bit png": (encoded(wide(np.full((9, 9), 4000, np.uint16)), "PNG"), "gray", 16),
    "16 bit tiff": (encoded(wide(np.full((9, 9), 4000, np.uint16)), "TIFF"), "gray", 16),
    "float tiff": (encoded(wide(np.full((9, 9), 0.5, np.float32)), "TIFF"), "gray", 32),
    "cmyk tiff": (encoded(painted().convert("CMYK"), "TIFF"), "cmyk", 8),
    "lab tiff": (encoded(Image.new("LAB", (9, 9), (90, 3, 4)), "TIFF"), "lab", 8),
    "palette": (encoded(painted().convert("P"), "PNG"), "rgb", 8),
    "avif": (encoded(painted(), "AVIF"), "rgb", 8),
}


@pytest.mark.parametrize("name", PIXELS)
def test_colour_space_and_depth_are_those_of_the_file(name: str, tmp_path: Path) -> None:
    data, space, bits = PIXELS[name]
    told = facts(data, tmp_path)
    assert (told.color_space, told.bits) == (space, bits)


def test_alpha_that_hides_nothing_is_not_transparent(tmp_path: Path) -> None:
    image = painted()
    image.putalpha(255)
    told = facts(encoded(image, "PNG"), tmp_path)
    assert (told.has_alpha, told.transparent) == (True, False)
    assert told.thumbhash == facts(encoded(painted(), "PNG"), tmp_path).thumbhash
    assert told.thumbhash != facts(encoded(veiled(), "PNG"), tmp_path).thumbhash


def test_the_profile_is_named(tmp_path: Path) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert facts(encoded(painted(), "JPEG", icc_profile=srgb), tmp_path).profile == "sRGB built-in"
    assert facts(encoded(painted(), "JPEG", icc_profile=rgb_profile()), tmp_path).profile is None
    assert facts(encoded(painted(), "JPEG", icc_profile=b"junk" * 99), tmp_path).profile is None


def test_a_page_is_looked_at(tmp_path: Path) -> None:
    data = encoded(painted(), "TIFF", save_all=True, append_images=[Image.new("L", (30, 20))])
    first, second = facts(data, tmp_path), facts(data, tmp_path, page=2)
    assert (first.width, first.color_space, first.pages) == (61, "rgb", 2)
    assert (second.width, second.color_space, second.pages) == (30, "gray", 2)
    with pytest.raises(ImageRejected) as caught:
        facts(data, tmp_path, page=3)
    assert caught.value.code == "page_missing"


@pytest.mark.skipif(not pdf.installed(), reason="the extra pdf is not installed")
def test_a_pdf_is_drawn(tmp_path: Path) -> None:
    told = facts(encoded(painted(300, 200), "PDF", resolution=200), tmp_path)
    assert (told.format, told.content_type, told.pages) == ("pdf", "application/pdf", 1)
    assert (told.width, told.height) == (300, 200)


FRAMES = [painted(), painted().rotate(90), painted().rotate(180)]


def moving(format_: str, **options: Any) -> bytes:
    delays = [100, 250, 1000]
    return encoded(FRAMES[0], format_, save_all=True, append_images=FRAMES[1:], duration=delays, **options)


ANIMATIONS = {
    "gif for ever": (moving("GIF", loop=0), Animation(seconds=1.35, loop=0)),
    "gif repeated twice": (moving("GIF", loop=2), Animation(seconds=1.35, loop=3)),
    "gif once": (moving("GIF"), Animation(seconds=1.35, loop=1)),
    "webp": (moving("WEBP", loop=4), Animation(seconds=1.35, loop=4)),
    "png": (moving("PNG", loop=5), Animation(seconds=1.35, loop=5)),
    "avif": (moving("AVIF"), Animation(seconds=1.35, loop=None)),
}


@pytest.mark.parametrize("name", ANIMATIONS)
def test_an_animation_is_timed(name: str, tmp_path: Path) -> None:
    data, animation = ANIMATIONS[name]
    told = facts(data, tmp_path)
    assert (told.frames, told.animation) == (3, animation)


def test_one_that_is_cut_short_counts_as_far_as_it_goes(tmp_path: Path) -> None:
    data = moving("GIF")
    told = facts(data[: data.rindex(b"\x21\xf9") - 20], tmp_path)
    assert told.animation == Animation(seconds=0.35, loop=1)


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1)])
def test_odd_sizes_have_hashes_too(size: tuple[int, int], tmp_path: Path) -> None:
    told = facts(encoded(painted(*size), "PNG"), tmp_path)
    assert (told.width, told.height) == size
    assert told.colors


REFUSED = {
    "nothing": (b"", "image_unreadable"),
    "words": (b"words" * 20, "image_unreadable"),
    "svg": (b"<svg/>", "image_format_unsupported"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_picture_is_refused(name: str, tmp_path: Path) -> None:
    data, code = REFUSED[name]
    with pytest.raises(ImageRejected) as caught:
        facts(data, tmp_path)
    assert caught.value.code == code


def test_pixels_that_are_cut_short_are_refused(tmp_path: Path) -> None:
    data = encoded(painted(600, 400), "JPEG")
    with pytest.raises(ImageRejected, match="complete file"):
        facts(data[: len(data) // 2], tmp_path)


@pytest.mark.parametrize("name", ["png", "webp"])
def test_what_stands_behind_an_animation_is_not_of_it(name: str, tmp_path: Path) -> None:
    data, animation = ANIMATIONS[name]
    frame = b"ANMF\x10\0\0\0" + bytes(12) + b"\xff\xff\0\0" if name == "webp" else b"\0\0\0\x1afcTL" + b"\1" * 30
    assert facts(data + frame, tmp_path).animation == animation
