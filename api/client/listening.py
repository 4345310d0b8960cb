"""A job's events as they happen, over as many connections as that takes."""

import json
import time
from collections.abc import Iterator

import httpx2

from api.client import answers
from api.client.answers import Event
from api.client.connection import LONGEST_PAUSE, Connection, asked_pause
from api.client.failures import ApiError, ConnectionFailed, MillraceError

CONNECT_AGAIN_AFTER = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 5.0, 5.0)  # seconds; then an event stream is given up


def listen(connection: Connection, path: str, after: int) -> Iterator[Event]:
    """The events at a path from the one after number `after` on, until the server ends them after a final one.

    A final event alone is not the end: when the job was told to run again, further ones follow it.
    """
    delays = iter(CONNECT_AGAIN_AFTER)
    last = ""
    while True:
        broken: ApiError | ConnectionFailed = ConnectionFailed(f"{connection.url}{path} ends too early")
        try:
            with connection.stream(path, _asking(after)) as response:
                if response.status_code == 204:  # all has been told before
                    return
                for event in _told(response):
                    delays, after, last = iter(CONNECT_AGAIN_AFTER), event.seq, event.type
                    yield event
            if last.removeprefix("job.") in answers.ENDED:
                return
        except ConnectionFailed as exc:
            broken = exc  # silence too: we hear a sign of life every 15 seconds from a server that lives
        except ApiError as exc:
            if not exc.passes:
                raise
            broken = exc
        delay = next(delays, None)
        if delay is None or asked_pause(broken) > LONGEST_PAUSE:
            raise broken
        time.sleep(max(delay, asked_pause(broken)))


def _asking(after: int) -> dict[str, str]:
    return {"Accept": "text/event-stream", "Cache-Control": "no-store", "Last-Event-ID": str(after)}


def _told(response: httpx2.Response) -> Iterator[Event]:
    for told in httpx2.EventSource(response):
        try:
            yield answers.event(json.loads(told.data))
        except ValueError as exc:
            raise MillraceError("the stream of events is not as Millrace writes it; is the URL right?") from exc
