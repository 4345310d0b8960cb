import importlib
import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from tasks.vision.text import LEAST_SCORE, Reader, installed

pytestmark = pytest.mark.skipif(not installed(), reason="needs the extra 'text': make .venv/.installed")

INK = {"white": "black", "navy": "yellow"}
PROSE = [
    "The quick brown fox jumps over the lazy dog",
    "while parcels wait at gate B12, unpaid.",
    "Please bring your ticket, an identity card",
    "and the booking code to the counter.",
]
MARKS = [
    "0123456789 3.14159 2,718 50% 1/2 #42",
    "(a+b)*c = d; e-f: [g] {h} & i@j.example",
    'Total: 45.90 EUR! "Really?" it\'s $12',
    "Größe Übung Äpfel naïve façade señor",
]


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


def page(lines: list[str], *, size: int = 24, paper: str = "white", columns: int = 1) -> Image.Image:
    """The lines in the order in which they are read, on paper that is no wider than high; columns of equal length."""
    font = ImageFont.load_default(size=size)
    high = len(lines) // columns
    wide = int(max(font.getlength(line) for line in lines)) + 3 * size
    across = columns * wide + size
    image = Image.new("RGB", (across, max(across, int(high * size * 1.6) + 2 * size)), paper)
    pen = ImageDraw.Draw(image)
    for place, line in enumerate(lines):
        at = size + place // high * wide, size + place % high * size * 1.6
        pen.text(at, line, fill=INK[paper], font=font)
    return image


def pixels_of(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image.convert("RGB"))


def read(reader: Reader, image: Image.Image) -> list[dict[str, Any]]:
    return list(reader.read(pixels_of(image)))


def texts(found: list[dict[str, Any]]) -> list[str]:
    return [line["text"] for line in found]


def accuracy(found: list[dict[str, Any]], truth: list[str]) -> float:
    """The share of the truth's characters that need no edit (Levenshtein), lines in order."""
    read, expected = "\n".join(texts(found)), "\n".join(truth)
    before = list(range(len(expected) + 1))
    for row, letter in enumerate(read, 1):
        now = [row]
        for column, wanted in enumerate(expected, 1):
            now.append(min(before[column] + 1, now[-1] + 1, before[column - 1] + (letter != wanted)))
        before = now
    return 1 - before[-1] / len(expected)


@pytest.mark.parametrize("paper", INK)
@pytest.mark.parametrize("size", [12, 20, 48])
def test_clean_print_is_read(reader: Reader, size: int, paper: str) -> None:
    assert accuracy(read(reader, page(PROSE, size=size, paper=paper)), PROSE) >= 0.97


@pytest.mark.parametrize("paper", INK)
def test_digits_marks_and_umlauts_are_read(reader: Reader, paper: str) -> None:
    assert accuracy(read(reader, page(MARKS, paper=paper)), MARKS) >= 0.9


def test_small_letters_on_a_long_line_are_not_taken_for_upside_down(reader: Reader) -> None:
    long = [f"{a} {b} {c}" for a, b, c in itertools.permutations(PROSE, 3)][:4]

    assert accuracy(read(reader, page(long, size=14)), long) >= 0.97


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_page_on_its_side_or_head_is_read_in_its_own_direction(reader: Reader, quarters: int) -> None:
    found = read(reader, page(PROSE).rotate(-90 * quarters, expand=True))

    assert accuracy(found, PROSE) >= 0.97
    for line in found:
        along = np.subtract(line["polygon"][1], line["polygon"][0])
        assert np.argmax(np.abs(along)) == quarters % 2
        assert (along.sum() > 0) == (quarters == 1)
        assert line["words"][0]["box"] != line["words"][-1]["box"]
        first = line["words"][0]["box"]
        assert (
            np.hypot(
                first["x"] + first["width"] / 2 - line["polygon"][0][0],
                first["y"] + first["height"] / 2 - line["polygon"][0][1],
            )
            < 0.2
        )


def test_columns_are_read_one_after_the_other(reader: Reader) -> None:
    truth = [*PROSE, *reversed(PROSE)]

    assert accuracy(read(reader, page(truth, columns=2)), truth) >= 0.97


def test_a_word_has_the_box_where_it_was_drawn(reader: Reader) -> None:
    size, font = 32, ImageFont.load_default(size=32)
    image = page(PROSE, size=size)

    found = read(reader, image)

    for row, (line, truth) in enumerate(zip(found, PROSE, strict=True)):
        assert [word["text"] for word in line["words"]] == truth.split()
        place = 0
        for word in line["words"]:
            place = truth.index(word["text"], place)
            begin, end = (size + font.getlength(truth[:cut]) for cut in (place, place + len(word["text"])))
            left = word["box"]["x"] * image.width
            right = left + word["box"]["width"] * image.width
            common = min(right, end) - max(left, begin)
            assert common / (max(right, end) - min(left, begin)) >= 0.6, word
            middle = (word["box"]["y"] + word["box"]["height"] / 2) * image.height
            assert abs(middle - (size + row * size * 1.6 + size / 2)) < size / 3
            place += len(word["text"])


def test_results_are_shares_of_the_picture_and_sure(reader: Reader) -> None:
    [line, *_] = found = read(reader, page(["EXIT", "12"], size=60))

    assert texts(found) == ["EXIT", "12"]
    assert set(line) == {"name", "text", "score", "box", "polygon", "words"}
    assert line["name"] == "line"
    for part in (line, *line["words"]):
        assert LEAST_SCORE <= part["score"] <= 1
        assert set(part["box"]) == {"x", "y", "width", "height"}
        assert all(0 <= side <= 1 for side in part["box"].values())
    [word] = line["words"]
    assert (word["text"], word["score"]) == ("EXIT", pytest.approx(line["score"], abs=1e-4))


def test_what_cannot_be_read_for_sure_is_left_out(reader: Reader) -> None:
    smeared = page(PROSE, size=24).resize((90, 35)).resize((720, 280))

    assert all(line["score"] >= LEAST_SCORE for line in reader.read(pixels_of(smeared)))


@pytest.mark.parametrize(
    ("width", "height"), [(1, 1), (1, 3000), (3000, 1), (8, 900), (3000, 8), (9, 9), (700, 60), (40, 200), (31, 33)]
)
def test_a_picture_of_any_size_without_text_has_none(reader: Reader, width: int, height: int) -> None:
    assert reader.read(np.full((height, width, 3), 200, np.uint8)) == []


@pytest.mark.parametrize("quarters", [0, 1])
def test_a_strip_that_holds_one_line_is_read(reader: Reader, quarters: int) -> None:
    strip = page(PROSE[:1], size=20).crop((15, 16, 520, 46)).rotate(90 * quarters, expand=True)

    assert accuracy(read(reader, strip), PROSE[:1]) >= 0.9


def test_a_page_that_is_larger_than_the_networks_take_is_read(reader: Reader) -> None:
    large = Image.new("RGB", (3000, 1200), "white")
    large.paste(page(PROSE, size=36), (1500, 700))

    found = read(reader, large)

    assert accuracy(found, PROSE) >= 0.97
    assert all(line["box"]["x"] >= 0.5 and line["box"]["y"] >= 0.58 for line in found)


def test_it_reads_what_the_package_itself_reads(reader: Reader) -> None:
    pixels = pixels_of(page(PROSE + MARKS, size=30))

    usual = {"EngineConfig.onnxruntime.intra_op_num_threads": 1, "Global.log_level": "warning"}
    package: Any = importlib.import_module("rapidocr").RapidOCR(params=usual)
    theirs = package(np.ascontiguousarray(pixels[:, :, ::-1]))

    ours = reader.read(pixels)
    assert texts(ours) == list(theirs.txts)
    assert [line["score"] for line in ours] == pytest.approx(list(theirs.scores), abs=1e-3)
