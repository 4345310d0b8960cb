"""A network behind one small Protocol, wherever it runs: on this machine's CPU or GPU, or on a model server."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.errors import TasksError
from tasks.vision.manifest import Manifest

Tensor = NDArray[np.float32]


class ModelUnavailable(TasksError):
    """The model did not answer now, and may later: its server is away, or its device is full."""


class ModelFailed(TasksError):
    """The model cannot take this input, whoever asks again."""


class Model(Protocol):
    """Runs one network. Several threads may call it at once."""

    @property
    def manifest(self) -> Manifest: ...

    def run(self, pictures: Sequence[Tensor]) -> list[Mapping[str, Tensor]]:
        """The outputs by name of each picture, in the order of the pictures.

        A picture is float32 of the manifest's layout without a batch axis: [3, height, width] or [height, width, 3];
        so is an output: its first axis, of length one, is taken away. Raises ModelFailed, ModelUnavailable.
        """

    def close(self) -> None:
        """Let go of connections and memory."""
