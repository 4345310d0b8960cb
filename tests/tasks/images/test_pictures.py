import random
import struct
import zlib
from collections.abc import Callable
from io import BytesIO

import pytest
from PIL import Image, features

from tasks.images.pictures import COUNTED_FRAMES, ImageRejected, Limits, Picture, inspect
from tasks.images.pillow import render
from tasks.images.plan import Format, VariantSpec
from tests.tasks.samples import encoded, one_of_each, painted

LIMITS = Limits()
SPECS = [VariantSpec(name="whole", format=Format.PNG), VariantSpec(name="small", width=9, format=Format.JPEG)]
NAMES = list(one_of_each())


def variants(data: bytes, limits: Limits = LIMITS) -> list[bytes]:
    return [variant.data for variant in render(BytesIO(data), SPECS, limits)]


def outcome(data: bytes, limits: Limits = LIMITS) -> list[bytes] | str:
    """The variants, or the code of the refusal; any other exception is a failure."""
    try:
        return variants(data, limits)
    except ImageRejected as exc:
        return exc.code


def refusal(data: bytes, limits: Limits = LIMITS) -> str:
    """The code with which both inspecting and rendering refuse a file."""
    codes = set()
    for attempt in (lambda: variants(data, limits), lambda: inspect(BytesIO(data), limits)):
        with pytest.raises(ImageRejected) as caught:
            attempt()
        assert str(caught.value) == caught.value.detail
        assert caught.value.detail.endswith(".")
        codes.add(caught.value.code)
    [code] = codes
    return code


def png_header(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunks + b"\0\0\0\0IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


def gif_header(width: int, height: int, frame: tuple[int, int, int, int] | None = None) -> bytes:
    screen = b"GIF89a" + struct.pack("<HH", width, height) + b"\0\0\0"
    dispose = b"!\xf9\x04\x08\0\0\0\0"  # to the background: Pillow then fills a rectangle while it opens the file
    return screen + dispose + b"," + struct.pack("<4H", *(frame or (0, 0, width, height))) + b"\0\x02\0;"


def bmp_header(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


def webp_header(width: int, height: int) -> bytes:
    canvas = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    return b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + canvas


def tiff_header(width: int, height: int) -> bytes:
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: 100}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


def jpeg_header(width: int, height: int) -> bytes:
    data = bytearray(encoded(painted(), "JPEG"))
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(data)


HEADERS: list[Callable[[int, int], bytes]] = [
    png_header,
    gif_header,
    bmp_header,
    webp_header,
    tiff_header,
    jpeg_header,
]


@pytest.mark.parametrize("name", NAMES)
def test_a_header_says_format_size_and_frames(name: str) -> None:
    found = inspect(BytesIO(one_of_each()[name]), LIMITS)

    assert found == Picture(format=name.split()[0], width=61, height=47, frames=2 if "animated" in name else 1)


def test_avif_can_be_read_here() -> None:
    assert features.check("avif")


# Of a WebP that is no more than a header, Pillow tells a size only where it refuses it by itself: the first two.
BOMBS = [(60_000, 60_000), (16_000, 16_000), (12_000, 9_000), (10_001, 10_000)]


@pytest.mark.parametrize(
    ("header", "size"),
    [(header, size) for header in HEADERS for size in (BOMBS[:2] if header is webp_header else BOMBS)],
)
def test_more_pixels_than_allowed_are_refused_before_decoding(
    header: Callable[[int, int], bytes], size: tuple[int, int]
) -> None:
    assert refusal(header(*size)) == "image_too_large"


def test_a_frame_larger_than_its_screen_is_refused() -> None:
    assert refusal(gif_header(1, 1, (0, 0, 60_000, 60_000))) == "image_too_large"


def test_limits_are_the_callers() -> None:
    exact = Limits(max_pixels=61 * 47, max_bytes=len(one_of_each()["png"]))

    assert variants(one_of_each()["png"], exact)
    assert refusal(one_of_each()["png"], Limits(max_pixels=61 * 47 - 1)) == "image_too_large"
    assert refusal(one_of_each()["png"], Limits(max_bytes=exact.max_bytes - 1)) == "image_too_large"
    for wrong in (0, 10**9):
        with pytest.raises(ValueError, match="max_pixels"):
            Limits(max_pixels=wrong)


@pytest.mark.parametrize("name", [name for name in NAMES if "animated" in name])
def test_all_frames_together_are_bounded(name: str) -> None:
    assert refusal(one_of_each()[name], Limits(max_total_pixels=2 * 61 * 47 - 1)) == "image_too_large"
    assert variants(one_of_each()[name], Limits(max_total_pixels=2 * 61 * 47))


def test_a_gif_of_endless_frames_is_counted_to_a_bound() -> None:
    start, frame = gif_header(1, 1)[:-13], b",\0\0\0\0\x01\0\x01\0\0\x02\0"

    assert inspect(BytesIO(start + frame * (3 * COUNTED_FRAMES)), LIMITS).frames == COUNTED_FRAMES


def test_a_jpeg_that_repeats_its_scans_is_refused() -> None:
    data = one_of_each()["jpeg progressive"]
    first = data.index(b"\xff\xda")
    second = data.index(b"\xff\xda", first + 2)

    assert refusal(data[:first] + data[first:second] * 500 + data[second:]) == "image_unreadable"
    assert variants(data + b"\xff\xda\0\0" * 500)  # what follows the picture, such as a phone's film, does not count


def test_a_picture_without_pixels_is_refused() -> None:
    for header in HEADERS:
        if header is not webp_header:  # which cannot say 0
            for size in ((0, 0), (0, 5), (5, 0)):
                assert refusal(header(*size)) == "image_unreadable", (header, size)


@pytest.mark.parametrize("data", [b"", b"\0", b"hello, world", bytes(1000), random.Random(1).randbytes(100_000)])
def test_what_is_no_picture_is_unreadable(data: bytes) -> None:
    assert refusal(data) == "image_unreadable"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"%PDF-1.7\n", "PDF"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (encoded(painted(), "ICO"), "ICO"),
        (encoded(painted(), "JPEG2000"), "JPEG 2000"),
        (encoded(painted(), "EPS"), "PostScript"),
    ],
)
def test_other_formats_are_named_with_what_to_send_instead(data: bytes, name: str) -> None:
    assert refusal(data) == "image_format_unsupported"
    with pytest.raises(
        ImageRejected, match=f"^{name}.* is not supported. Send JPEG, PNG, WebP, GIF, TIFF, BMP or AVIF"
    ):
        variants(data)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_was_cut_is_refused_or_whole(name: str) -> None:
    data = one_of_each()[name]
    whole = variants(data)
    cuts = {len(data) * tenth // 10 for tenth in range(10)} | set(range(len(data) - 40, len(data)))

    outcomes = [outcome(data[:cut]) for cut in cuts]

    assert all(found in ("image_unreadable", whole) for found in outcomes)
    assert outcomes.count("image_unreadable") >= 5  # of an animation, the first frame may be all there


def test_a_large_file_that_was_cut_is_refused() -> None:
    noise = Image.merge("RGB", [Image.effect_noise((700, 500), 90)] * 3)
    for format_ in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"):
        data = encoded(noise, format_)
        with pytest.raises(ImageRejected):
            variants(data[: len(data) * 9 // 10])


@pytest.mark.parametrize("name", NAMES)
def test_flipped_bytes_give_a_picture_or_a_refusal(name: str) -> None:
    dice = random.Random(name)
    for _ in range(300):
        data = bytearray(one_of_each()[name])
        for _ in range(dice.choice((1, 1, 2, 5, 20))):
            data[dice.randrange(len(data))] = dice.randrange(256)
        found = outcome(bytes(data), Limits(max_pixels=2_000_000))
        assert found in ("image_unreadable", "image_format_unsupported", "image_too_large") or len(found) == len(SPECS)


def test_broken_exif_does_not_spoil_good_pixels() -> None:
    for exif in (b"Exif\0\0", b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"):
        for format_ in ("JPEG", "PNG", "WEBP"):
            assert len(variants(encoded(painted(), format_, exif=exif))) == len(SPECS)


class LeaseLost(Exception):
    """Stands for what others raise in the midst of our work."""


def test_what_is_not_the_files_fault_passes_through() -> None:
    class Interrupted(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise LeaseLost

    with pytest.raises(LeaseLost):
        inspect(Interrupted(b"data"), LIMITS)
