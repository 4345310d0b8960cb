"""What libvips' wheel cannot read."""

import struct
from pathlib import Path

import pytest
from PIL import Image

from tasks.images import foreign, headers, pdf
from tasks.images.header_ifd import orientation
from tasks.images.model import ImageRejected, Limits, Task
from tests.tasks.samples import BLUE, GREEN, RED, YELLOW, corners, encoded, near, painted, rgb_profile

HEIC = Path(__file__).with_name("heic")
LIMITS = Limits()


def task(file: Path, *, page: int = 1, limits: Limits = LIMITS, allow_truncated: bool = False) -> Task:
    header = headers.read(file, limits, page=page)
    return Task(file=file, header=header, wanted=[], limits=limits, page=page, allow_truncated=allow_truncated)


def seen(image: Image.Image) -> list[tuple[int, ...]]:
    """The colours near the corners, in reading order."""
    places = [(x, y) for y in (2, image.height - 3) for x in (2, image.width - 3)]
    return [image.convert("RGB").getpixel(place) for place in places]  # type: ignore[misc]


def assert_seen(image: Image.Image, *colours: tuple[int, ...]) -> None:
    for found, wanted in zip(seen(image), colours, strict=True):
        assert near(found, wanted, 40)


def test_a_heic_is_decoded() -> None:
    assert_seen(foreign.decode(task(HEIC / "plain.heic")), RED, GREEN, BLUE, YELLOW)


def test_a_heic_is_turned_once_although_its_exif_block_says_so_too() -> None:
    """As telephones write it: the file itself says how to turn it, and EXIF repeats it."""
    image = foreign.decode(task(HEIC / "turned.heic"))

    assert_seen(image, BLUE, RED, YELLOW, GREEN)
    assert orientation(image.info["exif"]) == 1
    assert b"Camera" in image.info["exif"]


def test_transparency_and_profile_of_a_heic_are_kept() -> None:
    assert foreign.decode(task(HEIC / "veiled.heic")).mode == "RGBA"
    assert foreign.decode(task(HEIC / "profile.heic")).info["icc_profile"] == rgb_profile()


def test_a_heic_that_claims_deep_shades_of_grey_never_reaches_its_library(tmp_path: Path) -> None:
    """pi-heif 1.4 would write past the end of its memory."""
    data = bytearray((HEIC / "plain.heic").read_bytes())
    configuration = data.index(b"hvcC") + 4  # ISO/IEC 14496-15, 8.3.2.1
    data[configuration + 16] &= ~3  # no chroma
    data[configuration + 17] |= 7  # 15 bits
    file = tmp_path / "deep"
    file.write_bytes(data)

    with pytest.raises(ImageRejected) as caught:
        foreign.decode(task(file))
    assert caught.value.code == "image_format_unsupported"


@pytest.mark.parametrize("allow_truncated", [False, True])
@pytest.mark.parametrize("left", [60, 90, 99])
def test_a_heic_that_was_cut_is_refused_and_never_black(tmp_path: Path, left: int, allow_truncated: bool) -> None:
    file = tmp_path / "cut"
    data = (HEIC / "plain.heic").read_bytes()
    file.write_bytes(data[: len(data) * left // 100])

    with pytest.raises(ImageRejected) as caught:
        foreign.decode(task(file, allow_truncated=allow_truncated))
    assert caught.value.code in ("image_truncated", "image_unreadable")


def test_a_heic_whose_pixels_are_not_those_of_its_header_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "lies"
    data = bytearray((HEIC / "plain.heic").read_bytes())
    place = data.index(b"ispe") + 8
    data[place : place + 8] = struct.pack(">II", 6_000, 4_000)
    file.write_bytes(data)

    with pytest.raises(ImageRejected) as caught:
        foreign.decode(task(file))
    assert caught.value.code == "image_unreadable"


def test_a_bmp_is_decoded_and_may_be_cut_if_that_is_wanted(tmp_path: Path) -> None:
    file = tmp_path / "bmp"
    file.write_bytes(data := encoded(corners(), "BMP"))
    assert_seen(foreign.decode(task(file)), RED, GREEN, BLUE, YELLOW)

    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageRejected) as caught:
        foreign.decode(task(file))
    assert caught.value.code == "image_truncated"
    assert foreign.decode(task(file, allow_truncated=True)).size == (60, 40)


@pytest.mark.skipif(not pdf.installed(), reason="the extra pdf is not installed")
def test_a_page_of_a_pdf_is_drawn_no_larger_than_needed(tmp_path: Path) -> None:
    file = tmp_path / "pdf"
    file.write_bytes(encoded(painted(72, 72), "PDF", save_all=True, append_images=[corners(360, 180)]))

    assert foreign.decode(task(file)).size == (200, 200)
    whole = foreign.decode(task(file, page=2))
    assert (whole.mode, whole.size) == ("RGB", (1000, 500))
    assert_seen(whole, RED, GREEN, BLUE, YELLOW)
    small = foreign.decode(task(file, page=2), longest=100)
    assert small.size == (100, 50)
    assert_seen(small, RED, GREEN, BLUE, YELLOW)
    assert foreign.decode(task(file, page=2), longest=9_000).size == (1000, 500)


@pytest.mark.skipif(not pdf.installed(), reason="the extra pdf is not installed")
@pytest.mark.parametrize("cut", [5, 100, 600])
def test_a_pdf_that_was_cut_is_refused(tmp_path: Path, cut: int) -> None:
    file = tmp_path / "pdf"
    file.write_bytes(encoded(painted(), "PDF")[:cut])

    with pytest.raises(ImageRejected, match=r"^The PDF is damaged and cannot be read\. "):
        foreign.decode(task(file))
