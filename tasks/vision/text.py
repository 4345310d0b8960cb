"""Words in pictures, found and read by the three networks of the package `rapidocr`, in the order in which one reads.

They read Latin letters with the accents of Europe (Vietnamese loses some), digits, punctuation, Chinese and Japanese,
and Greek without accents; not Cyrillic, Arabic, Hebrew, Korean, Thai or Indian scripts, which are left out or, seldom,
taken for Latin letters that look alike.
"""

import hashlib
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.model import Json
from tasks.vision.manifest import ModelRefused
from tasks.vision.model import ModelFailed
from tasks.vision.onnx import ERRORS
from tasks.vision.order import Points, reading_order

try:
    import cv2
    import rapidocr
    from rapidocr.ch_ppocr_det.utils import ResizeImgError as DetectorSizeError
    from rapidocr.inference_engine.onnxruntime import ONNXRuntimeError
    from rapidocr.main import RapidOCR, RapidOCRError
    from rapidocr.utils.process_img import ResizeImgError, map_boxes_to_original
except ImportError as exc:
    _absent: ImportError | None = exc
else:
    _absent = None
    logging.getLogger("RapidOCR").setLevel(logging.WARNING)  # it has a handler of its own and tells every step

NAME = "rapidocr: PP-OCRv6 small"
VERSION = "3.10.0"
LICENCE = "Apache-2.0"

FINDER, TURNER, READER = (
    Path("models/PP-OCRv6_det_small.onnx"),
    Path("models/ch_ppocr_mobile_v2.0_cls_mobile.onnx"),
    Path("models/PP-OCRv6_rec_small.onnx"),
)
# What it does, where in the package, SHA-256 of the file.
MODELS: Sequence[tuple[str, Path, str]] = (
    ("finds lines", FINDER, "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f"),
    ("tells upside down", TURNER, "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c"),
    ("reads a line", READER, "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884"),
)

LEAST_SCORE = 0.8
SMALLEST = 8  # pixels of a side; less holds no letter
LONGEST = 2000  # pixels; a larger picture is shrunk to it
SLIMMEST_WIDTH, SLIMMEST_HEIGHT = 1 / 8, 1 / 40  # of the other side; the package fails or enlarges without bound beyond
TURN_SURE = 0.9
BATCH, READER_RATIO = 6, 320 / 48  # the package's own batches of lines, and the least width by height in them


@dataclass(frozen=True, kw_only=True, slots=True)
class _Line:
    """A line as it was read: `spans` are where its words begin and end, as shares of its length."""

    text: str
    score: float
    words: tuple[tuple[str, float], ...]
    spans: tuple[tuple[float, float], ...]


def installed() -> bool:
    """Whether the package is here."""
    return _absent is None


def verify() -> None:
    """Compare the package's networks with what we know. Raises ModelRefused, which names the file."""
    folder = _folder()
    for _, file, expected in MODELS:
        try:
            with (folder / file).open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as exc:
            raise ModelRefused(f"model {NAME}: {folder / file} cannot be read: {exc.strerror}") from exc
        if found != expected:
            raise ModelRefused(f"model {NAME}: {folder / file} has SHA-256 {found}, expected is {expected}")


class Reader:
    """Holds the three networks; make it before a fork and let children use it, who must leave by `os._exit`."""

    def __init__(self, *, threads: int = 1) -> None:
        """Load the networks and run each once; `threads` at most as many as processors. Raises ModelRefused."""
        folder = _folder()
        cv2.setNumThreads(1)  # before its first use: a pool of threads does not live through a fork
        engine = "EngineConfig.onnxruntime"
        self._package = RapidOCR(
            params={
                "Global.log_level": "warning",
                "Global.max_side_len": LONGEST,
                "Global.return_word_box": True,
                f"{engine}.intra_op_num_threads": threads,
                f"{engine}.inter_op_num_threads": 1,
                # With a path a missing file is an error; without one it would be downloaded.
                "Det.model_path": str(folder / FINDER),
                "Cls.model_path": str(folder / TURNER),
                "Rec.model_path": str(folder / READER),
            }
        )
        try:
            self._warm()
        except (ModelFailed, OSError) as exc:
            raise ModelRefused(f"model {NAME}: {exc}") from exc

    def read(self, pixels: NDArray[np.uint8]) -> list[dict[str, Json]]:
        """The lines of a picture, [height, width, 3] sRGB and upright, in reading order; none gives [].

        A line: {name: "line", text, score, box, polygon, words: [{text, score, box}]}. `box` and `polygon` are shares
        of the picture; the polygon begins at the text's own top left, so it tells how the line is turned. Words are
        what stands between spaces (in Chinese and Japanese, mostly the line); their ends are estimated from the
        places of the letters. Lines with a score under 0.8 are left out. Raises ModelFailed.
        """
        height, width = pixels.shape[:2]
        if min(height, width) < SMALLEST:
            return []
        with _failing():
            corners, crops = self._find(pixels)
            lines = self._read(crops)
        sure = [position for position, (line, _) in enumerate(lines) if line.text and line.score >= LEAST_SCORE]
        kept = [(lines[place][0], np.roll(corners[place], -lines[place][1], axis=0)) for place in sure]
        order = reading_order([points for _, points in kept])
        return [_told(*kept[place], (width, height)) for place in order]

    def _warm(self) -> None:
        """The package loads a network when it is first used, and that must be before the fork."""
        blank = np.zeros((48, 48, 3), np.uint8)
        with _failing():
            self._find(blank)
            self._package.cls_and_rotate([blank])
            self._package.recognize_txt([blank])

    def _find(self, pixels: NDArray[np.uint8]) -> tuple[list[Points], list[NDArray[np.uint8]]]:
        """Corners of each line in pixels, in the directions of the picture, and the line cut out and laid flat."""
        height, width = pixels.shape[:2]
        down = _missing(height, width * SLIMMEST_HEIGHT)
        across = _missing(width, height * SLIMMEST_WIDTH)
        picture = np.pad(pixels[:, :, ::-1], (down, across, (0, 0)), mode="edge")  # BGR
        shrunk, record = self._package.preprocess_img(picture)
        try:
            crops, found = self._package.detect_and_crop(shrunk, record)
        except RapidOCRError:  # so it says that there is none
            return [], []
        assert found.boxes is not None
        quads = map_boxes_to_original(found.boxes.copy(), record, *picture.shape[:2])
        moved = quads.astype(np.float64) - (across[0], down[0])
        pairs = zip(moved, found.boxes, strict=True)
        return [np.roll(quad, -1, axis=0) if _upright(box) else quad for quad, box in pairs], crops

    def _read(self, crops: list[NDArray[np.uint8]]) -> list[tuple[_Line, int]]:
        """Each line, and by how many corners the text's top left is away from the crop's: 2 if it is upside down.

        The network that tells this errs on long lines: what it calls upside down, and what cannot be read, is
        read both ways, and the better one counts.
        """
        if not crops:
            return []
        _, turns = self._package.cls_and_rotate(crops)
        assert turns.cls_res is not None
        lines: list[tuple[_Line, int]] = []
        for crop, ratio, (label, score) in zip(crops, _ratios(crops), turns.cls_res, strict=True):
            line, turn = self._recognized(crop, ratio), 0
            if (label == "180" and score > TURN_SURE) or line.score < LEAST_SCORE:
                other = self._recognized(np.ascontiguousarray(crop[::-1, ::-1]), ratio)
                line, turn = (other, 2) if other.score > line.score else (line, 0)
            lines.append((line, turn))
        return lines

    def _recognized(self, crop: NDArray[np.uint8], ratio: float) -> _Line:
        """One line at a time: a batch of six takes half as long again on a CPU, and three times the memory."""
        network: Any = self._package.text_rec
        tensor = network.resize_norm_img(crop, ratio)[np.newaxis].astype(np.float32)
        own = crop.shape[1] / crop.shape[0]
        [(text, score)], [found] = network.postprocess_op(
            network.session(tensor), True, wh_ratio_list=(own,), max_wh_ratio=ratio
        )
        return _line(text, score, found)


def _folder() -> Path:
    if _absent is not None:
        message = f"the feature text needs the extra 'text' of Millrace, which brings the package rapidocr ({_absent})"
        raise ModelRefused(message) from _absent
    return Path(rapidocr.__file__).parent


@contextmanager
def _failing() -> Iterator[None]:
    """Turn the package's errors into ours. It also wraps a time limit that falls into its midst, which goes on."""
    wrappers = (ONNXRuntimeError, ResizeImgError, DetectorSizeError)
    try:
        yield
    except wrappers as exc:
        cause = exc.__cause__
        if cause is not None and not isinstance(cause, (*ERRORS, cv2.error)):
            raise cause from None
        raise ModelFailed(f"model {NAME}: {str(cause or exc).strip()[:300]}") from exc
    except (cv2.error, ValueError, ArithmeticError, LookupError, AssertionError) as exc:
        raise ModelFailed(f"model {NAME}: {str(exc).strip()[:300]}") from exc


def _missing(side: int, least: float) -> tuple[int, int]:
    """How many pixels to add before and behind."""
    lacking = max(0, math.ceil(max(least, 32)) - side)
    return lacking // 2, lacking - lacking // 2


def _upright(box: NDArray[np.float32]) -> bool:
    """Whether the package has turned the crop a quarter to the left, since it is so much higher than wide."""
    top, right, bottom, left = (int(np.linalg.norm(box[place] - box[(place + 1) % 4])) for place in range(4))
    return max(left, right) / max(top, bottom) >= 1.5


def _ratios(crops: list[NDArray[np.uint8]]) -> list[float]:
    """Width by height to which each line is filled up: that of the widest in its batch, as the package makes them.

    What is beside a line changes its score a little, and ours shall be the package's.
    """
    own = np.array([crop.shape[1] / crop.shape[0] for crop in crops])
    filled, order = np.empty_like(own), np.argsort(own)
    for begin in range(0, len(own), BATCH):
        batch = order[begin : begin + BATCH]
        filled[batch] = max(READER_RATIO, own[batch].max())
    return [float(ratio) for ratio in filled]


def _line(text: str, score: float, found: Any) -> _Line:
    """`found` has a score of every character, and the column of every one that is no space.

    The package's own scores and boxes of words are not used: it tells a word the score of some letter, and mirrors
    the words of a line that stands upside down.
    """
    columns = [column for word in found.word_cols for column in word]
    scores = [score for letter, score in zip(text, found.confs, strict=False) if not letter.isspace()]
    usual = (columns[-1] - columns[0]) / max(1, len(text.strip()) - 1) if columns else 0.0
    words, spans, begin = [], [], 0
    for word in text.split():
        end = begin + len(word)
        first, last = columns[begin], columns[end - 1]
        half = ((last - first) / (len(word) - 1) if len(word) > 1 else usual) / 2
        spans.append(((first + 0.5 - half) / found.line_txt_len, (last + 0.5 + half) / found.line_txt_len))
        words.append((word, float(np.mean(scores[begin:end]))))
        begin = end
    return _Line(text=text.strip(), score=float(score), words=tuple(words), spans=tuple(spans))


def _told(line: _Line, points: Points, size: tuple[int, int]) -> dict[str, Json]:
    shares = np.clip(points / size, 0, 1)
    words: list[Json] = []
    for (text, score), span in zip(line.words, line.spans, strict=True):
        words.append({"text": text, "score": round(score, 4), "box": _box(_between(shares, span))})
    return {
        "name": "line",
        "text": line.text,
        "score": round(line.score, 4),
        "box": _box(shares),
        "polygon": [[round(x, 4), round(y, 4)] for x, y in shares.tolist()],
        "words": words,
    }


def _between(corners: Points, span: tuple[float, float]) -> Points:
    begin, end = (min(max(share, 0.0), 1.0) for share in span)
    top, bottom = corners[1] - corners[0], corners[2] - corners[3]
    return np.array(
        [corners[0] + begin * top, corners[0] + end * top, corners[3] + end * bottom, corners[3] + begin * bottom]
    )


def _box(corners: Points) -> dict[str, Json]:
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    sides = {"x": left, "y": top, "width": right - left, "height": bottom - top}
    return {side: round(float(value), 4) for side, value in sides.items()}
