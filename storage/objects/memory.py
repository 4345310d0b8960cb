"""Objects in the memory of one process, for fast tests; it forgets everything with the process."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlencode

from storage.errors import ObjectExists, ObjectMissing, ObjectTooLarge
from storage.objects import MAX_OBJECT_BYTES, Opened, Stored
from storage.objects.keys import attachment, check_expiry, check_key, check_prefix, check_range

READ_BYTES = 1024 * 1024


class MemoryObjects:
    """Implements storage.objects.Objects, but for signed URLs: they start with `memory://` and nobody serves them."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[Stored, bytes]] = {}

    async def put(
        self, key: str, chunks: AsyncIterable[bytes], *, content_type: str, only_if_absent: bool = False
    ) -> Stored:
        check_key(key)
        body = bytearray()
        async for chunk in chunks:
            body += chunk
            if len(body) > MAX_OBJECT_BYTES:
                raise ObjectTooLarge(f"an object has at most {MAX_OBJECT_BYTES} bytes")
        if only_if_absent and key in self._held:
            raise ObjectExists(f"an object already stands under {key!r}")
        digest = hashlib.md5(body, usedforsecurity=False).hexdigest()  # what S3 makes the tag of a small object
        stored = Stored(
            key=key, size=len(body), content_type=content_type, etag=f'"{digest}"', modified=datetime.now(UTC)
        )
        self._held[key] = stored, bytes(body)
        return stored

    async def open(self, key: str, *, start: int | None = None, end: int | None = None) -> Opened:
        check_key(key)
        check_range(start, end)
        stored, body = self._find(key)
        first = start or 0
        until = max(first, stored.size if end is None else min(end, stored.size))
        return Opened(stored=stored, start=first, end=until, chunks=_chunks(body[first:until]))

    async def head(self, key: str) -> Stored:
        check_key(key)
        return self._find(key)[0]

    async def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            check_key(key)
        for key in keys:
            self._held.pop(key, None)

    async def list(self, prefix: str, *, after: str | None = None) -> AsyncIterator[Stored]:
        check_prefix(prefix)
        found = sorted((key.encode(), stored) for key, (stored, _) in self._held.items() if key.startswith(prefix))
        for key, stored in found:
            if after is None or key > after.encode():
                yield Stored(
                    key=stored.key, size=stored.size, content_type=None, etag=stored.etag, modified=stored.modified
                )

    async def delete_prefix(self, prefix: str) -> int:
        if not prefix:
            raise ValueError("an empty prefix would delete the whole bucket")
        keys = [stored.key async for stored in self.list(prefix)]
        await self.delete(keys)
        return len(keys)

    async def signed_get(
        self, key: str, *, expires: timedelta, filename: str | None = None, content_type: str | None = None
    ) -> str:
        asked = {"filename": attachment(filename)} if filename is not None else {}
        return _url("get", key, expires, asked, content_type)

    async def signed_put(self, key: str, *, expires: timedelta, content_type: str | None = None) -> str:
        return _url("put", key, expires, {}, content_type)

    async def check(self) -> None:
        return

    async def close(self) -> None:
        return

    def _find(self, key: str) -> tuple[Stored, bytes]:
        try:
            return self._held[key]
        except KeyError as exc:
            raise ObjectMissing(f"no object stands under {key!r}") from exc


async def _chunks(body: bytes) -> AsyncGenerator[bytes, None]:
    for at in range(0, len(body), READ_BYTES):
        yield body[at : at + READ_BYTES]


def _url(method: str, key: str, expires: timedelta, asked: dict[str, str], content_type: str | None) -> str:
    check_key(key)
    check_expiry(expires)
    query = {"method": method, "expires": str(int(expires.total_seconds())), **asked}
    if content_type is not None:
        query["content_type"] = content_type
    return f"memory:///{quote(key)}?{urlencode(query)}"
