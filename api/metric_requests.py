"""Counts requests: by route, which is a template and never a path, by method and status, and how long they take."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.types import Message, Scope

from storage.telemetry.metrics import EVENT_STREAMS, HTTP_IN_PROGRESS, HTTP_REQUESTS, HTTP_SECONDS

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"  # a method that is none of ours
NONE = "none"  # a request for which there is no route
CUT_OFF = "499"  # nothing was answered: the client had gone
_STREAM = b"text/event-stream"


@dataclass(kw_only=True, slots=True)
class Counted:
    """One request; `status` once its answer has begun."""

    status: str = CUT_OFF
    is_stream: bool = False

    def answered(self, message: Message) -> None:
        """The answer begins with this message, http.response.start."""
        self.status = str(message["status"])
        headers = message.get("headers", ())
        if any(name.lower() == b"content-type" and value.startswith(_STREAM) for name, value in headers):
            self.is_stream = True
            EVENT_STREAMS.add()


@contextmanager
def request(scope: Scope) -> Iterator[Counted]:
    """Count the request when the block ends; an event stream lasts as long as its client watches, and is not timed."""
    counted, began = Counted(), time.monotonic()
    method = scope["method"] if scope["method"] in METHODS else OTHER
    HTTP_IN_PROGRESS.add()
    try:
        yield counted
    except BaseException:
        if counted.status == CUT_OFF:
            counted.status = "500"
        raise
    finally:
        route = getattr(scope.get("route"), "path", NONE)
        HTTP_IN_PROGRESS.add(by=-1)
        HTTP_REQUESTS.add(method, route, counted.status)
        if counted.is_stream:
            EVENT_STREAMS.add(by=-1)
        else:
            HTTP_SECONDS.observe(time.monotonic() - began, method, route)
