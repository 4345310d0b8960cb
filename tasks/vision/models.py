"""The networks of one folder: checked and loaded once per process, in a pool of processes before they are forked."""

import logging
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

from tasks.settings import WorkerSettings
from tasks.vision import manifest as manifests
from tasks.vision import text
from tasks.vision.grouped import Grouped
from tasks.vision.manifest import Input, Manifest, ModelRefused
from tasks.vision.model import Model
from tasks.vision.onnx import OnnxModel, providers_of
from tasks.vision.server import ServedModel

log = logging.getLogger(__name__)

Make = Callable[[Manifest], Model]


class Models:
    """The networks of MODELS_DIR by name and by feature, each loaded when it is first asked for, or by `load`."""

    def __init__(self, folder: Path) -> None:
        """Read and check all manifests and files. Raises ModelRefused."""
        self._manifests = {found.name: found for found in manifests.read_folder(folder)}
        for found in self._manifests.values():
            found.verify()
        if text.installed():
            text.verify()
        self._loaded: dict[str, Model] = {}
        self._reader: text.Reader | None = None
        self._lock = threading.Lock()

    def load(self) -> None:
        """Load everything that works in a child after a fork. Raises ModelRefused."""
        for found in self._manifests.values():
            if not found.installed:
                log.warning("models.not_installed model=%s package=%s", found.name, found.package)
            elif found.run.survives_fork:
                self.get(found.name)
            else:
                providers_of(found)  # a device is opened by each child for itself, but it must be there
        if text.installed():
            self.reader()
        else:
            log.warning("models.not_installed model=%s package=rapidocr", text.NAME)
        for found in self._manifests.values():
            if found.installed:
                log.info("models.ready model=%s features=%s", found.name, ",".join(found.features))

    def serving(self, feature: str) -> Manifest | None:
        """The network that serves a feature; None if none does, or the package with its file is not installed."""
        return next((m for m in self._manifests.values() if feature in m.features and m.installed), None)

    def inputs(self) -> list[Input]:
        """What the networks of all features want to see."""
        return [found.input for found in self._manifests.values() if found.features]

    def get(self, name: str) -> Model:
        """A network by its name. Raises ModelRefused if there is none, or it cannot be loaded."""
        with self._lock:
            if name not in self._loaded:
                if name not in self._manifests:
                    raise ModelRefused(f"there is no model {name!r}; there are: {', '.join(sorted(self._manifests))}")
                self._loaded[name] = _made(self._manifests[name])
            return self._loaded[name]

    def reader(self) -> text.Reader:
        """What reads text; `text.installed` must hold."""
        with self._lock:
            if self._reader is None:
                self._reader = text.Reader()
            return self._reader


class _Here:
    """The networks of this process, and of those that it forks."""

    models: Models | None = None
    folder: Path | None = None
    lock = threading.Lock()


def current(folder: Path) -> Models:
    """This process's networks: those that were loaded before it was forked, or new ones. Raises ModelRefused."""
    with _Here.lock:
        if _Here.models is None or _Here.folder != folder:
            _Here.models, _Here.folder = Models(folder), folder
        return _Here.models


def preload(settings: WorkerSettings) -> None:
    """Have the networks ready before slots are forked: they then share their memory. Raises ModelRefused."""
    current(settings.models_dir).load()


def _made(found: Manifest) -> Model:
    made: Model
    match found.run.on:
        case "onnxruntime":
            made = OnnxModel(found)
        case "server":
            made = ServedModel(found, ssl.create_default_context())
    return made if found.run.group is None else Grouped(made, found.run.group)
