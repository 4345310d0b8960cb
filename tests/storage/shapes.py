"""Jobs of several shapes, over two queues."""

from collections.abc import Mapping, Sequence
from typing import Any

Shape = Mapping[str, tuple[str, list[str]]]  # a step's name → its queue and the steps that it uses

KINDS = {"default": {"kind": "echo"}, "calls": {"kind": "http.call", "url": "https://example.org/"}}
SHAPES: Sequence[Shape] = (
    {"a": ("default", [])},
    {"a": ("default", []), "b": ("calls", ["a"]), "c": ("default", ["b"])},
    {"a": ("default", []), "left": ("calls", ["a"]), "right": ("default", ["a"]), "b": ("default", ["left", "right"])},
    {"a": ("default", []), "b": ("default", []), "both": ("calls", ["a", "b"]), "aside": ("calls", [])},
)


def document(shape: Shape, more: Mapping[str, Any]) -> dict[str, Any]:
    """The job's document, with more fields than its steps."""
    return {**more, "steps": {name: {**KINDS[queue], "use": uses} for name, (queue, uses) in shape.items()}}
