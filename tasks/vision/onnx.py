"""A network that runs in this process, by onnxruntime."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as raised

from tasks.vision.manifest import Manifest, ModelRefused
from tasks.vision.model import ModelFailed, Tensor

# onnxruntime's errors have no base of their own.
ERRORS = (
    raised.Fail,
    raised.InvalidArgument,
    raised.InvalidGraph,
    raised.InvalidProtobuf,
    raised.NoModel,
    raised.NoSuchFile,
    raised.NotImplemented,
    raised.RuntimeException,
    raised.EPFail,
    RuntimeError,
    ValueError,
)


class OnnxModel:
    """Holds a session. One that was made before a fork on the CPU works in the child, which must never destroy it."""

    def __init__(self, manifest: Manifest) -> None:
        """Load the network. Raises ModelRefused."""
        self._manifest = manifest
        self._session = _session(manifest)
        inputs = {given.name for given in self._session.get_inputs()}
        if inputs != {manifest.input.name}:
            raise ModelRefused(
                f"model {manifest.name}: its input is {', '.join(sorted(inputs))}, and its manifest says "
                f"{manifest.input.name}"
            )
        self._outputs = [output.name for output in self._session.get_outputs()]
        for feature, serves in manifest.features.items():
            if serves.output and serves.output not in self._outputs:
                there = ", ".join(self._outputs)
                raise ModelRefused(f"model {manifest.name}: no output {serves.output!r} for {feature}; it has {there}")

    @property
    def manifest(self) -> Manifest:
        return self._manifest

    def run(self, pictures: Sequence[Tensor]) -> list[Mapping[str, Tensor]]:
        if self._manifest.run.batches and len({picture.shape for picture in pictures}) == 1 < len(pictures):
            return self._run(np.stack(pictures))
        return [answer for picture in pictures for answer in self._run(picture[np.newaxis])]  # not a copy

    def close(self) -> None:
        """Nothing: to destroy a session in a forked child can hang it, and the parent's goes with its process."""

    def _run(self, batch: Tensor) -> list[Mapping[str, Tensor]]:
        try:
            outputs = self._session.run(self._outputs, {self._manifest.input.name: batch})
        except ERRORS as exc:
            raise ModelFailed(f"model {self._manifest.name}: {_first_line(exc)}") from exc
        named = dict(zip(self._outputs, outputs, strict=True))
        return [{name: output[position] for name, output in named.items()} for position in range(len(batch))]


def providers_of(manifest: Manifest) -> list[str]:
    """Those of the manifest's providers that are here. Raises ModelRefused if none is."""
    available = onnxruntime.get_available_providers()
    providers = [provider for provider in manifest.run.providers if provider in available]
    if not providers:
        raise ModelRefused(
            f"model {manifest.name}: none of its providers is here ({', '.join(manifest.run.providers)}); "
            f"there are: {', '.join(available)}"
        )
    return providers


def _session(manifest: Manifest) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = manifest.run.threads  # one: two processes then do twice what the default does
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    try:
        return onnxruntime.InferenceSession(str(manifest.file), options, providers=providers_of(manifest))
    except ERRORS as exc:
        raise ModelRefused(f"model {manifest.name}: {manifest.file} is no network: {_first_line(exc)}") from exc


def _first_line(exc: Exception) -> str:
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0][:300]
