"""Multipart uploads to S3 that end in an object or in nothing, even when the task that feeds them is cancelled."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

import obstore
from botocore.exceptions import BotoCoreError, ClientError
from obstore.exceptions import BaseError
from obstore.store import S3Store

from storage.errors import ObjectExists, ObjectStoreUnavailable, ObjectTooLarge
from storage.objects import MAX_OBJECT_BYTES, PART_BYTES

logger = logging.getLogger(__name__)

BLOCK_BYTES = (
    1024 * 1024
)  # one call into obstore; at 64 KiB the crossings cost twice the CPU, at 8 MiB twice the memory
PARALLEL_PARTS = 2  # per upload: one is sent while the next fills
GRACE_SECONDS = 3.0  # how long a cancelled task waits for its own clearing up, which then goes on without it

_turns = tuple(threading.Lock() for _ in range(64))  # by key: see GuardedUpload


class Upload(Protocol):
    """A multipart upload that was begun; after `finish`, whatever came of it, there is nothing to abort."""

    async def write(self, block: bytearray) -> None: ...
    async def finish(self) -> None: ...
    async def abort(self) -> None: ...


async def cut(chunks: AsyncIterable[bytes], size: int = BLOCK_BYTES) -> AsyncIterator[bytearray]:
    """Join small chunks and split large ones, so that all blocks but the last have exactly `size` bytes."""
    block = bytearray()
    async for chunk in chunks:
        rest = memoryview(chunk)
        while rest:
            piece = rest[: size - len(block)]
            rest = rest[len(piece) :]
            block += piece
            if len(block) == size:
                yield block
                block = bytearray()
    if block:
        yield block


async def fill(
    upload: Upload, first: list[bytearray], rest: AsyncIterator[bytearray], loose: set[asyncio.Task[None]]
) -> None:
    """Send all blocks and finish; if anything goes wrong before, abort and raise what went wrong.

    `first` is emptied on the way, so that its memory is given back. `loose` gets what outlives a cancellation.
    """
    size = 0
    try:
        while first:
            block = first.pop(0)
            size += len(block)
            await upload.write(block)
        async for block in rest:
            size += len(block)
            if size > MAX_OBJECT_BYTES:
                raise ObjectTooLarge(f"an object has at most {MAX_OBJECT_BYTES} bytes")
            await upload.write(block)
    except BaseException:
        await settle(_aborted(upload), loose)
        raise
    await upload.finish()


async def settle(work: Awaitable[None], loose: set[asyncio.Task[None]]) -> None:
    """Let the work end although this task is cancelled, again and again perhaps; wait for it GRACE_SECONDS at most."""
    task = asyncio.create_task(_awaited(work))
    loose.add(task)
    task.add_done_callback(loose.discard)
    loop = asyncio.get_running_loop()
    until = loop.time() + GRACE_SECONDS
    cancelled: asyncio.CancelledError | None = None
    while not task.done() and loop.time() < until:
        try:
            await asyncio.wait({task}, timeout=until - loop.time())
        except asyncio.CancelledError as exc:
            cancelled = exc
    if cancelled is not None:
        raise cancelled


async def _awaited(work: Awaitable[None]) -> None:
    await work


async def _aborted(upload: Upload) -> None:
    """Abort; a failure is only logged, since the bucket's lifecycle rule takes such parts away after a day."""
    try:
        await upload.abort()
    except ObjectStoreUnavailable as exc:
        logger.warning("object_upload_abort_failed error=%s", exc)


class _Calls:
    """Runs an upload's calls one by one; a cancelled task leaves its call running, for only its end tells the state."""

    def __init__(self, loose: set[asyncio.Task[None]]) -> None:
        self._running: asyncio.Future[Any] | None = None
        self._loose = loose

    async def run(self, call: Awaitable[Any]) -> Any:
        self._running = asyncio.ensure_future(call)
        return await asyncio.shield(self._running)

    async def run_last(self, call: Awaitable[Any]) -> None:
        """Run a call that must not be left behind: if cancelled, wait for its end before saying so."""
        try:
            await self.run(call)
        except asyncio.CancelledError:
            await settle(self.ended(), self._loose)
            raise

    async def ended(self) -> None:
        """Wait for the call that runs; its error was told, or nobody is left to be told."""
        if self._running is not None:
            await asyncio.wait({self._running})
            if not self._running.cancelled():
                self._running.exception()


class PlainUpload:
    """Overwrites what is there, through obstore, which aborts by itself when `finish` fails."""

    def __init__(self, store: S3Store, key: str, content_type: str, loose: set[asyncio.Task[None]]) -> None:
        self._key = key
        self._calls = _Calls(loose)
        self._writer = obstore.open_writer_async(
            store,
            key,
            attributes={"Content-Type": content_type},
            buffer_size=PART_BYTES,
            max_concurrency=PARALLEL_PARTS,
        )

    async def write(self, block: bytearray) -> None:
        try:
            await self._calls.run(self._writer.write(block))
        except (BaseError, OSError) as exc:
            raise unavailable(exc, self._key) from exc

    async def finish(self) -> None:
        try:
            await self._calls.run_last(self._writer.close())
        except (BaseError, OSError) as exc:
            raise unavailable(exc, self._key) from exc

    async def abort(self) -> None:
        await self._calls.ended()
        try:
            # The writer's only way to be told to abort: as if its `async with` were left by an exception.
            await self._writer.__aexit__(asyncio.CancelledError, None, None)
        except (BaseError, OSError) as exc:
            raise unavailable(exc, self._key) from exc


class GuardedUpload:
    """Succeeds only if nothing stands under the key when it completes, which obstore cannot ask of a multipart.

    So this one goes through boto3, one part at a time in a thread: twice obstore's CPU, and rare. AWS decides such a
    completion in one step; SeaweedFS 4.48 looks first and writes then, so that two that come at once both win (its
    conditional PUT is sound). Hence completions of one key take turns within this process; between processes they can
    both win on SeaweedFS only.
    """

    def __init__(self, client: Any, bucket: str, key: str, content_type: str, loose: set[asyncio.Task[None]]) -> None:
        self._client = client
        self._at = {"Bucket": bucket, "Key": key}
        self._content_type = content_type
        self._calls = _Calls(loose)
        self._upload_id: str | None = None
        self._held: list[bytearray] = []
        self._parts: list[dict[str, Any]] = []

    async def write(self, block: bytearray) -> None:
        self._held.append(block)
        if sum(map(len, self._held)) >= PART_BYTES:
            await self._calls.run(self._told(self._send))

    async def finish(self) -> None:
        await self._calls.run_last(self._told(self._complete))

    async def abort(self) -> None:
        await self._calls.ended()
        await self._told(self._abort)

    async def _told(self, call: Callable[[], None]) -> None:
        try:
            await asyncio.to_thread(call)
        except (BotoCoreError, ClientError) as exc:
            raise unavailable(exc, self._at["Key"]) from exc

    def _send(self) -> None:
        if self._upload_id is None:
            begun = self._client.create_multipart_upload(**self._at, ContentType=self._content_type)
            self._upload_id = begun["UploadId"]
        body = b"".join(self._held)
        self._held = []
        number = len(self._parts) + 1
        sent = self._client.upload_part(**self._at, UploadId=self._upload_id, PartNumber=number, Body=body)
        self._parts.append({"PartNumber": number, "ETag": sent["ETag"]})

    def _complete(self) -> None:
        try:
            if self._held:
                self._send()
            with _turns[hash(self._at["Key"]) % len(_turns)]:
                self._client.complete_multipart_upload(
                    **self._at, UploadId=self._upload_id, MultipartUpload={"Parts": self._parts}, IfNoneMatch="*"
                )
        except ClientError as exc:
            self._abort()
            if exc.response["Error"]["Code"] == "PreconditionFailed":
                raise ObjectExists(f"an object already stands under {self._at['Key']!r}") from exc
            raise
        except BotoCoreError:
            self._abort()
            raise

    def _abort(self) -> None:
        if self._upload_id is not None:
            self._client.abort_multipart_upload(**self._at, UploadId=self._upload_id)
            self._upload_id = None


def unavailable(exc: BaseException, what: str) -> ObjectStoreUnavailable:
    """Our error for one of obstore's or boto3's, in one line: obstore adds pages of debugging text."""
    lines = str(exc).strip().splitlines()
    return ObjectStoreUnavailable(f"the object store failed at {what!r}: {lines[0] if lines else type(exc).__name__}")
