"""A real HTTP server that writes down what it is sent, and answers as told."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

JSON = "application/json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What the sink says; `hang` is set by the test when it may go on."""

    status: int = 200
    body: bytes = b'{"ok": true}'
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": JSON})
    hang: threading.Event | None = None
    drip_seconds: float = 0  # between one byte of the body and the next


@dataclass(frozen=True, kw_only=True, slots=True)
class Received:
    """A request as it came; the case of a header's name does not matter."""

    method: str
    path: str
    headers: Message
    body: bytes


@dataclass(kw_only=True, slots=True)
class Sink:
    """`answers` are given in turn, the last one again and again.

    `got` are the requests: path, headers, JSON body (null for another); `received` the same as they came.
    """

    url: str
    host: str
    answers: list[Answer] = field(default_factory=lambda: [Answer()])
    got: list[tuple[str, Mapping[str, str], Any]] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)


@contextmanager
def sink() -> Iterator[Sink]:
    """Run a sink on a free loopback port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            value = json.loads(body) if self.headers["Content-Type"] == JSON else None
            state.got.append((self.path, dict(self.headers), value))
            state.received.append(Received(method=self.command, path=self.path, headers=self.headers, body=body))
            answer = state.answers.pop(0) if len(state.answers) > 1 else state.answers[0]
            if answer.hang is not None:
                answer.hang.wait(30)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command == "HEAD":
                return
            if not answer.drip_seconds:
                self.wfile.write(answer.body)
                return
            for byte in answer.body:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(answer.drip_seconds)

        do_GET = do_HEAD = do_PUT = do_PATCH = do_DELETE = do_POST  # noqa: N815 - as http.server calls them

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """A caller that lost patience is part of the tests."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    host = f"127.0.0.1:{server.server_port}"
    state = Sink(url=f"http://{host}/hook", host=host)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
