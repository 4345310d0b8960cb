"""HTTP by hand, for what no well-behaved client sends."""

import contextlib
import json
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

PATIENCE_SECONDS = 10.0
BOUNDARY = "a-line-between-parts"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """One connection to the server."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
        self._received = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def start(self, key: str, *headers: str, line: str = "POST /v1/jobs HTTP/1.1") -> None:
        """Send the request line and headers."""
        lines = [line, "Host: test", f"Authorization: Bearer {key}", *headers]
        self.send("\r\n".join([*lines, "", ""]).encode())

    def chunk(self, data: bytes) -> None:
        """Send a piece of a body with chunked encoding; empty for its end."""
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def answer(self) -> Answer:
        """Wait for the next answer, by its Content-Length."""
        head = self.until(b"\r\n\r\n").decode("latin-1")
        status, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        while len(self._received) < length:
            self._receive()
        body, self._received = self._received[:length], self._received[length:]
        return Answer(status=int(status.split(" ")[1]), headers=headers, body=body)

    def until(self, mark: bytes) -> bytes:
        """Everything up to the mark, and the mark."""
        while mark not in self._received:
            self._receive()
        found, _, self._received = self._received.partition(mark)
        return found + mark

    def is_closed(self) -> bool:
        """Wait until the server closes."""
        with contextlib.suppress(ConnectionError):
            while self.socket.recv(65_536):
                pass
        return True

    def _receive(self) -> None:
        data = self.socket.recv(65_536)
        if not data:
            raise EOFError(f"the server closed after {self._received!r}")
        self._received += data


@contextlib.contextmanager
def connected(port: int) -> Iterator[Wire]:
    wire = Wire(port)
    try:
        yield wire
    finally:
        wire.socket.close()


def part(name: str, data: bytes, *, filename: str | None = None, content_type: str | None = None) -> bytes:
    """One part of a multipart body, without the boundary that follows it."""
    return part_head(name, filename=filename, content_type=content_type) + data + b"\r\n"


def part_head(name: str, *, filename: str | None = None, content_type: str | None = None) -> bytes:
    disposition = f'Content-Disposition: form-data; name="{name}"'
    if filename is not None:
        disposition += f'; filename="{filename}"'
    lines = [f"--{BOUNDARY}", disposition, *([f"Content-Type: {content_type}"] if content_type else []), "", ""]
    return "\r\n".join(lines).encode()


END = f"--{BOUNDARY}--\r\n".encode()
