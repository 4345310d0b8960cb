"""EXIF blocks as cameras, editors and strangers write them."""

import random
import struct
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tasks.exif_tags import NAMES, USUAL
from tasks.images import exif
from tests.tasks.images.blocks import ARTIST, COPYRIGHT, EXIF, GPS, MAKE, MAKER_NOTE, ORIENTATION, camera
from tests.tasks.samples import decoded, encoded, painted


def read(block: bytes | None) -> dict[str, dict[int, Any]]:
    """By Pillow's parser, in place of ours."""
    assert block is not None
    assert block.startswith(b"Exif\0\0")
    found = Image.Exif()
    found.load(block)
    tables = {"exif": dict(found.get_ifd(EXIF)), "gps": dict(found.get_ifd(GPS))}
    return {"ifd0": {tag: value for tag, value in found.items() if tag not in (EXIF, GPS)}, **tables}


def with_thumbnail(thumbnail: bytes) -> bytes:
    """A block with a thumbnail in its second table, as cameras have it."""
    head = struct.pack("<4sIHHHI4sI", b"II*\0", 8, 1, MAKE, 2, 4, b"Lum\0", 26)
    table = struct.pack("<HHHIIHHIII", 2, 0x0201, 4, 1, 56, 0x0202, 4, 1, len(thumbnail), 0)
    return b"Exif\0\0" + head + table + thumbnail


def table(*entries: tuple[int, int, int, int], at: int = 8) -> bytes:
    """A little-endian block of one table of (tag, type, count, value or place)."""
    rows = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return struct.pack("<4sIH", b"II*\0", at, len(entries)) + rows + bytes(4)


@pytest.mark.parametrize("order", ["<", ">"])
def test_all_keeps_all_but_what_was_true_of_the_old_file(order: str) -> None:
    found = read(exif.kept(camera(order), "all"))
    assert found["ifd0"] == {MAKE: "Lumen", 0x0110: "L-1", ORIENTATION: 1, ARTIST: "Ann", COPYRIGHT: "(c) Ann"}
    assert found["exif"].keys() == {0x829A, 0x829D, 0x8827, 0x920A, 0x9003, 0x9011, 0xA431, 0xA434, MAKER_NOTE, 0x9286}
    assert found["exif"][0x829A] == pytest.approx(1 / 250)
    assert found["exif"][MAKER_NOTE] == b"notes " * 20
    assert (found["gps"][2], found["gps"][1]) == ((33.0, 51.0, 30.0), "S")


@pytest.mark.parametrize("order", ["<", ">"])
def test_copyright_keeps_two_fields(order: str) -> None:
    block = exif.kept(camera(order), "copyright")
    assert read(block) == {"ifd0": {ARTIST: "Ann", COPYRIGHT: "(c) Ann"}, "exif": {}, "gps": {}}
    assert b"SERIAL" not in (block or b"")


def test_strip_and_nothing_keep_nothing() -> None:
    assert exif.kept(camera(), "strip") is None
    assert exif.kept(None, "all") is None
    assert exif.kept(table((MAKE, 2, 4, 0x6D754C)), "copyright") is None


@pytest.mark.parametrize("metadata", ["copyright", "all"])
def test_what_is_kept_is_kept_again(metadata: Literal["copyright", "all"]) -> None:
    block = exif.kept(camera(), metadata)
    assert exif.kept(block, metadata) == block


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_pillow_writes_it_in_every_format(format_: str) -> None:
    image = decoded(encoded(painted(), format_, exif=exif.kept(camera(), "copyright")))
    assert (image.getexif()[ARTIST], image.getexif()[COPYRIGHT]) == ("Ann", "(c) Ann")


def test_a_block_without_its_prefix_is_a_block_too() -> None:
    bare = camera().removeprefix(b"Exif\0\0")
    assert exif.kept(bare, "all") == exif.kept(b"Exif\0\0" + bare, "all")


def test_thumbnails_and_previews_go() -> None:
    small = encoded(painted(20, 10), "JPEG")
    assert exif.kept(with_thumbnail(small), "all") == exif.kept(table((MAKE, 2, 4, 0x6D754C)), "all")
    previewed = camera(more={0xC4A5: b"preview: " + small})
    assert small in previewed
    assert small[:3] not in (exif.kept(previewed, "all") or b"")


def test_the_makers_notes_stay_where_they_were() -> None:
    before = camera()
    after = exif.kept(before, "all")
    assert after is not None
    assert after.index(b"notes notes") == before.index(b"notes notes")


def test_a_block_too_large_for_a_jpeg_loses_its_largest_values() -> None:
    block = exif.kept(camera(more={0xC4A5: bytes(70_000), 0x010E: "x" * 40_000}), "all")
    assert len(block or b"") < 65_533
    assert 0xC4A5 not in read(block)["ifd0"]
    assert read(block)["ifd0"][0x010E] == "x" * 40_000
    assert decoded(encoded(painted(), "JPEG", exif=block)).getexif()[MAKE] == "Lumen"


def test_a_second_orientation_does_not_slip_through() -> None:
    block = exif.kept(table((ORIENTATION, 3, 1, 6), (ORIENTATION, 3, 1, 8), (MAKE, 2, 4, 0x6D754C)), "all")
    assert read(block)["ifd0"] == {MAKE: "Lum", ORIENTATION: 1}


HOSTILE = {
    "empty": b"",
    "prefix alone": b"Exif\0\0",
    "no TIFF": b"Exif\0\0" + b"JUNK" * 20,
    "cut after the magic": b"II*\0",
    "table outside": struct.pack("<4sI", b"II*\0", 0xFFFFFFF0) + bytes(8),
    "table in the header": struct.pack("<4sI", b"II*\0", 0) + bytes(8),
    "a table that is its own EXIF and GPS table": table((EXIF, 4, 1, 8), (GPS, 4, 1, 8)),
    "absurd count": table((ARTIST, 2, 0xFFFFFFFF, 8), (0x829A, 12, 0x20000000, 8)),
    "value outside": table((ARTIST, 2, 100, 20), (COPYRIGHT, 2, 8, 0xFFFFFFFE)),
    "value in the header": table((ARTIST, 2, 8, 0)),
    "unknown type": table((ARTIST, 99, 1, 8), (COPYRIGHT, 0, 1, 8)),
    "nothing counted": table((ARTIST, 2, 0, 8)),
    "more entries than bytes": struct.pack("<4sIH", b"II*\0", 8, 65535) + bytes(12),
    "pointer of a wrong type": table((EXIF, 2, 4, 8), (GPS, 4, 2, 8)),
}


@pytest.mark.parametrize("block", HOSTILE.values(), ids=list(HOSTILE))
def test_what_makes_no_sense_is_left_out(block: bytes) -> None:
    assert exif.kept(block, "all") is None
    assert exif.kept(block, "copyright") is None
    assert exif.fields(block, NAMES) == {}


def harmless(block: bytes) -> None:
    """No error, and what is kept is a block that is upright, small, and stays the same."""
    exif.fields(block, NAMES)
    for metadata in ("copyright", "all"):
        found = exif.kept(block, metadata)
        if found is None:
            continue
        assert len(found) < 65_533
        assert exif.kept(found, metadata) == found
        assert exif.fields(found, ["Orientation"]).get("Orientation", 1) == 1
        assert metadata == "all" or exif.fields(found, NAMES).keys() <= {"Artist", "Copyright"}
        assert read(found)["ifd0"].get(ORIENTATION, 1) == 1


@settings(max_examples=60)
@given(st.binary(max_size=200), st.sampled_from(["<", ">"]))
def test_no_bytes_do_harm(tail: bytes, order: str) -> None:
    harmless(struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 8) + tail)


def test_nor_do_broken_blocks_of_cameras() -> None:
    dice = random.Random(8)
    for _ in range(300):
        block = bytearray(camera(dice.choice("<>")))
        for _ in range(dice.randrange(1, 10)):
            block[dice.randrange(6, len(block))] = dice.choice((0, 1, 8, 26, 255, dice.randrange(256)))
        harmless(bytes(block[: dice.randrange(8, len(block) + 1)] if dice.random() < 0.3 else block))


@pytest.mark.parametrize("order", ["<", ">"])
def test_fields_are_told_as_people_read_them(order: str) -> None:
    told = exif.fields(camera(order), USUAL)
    assert told == {
        "Make": "Lumen",
        "Model": "L-1",
        "LensModel": "35mm F2.8",
        "ExposureTime": 0.004,
        "FNumber": 2.8,
        "ISOSpeedRatings": 100,
        "FocalLength": 35.0,
        "DateTimeOriginal": "2024-05-01T10:11:12+02:00",
    }
    assert exif.fields(camera(order), ["UserComment", "BodySerialNumber", "NoSuchName"]) == {
        "UserComment": "grüß",
        "BodySerialNumber": "SERIAL-9",
    }


def test_the_place_is_degrees() -> None:
    told = exif.fields(camera(), ["GPSInfo", "GPSLatitude"])
    assert told["GPSLatitude"] == -33.8583333
    assert told["GPSInfo"] == {
        "GPSLatitudeRef": "S",
        "GPSLatitude": -33.8583333,
        "GPSLongitudeRef": "E",
        "GPSLongitude": 151.2001389,
        "GPSAltitudeRef": 1,
        "GPSAltitude": -12.5,
    }


def test_text_is_cleaned_and_bounded() -> None:
    dirty = {
        0x010E: "a\x1b[31m\u202eb\tçö\0hidden".encode(),
        0x0131: "x" * 9_000,
        0x013C: "\x01\x02",
        0x9C9B: "Tür".encode("utf-16-le"),
    }
    told = exif.fields(camera(more=dirty), ["ImageDescription", "Software", "HostComputer", "XPTitle"])
    assert told["ImageDescription"] == "a[31mb çö"
    assert told["Software"] == "x" * 512
    assert told.keys() == {"ImageDescription", "Software", "XPTitle"}
    assert told["XPTitle"] == "Tür"


NONSENSE = {
    "no time": ("DateTimeOriginal", 0x9003, "0000:00:00 00:00:00"),
    "nearly a time": ("DateTimeOriginal", 0x9003, "2024:13:01 10:00:00"),
    "words": ("DateTimeOriginal", 0x9003, "yesterday"),
}


@pytest.mark.parametrize(("name", "tag", "value"), NONSENSE.values(), ids=list(NONSENSE))
def test_a_time_that_is_none_is_left_out(name: str, tag: int, value: str) -> None:
    block = Image.Exif()
    block.get_ifd(EXIF)[tag] = value
    assert exif.fields(block.tobytes(), [name]) == {}


def test_numbers_that_json_cannot_hold_are_left_out() -> None:
    rationals = table((MAKE, 2, 4, 0x6D754C), (EXIF, 4, 1, 38)) + struct.pack(
        "<HHHIIHHIIIII", 2, 0x829A, 5, 1, 68, 0xA500, 11, 1, 0x7F800000, 0, 1, 0
    )
    assert exif.fields(rationals, ["ExposureTime", "Gamma", "Make"]) == {"Make": "Lum"}
