"""How often each feature is right on the photographs of the table: what a person saw against what the platform says."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.images.model import Limits
from tasks.params import Feature
from tasks.vision.features import Look
from tasks.vision.models import Models
from tests.vision.photographs import Photograph

LIVING_AND_MOVING = frozenset(
    {"person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "bird", "cat", "dog"}
    | {"horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """One claim of the table, or one picture of it: `right` of `whole`, which are characters for text, else 1."""

    feature: str
    photograph: str
    right: float
    whole: float
    said: str


def texts(photographs: Sequence[Photograph], models: Models) -> dict[str, Any]:
    """What is read in each photograph that has text, by its name."""
    looks = {one.name: Look(one.path, [Feature.TEXT], models, Limits()) for one in photographs if one.text}
    return {name: look.answer(Feature.TEXT)[0] for name, look in looks.items()}


def scores(photographs: Sequence[Photograph], models: Models, written: Mapping[str, Any]) -> list[Score]:
    """Look at every photograph and compare; `written` are their texts."""
    return [score for photograph in photographs for score in _of(photograph, models, written)]


def share(found: Sequence[Score], feature: str) -> float:
    """How much of what the table claims of a feature is right, 0..1."""
    of = [score for score in found if score.feature == feature]
    return sum(score.right for score in of) / sum(score.whole for score in of)


def report(found: Sequence[Score]) -> str:
    """A line for each feature, and one for each claim that was missed."""
    lines = []
    for feature in dict.fromkeys(score.feature for score in found):
        of = [score for score in found if score.feature == feature]
        lines.append(f"{feature:<28}{share(found, feature):>7.1%}  of {sum(one.whole for one in of):.0f}")
        lines += [f"    {one.photograph}: {one.said}" for one in of if one.right < one.whole]
    return "\n".join(lines)


def _of(photograph: Photograph, models: Models, written: Mapping[str, Any]) -> Iterator[Score]:
    features = [Feature.LABELS, Feature.OBJECTS, Feature.FACES, Feature.CODES]
    look = Look(photograph.path, features, models, Limits())
    told: dict[Feature, Any] = {feature: look.answer(feature)[0] for feature in features}

    def claim(feature: str, right: bool, said: object) -> Score:
        return Score(feature=feature, photograph=photograph.name, right=float(right), whole=1, said=str(said))

    if photograph.labels:
        first = [label["name"] for label in told[Feature.LABELS][:3]]
        yield claim("labels, top 3", bool({*first} & {*photograph.labels}), first)
    found = {one["name"] for one in told[Feature.OBJECTS]}
    for name in photograph.objects:
        yield claim("objects", name in found, f"{name}: {sorted(found)}")
        if name in LIVING_AND_MOVING:
            yield claim("person, vehicle or animal", name in found, f"{name}: {sorted(found)}")
    if photograph.faces is not None:
        seen = len(told[Feature.FACES])
        yield claim("faces, exact number", seen == photograph.faces, f"{seen} instead of {photograph.faces}")
    for content in photograph.codes:
        read = [code["text"] for code in told[Feature.CODES]]
        yield claim("codes", content in read, read)
    if photograph.text:
        page = "\n".join(line["text"] for line in written[photograph.name])
        right = len(photograph.text) - distance(page, photograph.text)
        yield Score(
            feature="text, characters",
            photograph=photograph.name,
            right=max(0, right),
            whole=len(photograph.text),
            said=repr(page[:80]),
        )


def distance(one: str, other: str) -> int:
    """Characters to be put in, taken out or changed (V. I. Levenshtein, 1966)."""
    row = list(range(len(other) + 1))
    for number, character in enumerate(one, 1):
        before, row = row, [number]
        for place, wanted in enumerate(other, 1):
            row.append(min(row[-1] + 1, before[place] + 1, before[place - 1] + (character != wanted)))
    return row[-1]
