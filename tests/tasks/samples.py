"""Small pictures of every kind, made on the spot."""

import math
import struct
from functools import cache
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageChops, ImageStat

PHOTOS = Path(__file__).parents[2] / "deploy" / "photos"

Rgb = tuple[int, int, int]
RED, GREEN, BLUE, YELLOW = (230, 20, 30), (20, 200, 40), (20, 40, 220), (240, 220, 20)


def encoded(image: Image.Image, format_: str, **options: object) -> bytes:
    data = BytesIO()
    image.save(data, format_, **options)
    return data.getvalue()


def decoded(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data))
    image.load()
    return image


def corners(width: int = 60, height: int = 40) -> Image.Image:
    """A quarter each: red and green above, blue and yellow below."""
    image = Image.new("RGB", (2, 2))
    for place, colour in zip(((0, 0), (1, 0), (0, 1), (1, 1)), (RED, GREEN, BLUE, YELLOW), strict=True):
        image.putpixel(place, colour)
    return image.resize((width, height), Image.Resampling.NEAREST)


def painted(width: int = 61, height: int = 47) -> Image.Image:
    """Soft colours, no two pixels quite alike."""
    size = (width, height)
    slope, hill = Image.linear_gradient("L"), Image.radial_gradient("L")
    return Image.merge("RGB", (slope.resize(size), slope.rotate(90).resize(size), hill.resize(size)))


def veiled(width: int = 61, height: int = 47) -> Image.Image:
    """The painted picture, fading from transparent to opaque."""
    image = painted(width, height)
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


@cache
def one_of_each() -> dict[str, bytes]:
    """Valid files by a name that begins with their format."""
    image, other = painted(), painted().rotate(90)
    animation = {"save_all": True, "append_images": [other]}
    return {
        "jpeg": encoded(image, "JPEG"),
        "jpeg progressive": encoded(image, "JPEG", progressive=True),
        "jpeg cmyk": encoded(image.convert("CMYK"), "JPEG"),
        "png": encoded(image, "PNG"),
        "png transparent": encoded(veiled(), "PNG"),
        "png animated": encoded(image, "PNG", **animation),
        "webp": encoded(image, "WEBP"),
        "webp lossless": encoded(veiled(), "WEBP", lossless=True),
        "webp animated": encoded(image, "WEBP", **animation),
        "gif": encoded(image, "GIF"),
        "gif animated": encoded(image, "GIF", **animation),
        "tiff": encoded(image, "TIFF"),
        "tiff lzw": encoded(image, "TIFF", compression="tiff_lzw"),
        "tiff jpeg": encoded(image, "TIFF", compression="jpeg"),
        "bmp": encoded(image, "BMP"),
        "avif": encoded(image, "AVIF"),
    }


def near(found: object, wanted: tuple[int, ...], within: int) -> bool:
    assert isinstance(found, tuple)
    return len(found) == len(wanted) and all(abs(a - b) <= within for a, b in zip(found, wanted, strict=True))


def psnr(one: Image.Image, other: Image.Image) -> float:
    """Peak signal-to-noise ratio in dB over all channels; 99 for equal pictures."""
    found = ImageStat.Stat(ImageChops.difference(one, other))
    squares = sum(found.sum2) / sum(found.count)
    return 99.0 if squares == 0 else 10 * math.log10(255 * 255 / squares)


def rgb_profile() -> bytes:
    """An ICC profile with the primaries of Adobe RGB (1998), far wider than sRGB. Format: ICC.1:2001-04."""
    primaries = {
        b"rXYZ": (0.60974, 0.31111, 0.01947),
        b"gXYZ": (0.20528, 0.62567, 0.06087),
        b"bXYZ": (0.14919, 0.06322, 0.74457),
    }
    return matrix_profile(primaries, 2.2)


def matrix_profile(primaries: dict[bytes, tuple[float, float, float]], gamma: float) -> bytes:
    """An ICC profile of a screen, by its primaries in XYZ (D50). Format: ICC.1:2001-04."""
    tags = {name: _xyz(values) for name, values in primaries.items()}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _gamma(gamma))
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags)


def grey_profile() -> bytes:
    """An ICC profile of linear grey: middle values are much lighter than in sRGB."""
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": _gamma(1.0)})


def cmyk_profile() -> bytes:
    """An ICC profile of an imaginary press: cyan is L*a*b* (70, -40, -45)."""
    ramp = bytes(range(256))
    nodes = [(c, m, y, k) for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)]
    table = b"".join(_ink(c, m, y, k) for c, m, y, k in nodes)
    identity = struct.pack(">9i", *(65536 if i % 4 == 0 else 0 for i in range(9)))
    lut = b"mft1\0\0\0\0\x04\x03\x02\0" + identity + ramp * 4 + table + ramp * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": lut})


def _ink(c: int, m: int, y: int, k: int) -> bytes:
    lightness = 100 * (1 - k) * (1 - 0.3 * c) * (1 - 0.4 * m) * (1 - 0.05 * y)
    a, b = (1 - k) * (-40 * c + 60 * m), (1 - k) * (-45 * c + 80 * y)
    return bytes((round(lightness * 2.55), round(a + 128), round(b + 128)))


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


def _gamma(value: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256)) + b"\0\0"


def _profile(class_: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {b"wtpt": _xyz((0.9642, 1.0, 0.8249)), **tags}
    offset, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        data += b"\0" * (-len(data) % 4)
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data
    header = struct.pack(">I4xI4s4s4s12x4s28x", offset + len(body), 0x02400000, class_, space, connection, b"acsp")
    header += _xyz((0.9642, 1.0, 0.8249))[8:] + bytes(48)
    return header + struct.pack(">I", len(tags)) + table + body
