"""Every odd picture gives the right pixels in both engines, or a refusal with a code; nothing dies or hangs."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.images.child import child

CODES = {
    "image_unreadable",
    "image_truncated",
    "image_format_unsupported",
    "image_too_large",
    "page_missing",
}
TOLERANCE = 3.0  # levels, of 4 by 4 pixels of a small picture; of 740 pictures, 730 are within 1

# What only one engine can read, and why that is no harm.
READ_BY_ONE: Mapping[str, str] = {
    "chunk_no_fctl.png": "libvips reads the still picture, Pillow misses the first frame's control",
    "hopper_unknown_pixel_mode.tif": "an extra channel without a meaning, which Pillow does not know",
    "hopper_webp.tif": "WebP within TIFF, which Pillow does not know",
    "tiff_tiled_jpeg_oob_read.tif": "tiles of another size than they say: libtiff's JPEG reader copes with them",
    "truncated_end_chunk.png": "all pixels are there, only the end is not",
    "unknown_compression_method.png": "of the profile, not of the pixels",
}
# What the engines see differently, and why.
SEEN_DIFFERENTLY: Mapping[str, str] = {
    "8bit.s.tif": "numbers with a sign: libvips knows that, Pillow takes them for others",
    "star.avifs": "a still picture beside an animation: libvips shows the one, Pillow the first frame of the other",
}

# How many pictures of each format there must be something made of.
LEAST = {"avif": 15, "bmp": 50, "gif": 35, "heic": 29, "jpeg": 55, "png": 380, "tiff": 85, "webp": 12}


@pytest.fixture(scope="module")
def told(corpus: list[Path]) -> dict[Path, dict[str, Any]]:
    """What became of each file."""
    with child() as process:
        return {path: process.ask(path) for path in corpus}


def test_nothing_dies_hangs_or_raises_what_it_should_not(told: dict[Path, dict[str, Any]]) -> None:
    deaths = {path.name: one["death"] for path, one in told.items() if "death" in one}
    outcomes = [(path.name, outcome) for path, one in told.items() for outcome in one["outcomes"]]

    assert deaths == {}
    assert [(name, outcome["engine"], outcome["crash"]) for name, outcome in outcomes if outcome["crash"]] == []
    assert {outcome["code"] for _, outcome in outcomes} - {None} <= CODES


def test_what_one_engine_reads_the_other_does_too(told: dict[Path, dict[str, Any]]) -> None:
    by_one = {path.name for path, one in told.items() if len({bool(each["made"]) for each in one["outcomes"]}) > 1}

    assert by_one == READ_BY_ONE.keys()


def test_both_engines_see_the_same(told: dict[Path, dict[str, Any]]) -> None:
    made = {path.name: one for path, one in told.items() if all(each["made"] for each in one["outcomes"])}
    sizes = {name: [each["made"] for each in one["outcomes"]] for name, one in made.items()}
    differences = {name: one["difference"] for name, one in made.items()}

    assert {name: found for name, found in sizes.items() if found[0] != found[1]} == {}
    assert {name for name, found in differences.items() if found > TOLERANCE} == SEEN_DIFFERENTLY.keys()


def test_most_of_what_we_say_we_read_is_read(told: dict[Path, dict[str, Any]]) -> None:
    """So that a change that refuses all is not taken for a safe one."""
    read = Counter(one["header"][0] for one in told.values() if [each for each in one["outcomes"] if each["made"]])

    assert {name: min(read[name], least) for name, least in LEAST.items()} == LEAST
    assert read.total() > 700
