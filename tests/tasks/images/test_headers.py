"""What is told of a picture file from its header alone."""

import random
import struct
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, ImageCms

from tasks.images import headers, pdf
from tasks.images.model import Header, ImageRejected, JpegFrame, Limits
from tests.tasks.images import bombs
from tests.tasks.samples import encoded, one_of_each, painted, veiled

LIMITS = Limits()
NAMES = list(one_of_each())
HEIC = Path(__file__).with_name("heic")
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def read(data: bytes, limits: Limits = LIMITS, page: int = 1) -> Header:
    return headers.read(BytesIO(data), limits, page=page)


def refusal(data: bytes, limits: Limits = LIMITS, page: int = 1) -> str:
    """The code of the refusal, which ends with what to do."""
    with pytest.raises(ImageRejected) as caught:
        read(data, limits, page)
    assert caught.value.detail.endswith(".")
    assert caught.value.detail.count(".") >= 2
    return caught.value.code


@pytest.mark.parametrize("name", NAMES)
def test_format_size_and_frames_are_told(name: str) -> None:
    found = read(one_of_each()[name])

    assert (found.format, found.width, found.height) == (name.split()[0], 61, 47)
    assert (found.frames, found.pages, found.orientation) == (2 if "animated" in name else 1, 1, 1)
    assert found.has_alpha == (name in ("png transparent", "webp lossless"))
    assert not found.has_profile


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_profile_is_told(format_: str) -> None:
    assert read(encoded(painted(), format_, icc_profile=SRGB)).has_profile


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_picture_is_described_as_it_is_stored_with_its_orientation(format_: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = read(encoded(painted(), format_, exif=exif))

    assert (found.width, found.height, found.orientation) == (61, 47, orientation)
    assert found.upright == ((61, 47) if orientation < 5 else (47, 61))


def test_an_orientation_behind_the_pixels_of_a_png_is_told() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(painted(), "PNG")
    end = data.index(b"IEND") - 4

    assert read(data[:end] + bombs.png_chunk(b"eXIf", exif.tobytes()[6:]) + data[end:]).orientation == 6


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"]
)
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_a_broken_exif_block_does_not_spoil_a_good_picture(format_: str, exif: bytes) -> None:
    assert read(encoded(painted(), format_, exif=exif)).orientation == 1


@pytest.mark.parametrize("value", [0, 9, 65_535])
def test_an_orientation_that_makes_no_sense_is_none(value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value

    assert read(encoded(painted(), "JPEG", exif=exif)).orientation == 1


def test_a_jpeg_tells_how_it_is_made() -> None:
    plain = read(encoded(painted(), "JPEG", subsampling="4:2:0")).jpeg
    assert plain == JpegFrame(
        bits=8, progressive=False, arithmetic=False, components=(1, 2, 3), sampling=((2, 2), (1, 1), (1, 1))
    )
    full = read(encoded(painted(), "JPEG", subsampling="4:4:4", progressive=True)).jpeg
    assert full is not None
    assert full.progressive
    assert full.sampling == ((1, 1), (1, 1), (1, 1))
    inks = read(encoded(painted().convert("CMYK"), "JPEG")).jpeg
    assert inks is not None
    assert (len(inks.components), inks.adobe_transform) == (4, 0)
    assert read(encoded(painted(), "PNG")).jpeg is None


def test_junk_before_a_block_of_a_jpeg_is_skipped_as_decoders_do() -> None:
    data = one_of_each()["jpeg"]
    place = data.index(b"\xff\xdb")

    assert read(data[:place] + b"hello\xff\0\xff\xff" + data[place:]).width == 61
    assert refusal(data[:place] + bytes(5_000) + data[place:]) == "image_unreadable"


def test_what_follows_a_jpeg_does_not_count() -> None:
    """Such as a phone's film, in which the markers of scans stand by chance."""
    assert read(one_of_each()["jpeg progressive"] + b"\xff\xda\0\2" * 500).width == 61


def test_pages_are_counted_and_told_one_by_one() -> None:
    page, wide = painted(20, 10), painted(30, 11)
    data = encoded(page, "TIFF", save_all=True, append_images=[wide, wide])

    assert [(read(data, page=n).width, read(data, page=n).pages) for n in (1, 2, 3)] == [(20, 3), (30, 3), (30, 3)]
    assert refusal(data, page=4) == "page_missing"
    for name in ("jpeg", "gif animated"):
        assert refusal(one_of_each()[name], page=2) == "page_missing"


def test_pages_in_a_circle_are_counted_once() -> None:
    one = bombs.tiff(bombs.tiff_page(9, 8), last=8)
    assert read(one).pages == 1
    two = bombs.tiff(bombs.tiff_page(9, 8), bombs.tiff_page(9, 8), last=8)
    assert read(two, page=2).pages == 2


def test_only_so_many_pages_are_counted() -> None:
    assert read(bombs.tiff(*[bombs.tiff_page(9, 9)] * 10_050), page=10_000).pages == 10_000


def test_directories_within_a_page_are_left_alone() -> None:
    assert read(bombs.tiff(bombs.tiff_page(9, 8, t330=8, t34665=8))).width == 9


def test_a_big_tiff_is_read() -> None:
    found = read(bombs.tiff(bombs.tiff_page(9, 8), bombs.tiff_page(7, 6, t274=6), big=True), page=2)

    assert (found.width, found.height, found.orientation, found.pages) == (7, 6, 6, 2)


def test_a_gif_that_begins_with_a_frame_larger_than_its_screen_has_that_size() -> None:
    """As its decoders see it; what later frames show beyond it is cut off."""
    grown = read(bombs.gif(10, 8, (3, 4, 30, 20), (0, 0, 50, 50)))

    assert (grown.width, grown.height, grown.frames) == (33, 24, 2)


def test_a_heic_is_described_as_its_library_gives_it() -> None:
    found = {path.stem: headers.read(path, LIMITS) for path in HEIC.iterdir()}

    assert found["plain"] == Header(format="heic", width=60, height=40)
    assert found["turned"] == Header(format="heic", width=40, height=60)
    assert found["veiled"].has_alpha
    assert found["profile"].has_profile


def test_the_pixels_of_an_avif_are_bounded_whatever_its_properties_say() -> None:
    data = encoded(Image.new("RGB", (1_100, 1_000), "red"), "AVIF", speed=10)
    place = data.index(b"ispe") + 8
    lies = data[:place] + struct.pack(">II", 100, 100) + data[place + 8 :]

    assert read(lies, Limits(max_pixels=1_100_000)).width == 100
    assert refusal(lies, Limits(max_pixels=1_000_000)) == "image_too_large"


def test_a_heic_whose_items_have_names_that_are_no_text_is_refused() -> None:
    """Its library would write to where it must not, and take the process with it."""
    data = (HEIC / "turned.heic").read_bytes()

    assert refusal(data.replace(b"Exif", b"\xff\xffif", 1)) == "image_unreadable"


@pytest.mark.skipif(not pdf.installed(), reason="the extra pdf is not installed")
def test_a_page_of_a_pdf_has_the_size_at_which_it_is_drawn() -> None:
    data = encoded(painted(360, 180), "PDF", save_all=True, append_images=[painted(72, 144)])

    assert [(read(data, page=n).width, read(data, page=n).height) for n in (1, 2)] == [(1000, 500), (200, 400)]
    assert (read(data).format, read(data).pages) == ("pdf", 2)
    assert refusal(data, page=3) == "page_missing"
    assert refusal(data[:300]) == "image_unreadable"
    few = read(data, Limits(max_pixels=5_000))
    assert 4_900 <= few.width * few.height <= 5_000  # a drawing has as many pixels as one wants


@pytest.mark.parametrize("name", NAMES)
def test_limits_are_the_callers(name: str) -> None:
    data, frames = one_of_each()[name], read(one_of_each()[name]).frames

    exact = Limits(max_pixels=61 * 47, max_bytes=len(data), max_frames=frames, max_total_pixels=61 * 47 * frames)
    assert read(data, exact).width == 61
    assert refusal(data, Limits(max_pixels=61 * 47 - 1)) == "image_too_large"
    assert refusal(data, Limits(max_bytes=len(data) - 1)) == "image_too_large"
    if frames > 1:
        assert refusal(data, Limits(max_frames=frames - 1)) == "image_too_large"
        assert refusal(data, Limits(max_total_pixels=61 * 47 * frames - 1)) == "image_too_large"


@pytest.mark.parametrize("name", bombs.bombs())
def test_a_bomb_is_refused_from_its_header(name: str) -> None:
    data, code = bombs.bombs()[name]

    assert refusal(data) == code


@pytest.mark.parametrize("name", bombs.polyglots())
def test_a_file_that_could_be_two_things_is_what_it_begins_with(name: str) -> None:
    data, format_ = bombs.polyglots()[name]

    assert read(data).format == format_


def test_a_picture_without_pixels_is_refused() -> None:
    for width, height in ((0, 0), (0, 5), (5, 0)):
        for make in (bombs.bmp, bombs.jpeg, bombs.avif, bombs.gif):
            assert refusal(make(width, height)) == "image_unreadable"
        assert refusal(bombs.tiff(bombs.tiff_page(width, height))) == "image_unreadable"


@pytest.mark.parametrize("data", [b"", b"\0", b"hello, world", bytes(1000), random.Random(1).randbytes(100_000)])
def test_what_is_no_picture_is_unreadable(data: bytes) -> None:
    assert refusal(data) == "image_unreadable"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\0\0\0\x18ftypisom\0\0\0\0mp41isom", "Video"),
        (b"\0\0\0\x18ftypcrx \0\0\0\0crx isom", "A raw photograph"),
        (b"RIFF\0\0\0\0AVI LIST", "AVI video"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\xff\x0a\xfa\x7f", "JPEG XL"),
        (encoded(painted(), "JPEG2000"), "JPEG 2000"),
        (encoded(painted(), "EPS"), "PostScript"),
    ],
)
def test_other_formats_are_named_with_what_to_send_instead(data: bytes, name: str) -> None:
    assert refusal(data) == "image_format_unsupported"
    with pytest.raises(ImageRejected, match=rf"^{name} is not supported\. Send JPEG, PNG, WebP, GIF, TIFF, BMP, AVIF "):
        read(data)


@pytest.mark.parametrize("name", NAMES)
def test_a_header_that_was_cut_is_refused(name: str) -> None:
    data = one_of_each()[name]

    assert {refusal(data[:cut]) for cut in (1, 2, 7, 11, 20)} <= {"image_truncated", "image_unreadable"}
    if name != "tiff":  # whose directory may stand at the end
        assert read(data[:-8] if name.startswith(("png", "gif", "bmp")) else data).width == 61


@pytest.mark.parametrize("name", NAMES)
def test_flipped_bytes_give_a_header_or_a_refusal(name: str) -> None:
    dice = random.Random(name)
    for _ in range(300):
        data = bytearray(one_of_each()[name])
        for _ in range(dice.choice((1, 1, 2, 5, 20))):
            data[dice.randrange(min(len(data), 600))] = dice.randrange(256)
        try:
            found = read(bytes(data), Limits(max_pixels=2_000_000))
        except ImageRejected:
            continue
        assert 0 < found.width * found.height <= 2_000_000


def test_a_file_object_is_read_from_its_beginning_and_left_open() -> None:
    file = BytesIO(encoded(veiled(), "PNG"))
    file.seek(100)

    assert headers.read(file, LIMITS).has_alpha
    assert not file.closed


class LeaseLost(Exception):
    """Stands for what others raise in the midst of our work."""


def test_what_is_not_the_files_fault_passes_through() -> None:
    class Interrupted(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise LeaseLost

    with pytest.raises(LeaseLost):
        headers.read(Interrupted(b"data"), LIMITS)
