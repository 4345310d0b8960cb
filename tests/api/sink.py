"""`python -m tests.api.sink`: an HTTP server that takes anything and keeps nothing, in a process of its own.

GET answers with as many zeros as the path says, POST with a job's document. `Sink` is one in a thread that also answers
as it is told to, and remembers what it was asked.
"""

import json
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

JOB = {
    "id": "job_sunk",
    "state": "queued",
    "priority": "normal",
    "progress": 0,
    "input": None,
    "error": None,
    "metadata": {},
    "created_at": "2026-01-01T00:00:00Z",
    "started_at": None,
    "finished_at": None,
    "timings": {},
    "links": {},
    "a field of tomorrow": 1,
}
ZEROS = bytes(1 << 20)


def answer(status: str, body: bytes, *headers: str, length: int | None = None) -> bytes:
    """A whole answer, after which the connection closes; `length` may lie."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join([*head, "Connection: close", "", ""]).encode() + body


ACCEPTED = answer("202 Accepted", json.dumps(JOB).encode(), "Content-Type: application/json")


@dataclass(kw_only=True, slots=True)
class Sink:
    """`heads` has the head of each request, in order."""

    url: str
    heads: list[str] = field(default_factory=list)


@contextmanager
def sink(answers: Sequence[bytes] = (ACCEPTED,)) -> Iterator[Sink]:
    """Answer the nth request with the nth answer, the last one from then on, while the body runs."""
    listening = socket.create_server(("127.0.0.1", 0))
    made = Sink(url=f"http://127.0.0.1:{listening.getsockname()[1]}")

    def serve() -> None:
        while True:
            connection, _ = listening.accept()
            with connection:
                head = take(connection)
                if not head:
                    return
                made.heads.append(head)
                with suppress(OSError):  # whoever left does not want an answer
                    connection.sendall(answers[min(len(made.heads), len(answers)) - 1])

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield made
    finally:
        with socket.create_connection(listening.getsockname()):
            pass  # a request without a head ends the thread
        thread.join()
        listening.close()


def take(connection: socket.socket) -> str:
    """Read a request with a known length to its end, and return its head."""
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = connection.recv(65_536)
        if not chunk:
            return ""
        received += chunk
    head, _, rest = received.partition(b"\r\n\r\n")
    text = head.decode()
    left = int(text.lower().partition("content-length: ")[2].partition("\r\n")[0] or 0) - len(rest)
    buffer = bytearray(1 << 20)
    while left > 0 and (count := connection.recv_into(buffer)):
        left -= count
    return text


def main() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(f"http://127.0.0.1:{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    while True:
        connection, _ = listening.accept()
        with connection:
            method, path = take(connection).split(" ", 2)[:2]
            if method == "POST":
                connection.sendall(ACCEPTED)
                continue
            left = int(path.removeprefix("/"))
            connection.sendall(answer("200 OK", b"", length=left))
            while left > 0:
                left -= connection.send(ZEROS[: min(left, len(ZEROS))])


if __name__ == "__main__":
    main()
