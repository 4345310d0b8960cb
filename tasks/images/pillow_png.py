"""Interlaced PNG, which Pillow cannot write. Pure.

Format: PNG (third edition), sections 5 (chunks), 8.1 (Adam7), 9 (filters).
"""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {"L": 0, "RGB": 2, "LA": 4, "RGBA": 6}
ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
UP = 2


def interlaced(image: Image.Image, level: int, exif: bytes | None, profile: bytes | None) -> bytes:
    """Write L, LA, RGB or RGBA in the seven passes of Adam7, compressed by zlib at this level."""
    pixels = np.asarray(image).reshape(image.height, image.width, -1)
    header = struct.pack(">IIBBBBB", image.width, image.height, 8, COLOUR_TYPES[image.mode], 0, 0, 1)
    chunks = [_chunk(b"IHDR", header)]
    if profile is not None:
        chunks.append(_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(profile)))
    if exif is not None:
        chunks.append(_chunk(b"eXIf", exif.removeprefix(b"Exif\0\0")))
    passes = (pixels[y::down, x::across] for x, y, across, down in ADAM7)
    data = b"".join(_filtered(part) for part in passes if part.size)
    return b"".join([SIGNATURE, *chunks, _chunk(b"IDAT", zlib.compress(data, level)), _chunk(b"IEND", b"")])


def _filtered(pixels: NDArray[np.uint8]) -> bytes:
    """Each row as its differences from the row above, behind the number of that filter."""
    rows = pixels.reshape(pixels.shape[0], -1)
    filtered = np.empty((rows.shape[0], rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = UP
    filtered[0, 1:] = rows[0]
    filtered[1:, 1:] = rows[1:] - rows[:-1]  # modulo 256
    return filtered.tobytes()


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
