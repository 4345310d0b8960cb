"""A real HTTP server that takes webhooks, writes down what it gets, and answers path by path as told."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tasks.signatures import verify


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What is answered; with `hang` only once that is set."""

    status: int = 204
    headers: Mapping[str, str] = field(default_factory=dict)
    hang: threading.Event | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Got:
    """One request: names of headers in lower case, and when it came, by the monotonic clock and by the wall's."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float
    now: datetime

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def verify(self, *secrets: str) -> None:
        """Raise SignatureInvalid unless one of these has signed it just now."""
        verify(secrets, self.headers, self.body, now=self.now)


@dataclass(kw_only=True, slots=True)
class Receiver:
    """`replies` are given in turn for each path, the last one again and again; a path without any gets 204."""

    url: str
    replies: dict[str, list[Reply]] = field(default_factory=dict)
    got: list[Got] = field(default_factory=list)

    def to(self, path: str) -> list[Got]:
        """What has come to this path, in order."""
        return [one for one in self.got if one.path == path]

    def reply(self, path: str) -> Reply:
        left = self.replies.get(path) or [Reply()]
        return left.pop(0) if len(left) > 1 else left[0]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver on a free loopback port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            came = time.monotonic()
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length)
            if len(body) < length:  # who sends it has been killed: it has not come
                self.close_connection = True
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = receiver.reply(self.path)
            receiver.got.append(Got(path=self.path, headers=headers, body=body, at=came, now=datetime.now(UTC)))
            if reply.hang is not None:
                reply.hang.wait(30)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if reply.status != 204:
                self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 128
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """A caller that is killed is part of the tests."""

    server = Server(("127.0.0.1", 0), Handler)
    receiver = Receiver(url=f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
