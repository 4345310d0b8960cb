"""Kind `http.call`: calls a third party, with the step's id as its idempotency key."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from storage import jobs
from storage.model import Json
from tasks import expressions
from tasks.budget import Went
from tasks.call_body import Filled, body_of
from tasks.call_params import MOST_OBJECT_BYTES, HttpCall, makes_files
from tasks.errors import OutboundFailed, OutboundRefused, OutboundTooLarge, StepFailed, StepRetryable
from tasks.gate import host_of
from tasks.opened_secrets import opened_secrets
from tasks.outbound import Answer, Asked, Head, Timeouts, media_type, retry_after
from tasks.redaction import Redaction
from tasks.scope import scope_of
from tasks.values import depth
from tasks.work import Work

RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
MAX_DEPTH = 32  # of an answer that is kept as JSON
SHOWN_HEADERS = ("content-type", "etag", "last-modified", "link", "location", "retry-after", "x-request-id")
EXCERPT = 300  # characters of a refusal that are shown
EMPTY = frozenset({204, 304})
NO_TEXT = ("image/", "audio/", "video/", "font/", "application/octet-stream", "application/pdf", "application/zip")


def run(work: Work, params: HttpCall) -> Json:
    """Call, and return {status, headers, body}, or {status, headers, outputs} where the answer is stored.

    Raises StepFailed for what will not change, StepRetryable for what may.
    """
    filled, redaction = _filled(work, params)
    body = body_of(work, params, filled)
    asked = Asked(
        whose=work.claim.tenant_id,
        method=params.method,
        url=filled.url,
        headers=_headers(work, filled),
        body=body,
        timeouts=Timeouts(connect=params.timeout.connect, read=params.timeout.read, total=params.timeout.total),
        redirects=params.redirects,
    )
    work.checkpoint()
    with _Reception(params, redaction, work.folder / "answer") as reception:
        _exchanged(work, params, asked, reception)
    head = reception.head
    headers = {name: redaction.text(head.headers[name])[:1000] for name in SHOWN_HEADERS if name in head.headers}
    if not params.is_success(head.status):
        raise _refusal(head, reception)
    result: dict[str, Json] = {"status": head.status, "headers": headers}
    if not makes_files(params):
        return result | {"body": reception.value()} | ({"truncated": True} if reception.is_truncated else {})
    content_type = media_type(redaction.text(head.headers.get("content-type", "")))
    return result | {"outputs": [work.save("answer", reception.path, content_type=content_type)]}


def _filled(work: Work, params: HttpCall) -> tuple[Filled, Redaction]:
    """The parameters with their expressions filled in, and what hides the secrets among them."""
    opened = opened_secrets(work, expressions.names({"headers": params.headers, "query": params.query}, "secrets"))
    scope = scope_of(work.used, _job(work), step=work.claim.step_id, name=work.claim.name, attempt=work.claim.attempt)
    secret = {**scope, "secrets": dict(opened)}
    try:
        filled = Filled(
            url=expressions.render_url(params.url, scope),
            headers=expressions.render(params.headers, secret),
            query=expressions.render(params.query, secret),
            body=expressions.render(params.body, scope),
            form=expressions.render(params.form, scope),
        )
    except expressions.ExpressionFailed as exc:
        raise StepFailed("expression_failed", str(exc)) from exc
    return filled, Redaction(opened)


def _job(work: Work) -> Json:
    with work.process.database.read(work.claim.tenant_id) as tx:
        return jobs.facts(tx, work.claim.job_id)


def _headers(work: Work, filled: Filled) -> dict[str, str]:
    own = {name.lower() for name in filled.headers}
    ours = {"Idempotency-Key": work.claim.step_id, "User-Agent": "Millrace"}
    return {name: value for name, value in ours.items() if name.lower() not in own} | filled.headers


def _exchanged(work: Work, params: HttpCall, asked: Asked, reception: "_Reception") -> None:
    """The exchange, and what it says of the host."""
    began = time.monotonic()
    # What is kept in memory ends by itself, see _Kept.
    most = params.answer.most_bytes if makes_files(params) else MOST_OBJECT_BYTES
    went, after = Went.NEITHER, None
    try:
        answer = work.process.outbound.exchange(asked, reception.receive, most_bytes=most, meanwhile=work.checkpoint)
        went, after = _went(params, answer)
    except (_Enough, OutboundTooLarge) as exc:
        if not reception.is_begun:  # what is too large is the head
            went = Went.WELL
            raise StepFailed("answer_too_large", str(exc)) from exc
        went, after = _went(params, reception.head)
        if makes_files(params) and params.is_success(reception.head.status):
            raise StepFailed("answer_too_large", f"the answer has more than {params.answer.most_bytes} bytes") from exc
        reception.is_cut = True
    except OutboundRefused as exc:
        raise StepFailed(exc.code, exc.message) from exc
    except OutboundFailed as exc:
        went = Went.BADLY
        raise StepRetryable("call_failed", exc.message, reason=f"{host_of(asked.url)} {exc.code}") from exc
    finally:
        work.passage.tell(went, seconds=time.monotonic() - began, retry_after=after)


def _went(params: HttpCall, answer: Answer | Head) -> tuple[Went, float | None]:
    after = retry_after(answer.headers)
    if params.is_success(answer.status):
        return Went.WELL, None
    if answer.status == 429 or (answer.status == 503 and after is not None):
        return Went.THROTTLED, after
    return (Went.BADLY if answer.status >= 500 or answer.status == 408 else Went.WELL), None


def _refusal(head: Head, reception: "_Reception") -> StepFailed | StepRetryable:
    host = (host_of(head.url) or "the host").rpartition(":")[0]
    excerpt = " ".join(reception.text().split())[:EXCERPT]
    if 300 <= head.status < 400:
        excerpt = "a redirect; 'redirects' says how many are followed"
    message = f"{host} answered {head.status}" + (f": {excerpt}" if excerpt else "")
    reason = f"{host} {head.status}"
    if head.status in RETRIED_STATUSES:
        return StepRetryable("call_unsuccessful", message, after_seconds=retry_after(head.headers), reason=reason)
    return StepFailed("call_refused", message, reason=reason)


class _Enough(Exception):
    """More was answered than is kept."""


@dataclass(kw_only=True, slots=True)
class _Kept:
    """The beginning of an answer, in memory."""

    most: int
    read: bytearray = field(default_factory=bytearray)

    def write(self, chunk: bytes) -> None:
        self.read += chunk
        if len(self.read) > self.most:
            del self.read[self.most :]
            raise _Enough


class _Reception:
    """Takes an answer in: in memory, or in a file where it is a success that is to be stored."""

    def __init__(self, params: HttpCall, redaction: Redaction, path: Path) -> None:
        self.path = path
        self.is_cut = False
        self._params = params
        self._redaction = redaction
        self._most = EXCERPT * 4 if makes_files(params) else params.answer.most_bytes
        self._kept = _Kept(most=self._most + redaction.reach)
        self._file: BinaryIO | None = None
        self._head: Head | None = None

    def __enter__(self) -> "_Reception":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._redaction.end(self._file)
            self._file.close()

    @property
    def is_begun(self) -> bool:
        return self._head is not None

    @property
    def head(self) -> Head:
        assert self._head is not None, "nothing was answered"
        return self._head

    def receive(self, head: Head) -> Callable[[bytes], None]:
        self._head = head
        if makes_files(self._params) and self._params.is_success(head.status):
            self._file = self.path.open("wb")
            return self._redaction.into(self._file)
        return self._kept.write

    @property
    def is_truncated(self) -> bool:
        """Whether more was answered than is shown."""
        return self.is_cut or len(self._kept.read) > self._most

    def text(self) -> str:
        shown = self._redaction.beginning(bytes(self._kept.read), self._most, is_all=not self.is_cut)
        return shown.decode("utf-8", "replace")

    def value(self) -> Json:
        """What was answered: JSON where it is that, otherwise text; null where there is none, or no text."""
        if not self._kept.read and (self.head.status in EMPTY or self._params.method == "HEAD"):
            return None
        media_type = self.head.headers.get("content-type", "").lower()
        if media_type.startswith(NO_TEXT) and "+xml" not in media_type:
            return None
        text = self.text()
        if "json" not in media_type:
            return text
        try:
            value = json.loads(text)
            json.dumps(value, allow_nan=False)  # NaN, and 1e999, which becomes infinite
        except (ValueError, RecursionError):
            return text
        return self._redaction.value(value) if depth(value, MAX_DEPTH) <= MAX_DEPTH else text
