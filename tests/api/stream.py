"""Reads an event stream as a browser does, event by event."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2

from tests.api.conftest import Caller

WHOLE = ["job.queued", "job.running", "step.running", "step.succeeded", "job.succeeded"]  # of a job of one step


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """One event; a comment has no id, and its text as `type`."""

    id: str | None
    type: str
    data: Any


class Stream:
    """The events of one open answer; asking for the next waits for it."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.answer = answer
        self._lines = answer.iter_lines()

    def __iter__(self) -> "Stream":
        return self

    def __next__(self) -> Told:
        fields: dict[str, str] = {}
        for line in self._lines:
            if not line:
                data = json.loads(fields["data"]) if "data" in fields else None
                return Told(id=fields.get("id"), type=fields.get("event") or fields.get("", ""), data=data)
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        raise StopIteration

    def event(self) -> Told:
        """The next event, whatever signs of life come before it."""
        return next(told for told in self if told.id)

    def types(self) -> list[str]:
        """The types of all events until the stream ends, without signs of life."""
        return [told.type for told in self if told.id]


@contextlib.contextmanager
def watching(caller: Caller, job: str, after: str | None = None) -> Iterator[Stream]:
    headers = {"Authorization": f"Bearer {caller.key}", "Accept": "text/event-stream"}
    if after is not None:
        headers["Last-Event-ID"] = after
    with caller.http.stream("GET", f"/v1/jobs/{job}/events", headers=headers) as answer:
        yield Stream(answer)
