"""What can be said of a picture: each feature by its network or its function, all from one decoded picture."""

import importlib.metadata
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

from storage.model import Json
from tasks.analysis import ModelUsed
from tasks.errors import TasksError
from tasks.images import blurhash, colors, phash
from tasks.images.model import Limits
from tasks.params import Feature
from tasks.vision import codes, decoders, picture, quality, text
from tasks.vision.manifest import Manifest
from tasks.vision.model import Tensor
from tasks.vision.models import Models
from tasks.vision.picture import Picture, Pixels

OURS = ("millrace", "1", "Apache-2.0")  # raised when an answer changes
ZXING = ("zxing-cpp", importlib.metadata.version("zxing-cpp"), "Apache-2.0")

# Features that need no network: the function, and whose it is.
BY_FUNCTION: Mapping[Feature, tuple[Callable[[Pixels], Json], tuple[str, str, str]]] = {
    Feature.CODES: (codes.codes, ZXING),
    Feature.COLORS: (colors.colors, OURS),
    Feature.BLURHASH: (blurhash.blurhash, OURS),
    Feature.PHASH: (phash.phash, OURS),
    Feature.QUALITY: (quality.quality, OURS),
}
DETAILED = frozenset({Feature.TEXT, Feature.CODES})
DETAIL = 2000  # pixels of the longer side, for these

EXTRAS = {Feature.MODERATION: "moderation", Feature.TEXT: "text"}


class FeatureMissing(TasksError):
    """Nothing in this worker serves the feature."""


class Look:
    """One picture, decoded for the features that are asked of it; a network that serves several of them runs once."""

    def __init__(self, file: Path | BinaryIO, features: Iterable[Feature], models: Models, limits: Limits) -> None:
        """Decode the picture. Raises ImageRejected."""
        self._models = models
        self._outputs: dict[str, tuple[Mapping[str, Tensor], float]] = {}
        detail = 0 if DETAILED.isdisjoint(features) else DETAIL
        self.picture: Picture = picture.read(file, models.inputs(), limits, detail=detail)

    def answer(self, feature: Feature) -> tuple[Json, ModelUsed]:
        """What the feature says of the picture, and by what.

        Raises FeatureMissing, ModelFailed, ModelUnavailable, and whatever a function raises on odd pixels.
        """
        began = time.perf_counter()
        if feature in BY_FUNCTION:
            function, by = BY_FUNCTION[feature]
            return function(self._pixels(feature)), _used(by, began)
        if feature is Feature.TEXT and text.installed():
            found: Json = self._models.reader().read(self._pixels(feature))
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

    def _pixels(self, feature: Feature) -> Pixels:
        return self.picture.detail(DETAIL) if feature in DETAILED else self.picture.pixels()

    def _run(self, manifest: Manifest) -> tuple[Mapping[str, Tensor], float]:
        if manifest.name not in self._outputs:
            began = time.perf_counter()
            (outputs,) = self._models.get(manifest.name).run([self.picture.tensor(manifest.input)])
            self._outputs[manifest.name] = outputs, _milliseconds(began)
        return self._outputs[manifest.name]


def _used(by: tuple[str, str, str], began: float) -> ModelUsed:
    name, version, licence = by
    return ModelUsed(name=name, version=version, licence=licence, milliseconds=_milliseconds(began))


def _milliseconds(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 2)
