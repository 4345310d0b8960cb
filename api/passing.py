"""A file on its way through this process: counted, hashed, and refused as soon as it is too large."""

import hashlib
import re
from collections.abc import AsyncIterable, AsyncIterator

from api.documents import too_large

UNKNOWN = "application/octet-stream"
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,64}/[a-z0-9!#$&^_.+-]{1,64}")


class Passing:
    """Chunks as they pass, the empty ones left out. `size` in bytes and `sha256` are of what has passed by now.

    Raises Refused (413) above `limit` bytes.
    """

    def __init__(self, chunks: AsyncIterable[bytes], limit: int) -> None:
        self._chunks = chunks
        self._limit = limit
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """In hexadecimal digits."""
        return self._hash.hexdigest()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            if not chunk:
                continue
            self.size += len(chunk)
            if self.size > self._limit:
                raise too_large("the file", self._limit)
            self._hash.update(chunk)
            yield chunk


def media_type(told: str) -> str:
    """The media type that a client told, without its parameters; UNKNOWN where it is none."""
    plain = told.partition(";")[0].strip().lower()
    return plain if _MEDIA_TYPE.fullmatch(plain) else UNKNOWN
