"""Bytes by key: what every object store of ours can do, whoever implements it.

Keys are text such as `ten_…/job_…/input`: segments between single slashes, at most 1,024 bytes in UTF-8, no control
characters and no backslash. Do not use a key that is also the folder of another (`a` beside `a/b`): stores that keep
real folders cannot list both. Sizes and ranges are in bytes; a range is half-open, [start, end), as in Python.
"""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

PART_BYTES = 8 * 1024 * 1024  # one part of a multipart upload, and the largest object stored by a single request
MAX_PARTS = 10_000  # S3's limit
MAX_OBJECT_BYTES = PART_BYTES * MAX_PARTS  # 78 GiB
MAX_SIGNED_FOR = timedelta(days=7)  # S3's limit


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """One object as the store describes it; `content_type` is None in listings, which do not carry it."""

    key: str
    size: int
    content_type: str | None
    etag: str
    modified: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """An object that is being read: its description and the bytes [start, end) as they arrive."""

    stored: Stored
    start: int
    end: int
    chunks: AsyncGenerator[bytes, None]

    async def aclose(self) -> None:
        """Stop reading, at the end or before it; safe to call twice."""
        await self.chunks.aclose()


class Objects(Protocol):
    """An object store. All may raise ObjectStoreUnavailable, and ValueError for what cannot be a key or range."""

    async def put(
        self, key: str, chunks: AsyncIterable[bytes], *, content_type: str, only_if_absent: bool = False
    ) -> Stored:
        """Store the chunks under the key, all or nothing, in bounded memory.

        If `chunks` raises or the task is cancelled, the upload is taken back and what stood under the key still stands.
        Only a cancellation that comes after the last chunk may find the object stored: delete it if it must not be.
        The answer's `modified` may be our own clock's. Raises ObjectExists and ObjectTooLarge (above MAX_OBJECT_BYTES).
        With `only_if_absent` exactly one of several writers at once succeeds; the one exception is SeaweedFS with
        objects above PART_BYTES that two processes complete in the same moment: there both may succeed.
        """

    async def open(self, key: str, *, start: int | None = None, end: int | None = None) -> Opened:
        """Open the object, or a range of it, cut to what there is: a range past the end is empty. Raises ObjectMissing.

        Errors of the store while reading come out of the iteration as ObjectStoreUnavailable.
        """

    async def head(self, key: str) -> Stored:
        """Describe the object without reading it. Raises ObjectMissing."""

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete these objects; those that are not there are fine."""

    def list(self, prefix: str, *, after: str | None = None) -> AsyncIterator[Stored]:
        """List the objects below a folder (`prefix` is empty or ends with a slash), in the store's key order.

        `after` is a key that came out earlier: going on from it again and again visits every object once. The order is
        that of bytes, but where a store keeps real folders (SeaweedFS) `a/1` comes before `a-b`.
        """

    async def delete_prefix(self, prefix: str) -> int:
        """Delete all objects below a folder (`prefix` ends with a slash) and return how many there were."""

    async def signed_get(
        self, key: str, *, expires: timedelta, filename: str | None = None, content_type: str | None = None
    ) -> str:
        """Make a URL that reads this object without credentials, for at most seven days.

        With `filename` a browser saves it under that name; `content_type` replaces the stored one in the answer.
        """

    async def signed_put(self, key: str, *, expires: timedelta, content_type: str | None = None) -> str:
        """Make a URL that stores this object by one PUT; with `content_type` the PUT must send just that one."""

    async def check(self) -> None:
        """Return if the bucket answers within five seconds, else raise ObjectStoreUnavailable."""

    async def close(self) -> None:
        """Let what is being taken back end (three seconds at most), and forget the connections."""
