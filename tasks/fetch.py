"""Kind `input.fetch`: brings a file from a URL into the object store, for the steps that work on it."""

import hashlib
import re
import time
from collections.abc import Mapping
from email.message import Message
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from storage.model import Json
from tasks import expressions
from tasks.budget import Went
from tasks.errors import OutboundFailed, OutboundRefused, OutboundTooLarge, StepFailed, StepRetryable
from tasks.fetch_params import InputFetch
from tasks.gate import host_of
from tasks.input_document import plain_filename
from tasks.opened_secrets import opened_secrets
from tasks.outbound import Answer, Asked, Head, Timeouts, Write, retry_after
from tasks.redaction import Redaction
from tasks.work import Work

OUTPUT = "input"
TIMEOUTS = Timeouts(connect=5, read=30, total=480)  # leaves a minute of the step's time to store what has come
REDIRECTS = 5
TELL_SECONDS = 1.0  # between two reports of progress
RETRIED_STATUSES = frozenset({408, 425, 429})
OURS = {"User-Agent": "Millrace", "Accept-Encoding": "identity"}  # packed, its length would say nothing of the file's
UNTYPED = "application/octet-stream"

_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,64}/[a-z0-9!#$&^_.+-]{1,64}")


def run(work: Work, params: InputFetch) -> Json:
    """Fetch, and return {status, outputs}, and `redirected_to` if another URL has answered, both without their queries.

    Raises StepFailed for what will not change, StepRetryable for what may.
    """
    opened = opened_secrets(work, expressions.names(dict(params.headers), "secrets"))
    redaction = Redaction(opened)
    asked = Asked(
        whose=work.claim.tenant_id,
        method="GET",
        url=params.url,
        headers=_headers(params, opened),
        body=None,
        timeouts=TIMEOUTS,
        redirects=REDIRECTS,
    )
    work.checkpoint()
    with _Reception(params, redaction, work.folder / "fetched") as reception:
        answer = _exchanged(work, params, asked, reception)
    if not _is_success(answer.status):
        raise _refusal(answer)
    if not reception.bytes:
        raise StepFailed("input_empty", f"{_name(answer.url)} answered {answer.status} with an empty file")
    work.checkpoint()
    output = work.save(
        OUTPUT,
        reception.path,
        content_type=reception.content_type,
        filename=params.filename or redaction.text(_filename(answer)),
        url=_shown(params.url),
        sha256=reception.hash.hexdigest(),
    )
    came_from = redaction.text(_shown(answer.url))
    moved = {} if came_from == _shown(params.url) else {"redirected_to": came_from}
    return {"status": answer.status, "outputs": [output], **moved}


def _headers(params: InputFetch, opened: Mapping[str, str]) -> dict[str, str]:
    scope = {"secrets": dict(opened)}
    try:
        filled = {name: str(expressions.render(value, scope)) for name, value in params.headers.items()}
    except expressions.ExpressionFailed as exc:
        raise StepFailed("expression_failed", str(exc)) from exc
    own = {name.lower() for name in filled}
    return {name: value for name, value in OURS.items() if name.lower() not in own} | filled


def _exchanged(work: Work, params: InputFetch, asked: Asked, reception: "_Reception") -> Answer:
    """The exchange, and what it says of the host."""
    limit = work.process.settings.max_fetch_bytes
    most = min(params.max_bytes or limit, limit)
    began, went, after = time.monotonic(), Went.NEITHER, None
    try:
        answer = work.process.outbound.exchange(
            asked,
            reception.receive,
            most_bytes=most,
            meanwhile=_Telling(work, reception),
            every_seconds=TELL_SECONDS,
        )
        went, after = _went(answer)
        return answer
    except StepFailed:  # the reception's: it was answered
        went = Went.WELL
        raise
    except OutboundTooLarge as exc:
        went = Went.WELL
        raise StepFailed("file_too_large", exc.message) from exc
    except OutboundRefused as exc:
        raise StepFailed(exc.code, exc.message) from exc
    except OutboundFailed as exc:
        went = Went.BADLY
        raise StepRetryable("input_unavailable", exc.message, reason=f"{host_of(asked.url)} {exc.code}") from exc
    finally:
        work.passage.tell(went, seconds=time.monotonic() - began, retry_after=after)


def _went(answer: Answer) -> tuple[Went, float | None]:
    after = retry_after(answer.headers)
    if answer.status == 429 or (answer.status == 503 and after is not None):
        return Went.THROTTLED, after
    return (Went.BADLY if answer.status >= 500 or answer.status == 408 else Went.WELL), None


def _refusal(answer: Answer) -> StepFailed | StepRetryable:
    message = f"{_name(answer.url)} answered {answer.status}"
    if answer.status in RETRIED_STATUSES or answer.status >= 500:
        return StepRetryable("input_unavailable", message, after_seconds=retry_after(answer.headers))
    return StepFailed("input_refused", message)


class _Reception:
    """Takes a file in: on disk, counted and hashed; refuses one of another type before its body is read."""

    def __init__(self, params: InputFetch, redaction: Redaction, path: Path) -> None:
        self.path = path
        self.bytes = 0
        self.of: int | None = None  # what was promised
        self.content_type = UNTYPED
        self.hash = hashlib.sha256()
        self._params = params
        self._redaction = redaction
        self._file: BinaryIO | None = None

    def __enter__(self) -> "_Reception":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def receive(self, head: Head) -> Write | None:
        if not _is_success(head.status):
            return None
        said = self._redaction.text(head.headers.get("content-type", ""))
        media_type = said.partition(";")[0].strip().lower()
        self.content_type = media_type if _MEDIA_TYPE.fullmatch(media_type) else UNTYPED
        if not self._params.takes(self.content_type):
            came = self.content_type if media_type else f"a file without a type ({UNTYPED})"
            message = f"{_name(head.url)} answered with {came}; what is taken is {self._params.taken}"
            raise StepFailed("input_type_refused", message)
        length = head.headers.get("content-length", "")
        self.of = int(length[:20]) if length.isdigit() and "content-encoding" not in head.headers else None
        self._file = self.path.open("wb")
        return self._write

    def _write(self, chunk: bytes) -> None:
        assert self._file is not None, "it is opened before anything is written"
        self._file.write(chunk)
        self.hash.update(chunk)
        self.bytes += len(chunk)


class _Telling:
    """Says from time to time how much has come; otherwise asks whether it is still wanted."""

    def __init__(self, work: Work, reception: _Reception) -> None:
        self._work = work
        self._reception = reception
        self._told = 0

    def __call__(self) -> None:
        came, of = self._reception.bytes, self._reception.of
        if came == self._told:
            self._work.checkpoint()
            return
        self._told = came
        self._work.progress(min(1.0, came / of) if of else 0.0, {"bytes": came, "of": of})


def _is_success(status: int) -> bool:
    return 200 <= status < 300


def _filename(answer: Answer) -> str:
    """What the answer calls its file (RFC 6266), or the end of the path that it came from."""
    return plain_filename(_disposed(answer.headers) or urlsplit(answer.url).path)


def _disposed(headers: Mapping[str, str]) -> str | None:
    message = Message()
    message["Content-Disposition"] = headers.get("content-disposition", "")
    try:
        return message.get_filename()
    except TypeError:  # the parser's own, for parts that are numbered and not numbered
        return None


def _name(url: str) -> str:
    return urlsplit(url).hostname or "the host"


def _shown(url: str) -> str:
    """The URL without what may be a signature or a key: its query and fragment."""
    return urlsplit(url)._replace(query="", fragment="").geturl()
