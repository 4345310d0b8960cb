"""Opening strangers' files with Pillow."""

import random
import warnings
import zlib
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, ImageFile, features

from tasks.images import headers
from tasks.images.model import ImageRejected, Limits
from tasks.images.pictures import Picture, opened, orientation_of, refusing, truncated_files
from tests.tasks.images import bombs
from tests.tasks.samples import corners, encoded, one_of_each, painted

LIMITS = Limits()
NAMES = list(one_of_each())
HEIC = Path(__file__).with_name("heic")


def pixels(data: bytes, limits: Limits = LIMITS) -> bytes:
    """All pixels of the first frame."""
    with opened(BytesIO(data), limits) as (image, _), refusing(limits):
        return image.tobytes()


def outcome(data: bytes, limits: Limits = LIMITS) -> bytes | str:
    """The pixels, or the code of the refusal; any other exception is a failure."""
    try:
        return pixels(data, limits)
    except ImageRejected as exc:
        return exc.code


def refusal(data: bytes, limits: Limits = LIMITS) -> str:
    """The code with which both inspecting and decoding refuse a file."""
    codes = set()
    for attempt in (lambda: pixels(data, limits), lambda: headers.read(BytesIO(data), limits)):
        with pytest.raises(ImageRejected) as caught:
            attempt()
        codes.add(caught.value.code)
    [code] = codes
    return code


@pytest.mark.parametrize("name", NAMES)
def test_a_header_says_format_size_and_frames(name: str) -> None:
    with opened(BytesIO(one_of_each()[name]), LIMITS) as (_, found):
        assert found == Picture(format=name.split()[0], width=61, height=47, frames=2 if "animated" in name else 1)


def test_avif_can_be_read_here() -> None:
    assert features.check("avif")


def test_sides_are_told_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    with opened(BytesIO(encoded(painted(), "JPEG", exif=exif)), LIMITS) as (image, picture):
        assert (picture.width, picture.height, image.size, orientation_of(image)) == (47, 61, (61, 47), 6)


def test_a_heic_is_turned_once_whatever_its_exif_block_says() -> None:
    with opened(HEIC / "turned.heic", LIMITS) as (image, picture):
        assert (picture.width, picture.height) == image.size == (40, 60)
        assert orientation_of(image) == 1


def test_a_pdf_is_no_picture_here() -> None:
    with pytest.raises(ImageRejected, match="PDF is not supported"), opened(BytesIO(encoded(painted(), "PDF")), LIMITS):
        pass


@pytest.mark.parametrize("name", bombs.bombs())
def test_a_bomb_is_refused_before_decoding(name: str) -> None:
    data, code = bombs.bombs()[name]

    assert refusal(data) == code


def test_pillows_own_bound_on_pixels_is_ours_while_it_works() -> None:
    before = Image.MAX_IMAGE_PIXELS
    data = encoded(Image.new("1", (19_000, 10_000)), "PNG")  # more than Pillow reads if left alone

    assert len(pixels(data, Limits(max_pixels=200_000_000))) == 2_375 * 10_000
    assert refusal(data) == "image_too_large"
    with pytest.raises(ImageRejected), refusing(Limits(max_pixels=1_000)):
        Image.open(BytesIO(one_of_each()["png"]))
    assert before == Image.MAX_IMAGE_PIXELS


def test_texts_of_a_png_may_be_as_long_as_our_header_allows() -> None:
    """Longer than Pillow's own bound of a megabyte."""
    data = bombs.png(9, 9, bombs.png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(3_000_000))))

    assert len(pixels(data)) == 9 * 9 * 3


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_was_cut_is_refused_or_whole(name: str) -> None:
    data = one_of_each()[name]
    whole = pixels(data)
    cuts = {len(data) * tenth // 10 for tenth in range(10)} | set(range(len(data) - 40, len(data)))

    outcomes = [outcome(data[:cut]) for cut in cuts]

    assert all(found in ("image_unreadable", "image_truncated", whole) for found in outcomes)
    assert sum(isinstance(found, str) for found in outcomes) >= 5  # of an animation, the first frame may be all there


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"])
def test_a_large_file_that_was_cut_is_refused_unless_what_there_is_is_wanted(format_: str) -> None:
    data = encoded(Image.merge("RGB", [Image.effect_noise((500, 300), 90)] * 3), format_)
    cut = data[: len(data) * 9 // 10]

    assert outcome(cut) in ("image_truncated", "image_unreadable")
    if format_ in ("JPEG", "PNG", "BMP"):
        assert outcome(cut) == "image_truncated"
        with truncated_files(True):
            assert len(pixels(cut)) == 500 * 300 * 3
        assert ImageFile.LOAD_TRUNCATED_IMAGES is False


@pytest.mark.parametrize("name", [*NAMES, *(path.name for path in HEIC.iterdir())])
def test_flipped_bytes_give_a_picture_or_a_refusal(name: str) -> None:
    dice = random.Random(name)
    good = one_of_each().get(name) or (HEIC / name).read_bytes()
    for _ in range(200):
        data = bytearray(good)
        for _ in range(dice.choice((1, 1, 2, 5, 20))):
            data[dice.randrange(len(data))] = dice.randrange(256)
        found = outcome(bytes(data), Limits(max_pixels=2_000_000))
        assert isinstance(found, bytes) or found in (
            "image_unreadable",
            "image_truncated",
            "image_format_unsupported",
            "image_too_large",
        )


def test_broken_exif_does_not_spoil_good_pixels() -> None:
    for exif in (b"Exif\0\0", b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"):
        for format_ in ("JPEG", "PNG", "WEBP"):
            assert len(pixels(encoded(painted(), format_, exif=exif))) == 61 * 47 * 3


def test_what_it_warns_of_is_no_news() -> None:
    data = encoded(corners(), "PNG").replace(b"IEND", b"IEN\0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outcome(data)


class LeaseLost(Exception):
    """Stands for what others raise in the midst of our work."""


def test_what_is_not_the_files_fault_passes_through() -> None:
    class Interrupted(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise LeaseLost

    with pytest.raises(LeaseLost):
        headers.read(Interrupted(b"data"), LIMITS)
    with pytest.raises(LeaseLost), refusing(LIMITS):
        raise LeaseLost
