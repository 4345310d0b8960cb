import ctypes
import random
import re
from collections import Counter
from functools import cache
from io import BytesIO
from itertools import product

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from tasks.images import turbojpeg
from tasks.images.model import ImageRejected
from tasks.images.turbojpeg import Colours, Frame, Pixels, Planes, Sampling
from tasks.images.turbojpeg_library import SONAME, Library, candidates, carried, loaded
from tests.tasks.samples import PHOTOS, decoded, encoded, painted, psnr

PILLOWS = {Sampling.FULL: "4:4:4", Sampling.HALF_WIDTH: "4:2:2", Sampling.QUARTER: "4:2:0"}
SAMPLINGS = (*PILLOWS, Sampling.HALF_HEIGHT)


@cache
def libraries() -> dict[str, Library]:
    """Those of this machine: the system's, and the one that a wheel carries."""
    names = {"system": SONAME, **dict.fromkeys(["wheel"], next(carried(), ""))}
    return {name: library for name, path in names.items() if (library := loaded(path)) is not None}


@pytest.fixture(params=["system", "wheel"])
def library(request: pytest.FixtureRequest) -> Library:
    if request.param not in libraries():
        pytest.skip("not installed")
    return libraries()[request.param]


def bytes_of(image: Image.Image, **options: object) -> Pixels:
    return np.frombuffer(encoded(image, "JPEG", **options), np.uint8)


def sampled(image: Image.Image, sampling: Sampling, **options: object) -> Pixels:
    """A JPEG file. Pillow does not write 4:4:0, so that is made of planes (never progressive)."""
    if sampling in PILLOWS:
        return bytes_of(image, subsampling=PILLOWS[sampling], **options)
    data = bytes_of(image, subsampling="4:4:4", **options)
    library = next(iter(libraries().values()))
    planes = turbojpeg.decoded(library, data, turbojpeg.frame(library, data))
    assert planes.chroma is not None
    even = np.pad(planes.chroma, ((0, image.height % 2), (0, 0), (0, 0)), mode="edge").astype(np.uint16)
    chroma = ((even[::2] + even[1::2] + 1) // 2).astype(np.uint8)
    luma = np.pad(planes.luma, ((0, image.height % 2), (0, 0), (0, 0)), mode="edge")
    made = turbojpeg.encoded(library, Planes(luma=luma, chroma=chroma), *image.size, sampling, 95)
    return np.frombuffer(made, np.uint8)


def photo() -> Image.Image:
    with Image.open(PHOTOS / "coffee.png") as image:
        return image.convert("RGB")


def planes_by_pillow(data: Pixels) -> list[Pixels]:
    """Y, Cb and Cr, each as large as the picture."""
    image = Image.open(BytesIO(data.tobytes()))
    image.draft("YCbCr", None)
    return [np.asarray(channel) for channel in image.split()]


def test_a_library_is_found_and_tells_its_version() -> None:
    if not libraries():
        pytest.skip("no libjpeg-turbo is installed")
    assert re.fullmatch(r"\d+\.\d+\.\d+", turbojpeg.available() or "")
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", library.version) for library in libraries().values())
    assert SONAME in list(candidates())


def test_a_library_that_is_missing_or_another_one_is_none() -> None:
    assert loaded("libturbojpeg-of-nobody.so") is None
    assert loaded("libm.so.6") is None  # without the calls


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("progressive", [False, True])
def test_planes_are_those_of_the_file(library: Library, sampling: Sampling, progressive: bool) -> None:
    width, height = 203, 131
    data = sampled(photo().resize((width, height)), sampling, progressive=progressive)

    frame = turbojpeg.frame(library, data)
    planes = turbojpeg.decoded(library, data, frame)

    assert frame == Frame(width=width, height=height, sampling=sampling, colours=Colours.YCBCR)
    luma, *chroma = planes_by_pillow(data)
    assert np.array_equal(planes.luma[:height, 0, :width], luma)
    assert planes.chroma is not None
    across, down = sampling.factors
    for plane, other in enumerate(chroma):  # Pillow smooths what it makes larger
        ours = planes.chroma[:, plane].repeat(across, 1).repeat(down, 0)[:height, :width]
        assert np.abs(ours.astype(int) - other).mean() < (2 if across * down > 1 else 1e-9)


def test_grey_has_luma_alone(library: Library) -> None:
    image = photo().resize((77, 50)).convert("L")
    data = bytes_of(image)

    frame = turbojpeg.frame(library, data)
    planes = turbojpeg.decoded(library, data, frame)

    assert (frame.sampling, frame.colours, planes.chroma) == (Sampling.GREY, Colours.GREY, None)
    assert np.array_equal(planes.luma[:, 0], np.asarray(decoded(data.tobytes())))
    again = turbojpeg.encoded(library, planes, 77, 50, Sampling.GREY, 95)
    assert decoded(again).mode == "L"
    assert psnr(decoded(again), decoded(data.tobytes())) > 40


def test_a_smaller_decode_shows_the_same(library: Library) -> None:
    image = photo().resize((399, 265))
    for sampling, divisor in product(SAMPLINGS, (2, 4, 8)):
        data = sampled(image, sampling, quality=95)
        frame = turbojpeg.frame(library, data)

        planes = turbojpeg.decoded(library, data, frame, divisor)

        size = (-(-399 // divisor), -(-265 // divisor))
        box = (0, 0, size[0] * divisor, size[1] * divisor)
        padded = Image.fromarray(np.pad(np.asarray(image), ((0, 8), (0, 8), (0, 0)), mode="edge")).crop(box)
        wanted = padded.resize(size, Image.Resampling.BOX)
        luma = Image.fromarray(planes.luma[: size[1], 0, : size[0]])
        assert psnr(luma, wanted.convert("YCbCr").getchannel(0)) > 33
        assert planes.chroma is not None
        for plane in (0, 1):
            chroma = planes.chroma[:, plane]
            other = wanted.convert("YCbCr").getchannel(1 + plane).resize(chroma.shape[::-1], Image.Resampling.BOX)
            assert psnr(Image.fromarray(np.ascontiguousarray(chroma)), other) > 33, (sampling, divisor, plane)


def test_buffers_are_as_large_as_the_library_says(library: Library) -> None:
    size_of = library.calls.tjPlaneSizeYUV
    size_of.restype, size_of.argtypes = ctypes.c_ulong, [ctypes.c_int] * 5
    for sampling, width, height in product(SAMPLINGS, range(1, 19), (1, 2, 7, 16, 33)):
        for plane in range(3):
            across, down = turbojpeg.plane_size(library, width, height, sampling, plane)
            assert across * down == size_of(plane, width, 0, height, sampling)


def test_odd_sizes_are_decoded_and_encoded(library: Library) -> None:
    for sampling, width, height in product(SAMPLINGS, (1, 2, 7, 8, 15, 17), (1, 3, 9, 16)):
        data = sampled(Image.new("RGB", (width, height), (200, 40, 90)), sampling, quality=95)
        planes = turbojpeg.decoded(library, data, turbojpeg.frame(library, data))

        image = decoded(turbojpeg.encoded(library, planes, width, height, sampling, 95))

        assert image.size == (width, height)
        assert isinstance(image, JpegImagePlugin.JpegImageFile)
        assert np.abs(np.asarray(image).astype(int) - (200, 40, 90)).max() <= 4


def test_what_is_encoded_has_the_asked_sampling(library: Library) -> None:
    data = bytes_of(painted(), subsampling=0)
    planes = turbojpeg.decoded(library, data, turbojpeg.frame(library, data))

    made = turbojpeg.encoded(library, planes, 61, 47, Sampling.FULL, 90)

    assert turbojpeg.frame(library, np.frombuffer(made, np.uint8)).sampling is Sampling.FULL
    assert made.startswith(b"\xff\xd8\xff\xe0\x00\x10JFIF")


def test_all_libraries_make_the_same_bytes() -> None:
    if len(libraries()) < 2:
        pytest.skip("there is but one")
    for sampling, divisor in product(SAMPLINGS, (1, 2, 4, 8)):
        data = sampled(photo().resize((203, 131)), sampling, progressive=divisor == 1)
        made = set[bytes]()
        for library in libraries().values():
            frame = turbojpeg.frame(library, data)
            planes = turbojpeg.decoded(library, data, frame, divisor)
            size = (-(-203 // divisor), -(-131 // divisor))
            made.add(turbojpeg.encoded(library, planes, *size, sampling, 80))
        assert len(made) == 1, (sampling, divisor)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_file_that_is_cut_short_is_refused(library: Library, progressive: bool) -> None:
    data = bytes_of(photo().resize((200, 130)), progressive=progressive)
    frame = turbojpeg.frame(library, data)

    for length in range(len(data) - 40, len(data) // 3, -len(data) // 9):
        with pytest.raises(ImageRejected) as refused:
            turbojpeg.decoded(library, data[:length], frame)
        assert refused.value.code == "image_truncated"


def test_damaged_files_are_refused_or_decoded(library: Library) -> None:
    data = bytes_of(photo().resize((120, 90)), progressive=True)
    frame, generator = turbojpeg.frame(library, data), random.Random(4)
    codes = Counter[str]()
    for _ in range(300):
        damaged = data.copy()
        for _ in range(3):
            damaged[generator.randrange(2, len(data))] = generator.randrange(256)
        try:
            turbojpeg.decoded(library, damaged, frame)
        except ImageRejected as exc:
            codes[exc.code] += 1
    assert set(codes) <= {"image_unreadable", "image_truncated"}
    assert codes.total() > 100


def test_a_file_of_another_size_than_expected_is_refused(library: Library) -> None:
    data = bytes_of(painted())
    frame = turbojpeg.frame(library, data)
    larger = bytes_of(painted(90, 80))

    with pytest.raises(ImageRejected):
        turbojpeg.decoded(library, larger, frame)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"no picture at all", b"\xff\xd8\xff\xd9"])
def test_what_is_no_jpeg_is_refused(library: Library, data: bytes) -> None:
    with pytest.raises(ImageRejected):
        turbojpeg.frame(library, np.frombuffer(data, np.uint8))


def test_what_would_pass_the_buffers_is_an_error(library: Library) -> None:
    data = bytes_of(painted())
    frame = turbojpeg.frame(library, data)
    planes = turbojpeg.decoded(library, data, frame)

    with pytest.raises(ValueError, match="cannot decode"):
        turbojpeg.decoded(library, data, frame, 2)  # of 61 by 47 pixels
    with pytest.raises(ValueError, match="planes that are not"):
        turbojpeg.encoded(library, planes, 63, 47, Sampling.QUARTER, 80)
    with pytest.raises(ValueError, match="planes that are not"):
        turbojpeg.encoded(library, planes, 61, 47, Sampling.FULL, 80)
    with pytest.raises(ValueError, match="planes that are not"):
        turbojpeg.encoded(
            library, Planes(luma=planes.luma[:, :, ::-1], chroma=planes.chroma), 61, 47, Sampling.QUARTER, 80
        )
