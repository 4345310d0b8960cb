"""A file on its way through this process: counted, hashed, and refused as soon as it is too large."""

import hashlib
import re
from collections.abc import AsyncIterable, AsyncIterator

from fastapi import Request

from api.documents import too_large
from api.multipart import MAX_AROUND_BYTES
from storage.telemetry.metrics import UPLOAD_BYTES

UNKNOWN = "application/octet-stream"
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,64}/[a-z0-9!#$&^_.+-]{1,64}")


class Passing:
    """Chunks as they pass, the empty ones left out. `size` in bytes and `sha256` are of what has passed by now.

    Raises Refused (413) above `limit` bytes.
    """

    def __init__(self, chunks: AsyncIterable[bytes], limit: int, *, hashed: bool = True) -> None:
        self._chunks = chunks
        self._limit = limit
        self._hash = hashlib.sha256() if hashed else None
        self.size = 0

    @property
    def sha256(self) -> str | None:
        """In hexadecimal digits; None where it is not hashed."""
        return self._hash.hexdigest() if self._hash else None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            if not chunk:
                continue
            self.size += len(chunk)
            UPLOAD_BYTES.add(by=len(chunk))
            if self.size > self._limit:
                raise too_large("the file", self._limit)
            if self._hash:
                self._hash.update(chunk)
            yield chunk


def media_type(told: str) -> str:
    """The media type that a client told, without its parameters; UNKNOWN where it is none."""
    plain = told.partition(";")[0].strip().lower()
    return plain if _MEDIA_TYPE.fullmatch(plain) else UNKNOWN


def refuse_declared_size(request: Request, limit: int, *, beside: int = 0) -> None:
    """Raise Refused (413) for a body that says itself that its file is too large: it need not be sent at all.

    `beside`: bytes that other parts of the body may have.
    """
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > limit + beside + MAX_AROUND_BYTES:
        raise too_large("the file", limit)
