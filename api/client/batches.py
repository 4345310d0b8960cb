"""The API's documents about batches as frozen dataclasses, and `Millrace.batches`, which sends and asks for them."""

import json
import re
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from api.client import answers
from api.client.answers import Document, Paged, understood
from api.client.connection import Connection
from api.client.failures import MillraceError, TimedOut

_ASKABLE = re.compile(r"[A-Za-z0-9_]{1,100}")
_LINES = {"Content-Type": "application/x-ndjson"}
_WAIT_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class LineError:
    """A line that became no job: `errors` are pairs (JSON pointer, what to do), `job` one that has its unique_key."""

    line: int
    code: str
    detail: str
    errors: Sequence[tuple[str, str]]
    job: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Many jobs that were sent at once; `counts` are lines by what became of them, and jobs by their states.

    `errors` are the first lines that became no jobs, none in listings; `Millrace.batches.errors` has them all.
    """

    id: str
    state: str
    name: str
    progress: float
    counts: Mapping[str, int]
    metadata: Document
    created_at: datetime
    canceled_at: datetime | None
    finished_at: datetime | None
    links: Mapping[str, str]
    errors: Sequence[LineError] = ()
    raw: Document = field(repr=False, default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether every job has ended."""
        return self.state == "finished"


class Batches:
    """What a client does with batches, which are named by their id."""

    def __init__(self, connection: Connection, paged: Paged) -> None:
        self._connection = connection
        self._paged = paged

    def submit(
        self,
        jobs: Sequence[Mapping[str, Any]],
        *,
        name: str = "",
        metadata: Mapping[str, Any] | None = None,
        notify: str | None = None,
        atomic: bool = False,
        defaults: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Batch:
        """Send jobs' documents, 8 MB together at most; `line` in errors is the position, from 1.

        `notify` is the URL that is told of the batch's end; `defaults` hold for every job that says nothing else. Those
        with flaws are left out, see `errors`; with `atomic` none is accepted then. Tried again as `Millrace.submit` is.
        Raises ApiError, such as batch_refused, ConnectionFailed, MillraceError.
        """
        terms: dict[str, Any] = {"name": name, "metadata": metadata, "atomic": atomic, "defaults": defaults}
        document = {key: value for key, value in terms.items() if value}
        if notify is not None:
            document["notify"] = {"url": notify}
        raw = json.dumps({**document, "jobs": [dict(job) for job in jobs]}, allow_nan=False).encode()
        return batch(self._connection.post("/v1/batches", raw, _key(idempotency_key)))

    def submit_lines(
        self,
        lines: bytes,
        *,
        name: str | None = None,
        template: str | None = None,
        atomic: bool = False,
        idempotency_key: str | None = None,
    ) -> Batch:
        """Send a job's document on each line; 32 MB at most. `template` is that of every line that names no other."""
        wish = {"name": name, "template": template, "atomic": "true" if atomic else None}
        query = urlencode({key: value for key, value in wish.items() if value is not None})
        path = f"/v1/batches?{query}" if query else "/v1/batches"
        return batch(self._connection.post(path, lines, {**_LINES, **_key(idempotency_key)}))

    def get(self, batch_id: str, *, wait: float = 0.0) -> Batch:
        """The batch as it stands; with `wait`, up to 60 seconds, as soon as it is finished."""
        return batch(self._connection.get(_path(batch_id), {"wait": f"{wait:.3f}"} if wait else {}))

    def wait(self, batch_id: str, *, timeout: float | None = None) -> Batch:
        """The batch as soon as it is finished. `timeout` in seconds, default none. Raises TimedOut."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _WAIT_SECONDS if deadline is None else min(_WAIT_SECONDS, max(0.0, deadline - time.monotonic()))
            found = self.get(batch_id, wait=left)
            if found.finished:
                return found
            if deadline is not None and time.monotonic() >= deadline:
                raise TimedOut(f"{batch_id} is not finished within {timeout:g} s; {found.progress:.0%} have ended")

    def all(self, limit: int | None = None) -> Iterator[Batch]:
        """Your batches, newest first; at most `limit`, default all."""
        yield from self._paged("/v1/batches", {}, limit, page)

    def jobs(self, batch_id: str, state: str | None = None, limit: int | None = None) -> Iterator[answers.Job]:
        """The batch's jobs, newest first, without their steps; only those in `state`, at most `limit`, default all."""
        chosen = {"batch": batch_id, **({} if state is None else {"state": state})}
        yield from self._paged("/v1/jobs", chosen, limit, answers.page)

    def errors(self, batch_id: str, limit: int | None = None) -> Iterator[LineError]:
        """The lines that became no jobs, by their number; at most `limit`, default all."""
        yield from self._paged(f"{_path(batch_id)}/errors", {}, limit, lines)

    def cancel(self, batch_id: str) -> Batch:
        """Have all its jobs canceled that have not ended. Twice is as once. Raises ApiError with batch_finished."""
        return batch(self._connection.post(f"{_path(batch_id)}/cancel"))


def batch(document: Any) -> Batch:
    """Read a batch's document. Raises MillraceError where it is none."""
    return understood(_batch, document)


def page(document: Any) -> tuple[Sequence[Batch], str | None]:
    """Read a page of batches and the cursor of the next one. Raises MillraceError where it is none."""
    return understood(lambda it: ([_batch(one) for one in it["data"]], it["next_cursor"]), document)


def lines(document: Any) -> tuple[Sequence[LineError], str | None]:
    """Read a page of lines and the cursor of the next one. Raises MillraceError where it is none."""
    return understood(lambda it: ([_line(one) for one in it["data"]], it["next_cursor"]), document)


def _batch(it: Document) -> Batch:
    return Batch(
        id=it["id"],
        state=it["state"],
        name=it["name"],
        progress=it["progress"],
        counts=it["counts"],
        metadata=it["metadata"],
        created_at=datetime.fromisoformat(it["created_at"]),
        canceled_at=answers.time(it["canceled_at"]),
        finished_at=answers.time(it["finished_at"]),
        links=it["links"],
        errors=tuple(_line(one) for one in it.get("errors", ())),
        raw=it,
    )


def _line(it: Document) -> LineError:
    errors = tuple((flaw["pointer"], flaw["detail"]) for flaw in it["errors"])
    return LineError(line=it["line"], code=it["code"], detail=it["detail"], errors=errors, job=it["job"])


def _key(given: str | None) -> Mapping[str, str]:
    return {"Idempotency-Key": given or secrets.token_urlsafe(24)}


def _path(batch_id: str) -> str:
    if not _ASKABLE.fullmatch(batch_id):
        raise MillraceError(f"{batch_id!r} is not the id of a batch; they begin with bat_")
    return f"/v1/batches/{batch_id}"
