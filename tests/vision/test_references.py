"""The same answers as each network's own package gave, recorded in references/ (how: README.md), on 20 photographs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.images.model import Limits
from tasks.params import Feature
from tasks.settings import MODELS_DIR
from tasks.vision.features import Look
from tasks.vision.models import Models
from tests.vision.photographs import Photograph

pytestmark = pytest.mark.timeout(600)

REFERENCES = Path(__file__).with_name("references")
CLASSES = json.loads((MODELS_DIR / "imagenet-1k.json").read_text())
WITHIN = 1e-3
OTHER_PIXELS = {"page", "typewriter"}  # a grey profile, which we apply; 4,000 pixels wide, which we shrink in our way
TOGETHER = (Feature.LABELS, Feature.EMBEDDING, Feature.OBJECTS, Feature.FACES, Feature.MODERATION)


def recorded(model: str) -> dict[str, Any]:
    pictures: dict[str, Any] = json.loads((REFERENCES / f"{model}.json").read_text())["pictures"]
    return pictures


NAMES = sorted(recorded("efficientnet-lite0"))


@pytest.fixture(scope="module")
def looks(photographs: Mapping[str, Photograph], models: Models) -> Mapping[str, Look]:
    return {name: Look(photographs[name].path, TOGETHER, models, Limits()) for name in NAMES}


def near(value: float) -> Any:
    return pytest.approx(value, abs=WITHIN)


def test_there_are_twenty() -> None:
    assert len(NAMES) == 20


@pytest.mark.parametrize("name", NAMES)
def test_labels(looks: Mapping[str, Look], name: str) -> None:
    told: Any = looks[name].answer(Feature.LABELS)[0]
    reference = {CLASSES[index]: score for index, score in recorded("efficientnet-lite0")[name]["top"]}
    assert told[0]["name"] == next(iter(reference))
    for label in told:
        assert label["score"] == near(reference[label["name"]])


@pytest.mark.parametrize("name", NAMES)
def test_embeddings(looks: Mapping[str, Look], name: str) -> None:
    told: Any = looks[name].answer(Feature.EMBEDDING)[0]
    reference = recorded("efficientnet-lite0")[name]
    expected = [value / reference["norm"] for value in reference["embedding"]]
    assert told[: len(expected)] == [near(value) for value in expected]


@pytest.mark.parametrize("name", NAMES)
def test_objects(looks: Mapping[str, Look], name: str) -> None:
    told: Any = looks[name].answer(Feature.OBJECTS)[0]
    picture = looks[name].picture
    expected = sorted(recorded("ssdlite-mobilenet-v2-coco")[name]["detections"], key=lambda one: -one["score"])
    assert [one["name"] for one in told] == [one["name"] for one in expected]
    for one, other in zip(told, expected, strict=True):
        assert one["score"] == near(other["score"])
        x, y, width, height = other["box"]
        left, top = max(0, x), max(0, y)
        right, bottom = min(picture.width, x + width), min(picture.height, y + height)
        assert box(one) == [
            near(left / picture.width),
            near(top / picture.height),
            near((right - left) / picture.width),
            near((bottom - top) / picture.height),
        ]


@pytest.mark.parametrize("name", NAMES)
def test_faces(looks: Mapping[str, Look], name: str) -> None:
    told: Any = looks[name].answer(Feature.FACES)[0]
    reference = recorded("yunet-2023mar")[name]
    sides = np.array(reference["size"])
    expected = sorted(reference["faces"], key=lambda one: -one["score"])
    assert len(told) == len(expected)
    for face, other in zip(told, expected, strict=True):
        assert face["score"] == near(other["score"])
        marks = [[face["landmarks"][mark][axis] for axis in "xy"] for mark in LANDMARKS]
        assert np.abs(np.array(marks) - np.array(other["landmarks"]) / sides).max() < WITHIN
        corners = np.array(other["box"]).reshape(2, 2) / sides
        corners = np.clip(np.stack([corners[0], corners[0] + corners[1]]), 0, 1)
        assert box(face) == [near(value) for value in [*corners[0], *(corners[1] - corners[0])]]


LANDMARKS = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")


def box(one: Mapping[str, Any]) -> list[float]:
    return [one["box"][side] for side in ("x", "y", "width", "height")]


@pytest.mark.parametrize("name", NAMES)
def test_moderation(looks: Mapping[str, Look], name: str) -> None:
    told: Any = looks[name].answer(Feature.MODERATION)[0]
    assert told["nsfw"] == near(recorded("open-nsfw")[name])
    assert told["safe"] == near(1 - recorded("open-nsfw")[name])


@pytest.mark.parametrize("name", NAMES)
def test_hashes(photographs: Mapping[str, Photograph], models: Models, name: str) -> None:
    look = Look(photographs[name].path, [Feature.PHASH, Feature.BLURHASH, Feature.TEXT], models, Limits())
    reference = recorded("hashes")[name]
    assert look.answer(Feature.PHASH)[0] == reference["phash"]
    assert look.answer(Feature.BLURHASH)[0] == reference["blurhash"]


@pytest.mark.parametrize("name", sorted(recorded("rapidocr")))
def test_text(texts: Mapping[str, Any], name: str) -> None:
    """We read at least what the package reads by itself, and where both read a line of the same pixels, as surely."""
    ours = {line["text"]: line["score"] for line in texts[name]}
    theirs = {line["text"]: line["score"] for line in recorded("rapidocr")[name] if line["score"] >= 0.8}
    same = ours.keys() & theirs.keys()
    assert len(same) >= 0.9 * len(theirs), (sorted(ours), sorted(theirs))
    assert len(ours) >= len(theirs)
    for text in same if name not in OTHER_PIXELS else ():
        assert ours[text] == near(theirs[text])
