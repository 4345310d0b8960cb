"""What all processes logged about a job, as frozen dataclasses."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from api.client.answers import Document, understood
from api.client.connection import Connection

PAGE = 200
OVERLAP_SECONDS = 5.0  # two processes may write at once, and the later line be there first: so long it is asked again
AFTER_END_SECONDS = 2.0  # what was logged last is there a moment after the job has ended


@dataclass(frozen=True, kw_only=True, slots=True)
class LogLine:
    """A line; `message` says the same as `event` and `fields`. `step` is the step's name.

    `error` has type, message and stack, where the key has the scope `operate:read`.
    """

    id: str
    at: datetime
    level: str
    process: str | None
    step: str | None
    attempt: int | None
    event: str
    fields: Document
    message: str
    error: Document | None
    raw: Document = field(repr=False, default_factory=dict)


def lines(connection: Connection, path: str, level: str) -> Iterator[LogLine]:
    """The lines that are there. Raises ApiError, ConnectionFailed, MillraceError."""
    after = ""
    while True:
        found, after = _page(connection, path, level, after)
        yield from found
        if len(found) < PAGE:
            return


def follow(connection: Connection, path: str, level: str, is_over: Callable[[], bool]) -> Iterator[LogLine]:
    """The lines that are there, and those that come until a moment after the job has ended; none of them twice.

    `is_over` waits for about a second and says whether it has ended.
    """
    after, end = "", float("inf")
    reached: deque[tuple[str, float]] = deque()  # where pages ended, and when
    seen: dict[str, float] = {}  # lines, and when
    while True:
        found, following = _page(connection, path, level, after)
        now = time.monotonic()
        for line in found:
            if line.id not in seen:
                yield line
            seen[line.id] = now
        seen = {line: at for line, at in seen.items() if now - at < 2 * OVERLAP_SECONDS}
        if len(found) == PAGE:
            after = following
            reached.clear()
            continue
        reached.append((following, now))
        while now - reached[0][1] > OVERLAP_SECONDS:
            after = reached.popleft()[0]
        if now > end:
            return
        if end < float("inf"):
            time.sleep(AFTER_END_SECONDS / 4)
        elif is_over():
            end = time.monotonic() + AFTER_END_SECONDS


def _page(connection: Connection, path: str, level: str, after: str) -> tuple[list[LogLine], str]:
    asked = {"limit": str(PAGE), "level": level, **({"after": after} if after else {})}
    return understood(lambda it: ([_line(one) for one in it["data"]], it["next_after"]), connection.get(path, asked))


def _line(it: Any) -> LogLine:
    return LogLine(
        id=it["id"],
        at=datetime.fromisoformat(it["at"]),
        level=it["level"],
        process=it["process"],
        step=it["step"],
        attempt=it["attempt"],
        event=it["event"],
        fields=it["fields"],
        message=it["message"],
        error=it["error"],
        raw=it,
    )
