"""Objects in S3, or in any server that speaks it, through obstore (bytes) and boto3 (signatures, guarded uploads)."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import obstore
from botocore.exceptions import BotoCoreError, ClientError
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from storage.errors import ObjectExists, ObjectMissing, ObjectStoreUnavailable
from storage.objects import PART_BYTES, Opened, Stored
from storage.objects.boto import s3_client
from storage.objects.connection import connect, refuse_after_fork
from storage.objects.keys import attachment, check_expiry, check_key, check_prefix, check_range
from storage.objects.settings import ObjectSettings
from storage.objects.uploads import GRACE_SECONDS, GuardedUpload, PlainUpload, Upload, cut, fill, unavailable

if TYPE_CHECKING:  # obstore has these in its stubs only
    from obstore import Attributes, GetOptions, GetResult, ObjectMeta, PutMode

READ_BYTES = 1024 * 1024  # least size of a chunk that comes out of `open`
CHECK_SECONDS = 5.0
DELETE_AT_ONCE = 1000  # S3's limit of one bulk delete


Keys = list[str]  # since inside the class `list` is the method
Blocks = list[bytearray]


class S3Objects:
    """Implements storage.objects.Objects for one bucket; may be built before a fork, but used only after it.

    Two connection pools: requests that send have a time limit as a whole, answers that are read only one from piece to
    piece, since nobody knows how slowly a reader reads.
    """

    def __init__(self, settings: ObjectSettings) -> None:
        assert settings.bucket is not None
        self._bucket = settings.bucket
        self._settings = settings
        self._lock = threading.Lock()
        self._sending: S3Store | None = None
        self._reading: S3Store | None = None
        self._boto: Any = None
        self._loose: set[asyncio.Task[None]] = set()

    async def put(
        self, key: str, chunks: AsyncIterable[bytes], *, content_type: str, only_if_absent: bool = False
    ) -> Stored:
        check_key(key)
        first: Blocks = []
        blocks = cut(chunks)
        async for block in blocks:
            first.append(block)
            if sum(map(len, first)) > PART_BYTES:
                upload = await self._upload(key, content_type, only_if_absent)
                await fill(upload, first, blocks, self._loose)
                return await self.head(key)  # a multipart's answer has no tag
        body = b"".join(first)
        first.clear()
        return await self._put_at_once(key, body, content_type, only_if_absent)

    async def _put_at_once(self, key: str, body: bytes, content_type: str, only_if_absent: bool) -> Stored:
        attributes: Attributes = {"Content-Type": content_type}
        mode: PutMode = "create" if only_if_absent else "overwrite"
        try:
            done = await obstore.put_async(
                self._sender(), key, body, attributes=attributes, mode=mode, use_multipart=False
            )
        except AlreadyExistsError as exc:
            raise ObjectExists(f"an object already stands under {key!r}") from exc
        except (BaseError, OSError) as exc:
            raise unavailable(exc, key) from exc
        now = datetime.now(UTC)
        return Stored(key=key, size=len(body), content_type=content_type, etag=done["e_tag"] or "", modified=now)

    async def _upload(self, key: str, content_type: str, only_if_absent: bool) -> Upload:
        if not only_if_absent:
            return PlainUpload(self._sender(), key, content_type, self._loose)
        with contextlib.suppress(ObjectMissing):
            await self.head(key)
            raise ObjectExists(f"an object already stands under {key!r}")
        client = await asyncio.to_thread(self._client)
        return GuardedUpload(client, self._bucket, key, content_type, self._loose)

    async def open(self, key: str, *, start: int | None = None, end: int | None = None) -> Opened:
        check_key(key)
        check_range(start, end)
        first = start or 0
        if end is not None and end <= first:
            return _nothing(await self.head(key), first)
        options: GetOptions = {}
        if end is not None:
            options = {"range": (first, end)}
        elif first:
            options = {"range": {"offset": first}}
        try:
            result = await self._get(key, options)
        except ObjectStoreUnavailable as exc:
            if options and "InvalidRange" in str(exc.__cause__):
                return _nothing(await self.head(key), first)
            raise
        begin, until = result.range
        return Opened(stored=_described(result), start=begin, end=until, chunks=_chunks(result, key))

    async def head(self, key: str) -> Stored:
        check_key(key)
        return _described(await self._get(key, {"head": True}))

    async def _get(self, key: str, options: "GetOptions") -> "GetResult":
        try:
            return await obstore.get_async(self._reader(), key, options=options)
        except FileNotFoundError as exc:
            if "NoSuchBucket" in str(exc):
                raise unavailable(exc, key) from exc
            raise ObjectMissing(f"no object stands under {key!r}") from exc
        except (BaseError, OSError) as exc:
            raise unavailable(exc, key) from exc

    async def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            check_key(key)
        if not keys:
            return
        try:
            await obstore.delete_async(self._sender(), keys)
        except FileNotFoundError:
            return  # some servers say so
        except (BaseError, OSError) as exc:
            raise unavailable(exc, keys[0]) from exc

    async def list(self, prefix: str, *, after: str | None = None) -> AsyncIterator[Stored]:
        check_prefix(prefix)
        pages = obstore.list(self._reader(), prefix or None, offset=after, chunk_size=DELETE_AT_ONCE)
        while True:
            try:
                page = await anext(pages)
            except StopAsyncIteration:
                return
            except (BaseError, OSError) as exc:
                raise unavailable(exc, prefix) from exc
            for meta in page:
                yield _stored(meta, None)

    async def delete_prefix(self, prefix: str) -> int:
        if not prefix:
            raise ValueError("an empty prefix would delete the whole bucket")
        count = 0
        batch: Keys = []
        async for stored in self.list(prefix):
            batch.append(stored.key)
            if len(batch) == DELETE_AT_ONCE:
                await self.delete(batch)
                count, batch = count + len(batch), []
        await self.delete(batch)
        return count + len(batch)

    async def signed_get(
        self, key: str, *, expires: timedelta, filename: str | None = None, content_type: str | None = None
    ) -> str:
        check_key(key)
        check_expiry(expires)
        asked = {"Key": key}
        if filename is not None:
            asked["ResponseContentDisposition"] = attachment(filename)
        if content_type is not None:
            asked["ResponseContentType"] = content_type
        return await asyncio.to_thread(self._sign, "get_object", asked, expires)

    async def signed_put(self, key: str, *, expires: timedelta, content_type: str | None = None) -> str:
        check_key(key)
        check_expiry(expires)
        asked = {"Key": key}
        if content_type is not None:
            asked["ContentType"] = content_type
        return await asyncio.to_thread(self._sign, "put_object", asked, expires)

    def _sign(self, method: str, asked: dict[str, str], expires: timedelta) -> str:
        """Sign with boto3, in a thread: obstore signs no response headers, and ambient keys may need a request."""
        try:
            url: str = self._client().generate_presigned_url(
                method, Params={"Bucket": self._bucket, **asked}, ExpiresIn=int(expires.total_seconds())
            )
        except (BotoCoreError, ClientError) as exc:
            raise unavailable(exc, asked["Key"]) from exc
        return url

    async def check(self) -> None:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                async for _ in self.list("millrace-check/"):  # a folder that is not there: the answer is all
                    return
        except TimeoutError as exc:
            raise ObjectStoreUnavailable(f"the object store did not answer within {CHECK_SECONDS:g} s") from exc

    async def close(self) -> None:
        if self._loose:
            await asyncio.wait(self._loose, timeout=GRACE_SECONDS)
        with self._lock:
            boto, self._boto, self._sending, self._reading = self._boto, None, None, None
        if boto is not None:
            boto.close()

    def _sender(self) -> S3Store:
        refuse_after_fork()
        with self._lock:
            if self._sending is None:
                patience = self._settings.patience
                self._sending = connect(self._settings, {"timeout": timedelta(seconds=patience.part)})
            return self._sending

    def _reader(self) -> S3Store:
        refuse_after_fork()
        with self._lock:
            if self._reading is None:
                idle = timedelta(seconds=self._settings.patience.idle)
                # `timeout` spans the whole answer and cannot be turned off, only made long.
                self._reading = connect(self._settings, {"timeout": timedelta(days=7), "read_timeout": idle})
            return self._reading

    def _client(self) -> Any:
        with self._lock:
            if self._boto is None:
                self._boto = s3_client(self._settings)
            return self._boto


async def _chunks(result: "GetResult", key: str) -> AsyncGenerator[bytes, None]:
    stream = result.stream(min_chunk_size=READ_BYTES)
    while True:
        try:
            chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except (BaseError, OSError) as exc:
            raise unavailable(exc, key) from exc
        yield bytes(chunk)  # obstore's own buffer type in spite of its stubs


def _described(result: "GetResult") -> Stored:
    return _stored(result.meta, result.attributes.get("Content-Type", "application/octet-stream"))


def _stored(meta: "ObjectMeta", content_type: str | None) -> Stored:
    return Stored(
        key=meta["path"],
        size=meta["size"],
        content_type=content_type,
        etag=meta["e_tag"] or "",
        modified=meta["last_modified"],
    )


def _nothing(stored: Stored, at: int) -> Opened:
    return Opened(stored=stored, start=at, end=at, chunks=_no_chunks())


async def _no_chunks() -> AsyncGenerator[bytes, None]:
    return
    yield b""  # makes this a generator
