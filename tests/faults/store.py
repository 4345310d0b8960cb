"""An HTTP way to the object store that answers for it, is slow, tears answers off, or holds requests back."""

import contextlib
import http.client
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "expect"})
SLOW_SECONDS = 0.8


class Store:
    """`mode` is one of `well`, `refuses` (503), `slow` and `truncates` (reads); `counts` has how often each was met.

    While `open` is not set, writes of variants of pictures wait in front of it.
    """

    def __init__(self, port: int) -> None:
        self.target = port
        self.mode = "well"
        self.counts: Counter[str] = Counter()
        self.open = threading.Event()
        self.open.set()
        self.held = threading.Event()
        self.port = 0


@contextlib.contextmanager
def fronted(port: int) -> Iterator[Store]:
    """Stand in front of the object store that listens on this port of loopback."""
    store = Store(port)

    class Handler(_Handler):
        front = store

    class Server(ThreadingHTTPServer):
        request_queue_size = 64

        def handle_error(self, *_: Any) -> None:
            """A caller that lost patience, or was killed, is part of the tests."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    store.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield store
    finally:
        store.open.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """One connection of a client; each request goes over a connection of its own to the store."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    front: Store

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        mode = self.front.mode
        self.front.counts[mode] += 1
        if not self.front.open.is_set() and self.command == "PUT" and "/renditions/" in self.path:
            self.front.held.set()
            self.front.open.wait(60)
        if mode == "refuses":
            return self._answer(503, [("Content-Type", "application/xml")], b"<Error><Code>SlowDown</Code></Error>")
        if mode == "slow":
            time.sleep(SLOW_SECONDS)
        status, headers, content = self._ask(body)
        cut = mode == "truncates" and self.command == "GET" and status in {200, 206} and len(content) > 1
        return self._answer(status, headers, content, shown=len(content) // 2 if cut else None)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on  # noqa: N815 - the names that http.server calls

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        far = http.client.HTTPConnection("127.0.0.1", self.front.target, timeout=30)
        try:
            # Host and all others unchanged: the signature covers them.
            far.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in HOP:
                    far.putheader(name, value)
            far.endheaders(body)
            answer = far.getresponse()
            headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP]
            return answer.status, headers, answer.read()
        finally:
            far.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes, *, shown: int | None = None) -> None:
        self.send_response_only(status)
        named = {name.lower() for name, _ in headers}
        for name, value in headers:
            self.send_header(name, value)
        if "content-length" not in named and status not in {204, 304}:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content if shown is None else content[:shown])
        if shown is not None:
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
