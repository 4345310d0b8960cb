"""What webhooks would be sent, as it happens, for as long as it is asked for: connections that break are made again."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

import httpx2

from api.client.answers import Document
from api.client.connection import Connection, asked_pause
from api.client.failures import ApiError, ConnectionFailed, MillraceError

SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds; twice as long each time
STEADY_SECONDS = 30.0  # a connection that held for so long: the next pause is the shortest one again
MOST_BYTES = 64 * 1024**2  # of one message: a job's document holds the results of all its steps

PATH = "/v1/webhooks/listen"


@dataclass(frozen=True, kw_only=True, slots=True)
class Listening:
    """The platform tells what happens from now on; `missed`: we were away for too long to be told what was before."""

    listener: str
    missed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """What a webhook would be sent: post `body` as it is, in UTF-8, with these headers, and the signature fits."""

    type: str
    job: str | None
    headers: dict[str, str] = field(repr=False)
    body: str = field(repr=False)
    raw: Document = field(repr=False, default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Interrupted:
    """The connection is gone, and made again in so many seconds."""

    error: MillraceError
    seconds: float


News = Listening | Message | Interrupted


def listen(connection: Connection, events: Sequence[str] | None = None) -> Iterator[News]:
    """All news, without an end; after a short break nothing is lost, and a message may come twice.

    Raises ApiError for what does not pass by itself, and MillraceError where the answer is not the platform's.
    """
    path = f"{PATH}?{urlencode([('events', event) for event in events])}" if events else PATH
    listener, seen, pause = "", "", SHORTEST_PAUSE
    while True:
        began = time.monotonic()
        broken: ApiError | ConnectionFailed = ConnectionFailed(f"{connection.url} has ended the stream")
        try:
            with connection.stream(path, _asking(seen)) as response:
                for told in httpx2.EventSource(response, MOST_BYTES):
                    news = _news(told.event, told.data, listener)
                    if isinstance(news, Listening):
                        listener = news.listener
                    else:
                        pause = SHORTEST_PAUSE
                    yield news
                    seen = told.id
        except ConnectionFailed as exc:
            broken = exc  # silence too: we hear a sign of life every 15 seconds from a server that lives
        except ApiError as exc:
            if not exc.passes:
                raise
            broken = exc
        if time.monotonic() - began > STEADY_SECONDS:
            pause = SHORTEST_PAUSE
        seconds = max(pause, asked_pause(broken))
        yield Interrupted(error=broken, seconds=seconds)
        time.sleep(seconds)
        pause = min(2 * pause, LONGEST_PAUSE)


def _asking(seen: str) -> dict[str, str]:
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    return headers | {"Last-Event-ID": seen} if seen else headers


def _news(event: str, data: str, listener: str) -> Listening | Message:
    try:
        told = json.loads(data)
        if event == "ready":
            return Listening(listener=told["listener"], missed=listener not in ("", told["listener"]))
        return Message(type=told["type"], job=told["job"], headers=dict(told["headers"]), body=told["body"], raw=told)
    except (ValueError, KeyError, TypeError) as exc:
        raise MillraceError("the stream of webhooks is not as Millrace writes it; is the URL right?") from exc
