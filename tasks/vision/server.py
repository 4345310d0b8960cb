"""A network that runs elsewhere, on a server that speaks the Open Inference Protocol (KServe v2, Triton) over HTTP.

The protocol: github.com/kserve/open-inference-protocol, inference_rest.md; tensors as bytes: the binary tensor data
extension, docs/protocol/extension_binary_data.md of github.com/triton-inference-server/server.
"""

import json
import math
import os
import ssl
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np

from tasks.vision.connections import MAX_ERROR_BYTES, Answer, Connections, Unanswered
from tasks.vision.manifest import Manifest, ModelRefused
from tasks.vision.model import ModelFailed, ModelUnavailable, Tensor

BINARY = "binary_tensor_data"  # what a server calls the extension among those that it knows
HEAD_BYTES = "Inference-Header-Content-Length"
MAX_ANSWER_BYTES_EACH = 8 * 1024 * 1024  # for each picture of a request
MAX_ANSWER_BYTES = 128 * 1024 * 1024

Outputs = dict[str, Tensor]


class ServedModel:
    """Asks a server; its connections are made when they are needed, each process its own, and are used again."""

    def __init__(self, manifest: Manifest, tls: ssl.SSLContext) -> None:
        """Connect to nothing yet. Raises ModelRefused if the manifest's `url` is none."""
        run = manifest.run
        self._manifest = manifest
        self._tls = tls
        self._base = _base(manifest)
        self._infer_url = f"{self._base}/v2/models/{quote(run.model or manifest.name, safe='/')}/infer"
        size = manifest.input.height, manifest.input.width
        self._shape = (3, *size) if manifest.input.layout == "nchw" else (*size, 3)
        self._connections = Connections(tls)
        self._binary: bool | None = None  # whether the server takes bytes; None: to be asked

    @property
    def manifest(self) -> Manifest:
        return self._manifest

    def run(self, pictures: Sequence[Tensor]) -> list[Mapping[str, Tensor]]:
        """The outputs of each picture; in one request if the network batches. `timeout_seconds` bounds it all."""
        until = time.monotonic() + self._manifest.run.timeout_seconds
        for picture in pictures:
            if picture.shape != self._shape or picture.dtype != np.float32:
                raise self._failed(f"takes float32 {list(self._shape)}, not {picture.dtype} {list(picture.shape)}")
        batch = self._manifest.run.batches and len(pictures) > 1
        groups = [pictures] if batch else [[picture] for picture in pictures]
        return [answer for group in groups for answer in self._infer(np.stack(group), until)]

    def close(self) -> None:
        """Hang up, when the calls under way have ended. A later call connects again."""
        closing, self._connections = self._connections, Connections(self._tls)
        closing.close()

    def _infer(self, batch: Tensor, until: float) -> list[Mapping[str, Tensor]]:
        try:
            headers, body = _request(self._manifest.input.name, batch, binary=self._takes_bytes(until))
        except ValueError as exc:
            raise self._failed("JSON knows no infinite numbers, and its server takes no bytes") from exc
        limit = min(MAX_ANSWER_BYTES_EACH * len(batch), MAX_ANSWER_BYTES)
        answer = self._ask("POST", self._infer_url, headers, body, limit, until)
        if answer.status != 200:
            self._binary = None  # another server may have taken its place
            raise self._failed(f"its server refused with status {answer.status}{_told(answer)}")
        try:
            outputs = _outputs(answer, len(batch))
        except _Malformed as exc:
            raise self._failed(f"its server's answer {exc}") from exc
        for feature, serves in self._manifest.features.items():
            if serves.output and serves.output not in outputs:
                raise self._failed(f"its server's answer has no output {serves.output!r} for {feature}")
        return [{name: output[position] for name, output in outputs.items()} for position in range(len(batch))]

    def _takes_bytes(self, until: float) -> bool:
        """Whether the server says that it knows tensors as bytes; one that tells nothing of itself gets JSON."""
        if self._binary is None:
            answer = self._ask("GET", f"{self._base}/v2", {}, b"", MAX_ERROR_BYTES, until)
            document = _document(answer.body) if answer.status == 200 else None
            extensions = document.get("extensions") if isinstance(document, dict) else None
            self._binary = isinstance(extensions, list) and BINARY in extensions
        return self._binary

    def _ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes, limit: int, until: float) -> Answer:
        """One request and its answer. Raises ModelUnavailable, ModelFailed (the answer is larger than `limit`)."""
        accepted = {"Accept": "application/json, application/octet-stream", **headers}
        try:
            answer = self._here().exchange(method, url, accepted, body, limit=limit, until=until)
        except Unanswered as exc:
            raise self._unavailable(_line(str(exc))) from exc
        if answer.status in (408, 429) or answer.status >= 500:
            raise self._unavailable(f"answered with status {answer.status}{_told(answer)}")
        if len(answer.body) > limit and answer.status == 200:
            raise self._failed(f"its server's answer is larger than {limit} bytes")
        return answer

    def _here(self) -> Connections:
        """The connections of this process: what a parent had open before it forked is the parent's to talk on."""
        if self._connections.owner != os.getpid():
            # Dropped, not closed: a thread that stayed behind may hold their lock. The collector closes our copies.
            self._connections = Connections(self._tls)
        return self._connections

    def _failed(self, reason: str) -> ModelFailed:
        return ModelFailed(f"model {self._manifest.name}: {reason}")

    def _unavailable(self, reason: str) -> ModelUnavailable:
        return ModelUnavailable(f"model {self._manifest.name}: its server {reason}")


class _Malformed(Exception):
    """An answer that is not of the protocol; the text goes on after "the answer"."""


def _base(manifest: Manifest) -> str:
    url = manifest.run.url.rstrip("/")
    try:
        parts = urlsplit(url)
        right = url.isascii() and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right = False
    if not right or parts.query or parts.fragment or parts.username is not None:
        raise ModelRefused(f"model {manifest.name}: run.url must be like http://host:8000, with no name or key in it")
    return url


def _request(name: str, batch: Tensor, *, binary: bool) -> tuple[dict[str, str], bytes]:
    """Headers and body that ask for all outputs, as bytes from a server that can. Raises ValueError: not for JSON."""
    tensor: dict[str, Any] = {"name": name, "shape": list(batch.shape), "datatype": "FP32"}
    document = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    if not binary:
        tensor["data"] = batch.ravel().tolist()
        body = json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
        return {"Content-Type": "application/json"}, body
    data = batch.astype("<f4", copy=False).tobytes()
    tensor["parameters"] = {"binary_data_size": len(data)}
    head = json.dumps(document, separators=(",", ":")).encode()
    return {"Content-Type": "application/octet-stream", HEAD_BYTES: str(len(head))}, head + data


def _outputs(answer: Answer, count: int) -> Outputs:
    """The output tensors by name, each of `count` pictures. Raises _Malformed."""
    head, data = _split(answer)
    document = _document(head)
    told = document.get("outputs") if isinstance(document, dict) else None
    if not isinstance(told, list) or not told:
        raise _Malformed("is no inference response with outputs")
    outputs: Outputs = {}
    for output in told:
        name = output.get("name") if isinstance(output, dict) else None
        if not isinstance(name, str) or name in outputs:
            raise _Malformed("has an output without a name of its own")
        shape = _shape(output, count)
        parameters = output.get("parameters")
        size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
        if size is None:
            outputs[name] = _from_numbers(output, shape)
            continue
        if size != 4 * math.prod(shape) or size > len(data):
            raise _Malformed(f"gives {name!r} {size!r} bytes, which is not its shape or more than there are")
        outputs[name] = np.frombuffer(data[:size], dtype="<f4").reshape(shape).astype(np.float32)
        data = data[size:]
    if data:
        raise _Malformed(f"has {len(data)} bytes that belong to no output")
    return outputs


def _split(answer: Answer) -> tuple[memoryview, memoryview]:
    body, told = memoryview(answer.body), answer.headers.get(HEAD_BYTES.lower())
    if told is None:
        return body, body[:0]
    if not (told.isascii() and told.isdigit() and len(told) < 12):
        raise _Malformed(f"has a {HEAD_BYTES} that is no number")
    length = int(told)
    if length > len(body):
        raise _Malformed(f"is shorter than its {HEAD_BYTES}")
    return body[:length], body[length:]


def _document(text: bytes | memoryview) -> Any:
    """JSON, or None if it is not."""
    try:
        return json.loads(bytes(text))
    except (ValueError, RecursionError):
        return None


def _shape(output: Mapping[str, Any], count: int) -> tuple[int, ...]:
    name, shape = output["name"], output.get("shape")
    if output.get("datatype") != "FP32":
        raise _Malformed(f"has {name!r} as {_line(str(output.get('datatype')))}, and only FP32 can be used")
    if not isinstance(shape, list) or not all(type(axis) is int and axis >= 0 for axis in shape):
        raise _Malformed(f"has {name!r} without a shape")
    if not shape or shape[0] != count or len(shape) > 16:
        raise _Malformed(f"has {name!r} with the shape {_line(str(shape))} for {count} pictures")
    return tuple(shape)


def _from_numbers(output: Mapping[str, Any], shape: tuple[int, ...]) -> Tensor:
    """A tensor from its `data`: flat, or nested as its shape is."""
    try:
        numbers = np.asarray(output.get("data"))
    except ValueError as exc:  # nested unevenly
        raise _Malformed(f"has {output['name']!r} with data of no shape") from exc
    if numbers.size != math.prod(shape) or numbers.ndim == 0 or (numbers.size and numbers.dtype.kind not in "iuf"):
        raise _Malformed(f"has {output['name']!r} with data that is not {math.prod(shape)} numbers")
    with np.errstate(over="ignore"):  # what is too large for 32 bits is infinite
        return numbers.astype(np.float32).reshape(shape)


def _told(answer: Answer) -> str:
    """What the server says of its error, for the end of a sentence."""
    document = _document(answer.body[:MAX_ERROR_BYTES])
    error = document.get("error") if isinstance(document, dict) else None
    return f": {_line(error)}" if isinstance(error, str) and error.strip() else ""


def _line(text: str) -> str:
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text[:1200]).split())[:300]
