"""What QR codes, bar codes and their kin in a picture say. Pure, on zxing-cpp."""

import base64
import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import zxingcpp
from numpy.typing import NDArray
from PIL import Image
from zxingcpp import Barcode, BarcodeFormat, ContentType, TextMode

MOST_CODES = 100
LONGEST_TEXT = 4096  # characters, and bytes of what is not text; a QR code holds at most 7,089 digits or 2,953 bytes

# Our names stay when the library's change. What is a manner of writing, not of reading, has its parent's name.
NAMES = {
    BarcodeFormat.Aztec: "aztec",
    BarcodeFormat.AztecCode: "aztec",
    BarcodeFormat.AztecRune: "aztec_rune",
    BarcodeFormat.Codabar: "codabar",
    BarcodeFormat.Code32: "code_32",
    BarcodeFormat.Code39: "code_39",
    BarcodeFormat.Code39Ext: "code_39",
    BarcodeFormat.Code39Std: "code_39",
    BarcodeFormat.Code93: "code_93",
    BarcodeFormat.Code128: "code_128",
    BarcodeFormat.CompactPDF417: "pdf417",
    BarcodeFormat.DXFilmEdge: "dx_film_edge",
    BarcodeFormat.DataBar: "databar",
    BarcodeFormat.DataBarExp: "databar_expanded",
    BarcodeFormat.DataBarExpStk: "databar_expanded_stacked",
    BarcodeFormat.DataBarLtd: "databar_limited",
    BarcodeFormat.DataBarOmni: "databar",
    BarcodeFormat.DataBarStk: "databar_stacked",
    BarcodeFormat.DataBarStkOmni: "databar_stacked",
    BarcodeFormat.DataMatrix: "data_matrix",
    BarcodeFormat.EAN8: "ean_8",
    BarcodeFormat.EAN13: "ean_13",
    BarcodeFormat.EANUPC: "ean_upc",
    BarcodeFormat.ISBN: "ean_13",
    BarcodeFormat.ITF: "itf",
    BarcodeFormat.ITF14: "itf",
    BarcodeFormat.MaxiCode: "maxicode",
    BarcodeFormat.MicroPDF417: "micro_pdf417",
    BarcodeFormat.MicroQRCode: "micro_qr_code",
    BarcodeFormat.OtherBarcode: "other",
    BarcodeFormat.PDF417: "pdf417",
    BarcodeFormat.PZN: "pzn",
    BarcodeFormat.QRCode: "qr_code",
    BarcodeFormat.QRCodeModel1: "qr_code",
    BarcodeFormat.QRCodeModel2: "qr_code",
    BarcodeFormat.RMQRCode: "rmqr_code",
    BarcodeFormat.Telepen: "telepen",
    BarcodeFormat.TelepenAlpha: "telepen",
    BarcodeFormat.TelepenNumeric: "telepen",
    BarcodeFormat.UPCA: "upc_a",
    BarcodeFormat.UPCE: "upc_e",
}


def codes(pixels: NDArray[np.uint8]) -> list[dict[str, Any]]:
    """Read all codes of a picture, in reading order: `[{"name", "score", "box", "text", "bytes_base64", "truncated"}]`.

    `pixels` is RGB, [height, width, 3]. `name` is the kind of code, such as "qr_code" or "ean_13"; `score` is 1, as
    check digits have been verified; `box` holds shares 0..1 of the picture. Where the content is not text, or holds a
    NUL, `text` is null and `bytes_base64` has the bytes; otherwise that is null. Of the codes the uppermost 100 are
    told, of a content the first 4,096 characters or bytes, and `truncated` says whether there were more.
    """
    height, width, _ = pixels.shape
    grey = np.asarray(Image.fromarray(pixels).convert("L"))
    found = zxingcpp.read_barcodes(grey, text_mode=TextMode.Plain)
    read = [{"name": NAMES.get(code.format, "other"), "score": 1.0, "box": _box(code, width, height)} for code in found]
    for answer, code in zip(read, found, strict=True):
        answer.update(_content(code))
    return _in_reading_order(read)[:MOST_CODES]


def _box(code: Barcode, width: int, height: int) -> dict[str, float]:
    place = code.position
    points = (place.top_left, place.top_right, place.bottom_right, place.bottom_left)
    left, right = _span([point.x for point in points], width)
    top, bottom = _span([point.y for point in points], height)
    return {"x": left, "y": top, "width": round(right - left, 4), "height": round(bottom - top, 4)}


def _span(places: Sequence[int], length: int) -> tuple[float, float]:
    """The first and the last edge as shares of the length; the points are pixels, of which the last one counts."""
    first, last = min(max(min(places), 0), length), min(max(max(places) + 1, 0), length)
    return round(first / length, 4), round(max(first, last) / length, 4)


def _content(code: Barcode) -> dict[str, Any]:
    text = _text(code)
    if text is not None:
        return {"text": text[:LONGEST_TEXT], "bytes_base64": None, "truncated": len(text) > LONGEST_TEXT}
    data = code.bytes
    encoded = base64.b64encode(data[:LONGEST_TEXT]).decode()
    return {"text": None, "bytes_base64": encoded, "truncated": len(data) > LONGEST_TEXT}


def _text(code: Barcode) -> str | None:
    """The content, or None where it is not text that JSON and a database can hold."""
    if code.content_type in (ContentType.Binary, ContentType.UnknownECI):
        return None
    try:
        text = code.text
        text.encode()
    except UnicodeError:
        return None
    return None if "\0" in text else text


def _in_reading_order(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """From left to right in lines from top to bottom; a code whose middle is beside the line's first belongs to it."""
    lines: list[list[dict[str, Any]]] = []
    bottom = -math.inf
    for answer in sorted(answers, key=_middle):
        if not lines or _middle(answer) > bottom:
            lines.append([])
            bottom = _middle(answer) + answer["box"]["height"] / 2
        lines[-1].append(answer)
    return list(chain.from_iterable(sorted(line, key=_left) for line in lines))


def _middle(answer: dict[str, Any]) -> float:
    return float(answer["box"]["y"] + answer["box"]["height"] / 2)


def _left(answer: dict[str, Any]) -> float:
    return float(answer["box"]["x"])
