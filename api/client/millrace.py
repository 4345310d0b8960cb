"""The Python client: stands on HTTP alone and streams files both ways; several threads may share one.

`with Millrace() as millrace: job = millrace.submit(file=Path("photo.jpg"), template="thumbnails")`; then
`millrace.wait(job.id).outputs`, each for `millrace.download(output, Path(output.name))`.
"""

import contextlib
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar
from urllib.parse import quote

from api.client import access, answers, downloads, job_logs, numbers, operating, paths, standing
from api.client import similar as likenesses
from api.client.answers import Event, Job, Output
from api.client.audit import Audit
from api.client.batches import Batches
from api.client.connection import Connection
from api.client.failures import TimedOut
from api.client.image_keys import ImageKeys
from api.client.image_urls import Value, image_path
from api.client.job_logs import LogLine
from api.client.listening import listen
from api.client.numbers import Decision, Pool
from api.client.operating import DeadLetters, Queue, Replayed
from api.client.schedules import Schedules
from api.client.secrets import Secrets
from api.client.sending import Body, OnSent
from api.client.similar import Similar
from api.client.standing import Overview, Worker
from api.client.templates import Templates
from api.client.uploads import Uploads
from api.client.webhooks import Webhooks

POLL_SECONDS = 30.0
PAGE = 100

T = TypeVar("T")
Page = Callable[[Any], tuple[list[T], str | None]]


class Millrace:
    """Holds connections to one platform; use it as a context manager, or call `close`."""

    def __init__(self, url: str | None = None, key: str | None = None, *, tenant: str | None = None) -> None:
        """Nothing is sent yet; what is not given is found as `access.from_env` says. Raises MillraceError."""
        self._connection = Connection(access.from_env(url, key, tenant=tenant))
        self.url = self._connection.url
        self.schedules = Schedules(self._connection, self._paged)
        """What is to be done by the clock: `millrace.schedules.create({"cron": "0 3 * * *", "job": {…}})`."""
        self.secrets = Secrets(self._connection, self._paged)
        """What steps send to third parties: `millrace.secrets.put("crm", "…")`, then `{{secrets.crm}}` in a step."""
        self.templates = Templates(self._connection, self._paged)
        """Steps of jobs under a name: `millrace.templates.all()`, `millrace.templates.put("shop", {…})`."""
        self.uploads = Uploads(self._connection, self._paged)
        """Files sent once for many jobs and pictures: `millrace.uploads.add(Path("photo.jpg")).id`."""
        self.image_keys = ImageKeys(self._connection)
        """What signs links to pictures: `millrace.image_keys.create().signing`, then `millrace.image_url`."""
        self.batches = Batches(self._connection, self._paged)
        """Many jobs at once: `millrace.batches.submit([{…}, {…}]).id`, then `millrace.batches.wait(id)`."""
        self.webhooks = Webhooks(self._connection, self._paged)
        """Who is told of what happens: `millrace.webhooks.create("https://…").secret`."""
        self.audit = Audit(self._paged)
        """Who changed what: `millrace.audit.all("job.cancel", limit=20)`."""

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
        overrides: Mapping[str, Any] | None = None,
        filename: str | None = None,
        idempotency_key: str | None = None,
        on_sent: OnSent | None = None,
    ) -> Job:
        """Send a job: a document or the name of a template, and the file if its steps work on one.

        `overrides` are what is changed of the template, such as {"quality": 70}.
        An open file is sent from where it stands; `filename` defaults to its own name. Tried up to three times where
        the connection breaks or the server is busy; the idempotency key (default: a random one) sees to it that no
        second job comes of that. Raises ApiError, ConnectionFailed, MillraceError, and OSError for a file that is not
        there.
        """
        if (document is None) == (template is None):
            raise TypeError("give either a document or a template")
        if overrides is not None and template is None:
            raise TypeError("overrides are of a template")
        changed = {"with": dict(overrides)} if overrides else {}
        raw = _json({"template": template, **changed} if document is None else dict(document))
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
            found = answers.job(self._connection.get(paths.job(job_id), params))
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
        yield from self._paged("/v1/jobs", {} if state is None else {"state": state}, limit, answers.page)

    def events(self, job_id: str, *, after: int = 0) -> Iterator[Event]:
        """What happens to the job, from the event after number `after` to the job's end, as it happens.

        A job that was told to run again goes on after its `job.failed`, and so does this. A connection that breaks is
        made again and goes on where it was. Raises ApiError, and ConnectionFailed when that did not succeed for about
        20 seconds.
        """
        yield from listen(self._connection, f"{paths.job(job_id)}/events", after)

    def logs(self, job_id: str, *, level: str = "info", follow: bool = False) -> Iterator[LogLine]:
        """What all processes logged about the job, oldest first; `level` info, warning, error or critical at least.

        With `follow` also what is logged from now on, until a moment after the job has ended.
        """
        path = f"{paths.job(job_id)}/logs"
        if not follow:
            return job_logs.lines(self._connection, path, level)
        return job_logs.follow(self._connection, path, level, lambda: self.job(job_id, wait=1.0).ended)

    def cancel(self, job_id: str) -> Job:
        """End the job before its time: at once, or, while it is `stopping`, as soon as its running steps have stopped.

        Twice is as once. Raises ApiError with code job_ended where it had ended otherwise.
        """
        return answers.job(self._connection.post(f"{paths.job(job_id)}/cancel"))

    def retry(
        self,
        job_id: str,
        *,
        only: Literal["failed", "all"] = "failed",
        steps: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Job:
        """Run an ended job again: the steps that did not succeed, or all; a canceled one always whole.

        `steps` changes parameters: a JSON merge patch by the step's name. Sent once: where the connection breaks, look
        at the job. Raises ApiError with code job_not_ended, nothing_to_retry, unique_key_taken, invalid_request.
        """
        wish = {"only": only, "steps": {name: dict(patch) for name, patch in (steps or {}).items()}}
        return answers.job(self._connection.post_once(f"{paths.job(job_id)}/retry", _json(wish)))

    def delete(self, job_id: str) -> None:
        """Delete an ended job with its events and files. Raises ApiError with code job_not_ended."""
        self._connection.delete(paths.job(job_id))

    def similar(
        self, job_id: str, *, step: str | None = None, limit: int = 20, min_score: float | None = None
    ) -> list[Similar]:
        """Your pictures that look like the job's, most similar first; only those at least `min_score` (0..1) alike.

        `step` names one of the job's analyses, default the first. Raises ApiError with code no_embedding.
        """
        return self._similar({"job": paths.job_id(job_id), "step": step, "limit": limit, "min_score": min_score})

    def duplicates(
        self, job_id: str, *, step: str | None = None, limit: int = 20, max_distance: int | None = None
    ) -> list[Similar]:
        """Your pictures that equal the job's, or nearly: of 64 bits at most `max_distance` differ, default 6.

        Raises ApiError with code no_phash.
        """
        return self._similar(
            {"duplicates_of": paths.job_id(job_id), "step": step, "limit": limit, "max_distance": max_distance}
        )

    def dead_letters(
        self, *, kind: str | None = None, fingerprint: str | None = None, limit: int = 50
    ) -> list[DeadLetters]:
        """Your steps that failed for good, grouped by kind and reason, the largest groups first; at most 100 groups."""
        chosen = {"kind": kind, "fingerprint": fingerprint, "limit": str(limit)}
        params = {name: value for name, value in chosen.items() if value is not None}
        return operating.dead_letters(self._connection.get("/v1/dead-letters", params))

    def replay(
        self,
        *,
        kind: str | None = None,
        fingerprint: str | None = None,
        code: str | None = None,
        failed_after: datetime | None = None,
        failed_before: datetime | None = None,
        percent: float = 100,
        limit: int = 1000,
    ) -> Replayed:
        """Run the failed steps of matching jobs again, or of `percent` of these jobs, spread evenly; at most `limit`.

        Times need a zone. Sent once: where the connection breaks, see what is left among the dead letters.
        """
        wish = operating.wish(
            percent, limit, failed_after, failed_before, kind=kind, fingerprint=fingerprint, code=code
        )
        return operating.replayed(self._connection.post_once("/v1/dead-letters/replay", _json(wish)))

    def queues(self) -> list[Queue]:
        """All queues; their numbers are None where the key lacks the scope `operate:read`."""
        return operating.queues(self._connection.get("/v1/queues"))

    def queue(self, name: str) -> Queue:
        """One queue, as in the listing."""
        return operating.queue(self._connection.get(paths.queue(name)))

    def pause(self, queue: str) -> Queue:
        """Let nothing new start from a queue, for anybody; what runs goes on. The key needs the scope `operate`."""
        return operating.queue(self._connection.post(f"{paths.queue(queue)}/pause"))

    def resume(self, queue: str) -> Queue:
        """Let a queue go on. The key needs the scope `operate`."""
        return operating.queue(self._connection.post(f"{paths.queue(queue)}/resume"))

    def pools(self) -> list[Pool]:
        """All pools of workers that a scaler has decided about. The key needs the scope `operate:read`."""
        return numbers.pools(self._connection.get("/v1/pools"))

    def pool(self, name: str) -> Pool:
        """One pool, as in the listing. The key needs the scope `operate:read`."""
        return numbers.pool(self._connection.get(paths.pool(name)))

    def workers(self) -> list[Worker]:
        """All workers that live, and what each works on now. The key needs the scope `operate:read`."""
        return standing.workers(self._connection.get("/v1/workers"))

    def overview(self) -> Overview:
        """What is stuck, and why. The key needs the scope `operate:read`."""
        return standing.overview(self._connection.get("/v1/overview"))

    def decisions(self, name: str, limit: int | None = None) -> Iterator[Decision]:
        """What the scaler changed about a pool, newest first; at most `limit`, default all that is kept."""
        yield from self._paged(f"{paths.pool(name)}/decisions", {}, limit, numbers.decisions)

    def download(self, output: Output | str, target: Path | BinaryIO) -> int:
        """Bring an output, or what stands at a link, into a file; returns its bytes.

        A path is written whole or not at all, and replaced if it exists. The key is not shown to another address.
        Raises ApiError, ConnectionFailed, OSError.
        """
        if isinstance(output, Output):
            output = f"{paths.job(output.job)}/outputs/{quote(output.step, safe='')}/{quote(output.name, safe='')}"
        return downloads.download(self._connection, output, target)

    def image_url(self, upload: str, signing: str, **operations: Value) -> str:
        """A link to a picture of an upload, made when it is first asked for: `width=300, fit="cover", format="webp"`.

        `signing` is that of an image key; operations are those of `image_urls.image_path`. Nothing is sent. Raises
        MillraceError.
        """
        return self.url + image_path(upload, signing, operations)

    def _similar(self, wish: Mapping[str, Any]) -> list[Similar]:
        params = {name: str(value) for name, value in wish.items() if value is not None}
        return likenesses.similar(self._connection.get("/v1/similar", params))

    def _paged(self, path: str, params: Mapping[str, str], limit: int | None, read: Page[T]) -> Iterator[T]:
        """What the pages at `path` hold, one by one; a page is asked for when it is needed."""
        asked, left = dict(params), limit
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            listed, cursor = read(self._connection.get(path, {**asked, "limit": str(size)}))
            yield from listed
            if cursor is None:
                return
            asked["cursor"] = cursor
            left = None if left is None else left - len(listed)


def _json(document: Any) -> bytes:
    return json.dumps(document, allow_nan=False).encode()
