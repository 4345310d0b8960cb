"""Small files that would cost much, lie, or are two things at once, made on the spot; and how they are refused."""

import struct
import zlib
from functools import cache

from tasks.images.headers import MAX_SIDE
from tests.tasks.samples import encoded, one_of_each, painted

TOO_LARGE, UNREADABLE, UNSUPPORTED = "image_too_large", "image_unreadable", "image_format_unsupported"


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *chunks: bytes, colour_type: int = 2) -> bytes:
    """A signature, a header, these chunks, and pixels of which the first are there."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0))
    pixels = png_chunk(b"IDAT", zlib.compress(bytes(min(20_000_000, (3 * width + 1) * height)), 9))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + pixels + png_chunk(b"IEND", b"")


def gif_start(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\0\0\0"


def gif_frame(left: int, top: int, width: int, height: int) -> bytes:
    dispose = b"!\xf9\x04\x08\0\0\0\0"  # to the background: Pillow then fills a rectangle while it opens the file
    return dispose + b"," + struct.pack("<4H", left, top, width, height) + b"\0\x02\0"


def gif(width: int, height: int, *frames: tuple[int, int, int, int]) -> bytes:
    return gif_start(width, height) + b"".join(gif_frame(*frame) for frame in frames or [(0, 0, width, height)]) + b";"


def bmp(width: int, height: int, *, bits: int = 24, compression: int = 0) -> bytes:
    return b"BM" + struct.pack(
        "<IIIIiiHHIIiiII", 54, 0, 54, 40, width, height, 1, bits, compression, 0, 0, 0, 0, 0
    ).ljust(60, b"\0")


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"WEBP" + b"".join(
        name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for name, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_canvas(width: int, height: int, flags: int = 0) -> tuple[bytes, bytes]:
    return b"VP8X", bytes((flags, 0, 0, 0)) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


def webp_frame(left: int, top: int, width: int, height: int) -> tuple[bytes, bytes]:
    numbers = (left // 2, top // 2, width - 1, height - 1, 100)
    return b"ANMF", b"".join(number.to_bytes(3, "little") for number in numbers) + b"\0"


def webp_pixels(width: int, height: int) -> tuple[bytes, bytes]:
    return b"VP8L", b"\x2f" + ((height - 1) << 14 | (width - 1)).to_bytes(4, "little") + bytes(8)


def tiff(*directories: dict[int, int | tuple[int, ...]], last: int = 0, big: bool = False) -> bytes:
    """A TIFF of these directories, of LONG values; after the last one, the chain goes on at `last`."""
    short, long, head = ("<Q", "<Q", 16) if big else ("<H", "<I", 8)
    data = b"II+\0\x08\0\0\0" + struct.pack("<Q", head) if big else b"II*\0" + struct.pack("<I", head)
    for number, tags in enumerate(directories):
        size = struct.calcsize(short) + (20 if big else 12) * len(tags) + struct.calcsize(long)
        begin, values, table = len(data), b"", struct.pack(short, len(tags))
        for tag, value in sorted(tags.items()):
            several = value if isinstance(value, tuple) else (value,)
            packed = struct.pack(f"<{len(several)}I", *several)
            if len(packed) > struct.calcsize(long):
                values, packed = values + packed, struct.pack(long, begin + size + len(values))
            table += struct.pack("<HH" + long[1], tag, 4, len(several)) + packed.ljust(struct.calcsize(long), b"\0")
        end = begin + size + len(values)
        data += table + struct.pack(long, end if number + 1 < len(directories) else last) + values
    return data


def tiff_page(width: int, height: int, **more: int) -> dict[int, int | tuple[int, ...]]:
    """Tags of a grey page without compression, its pixels at the file's beginning; others by t and their number."""
    tags: dict[int, int | tuple[int, ...]] = {
        256: width,
        257: height,
        258: 8,
        259: 1,
        262: 1,
        273: 8,
        277: 1,
        278: height,
    }
    return tags | {279: 100} | {int(tag[1:]): value for tag, value in more.items()}


def jpeg(width: int, height: int) -> bytes:
    """A small JPEG that says it is of this size."""
    data = bytearray(one_of_each()["jpeg"])
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def scans(count: int) -> bytes:
    """A progressive JPEG that repeats its first scan so often."""
    data = one_of_each()["jpeg progressive"]
    first = data.index(b"\xff\xda")
    second = data.index(b"\xff\xda", first + 2)
    return data[:first] + data[first:second] * count + data[second:]


def avif(width: int, height: int) -> bytes:
    """A small AVIF whose properties say that it is of this size."""
    data = bytearray(one_of_each()["avif"])
    place = data.index(b"ispe") + 8
    data[place : place + 8] = struct.pack(">II", width, height)
    return bytes(data)


@cache
def bombs() -> dict[str, tuple[bytes, str]]:
    """Files by what they do, each with the code with which it is refused."""
    return _pngs_and_gifs() | _others() | _no_pictures()


def _pngs_and_gifs() -> dict[str, tuple[bytes, str]]:
    zeros = zlib.compress(bytes(100_000_000), 9)
    return {
        "png of 2.5 gigapixels": (png(50_000, 50_000), TOO_LARGE),
        "png of one endless row": (png(MAX_SIDE + 1, 1), TOO_LARGE),
        "png with a text of 100 MB": (png(9, 9, png_chunk(b"zTXt", b"Comment\0\0" + zeros)), TOO_LARGE),
        "png with an international text of 100 MB": (png(9, 9, png_chunk(b"iTXt", b"a\0\1\0\0\0" + zeros)), TOO_LARGE),
        "png with a profile of 100 MB": (png(9, 9, png_chunk(b"iCCP", b"icc\0\0" + zeros)), TOO_LARGE),
        "png of many texts": (
            png(9, 9, *[png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(500_000)))] * 99),
            TOO_LARGE,
        ),
        "png of a billion frames": (png(9, 9, png_chunk(b"acTL", struct.pack(">II", 10**9, 0))), TOO_LARGE),
        "png of endless chunks": (png(9, 9, png_chunk(b"teXt", b"") * 100_001), UNREADABLE),
        "png that does not begin with its header": (
            b"\x89PNG\r\n\x1a\n" + png_chunk(b"CgBI", b"") + png(9, 9)[8:],
            UNREADABLE,
        ),
        "gif of 4 gigapixels in 44 bytes": (gif(65_535, 65_535), TOO_LARGE),
        "gif whose frame is larger than its screen": (gif(1, 1, (0, 0, 60_000, 60_000)), TOO_LARGE),
        "gif whose second frame is larger than its screen": (
            gif(1, 1, (0, 0, 1, 1), (0, 0, 60_000, 60_000)),
            TOO_LARGE,
        ),
        "gif of 10,000 frames": (gif(1, 1, *[(0, 0, 1, 1)] * 10_000), TOO_LARGE),
        "gif of 200 frames of 16 megapixels": (gif(4_000, 4_000, *[(0, 0, 4_000, 4_000)] * 200), TOO_LARGE),
        "gif without a frame": (gif_start(9, 9) + b";", UNREADABLE),
    }


def _others() -> dict[str, tuple[bytes, str]]:
    two_frames = one_of_each()["jpeg"]
    frame = two_frames.index(b"\xff\xc0")
    twice = two_frames[:frame] + jpeg(9_000, 9_000)[frame : frame + 19] + two_frames[frame:]
    return {
        "bmp of 3.6 gigapixels": (bmp(60_000, 60_000), TOO_LARGE),
        "bmp that holds a jpeg": (bmp(9, 9, compression=4), UNSUPPORTED),
        "bmp of 30,000 bits": (bmp(9, 9, bits=30_000), UNSUPPORTED),
        "webp of 256 megapixels": (riff(webp_canvas(16_000, 16_000), webp_pixels(16_000, 16_000)), TOO_LARGE),
        "webp with more pixels than its canvas": (riff(webp_canvas(9, 9), webp_pixels(16_000, 16_000)), UNREADABLE),
        "webp whose frame is larger than its canvas": (
            riff(webp_canvas(9, 9, 2), webp_frame(0, 0, 9_000, 9_000)),
            UNREADABLE,
        ),
        "webp of 2,000 frames": (riff(webp_canvas(9, 9, 2), *[webp_frame(0, 0, 9, 9)] * 2_000), TOO_LARGE),
        "tiff of 3.6 gigapixels": (tiff(tiff_page(60_000, 60_000)), TOO_LARGE),
        "tiff with tiles of 4 gigapixels": (tiff(tiff_page(9, 9, t322=65_536, t323=65_536)), TOO_LARGE),
        "tiff of 65,535 channels": (tiff(tiff_page(900, 900, t277=65_535)), UNSUPPORTED),
        "tiff with a billion strips": (
            tiff(tiff_page(9, 9)).replace(struct.pack("<HHI", 273, 4, 1), struct.pack("<HHI", 273, 4, 10**9)),
            UNREADABLE,
        ),
        "tiff without a directory": (b"II*\0\0\0\0\0", UNREADABLE),
        "jpeg of 4.3 gigapixels": (jpeg(65_500, 65_500), TOO_LARGE),
        "jpeg of 1,000 scans": (scans(1_000), UNREADABLE),
        "jpeg of two sizes": (twice, UNREADABLE),
        "jpeg of endless blocks": (b"\xff\xd8" + b"\xff\xfe\0\2" * 5_000 + one_of_each()["jpeg"][2:], UNREADABLE),
        "avif of 3.6 gigapixels": (avif(60_000, 60_000), TOO_LARGE),
    }


def _no_pictures() -> dict[str, tuple[bytes, str]]:
    return {
        "icns": (b"icns\0\0\0\x10ic07\0\0\0\x08", UNSUPPORTED),
        "ico": (encoded(painted(), "ICO"), UNSUPPORTED),
        "svg": (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', UNSUPPORTED),
        "svg with an entity": (
            b'\xef\xbb\xbf\n<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
            UNSUPPORTED,
        ),
        "html": (b"<!DOCTYPE html><script>alert(1)</script>", UNSUPPORTED),
        "zip": (b"PK\x03\x04" + bytes(60), UNSUPPORTED),
        "gzip": (b"\x1f\x8b\x08" + bytes(60), UNSUPPORTED),
    }


@cache
def polyglots() -> dict[str, tuple[bytes, str]]:
    """Files that others may take for something else, each with the format that its beginning says."""
    script = b"/*" + gif(8, 8)[6:] + b"*/=1;alert(1)//"
    page = b"<html><script>alert(1)</script></html>"
    archive = b"PK\x03\x04" + bytes(26) + b"PK\x05\x06" + bytes(18)
    return {
        "gif and javascript": (gif(8, 8) + script, "gif"),
        "png and html": (png(9, 9) + page, "png"),
        "jpeg and zip": (one_of_each()["jpeg"] + archive, "jpeg"),
        "jpeg and html in a comment": (
            b"\xff\xd8\xff\xfe" + struct.pack(">H", len(page) + 2) + page + one_of_each()["jpeg"][2:],
            "jpeg",
        ),
        "webp and pdf": (one_of_each()["webp"] + b"%PDF-1.7\n", "webp"),
        "tiff and zip": (one_of_each()["tiff"] + archive, "tiff"),
        "bmp and html": (one_of_each()["bmp"] + page, "bmp"),
    }
