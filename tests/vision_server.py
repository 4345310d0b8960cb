"""A real model server for the tests: the Open Inference Protocol over HTTP, and a network run by onnxruntime."""

import json
import math
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

HEAD_BYTES = "Inference-Header-Content-Length"
Inputs = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """An answer instead of the network's; `drip_seconds` between one byte of the body and the next."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    drip_seconds: float = 0


@dataclass(kw_only=True, slots=True)
class ModelServer:
    """What the server is to do, and what it was asked.

    `binary`: whether it knows tensors as bytes. `reply` stands in for the network's answers, and `metadata` for what it
    says of itself. A batch with a picture whose first number is `poison` is refused. `hold` keeps answers back until
    it is set. `sizes`, `forms` and `paths` are the batches that arrived, in their order, and `connections` is how often
    someone connected.
    """

    url: str
    binary: bool = True
    reply: Reply | None = None
    metadata: Reply | None = None
    poison: float | None = None
    hold: threading.Event | None = None
    sizes: list[int] = field(default_factory=list)
    forms: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    connections: int = 0

    def note(self, path: str, form: str, size: int) -> None:
        """Write down a batch that arrived."""
        self.paths.append(path)
        self.forms.append(form)
        self.sizes.append(size)


class _Refused(Exception):
    """A request that is not of the protocol, or that the network cannot take."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "_Server"

    def do_GET(self) -> None:
        extensions = ["binary_tensor_data"] if self.server.state.binary else []
        said = {"name": "tests", "version": "1", "extensions": extensions}
        self._send(self.server.state.metadata or Reply(body=json.dumps(said).encode()))

    def do_POST(self) -> None:
        state = self.server.state
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            document, batch = _read(body, self.headers.get(HEAD_BYTES), binary=state.binary)
            state.note(self.path, "json" if self.headers.get(HEAD_BYTES) is None else "bytes", len(batch))
            if state.hold is not None:
                state.hold.wait(30)
            self._send(state.reply or self._inferred(document, batch))
        except _Refused as exc:
            self._send(Reply(status=400, body=json.dumps({"error": str(exc)}).encode()))

    def _inferred(self, document: Mapping[str, Any], batch: Inputs) -> Reply:
        state = self.server.state
        if state.poison is not None and (batch.reshape(len(batch), -1)[:, 0] == state.poison).any():
            raise _Refused("a picture of this batch is bad")
        asked = document.get("parameters", {}).get("binary_data_output", False)
        outputs = infer(self.server.session, document["inputs"][0]["name"], batch)
        return _answer(outputs, binary=state.binary and asked)

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if not reply.drip_seconds:
            self.wfile.write(reply.body)
            return
        for byte in reply.body:
            self.wfile.write(bytes([byte]))
            time.sleep(reply.drip_seconds)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # many callers may connect at once
    daemon_threads = True

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.session = session
        self.state = ModelServer(url=f"http://127.0.0.1:{self.server_port}")

    def process_request(self, request: Any, client_address: Any) -> None:
        self.state.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, *_: Any) -> None:
        """A caller that lost patience is part of the tests."""


@contextmanager
def model_server(network: bytes | Path, *, tls: ssl.SSLContext | None = None) -> Iterator[ModelServer]:
    """Serve one network on a free loopback port."""
    server = _Server(onnxruntime.InferenceSession(network if isinstance(network, bytes) else str(network)))
    state = server.state
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        state.url = f"https://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield state
    finally:
        if state.hold is not None:
            state.hold.set()
        server.shutdown()
        thread.join()
        server.server_close()


def infer(session: onnxruntime.InferenceSession, name: str, batch: Inputs) -> dict[str, Inputs]:
    """What onnxruntime alone answers. Raises _Refused."""
    names = [output.name for output in session.get_outputs()]
    try:
        return dict(zip(names, session.run(names, {name: batch}), strict=True))
    except Exception as exc:  # onnxruntime's errors have no base; all of them are answers of this server
        raise _Refused(f"[StatusCode.INVALID_ARGUMENT] {exc}") from exc


def _read(body: bytes, head: str | None, *, binary: bool) -> tuple[dict[str, Any], Inputs]:
    """The request's document and its tensor; strict, so that a client that is merely near the protocol fails."""
    if head is not None and not binary:
        raise _Refused("failed to parse the request JSON buffer: Invalid value.")
    length = len(body) if head is None else int(head)
    try:
        document = json.loads(body[:length], parse_constant=_no_number)
    except ValueError as exc:
        raise _Refused(f"failed to parse the request JSON buffer: {exc}") from exc
    (tensor,) = document["inputs"]
    if tensor["datatype"] != "FP32" or set(tensor) - {"name", "shape", "datatype", "parameters", "data"}:
        raise _Refused("unexpected input")
    size = tensor.get("parameters", {}).get("binary_data_size")
    if (size is None) != ("data" in tensor) or (size is None) != (head is None):
        raise _Refused("data belongs into the JSON or behind it")
    data = np.array(tensor["data"], np.float32) if size is None else np.frombuffer(body[length:], "<f4")
    if data.size != math.prod(tensor["shape"]) or (size is not None and len(body) - length != size):
        raise _Refused(f"unexpected size of input {tensor['name']!r}")
    return document, data.reshape(tensor["shape"])


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _answer(outputs: Mapping[str, Inputs], *, binary: bool) -> Reply:
    told: list[dict[str, Any]] = []
    tail = b""
    for name, output in outputs.items():
        tensor: dict[str, Any] = {"name": name, "shape": list(output.shape), "datatype": "FP32"}
        if binary:
            data = output.astype("<f4").tobytes()
            tensor["parameters"] = {"binary_data_size": len(data)}
            tail += data
        else:
            tensor["data"] = output.ravel().tolist()
        told.append(tensor)
    head = json.dumps({"model_name": "tests", "model_version": "1", "outputs": told}).encode()
    return Reply(body=head + tail, headers={HEAD_BYTES: str(len(head))} if binary else {})
