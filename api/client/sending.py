"""The body of a submission: the job's document first, if there is one, then the file as it is read, never whole."""

import mimetypes
import re
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import httpcore2

from api.client.failures import MillraceError

CHUNK = 128 * 1024
OnSent = Callable[[int, int | None], None]
"""Told how many bytes of the file have been sent, and its size where known."""

_UNSAFE = re.compile(r'[\x00-\x1f\x7f"%\\]')
_TELL_EVERY = 0.05  # seconds


class Body:
    """multipart/form-data with the parts `job`, if there is a document, and `file`; iterable again after `rewind`.

    The file is sent from where it stands. `length` in bytes, None where the file's size is not known.
    """

    def __init__(self, document: bytes | None, file: BinaryIO, filename: str, on_sent: OnSent | None = None) -> None:
        boundary = secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        media_type = mimetypes.guess_type(filename)[0] or "application/octet-stream"
        self._head = b"" if document is None else _job_part(boundary, document)
        self._head += (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{_quoted(filename)}"\r\n'
            f"Content-Type: {media_type}\r\n\r\n"
        ).encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._file = file
        self._name = filename
        self._on_sent = on_sent or _nobody
        self._start, self._size = _extent(file)
        self._begun = False
        self.answered_early: Callable[[], bool] = _never

    @property
    def length(self) -> int | None:
        return None if self._size is None else len(self._head) + self._size + len(self._tail)

    def rewind(self) -> bool:
        """Go back to the start, if it can be done: whether the body can be sent again."""
        if self._start is None:
            return not self._begun
        self._file.seek(self._start)
        self._begun = False
        return True

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        sent, told = 0, 0.0
        while chunk := self._read(sent):
            if self.answered_early():
                # As if the server had hung up: httpcore2 then stops sending and reads the answer.
                raise httpcore2.WriteError("answered before the body was sent")
            yield chunk
            sent += len(chunk)
            if (now := time.monotonic()) - told >= _TELL_EVERY:
                told = now
                self._on_sent(sent, self._size)
        if self._size is not None and sent < self._size:
            raise MillraceError(f"{self._name} became shorter while it was being sent; send it again")
        self._on_sent(sent, self._size)
        yield self._tail

    def _read(self, sent: int) -> bytes:
        self._begun = True
        wanted = CHUNK if self._size is None else min(CHUNK, self._size - sent)
        try:
            return self._file.read(wanted)
        except OSError as exc:
            raise MillraceError(f"{self._name} cannot be read: {exc.strerror or exc}") from exc


class EarlyAnswer:
    """Notices an answer that comes while the body is still being sent, so that 5 GB are not sent to be refused.

    `trace` is the request's extension of that name. Knows only the sockets of new connections, and says no wherever it
    does not know. Not for TLS, whose sockets become readable for reasons of their own.
    """

    def __init__(self) -> None:
        self._stream: Any = None

    def trace(self, event: str, info: Any) -> None:
        if event == "connection.connect_tcp.complete":
            self._stream = info["return_value"]

    def __call__(self) -> bool:
        return self._stream is not None and bool(self._stream.get_extra_info("is_readable"))


def _job_part(boundary: str, document: bytes) -> bytes:
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="job"\r\nContent-Type: application/json\r\n\r\n'
    return head.encode() + document + b"\r\n"


def _extent(file: BinaryIO) -> tuple[int | None, int | None]:
    """Where the file stands and how many bytes follow; (None, None) for a pipe and its like."""
    if not file.seekable():
        return None, None
    start = file.tell()
    end = file.seek(0, 2)
    file.seek(start)
    return start, end - start


def _quoted(filename: str) -> str:
    """The name as a header carries it: what would end it is percent-encoded, which the server undoes."""
    valid = filename.encode("utf-8", "replace").decode("utf-8")
    return _UNSAFE.sub(lambda match: f"%{ord(match.group()):02X}", valid)


def _nobody(_sent: int, _size: int | None) -> None:
    """Nobody wants to know."""


def _never() -> bool:
    return False
