"""What can be said of a picture: each feature by its network or its function, all from one decoded picture."""

import importlib.metadata
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

from storage.model import Json
from tasks.analysis import ModelUsed
from tasks.errors import TasksError
from tasks.params import Feature
from tasks.pictures import Limits
from tasks.vision import blurhash, codes, colors, decoders, phash, picture, quality, text
from tasks.vision.manifest import Manifest
from tasks.vision.model import Tensor
from tasks.vision.models import Models
from tasks.vision.picture import Picture, Pixels

OURS = ("millrace", importlib.metadata.version("millrace"), "Apache-2.0")
ZXING = ("zxing-cpp", importlib.metadata.version("zxing-cpp"), "Apache-2.0")

# Features that need no network: the function, how many pixels of the longer side it is to have, and whose it is. The
# hashes are those of the libraries only if nothing but the decoder has shrunk the picture before.
BY_FUNCTION: Mapping[Feature, tuple[Callable[[Pixels], Json], int, tuple[str, str, str]]] = {
    Feature.CODES: (codes.codes, 2000, ZXING),
    Feature.COLORS: (colors.colors, 512, OURS),
    Feature.BLURHASH: (blurhash.blurhash, 1024, OURS),
    Feature.PHASH: (phash.phash, 1024, OURS),
    Feature.QUALITY: (quality.quality, 1024, OURS),
}
TEXT_SIDE = 2000

EXTRAS = {Feature.MODERATION: "moderation", Feature.TEXT: "text"}


class FeatureMissing(TasksError):
    """Nothing in this worker serves the feature."""


class Look:
    """One picture, decoded for the features that are asked of it; a network that serves several of them runs once."""

    def __init__(self, file: Path | BinaryIO, features: Iterable[Feature], models: Models, limits: Limits) -> None:
        """Decode the picture. Raises ImageRejected."""
        self._models = models
        self._outputs: dict[str, tuple[Mapping[str, Tensor], float]] = {}
        self.picture: Picture = picture.read(file, [_scale(feature, models) for feature in features], limits)

    def answer(self, feature: Feature) -> tuple[Json, ModelUsed]:
        """What the feature says of the picture, and by what.

        Raises FeatureMissing, ModelFailed, ModelUnavailable, and whatever a function raises on odd pixels.
        """
        began = time.perf_counter()
        if feature in BY_FUNCTION:
            function, side, by = BY_FUNCTION[feature]
            pixels = self.picture.pixels(side if feature is Feature.CODES else None)
            return function(pixels), _used(by, began)
        if feature is Feature.TEXT and text.installed():
            found: Json = self._models.reader().read(self.picture.pixels(TEXT_SIDE))
            return found, _used((text.NAME, text.VERSION, text.LICENCE), began)
        manifest = self._models.serving(feature)
        if manifest is None:
            extra = f": it comes with the extra {EXTRAS[feature]!r}" if feature in EXTRAS else ""
            raise FeatureMissing(f"the workers have no model for {feature.value!r}{extra}")
        outputs, milliseconds = self._run(manifest)
        value = decoders.decode(manifest.features[feature], outputs, self.picture, manifest.input)
        used = ModelUsed(
            name=manifest.name, version=manifest.version, licence=manifest.licence, milliseconds=milliseconds
        )
        return value, used

    def _run(self, manifest: Manifest) -> tuple[Mapping[str, Tensor], float]:
        if manifest.name not in self._outputs:
            began = time.perf_counter()
            (outputs,) = self._models.get(manifest.name).run([self.picture.tensor(manifest.input)])
            self._outputs[manifest.name] = outputs, _milliseconds(began)
        return self._outputs[manifest.name]


def _scale(feature: Feature, models: Models) -> picture.Scale:
    if feature in BY_FUNCTION:
        return picture.for_side(BY_FUNCTION[feature][1])
    manifest = models.serving(feature)
    return picture.for_side(TEXT_SIDE) if manifest is None else picture.for_input(manifest.input)


def _used(by: tuple[str, str, str], began: float) -> ModelUsed:
    name, version, licence = by
    return ModelUsed(name=name, version=version, licence=licence, milliseconds=_milliseconds(began))


def _milliseconds(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 2)
