import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image
from zxingcpp import BarcodeFormat

import deploy
from tasks.vision.codes import LONGEST_TEXT, MOST_CODES, NAMES, codes

PHOTOS = Path(deploy.__file__).parent / "photos"


def symbol(content: str | bytes, format_: BarcodeFormat = BarcodeFormat.QRCode, scale: int = 4) -> Image.Image:
    """A code in black on white, with the margin that it asks for."""
    return Image.fromarray(np.array(zxingcpp.create_barcode(content, format_).to_image(scale=scale)))


def page(*placed: tuple[Image.Image, int, int], size: tuple[int, int] = (800, 800)) -> Image.Image:
    image = Image.new("RGB", size, "white")
    for one, left, top in placed:
        image.paste(one, (left, top))
    return image


def read(image: Image.Image) -> list[dict[str, Any]]:
    return codes(np.asarray(image))


@pytest.mark.parametrize(
    ("format_", "content", "name", "text"),
    [
        (BarcodeFormat.Aztec, "Hello", "aztec", "Hello"),
        (BarcodeFormat.Codabar, "A1234B", "codabar", "A1234B"),
        (BarcodeFormat.Code39, "HELLO", "code_39", "HELLO"),
        (BarcodeFormat.Code93, "HELLO", "code_93", "HELLO"),
        (BarcodeFormat.Code128, "Hello 128", "code_128", "Hello 128"),
        (BarcodeFormat.DataBarOmni, "0112345678901231", "databar", "0112345678901231"),
        (BarcodeFormat.DataMatrix, "Hello", "data_matrix", "Hello"),
        (BarcodeFormat.EAN8, "40170725", "ean_8", "40170725"),
        (BarcodeFormat.EAN13, "4006381333931", "ean_13", "4006381333931"),
        (BarcodeFormat.ISBN, "9783161484100", "ean_13", "9783161484100"),
        (BarcodeFormat.ITF, "1234567890", "itf", "1234567890"),
        (BarcodeFormat.MaxiCode, "Hello", "maxicode", "Hello"),
        (BarcodeFormat.MicroPDF417, "Hello", "micro_pdf417", "Hello"),
        (BarcodeFormat.MicroQRCode, "12345", "micro_qr_code", "12345"),
        (BarcodeFormat.PDF417, "Hello", "pdf417", "Hello"),
        (BarcodeFormat.QRCode, "https://example.com/?a=ü", "qr_code", "https://example.com/?a=ü"),
        (BarcodeFormat.RMQRCode, "Hello", "rmqr_code", "Hello"),
    ],
)
def test_each_kind_of_code_is_read_and_named(format_: BarcodeFormat, content: str, name: str, text: str) -> None:
    (found,) = read(page((symbol(content, format_), 60, 60)))

    assert (found["name"], found["text"], found["score"]) == (name, text, 1.0)
    assert found["bytes_base64"] is None
    assert found["truncated"] is False


def test_every_kind_that_the_library_reads_has_a_name_of_ours() -> None:
    assert set(zxingcpp.barcode_formats_list(zxingcpp.BarcodeFormats(zxingcpp.AllReadable))) <= set(NAMES)


def test_the_box_is_where_the_code_is_in_shares_of_the_picture() -> None:
    code = symbol("where", scale=10)
    dark = np.argwhere(np.asarray(code) < 128)
    (top, left), (bottom, right) = dark.min(axis=0), dark.max(axis=0) + 1

    (found,) = read(page((code, 300, 200)))

    assert found["box"]["x"] == pytest.approx((300 + left) / 800, abs=0.003)
    assert found["box"]["y"] == pytest.approx((200 + top) / 800, abs=0.003)
    assert found["box"]["width"] == pytest.approx((right - left) / 800, abs=0.003)
    assert found["box"]["height"] == pytest.approx((bottom - top) / 800, abs=0.003)


@pytest.mark.parametrize("angle", [0, 10, 45, 90, 135, 180, 270, 300])
def test_a_code_may_be_turned(angle: int) -> None:
    image = page((symbol("turned", scale=6), 320, 220)).rotate(angle, fillcolor="white")

    assert [found["text"] for found in read(image)] == ["turned"]


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_a_bar_code_may_be_turned(angle: int) -> None:
    image = page((symbol("4006381333931", BarcodeFormat.EAN13), 100, 100)).rotate(angle, expand=True)

    (found,) = read(image)

    assert found["text"] == "4006381333931"
    assert min(found["box"]["width"], found["box"]["height"]) > 0.1


def test_a_code_may_be_light_on_dark() -> None:
    image = Image.eval(page((symbol("night"), 200, 200)), lambda value: 255 - value)

    assert [found["text"] for found in read(image)] == ["night"]


def test_codes_come_in_reading_order() -> None:
    placed = [("three", 40, 330), ("one", 30, 40), ("four", 500, 310), ("two", 480, 70)]
    image = page(*((symbol(text, scale=5), left, top) for text, left, top in placed))

    assert [found["text"] for found in read(image)] == ["one", "two", "three", "four"]


def test_a_code_in_a_photograph_is_read_and_photographs_hold_none() -> None:
    for path in sorted(PHOTOS.glob("*.[pj][np]g")):
        with Image.open(path) as opened:
            photo = opened.convert("RGB")
        assert read(photo) == []

        photo.paste(symbol(path.name, scale=3), (20, 30))
        assert [found["text"] for found in read(photo)] == [path.name]


@pytest.mark.parametrize("format_", [BarcodeFormat.QRCode, BarcodeFormat.DataMatrix])
@pytest.mark.parametrize(
    "data",
    [
        bytes(range(256)),
        b"\x00\x01\xff\xfe\x80",
        b"text\x00with a NUL",
        b"\xed\xa0\x80 a lone surrogate",
        b"\xf0\x9f half a character",
        b"[)>\x1e06\x1dA\x00B\x1e\x04",  # ISO 15434, which the library takes for text
    ],
)
def test_content_that_is_no_text_comes_as_bytes(data: bytes, format_: BarcodeFormat) -> None:
    (found,) = read(page((symbol(data, format_), 60, 60)))

    assert found["text"] is None
    assert base64.b64decode(found["bytes_base64"]) == data


@pytest.mark.parametrize("text", ["grüße 日本 😀", "BEGIN:VCARD\r\nN:Doe\r\nEND:VCARD", "tab\there", "<b>'\"&"])
def test_text_is_kept_as_it_is(text: str) -> None:
    (found,) = read(page((symbol(text), 60, 60)))

    assert found["text"] == text


def test_a_text_with_a_nul_never_leaves_as_text() -> None:
    (found,) = read(page((symbol("a\0b"), 60, 60)))

    assert found["text"] is None
    assert base64.b64decode(found["bytes_base64"]) == b"a\0b"


def test_a_very_long_text_is_cut_and_says_so() -> None:
    (found,) = read(page((symbol("7" * 7089, scale=3), 0, 0)))

    assert found["text"] == "7" * LONGEST_TEXT
    assert found["truncated"] is True


def test_of_very_many_codes_the_uppermost_are_told() -> None:
    numbers = [f"{number:03}" for number in range(MOST_CODES + 10)]
    placed = [
        (symbol(text, scale=3), 20 + 130 * (place % 11), 20 + 130 * (place // 11)) for place, text in enumerate(numbers)
    ]
    image = page(*placed, size=(1460, 1340))

    assert [found["text"] for found in read(image)] == numbers[:MOST_CODES]


@settings(max_examples=50, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=60))
def test_whatever_is_written_is_read_as_harmless_json(text: str) -> None:
    code = zxingcpp.create_barcode(text.encode(), BarcodeFormat.QRCode, options="eci=UTF-8")
    (found,) = read(page((Image.fromarray(np.array(code.to_image(scale=4))), 20, 20)))

    assert json.loads(json.dumps(found)) == found
    content = found["text"] if found["text"] is not None else base64.b64decode(found["bytes_base64"]).decode()
    assert content == text


@settings(max_examples=50, deadline=None)
@given(pixels=arrays.arrays(np.uint8, st.tuples(st.integers(1, 60), st.integers(1, 60), st.just(3))))
def test_every_picture_can_be_looked_at(pixels: NDArray[np.uint8]) -> None:
    for found in codes(pixels):
        box = found["box"]
        assert all(0 <= box[side] <= 1 for side in ("x", "y", "width", "height"))
        assert box["x"] + box["width"] <= 1.0001
        assert box["y"] + box["height"] <= 1.0001
        assert "\\u0000" not in json.dumps(found)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (2, 3000), (3000, 2)])
def test_a_picture_of_any_shape_can_be_looked_at(shape: tuple[int, int]) -> None:
    assert codes(np.full((*shape, 3), 128, np.uint8)) == []


def test_the_box_of_a_code_at_the_edge_ends_with_the_picture() -> None:
    code = symbol("edge", scale=8)
    image = code.convert("RGB").crop(code.point(lambda value: 255 - value).getbbox())
    found = read(image)

    assert len(found) == 1
    assert found[0]["box"] == {"x": 0.0, "y": 0.0, "width": 1.0, "height": 1.0}
