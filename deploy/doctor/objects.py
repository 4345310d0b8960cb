"""The object store: one small object is written, read, read by a signed URL, and deleted again."""

import asyncio
import dataclasses
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import timedelta
from functools import partial

import httpx2

from deploy.doctor.findings import Finding, fail, ok, one_line, warn
from storage.errors import ObjectMissing, ObjectStoreUnavailable
from storage.objects import Objects
from storage.objects.settings import ObjectSettings, Patience
from storage.objects.stores import open_objects

ABOUT = "objects"
FOLDER = "doctor/"
PATIENCE = Patience(connect=2, part=4, idle=4, retry=2, tries=1)
STEP_SECONDS = 5.0

_MEND = {
    "reach": "Does it run, are address and keys right, and is the bucket there: `python -m storage bucket`?",
    "write": "May this key write (s3:PutObject)? Does the store have room?",
    "read": "May this key read (s3:GetObject)?",
    "presign": "Signed URLs must lead to the store from here: look at AWS_ENDPOINT_URL_S3, the region, and clocks.",
    "delete": "May this key delete (s3:DeleteObject)? Without that nothing is ever cleared away.",
}


def check(settings: ObjectSettings) -> list[Finding]:
    """All that the platform does with objects, once."""
    if settings.bucket is None:
        return [warn(ABOUT, "Objects are kept in the memory of each process.", "Set STORAGE_URL to s3://bucket.")]
    return asyncio.run(_check(dataclasses.replace(settings, patience=PATIENCE)))


async def _check(settings: ObjectSettings) -> list[Finding]:
    objects = open_objects(settings)
    key, body = f"{FOLDER}{secrets.token_hex(8)}", secrets.token_bytes(64)
    steps: dict[str, Callable[[], Coroutine[None, None, None]]] = {
        "reach": objects.check,  # some servers make a bucket of any name at the first write
        "write": partial(_write, objects, key, body),
        "read": partial(_read, objects, key, body),
        "presign": partial(_presigned, objects, key, body),
        "delete": partial(_delete, objects, key),
    }
    try:
        for name, step in steps.items():
            try:
                async with asyncio.timeout(STEP_SECONDS):
                    await step()
            except (ObjectStoreUnavailable, ObjectMissing, TimeoutError, httpx2.HTTPError, _Wrong) as exc:
                if name in ("read", "presign"):
                    await _forget(objects, key)
                reason = one_line(exc) if str(exc) else f"no answer within {STEP_SECONDS:g} s"
                return [fail(ABOUT, f"Object store, {name}: {reason}", _MEND[name], step=name)]
        return [ok(ABOUT, f"The bucket '{settings.bucket}' takes, gives, signs and deletes an object.")]
    finally:
        await objects.close()


class _Wrong(Exception):
    """The store answered, but not with what was put into it."""


async def _write(objects: Objects, key: str, body: bytes) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield body

    await objects.put(key, chunks(), content_type="application/octet-stream")


async def _read(objects: Objects, key: str, body: bytes) -> None:
    opened = await objects.open(key)
    if b"".join([chunk async for chunk in opened.chunks]) != body:
        raise _Wrong("what was read is not what was written")


async def _presigned(objects: Objects, key: str, body: bytes) -> None:
    url = await objects.signed_get(key, expires=timedelta(minutes=1))
    async with httpx2.AsyncClient(timeout=STEP_SECONDS) as client:
        answer = await client.get(url)
    if answer.status_code != 200:
        raise _Wrong(f"the signed URL was answered with {answer.status_code}")
    if answer.content != body:
        raise _Wrong("the signed URL gave other bytes than were written")


async def _delete(objects: Objects, key: str) -> None:
    await objects.delete([key])
    try:
        await objects.head(key)
    except ObjectMissing:
        return
    raise _Wrong("the object is still there after it was deleted")


async def _forget(objects: Objects, key: str) -> None:
    try:
        await objects.delete([key])
    except ObjectStoreUnavailable:
        return  # it is named already
