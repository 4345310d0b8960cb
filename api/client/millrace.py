"""The Python client: stands on HTTP alone and streams files both ways; several threads may share one.

`with Millrace() as millrace: job = millrace.submit(file=Path("photo.jpg"), template="thumbnails")`; then
`millrace.wait(job.id).outputs`, each for `millrace.download(output, Path(output.name))`.
"""

import contextlib
import json
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import httpx2

from api.client import access, answers
from api.client.answers import Event, Job, Output
from api.client.connection import LONGEST_PAUSE, Connection, asked_pause, retried
from api.client.failures import ApiError, ConnectionFailed, MillraceError, TimedOut
from api.client.sending import Body, OnSent

POLL_SECONDS = 30.0
PAGE = 100
CONNECT_AGAIN_AFTER = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 5.0, 5.0)  # seconds; then an event stream is given up

_ID = re.compile(r"[A-Za-z0-9_]{1,100}")


class Millrace:
    """Holds connections to one platform; use it as a context manager, or call `close`."""

    def __init__(self, url: str | None = None, key: str | None = None) -> None:
        """Nothing is sent yet; what is not given is found as `access.from_env` says. Raises MillraceError."""
        self._connection = Connection(access.from_env(url, key))
        self.url = self._connection.url

    def __enter__(self) -> "Millrace":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._connection.close()

    def submit(
        self,
        document: Mapping[str, Any] | None = None,
        *,
        file: Path | BinaryIO | None = None,
        template: str | None = None,
        filename: str | None = None,
        idempotency_key: str | None = None,
        on_sent: OnSent | None = None,
    ) -> Job:
        """Send a job: a document or the name of a template, and the file if its steps work on one.

        An open file is sent from where it stands; `filename` defaults to its own name. Tried up to three times where
        the connection breaks or the server is busy; the idempotency key (default: a random one) sees to it that no
        second job comes of that. Raises ApiError, ConnectionFailed, MillraceError, and OSError for a file that is not
        there.
        """
        if (document is None) == (template is None):
            raise TypeError("give either a document or a template")
        raw = json.dumps({"template": template} if document is None else dict(document), allow_nan=False).encode()
        headers = {"Idempotency-Key": idempotency_key or secrets.token_urlsafe(24)}
        if file is None:
            return answers.job(self._connection.post("/v1/jobs", raw, headers))
        with file.open("rb") if isinstance(file, Path) else contextlib.nullcontext(file) as opened:
            name = filename or Path(str(getattr(opened, "name", "upload"))).name
            return answers.job(self._connection.upload("/v1/jobs", Body(raw, opened, name, on_sent), headers))

    def job(self, job_id: str, *, wait: float | None = None) -> Job:
        """The job as it stands; with `wait`, as soon as it has ended, or after that many seconds."""
        deadline = time.monotonic() + (wait or 0.0)
        while True:
            left = max(0.0, min(POLL_SECONDS, deadline - time.monotonic()))
            params = {"wait": f"{left:.3f}"} if left else {}
            found = answers.job(self._connection.get(_path(job_id), params))
            if found.ended or time.monotonic() >= deadline:
                return found

    def wait(self, job_id: str, *, timeout: float | None = None) -> Job:
        """The job as soon as it has ended. `timeout` in seconds, default none. Raises TimedOut."""
        found = self.job(job_id, wait=POLL_SECONDS if timeout is None else timeout)
        while not found.ended and timeout is None:
            found = self.job(job_id, wait=POLL_SECONDS)
        if not found.ended:
            raise TimedOut(f"{job_id} has not ended within {timeout:g} s; it is {found.state}")
        return found

    def jobs(self, state: str | None = None, limit: int | None = None) -> Iterator[Job]:
        """Your jobs, newest first, without their steps; only those in `state`, at most `limit`, default all."""
        params = {} if state is None else {"state": state}
        left = limit
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            listed, cursor = answers.page(self._connection.get("/v1/jobs", {**params, "limit": str(size)}))
            yield from listed
            if cursor is None:
                return
            params["cursor"] = cursor
            left = None if left is None else left - len(listed)

    def events(self, job_id: str, *, after: int = 0) -> Iterator[Event]:
        """What happens to the job, from the event after number `after` to the job's end, as it happens.

        A connection that breaks is made again and goes on where it was. Raises ApiError, and ConnectionFailed when
        that did not succeed for about 20 seconds.
        """
        delays = iter(CONNECT_AGAIN_AFTER)
        while True:
            broken: ApiError | ConnectionFailed = ConnectionFailed(f"{self.url} ends the events of {job_id} too early")
            try:
                with self._connection.stream(f"{_path(job_id)}/events", _listening(after)) as response:
                    if response.status_code == 204:  # all has been told before
                        return
                    for event in _told(response):
                        delays, after = iter(CONNECT_AGAIN_AFTER), event.seq
                        yield event
                        if event.type.removeprefix("job.") in answers.ENDED:
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

    def download(self, output: Output | str, target: Path | BinaryIO) -> int:
        """Bring an output, or what stands at a link, into a file; returns its bytes.

        A path is written whole or not at all, and replaced if it exists. The key is not shown to another address.
        Raises ApiError, ConnectionFailed, OSError.
        """
        if isinstance(output, Output):
            output = f"{_path(output.job)}/outputs/{quote(output.step, safe='')}/{quote(output.name, safe='')}"
        href = output
        if isinstance(target, Path):
            return retried(lambda: self._fetch_whole(href, target))
        return self._fetch(href, target)

    def _fetch_whole(self, href: str, target: Path) -> int:
        part = target.with_name(f".millrace-{secrets.token_hex(6)}.part")
        try:
            with part.open("xb") as opened:
                size = self._fetch(href, opened)
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        return size

    def _fetch(self, href: str, target: BinaryIO) -> int:
        size = 0
        with self._connection.stream(href, {"Accept-Encoding": "identity"}) as response:
            for chunk in response.iter_bytes():
                target.write(chunk)
                size += len(chunk)
        return size


def _path(job_id: str) -> str:
    if not _ID.fullmatch(job_id):
        raise MillraceError(f"{job_id!r} is not the id of a job; they begin with job_")
    return f"/v1/jobs/{job_id}"


def _listening(after: int) -> dict[str, str]:
    return {"Accept": "text/event-stream", "Cache-Control": "no-store", "Last-Event-ID": str(after)}


def _told(response: httpx2.Response) -> Iterator[Event]:
    for told in httpx2.EventSource(response):
        try:
            yield answers.event(json.loads(told.data))
        except ValueError as exc:
            raise MillraceError("the stream of events is not as Millrace writes it; is the URL right?") from exc
