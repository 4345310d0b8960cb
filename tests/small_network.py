"""A network of 226 bytes with a manifest and pictures: y = 2x + sum(x), and the sum, of each picture of a batch."""

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.vision.manifest import Group, Input, Manifest, Run

SIDE = 4  # of its pictures
Picture = NDArray[np.float32]


def manifest(run: Run, file: Path | None = None, *, side: int = SIDE, name: str = "small") -> Manifest:
    """A manifest for the small network, or one of the same kind."""
    return Manifest(
        name=name,
        version="1",
        licence="Apache-2.0",
        source="tests/small_network.py",
        file=file,
        package="",
        sha256="",
        input=Input(name="x", width=side, height=side),
        run=run,
        features={},
    )


def patient_group(most: int) -> Group:
    """Callers that wait a minute for each other, which no manifest may ask for: only a full batch goes in time."""
    return Group.model_construct(milliseconds=60_000.0, most=most)


def pictures(count: int, *, seed: int = 0, side: int = SIDE) -> list[Picture]:
    """So many pictures, each different."""
    made = np.random.default_rng(seed).uniform(-1, 1, (count, 3, side, side)).astype(np.float32)
    return list(made)


def expected(picture: Picture) -> dict[str, Picture]:
    """What the small network answers, in 64 bits: `total` is the sum of all numbers, and `y` 2x + total."""
    total = picture.astype(np.float64).sum()
    return {"y": (2 * picture + total).astype(np.float32), "total": np.array([total], np.float32)}


def small_network() -> bytes:
    """The small network as an ONNX file, written by hand (onnx.proto, IR version 7, opset 11): y = 2x + sum(x)."""
    nodes = [
        _node("ReduceSum", ["x"], "sum", _attribute("axes", [1, 2, 3])),
        _node("Mul", ["x", "two"], "doubled"),
        _node("Add", ["doubled", "sum"], "y"),
        _node("Flatten", ["sum"], "total"),
    ]
    two = (
        _number(2, 1) + _bytes(8, b"two") + _bytes(9, struct.pack("<f", 2.0))
    )  # TensorProto: data_type, name, raw_data
    graph = b"".join(_bytes(1, node) for node in nodes) + _bytes(2, b"small") + _bytes(5, two)
    graph += _bytes(11, _value("x", ["n", 3, SIDE, SIDE]))
    graph += _bytes(12, _value("y", ["n", 3, SIDE, SIDE])) + _bytes(12, _value("total", ["n", 1]))
    return _number(1, 7) + _bytes(7, graph) + _bytes(8, _number(2, 11))


def _node(kind: str, inputs: list[str], output: str, attribute: bytes = b"") -> bytes:
    named = b"".join(_bytes(1, name.encode()) for name in inputs) + _bytes(2, output.encode())
    return named + _bytes(4, kind.encode()) + (_bytes(5, attribute) if attribute else b"")


def _attribute(name: str, numbers: list[int]) -> bytes:
    return _bytes(1, name.encode()) + b"".join(_number(8, number) for number in numbers) + _number(20, 7)


def _value(name: str, shape: list[int | str]) -> bytes:
    axes = [_bytes(2, axis.encode()) if isinstance(axis, str) else _number(1, axis) for axis in shape]
    tensor = _number(1, 1) + _bytes(2, b"".join(_bytes(1, axis) for axis in axes))
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, tensor))


def _number(place: int, value: int) -> bytes:
    return _varint(place << 3) + _varint(value)


def _bytes(place: int, value: bytes) -> bytes:
    return _varint(place << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low]) if not rest else bytes([low | 0x80]) + _varint(rest)
