"""The same objects for threads that do not run an event loop: Celery's workers."""

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from storage.errors import ObjectTooLarge
from storage.objects import Objects, Stored
from storage.telemetry import traces

FILE_BYTES = 1024 * 1024

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Loop:
    loop: asyncio.AbstractEventLoop
    thread: threading.Thread


class Blocking:
    """Runs an object store on one event loop in one thread of its own, shared by all threads that call.

    The thread starts with the first call, and anew in a forked child: a pool's parent may build this, but must not
    call it, since obstore does not survive a fork. Bytes stream in bounded memory. Raises what Objects raises.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._lock = threading.Lock()
        self._running: _Loop | None = None
        os.register_at_fork(after_in_child=self._forked)

    def download(self, key: str, path: Path) -> Stored:
        """Write the object to this file; if that fails, the file is removed."""
        with traces.span("object read", kind="client") as span:
            stored = self._call(_download(self._objects, key, path))
            span.set(millrace__object_bytes=stored.size)
        return stored

    def upload(self, key: str, source: Path | bytes, *, content_type: str, only_if_absent: bool = False) -> Stored:
        """Store a file or bytes under the key."""
        chunks = _bytes_of(source) if isinstance(source, bytes) else _chunks_of(source)
        with traces.span("object write", kind="client") as span:
            put = self._objects.put(key, chunks, content_type=content_type, only_if_absent=only_if_absent)
            stored = self._call(put)
            span.set(millrace__object_bytes=stored.size)
        return stored

    def read(self, key: str, limit: int) -> bytes:
        """Return the whole object, which must have at most `limit` bytes; raises ObjectTooLarge else."""
        with traces.span("object read", kind="client") as span:
            found = self._call(_read(self._objects, key, limit))
            span.set(millrace__object_bytes=len(found))
        return found

    def head(self, key: str) -> Stored:
        with traces.span("object look", kind="client"):
            return self._call(self._objects.head(key))

    def delete(self, keys: Sequence[str]) -> None:
        with traces.span("object delete", kind="client"):
            self._call(self._objects.delete(keys))

    def delete_prefix(self, prefix: str) -> int:
        with traces.span("object delete", kind="client"):
            return self._call(self._objects.delete_prefix(prefix))

    def close(self) -> None:
        """Close the object store and stop the thread; a later call would start a new one."""
        with self._lock:
            running, self._running = self._running, None
        if running is None:
            return
        asyncio.run_coroutine_threadsafe(self._objects.close(), running.loop).result()
        running.loop.call_soon_threadsafe(running.loop.stop)
        running.thread.join()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop())
        try:
            return future.result()
        except BaseException:
            future.cancel()  # a time limit or Ctrl-C broke the wait: take the work back too
            raise

    def _loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._running is None:
                loop = asyncio.new_event_loop()
                thread = threading.Thread(target=_run, args=(loop,), name="objects", daemon=True)
                self._running = _Loop(loop=loop, thread=thread)
                thread.start()
            return self._running.loop

    def _forked(self) -> None:
        """In a child: the thread is not there, and another thread may have held the lock."""
        self._lock = threading.Lock()
        self._running = None


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


async def _download(objects: Objects, key: str, path: Path) -> Stored:
    opened = await objects.open(key)
    try:
        async with contextlib.aclosing(opened.chunks) as chunks:
            with path.open("wb") as file:
                async for chunk in chunks:
                    await asyncio.to_thread(file.write, chunk)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return opened.stored


async def _read(objects: Objects, key: str, limit: int) -> bytes:
    opened = await objects.open(key)
    async with contextlib.aclosing(opened.chunks) as chunks:
        if opened.stored.size > limit:
            raise ObjectTooLarge(f"the object {key!r} has {opened.stored.size} bytes, more than {limit}")
        return b"".join([chunk async for chunk in chunks])


async def _chunks_of(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, FILE_BYTES):
            yield chunk


async def _bytes_of(body: bytes) -> AsyncIterator[bytes]:
    yield body
