"""A Sentry of a test's own: a real HTTP server that takes envelopes, and schedules that check in there."""

import gzip
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from storage import schedules
from storage.schedule_model import Schedule
from tasks import scheduling
from tasks.schedules import parse
from tests.scheduler.timetable import ECHO, Timetable

CheckIn = Mapping[str, Any]


@dataclass(kw_only=True, slots=True)
class Sentry:
    """`got` are the check-ins in the order in which they came, `events` the errors; with `hang` it answers when that is
    set.
    """

    dsn: str
    got: list[CheckIn] = field(default_factory=list)
    events: list[Mapping[str, Any]] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)
    hang: threading.Event | None = None

    def statuses(self, slug: str) -> list[str]:
        return [one["status"] for one in self.got if one["monitor_slug"] == slug]


@contextmanager
def sentry_server() -> Iterator[Sentry]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            _, *lines = body.splitlines()  # the envelope's header; then of each item a header and a payload
            for header, payload in zip(lines[::2], lines[1::2], strict=True):
                kind = json.loads(header)["type"]
                if kind in ("check_in", "event"):
                    (state.got if kind == "check_in" else state.events).append(json.loads(payload))
            state.paths.add(self.path)
            if state.hang is not None:
                state.hang.wait(30)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state = Sentry(dsn=f"http://key@127.0.0.1:{server.server_port}/1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def applied(timetable: Timetable, slug: str = "nightly", **fields: Any) -> Schedule:
    """A schedule of the operator's, every minute unless `fields` say otherwise."""
    asked = {"job": ECHO, "every": 60, "sentry_monitor": slug, **fields}
    with timetable.database.begin(timetable.tenant) as tx:
        now = schedules.clock(tx)
        return scheduling.create(tx, parse(asked, now=now, operator=True), now, source="code")
