"""From a network's tensors to what a feature answers: names with scores, boxes as shares of the upright picture."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from storage.model import Json
from tasks.vision.manifest import Decoder, Input, Serves
from tasks.vision.model import ModelFailed, Tensor
from tasks.vision.picture import Picture

STRIDES = (8, 16, 32)
LANDMARKS = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")
CANDIDATES = 1000  # boxes that are compared with each other, the surest of them

Corners = NDArray[np.float32]  # [n, 4]: left, top, right, bottom, as shares of the tensor


def decode(serves: Serves, outputs: Mapping[str, Tensor], picture: Picture, wanted: Input) -> Json:
    """What the feature answers. Raises ModelFailed if the outputs are not what the decoder reads."""
    if not all(np.isfinite(output).all() for output in _read_of(serves, outputs)):
        raise ModelFailed("the network's answer is not finite")
    try:
        with np.errstate(all="ignore"):  # what overflows is no finite box, and refused as such
            return _decoded(serves, outputs, picture, wanted)
    except (KeyError, IndexError, ValueError) as exc:
        raise ModelFailed(f"the outputs do not fit the decoder {serves.decoder}: {exc}") from exc


def _decoded(serves: Serves, outputs: Mapping[str, Tensor], picture: Picture, wanted: Input) -> Json:
    match serves.decoder:
        case Decoder.CLASSES:
            return _classes(outputs[serves.output], serves)
        case Decoder.SHARES:
            return _shares(outputs[serves.output], serves)
        case Decoder.VECTOR:
            return _vector(outputs[serves.output])
        case Decoder.SSD:
            return _ssd(outputs, serves, picture, wanted)
        case Decoder.YUNET:
            return _yunet(outputs, serves, picture, wanted)
        case _ as never:
            assert_never(never)


def _read_of(serves: Serves, outputs: Mapping[str, Tensor]) -> Iterable[Tensor]:
    """The outputs in which a number that is none would be taken for an answer."""
    if serves.output:
        return [outputs[serves.output]] if serves.output in outputs else []
    if serves.decoder is Decoder.SSD:  # boxes that nobody is sure of may be anything
        return [output for output in outputs.values() if output.shape[-1] != 4]
    return outputs.values()


def rounded(value: float) -> float:
    return round(float(value), 4)


def _classes(scores: Tensor, serves: Serves) -> Json:
    order = np.argsort(-scores, kind="stable")[: serves.most]
    return [
        {"name": serves.names[index], "score": rounded(scores[index])}
        for index in order.tolist()
        if scores[index] >= serves.threshold
    ]


def _shares(scores: Tensor, serves: Serves) -> Json:
    return {name: rounded(score) for name, score in zip(serves.names, scores.tolist(), strict=True)}


def _vector(vector: Tensor) -> Json:
    length = float(np.linalg.norm(vector))
    if length == 0:
        raise ModelFailed("the network's vector has no direction")
    return [float(f"{value:.5g}") for value in (vector / length).tolist()]


def _ssd(outputs: Mapping[str, Tensor], serves: Serves, picture: Picture, wanted: Input) -> Json:
    """The boxes [n, 1, 4] or [n, 4] are the output whose last axis is 4; the scores [n, classes] are the other one."""
    boxes = next(output for output in outputs.values() if output.shape[-1] == 4).reshape(-1, 4)
    scores = next(output for output in outputs.values() if output.shape[-1] != 4)
    corners = boxes[:, [1, 0, 3, 2]]
    found: list[dict[str, Json]] = []
    for kind in np.flatnonzero(scores.max(axis=0) >= serves.threshold).tolist():
        for index in _survivors(corners, scores[:, kind], serves):
            box = box_of(corners[index], picture, wanted)
            found.append({"name": serves.names[kind], "score": rounded(scores[index, kind]), "box": box})
    return _surest(found, serves.most)


def _yunet(outputs: Mapping[str, Tensor], serves: Serves, picture: Picture, wanted: Input) -> Json:
    """The layout of YuNet (2023): a cell of each grid of stride 8, 16 and 32 may see one face."""
    grids = [_grid(outputs, stride, serves, wanted) for stride in STRIDES]
    scores, corners, points = (np.concatenate(part) for part in zip(*grids, strict=True))
    found: list[dict[str, Json]] = []
    for index in _survivors(corners, scores, serves):
        placed = [picture.placed(float(x), float(y), wanted) for x, y in points[index].tolist()]
        found.append(
            {
                "name": "face",
                "score": rounded(scores[index]),
                "box": box_of(corners[index], picture, wanted),
                "landmarks": {
                    name: {"x": rounded(x), "y": rounded(y)} for name, (x, y) in zip(LANDMARKS, placed, strict=True)
                },
            }
        )
    return _surest(found, serves.most)


def _grid(
    outputs: Mapping[str, Tensor], stride: int, serves: Serves, wanted: Input
) -> tuple[Tensor, Corners, NDArray[np.float32]]:
    """Scores, boxes and landmarks of the cells that are sure enough."""
    seen, sure = (np.clip(outputs[f"{part}_{stride}"][:, 0], 0, 1) for part in ("cls", "obj"))
    scores = np.sqrt(seen * sure)
    chosen = np.flatnonzero(scores >= serves.threshold)
    row, column = np.divmod(chosen, wanted.width // stride)
    cells = np.stack([column, row], axis=1).astype(np.float32)
    sides = np.asarray([wanted.width, wanted.height], np.float32)
    shift = outputs[f"bbox_{stride}"][chosen]
    centre = (cells + shift[:, :2]) * stride / sides
    half = np.exp(shift[:, 2:]) * stride / sides / 2
    points = (outputs[f"kps_{stride}"][chosen].reshape(-1, 5, 2) + cells[:, None, :]) * stride / sides
    return scores[chosen], np.concatenate([centre - half, centre + half], axis=1), points


def _survivors(corners: Corners, scores: Tensor, serves: Serves) -> list[int]:
    """Greedy non-maximum suppression: the surest first, without those that overlap a surer one too much."""
    sure = np.flatnonzero(scores >= serves.threshold)
    left = sure[np.argsort(-scores[sure], kind="stable")][:CANDIDATES]
    kept: list[int] = []
    while len(left) and len(kept) < serves.most:
        best, left = left[0], left[1:]
        kept.append(int(best))
        left = left[_overlaps(corners[best], corners[left]) <= serves.overlap]
    return kept


def _overlaps(one: Any, others: Corners) -> Any:
    """Intersection over union of a box with each of the others."""
    sides = np.clip(np.minimum(one[2:], others[:, 2:]) - np.maximum(one[:2], others[:, :2]), 0, None)
    shared = sides[:, 0] * sides[:, 1]
    areas = (others[:, 2] - others[:, 0]) * (others[:, 3] - others[:, 1])
    whole = (one[2] - one[0]) * (one[3] - one[1]) + areas - shared
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)


def box_of(corners: Any, picture: Picture, wanted: Input) -> Json:
    """The part of a box that lies in the picture."""
    left, top = picture.placed(float(corners[0]), float(corners[1]), wanted)
    right, bottom = picture.placed(float(corners[2]), float(corners[3]), wanted)
    if not all(map(math.isfinite, (left, top, right, bottom))):
        raise ValueError("a box that is not finite")
    left, top, right, bottom = (min(1.0, max(0.0, side)) for side in (left, top, right, bottom))
    return {
        "x": rounded(left),
        "y": rounded(top),
        "width": rounded(max(0.0, right - left)),
        "height": rounded(max(0.0, bottom - top)),
    }


def _surest(found: Sequence[dict[str, Json]], most: int) -> Json:
    return sorted(found, key=lambda one: -one["score"])[:most]
