"""EXIF blocks as cameras write them."""

from collections.abc import Mapping
from typing import Any

from PIL import Image

ARTIST, COPYRIGHT, ORIENTATION, MAKE = 0x013B, 0x8298, 0x0112, 0x010F
EXIF, GPS, MAKER_NOTE = 0x8769, 0x8825, 0x927C


def camera(order: str = "<", more: Mapping[int, Any] = {}) -> bytes:
    """What a camera writes, by Pillow; `more` stands in its first table."""
    block = Image.Exif()
    block.endian = order
    block.update({MAKE: "Lumen", 0x0110: "L-1", ORIENTATION: 6, ARTIST: "Ann", COPYRIGHT: "(c) Ann", 0x0100: 4000})
    block.get_ifd(EXIF).update(
        {0x829A: 1 / 250, 0x829D: 2.8, 0x8827: 100, 0x920A: 35.0, 0x9003: "2024:05:01 10:11:12", 0x9011: "+02:00"}
        | {0xA431: "SERIAL-9", 0xA434: "35mm F2.8", 0xA002: 4000, 0xA001: 2, MAKER_NOTE: b"notes " * 20}
        | {0x9286: b"UNICODE\0" + "grüß".encode("utf-16-le" if order == "<" else "utf-16-be")}
    )
    block.get_ifd(GPS).update({1: "S", 2: (33.0, 51.0, 30.0), 3: "E", 4: (151.0, 12.0, 0.5), 5: b"\1", 6: 12.5})
    block.update(more)
    return block.tobytes()
