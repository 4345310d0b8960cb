"""What is shown until a picture is there: its BlurHash as a small PNG, made without an image library. Pure."""

import math
import struct
import zlib
from collections.abc import Sequence
from functools import lru_cache

SIDE = 32  # pixels of the longer side
GREY = (128, 128, 128)  # where nothing is known of the picture yet
MOST_COMPONENTS = 9

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)}
_STEPS = 4096  # of linear light in the table below: none of the 256 values of a channel is missed

Wave = tuple[float, float, float]  # red, green and blue in linear light


@lru_cache(maxsize=1024)
def placeholder(blurhash: str | None, width: int, height: int) -> bytes:
    """A PNG of the proportions of `width` by `height`, SIDE pixels at its longer side; grey without a readable hash."""
    across, down = _sides(width, height)
    try:
        pixels = bytes(GREY) * (across * down) if blurhash is None else decoded(blurhash, across, down)
    except ValueError:
        pixels = bytes(GREY) * (across * down)
    return png(pixels, across, down)


def decoded(blurhash: str, width: int, height: int) -> bytes:
    """The RGB pixels, row by row, that a BlurHash stands for. Raises ValueError where it is none.

    Source: Wolt's algorithm, github.com/woltapp/blurhash, Algorithm.md. The waves of a row are added up once for all of
    its pixels.
    """
    waves, columns = _waves(blurhash)
    across = [[math.cos(math.pi * wave * x / width) for wave in range(columns)] for x in range(width)]
    rows = len(waves) // columns
    made = bytearray()
    for y in range(height):
        down = [math.cos(math.pi * wave * y / height) for wave in range(rows)]
        line = [_added(waves[column::columns], down) for column in range(columns)]
        for x in range(width):
            made += bytes(_srgb(light) for light in _added(line, across[x]))
    return bytes(made)


def png(pixels: bytes, width: int, height: int) -> bytes:
    """RGB pixels of 8 bits, row by row, as a PNG file (W3C, Portable Network Graphics, third edition)."""
    row = width * 3
    lines = b"".join(b"\0" + pixels[at : at + row] for at in range(0, len(pixels), row))  # filter type 0: none
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _sides(width: int, height: int) -> tuple[int, int]:
    longer = max(width, height, 1)
    return max(1, round(SIDE * width / longer)), max(1, round(SIDE * height / longer))


def _waves(blurhash: str) -> tuple[list[Wave], int]:
    """The waves of a hash, row by row, and how many stand in a row; the first is the mean colour."""
    try:
        values = [_VALUES[digit] for digit in blurhash]
    except KeyError as exc:
        raise ValueError("has a character that no BlurHash has") from exc
    rows, columns = divmod(values[0] if values else 0, MOST_COMPONENTS)
    rows, columns = rows + 1, columns + 1
    if len(values) != 4 + 2 * rows * columns or rows > MOST_COMPONENTS:
        raise ValueError("has another length than its first character says")
    most = (values[1] + 1) / 166
    colour = _number(values[2:6])
    waves = [_light(colour)]
    for at in range(6, len(values), 2):
        number = _number(values[at : at + 2])
        waves.append((_height(number // 361, most), _height(number // 19 % 19, most), _height(number % 19, most)))
    return waves, columns


def _number(digits: Sequence[int]) -> int:
    number = 0
    for digit in digits:
        number = number * len(_DIGITS) + digit
    return number


def _height(level: int, most: float) -> float:
    """How high a wave is: 19 levels from -most to most, squared."""
    share = (level - 9) / 9
    return math.copysign(share * share, share) * most


def _light(colour: int) -> Wave:
    red, green, blue = (_linear(colour >> shift & 255) for shift in (16, 8, 0))
    return red, green, blue


def _linear(value: int) -> float:
    """The light that a value of an sRGB channel stands for, 0..1 (IEC 61966-2-1)."""
    share = value / 255
    return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4


def _channel(light: float) -> int:
    return round(255 * (light * 12.92 if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055))


_SRGB = bytes(_channel(step / _STEPS) for step in range(_STEPS + 1))


def _srgb(light: float) -> int:
    return _SRGB[min(max(int(light * _STEPS + 0.5), 0), _STEPS)]


def _added(waves: Sequence[Wave], weights: Sequence[float]) -> Wave:
    red = green = blue = 0.0
    for (one, two, three), weight in zip(waves, weights, strict=True):
        red += one * weight
        green += two * weight
        blue += three * weight
    return red, green, blue
