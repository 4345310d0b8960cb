"""What only a server over the network shows: signed URLs, refusals, outages."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import httpx2
import pytest

from storage.errors import ObjectStoreUnavailable
from storage.objects import PART_BYTES, Objects
from storage.objects.s3 import S3Objects
from storage.objects.settings import ObjectSettings, Patience
from storage.objects.uploads import GRACE_SECONDS
from tests.contracts.bodies import MIB, body, content, pieces
from tests.contracts.faults import relay, silence

pytestmark = pytest.mark.anyio

A_MINUTE = timedelta(minutes=1)
IMPATIENT = Patience(connect=0.5, part=1, idle=0.5, retry=1, tries=2)
CLOSED_PORT = "http://127.0.0.1:1"


@contextlib.asynccontextmanager
async def opened(settings: ObjectSettings) -> AsyncIterator[Objects]:
    objects = S3Objects(settings)
    yield objects
    await objects.close()


@contextlib.asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < seconds


async def fails_in_every_way(objects: Objects, key: str) -> None:
    """All methods that ask the server raise our error, and none hangs."""
    with pytest.raises(ObjectStoreUnavailable):
        await objects.put(key, pieces(b"1"), content_type="text/plain")
    with pytest.raises(ObjectStoreUnavailable):
        await objects.put(key, pieces(body(PART_BYTES + MIB)), content_type="text/plain")
    with pytest.raises(ObjectStoreUnavailable):
        await objects.open(key)
    with pytest.raises(ObjectStoreUnavailable):
        await objects.head(key)
    with pytest.raises(ObjectStoreUnavailable):
        await objects.delete([key])
    with pytest.raises(ObjectStoreUnavailable):
        await anext(objects.list("a/"))
    with pytest.raises(ObjectStoreUnavailable):
        await objects.delete_prefix("a/")
    with pytest.raises(ObjectStoreUnavailable):
        await objects.check()


async def test_a_signed_get_reads_without_credentials(s3: Objects, folder: str) -> None:
    key = folder + "ü b+%.png"
    await s3.put(key, pieces(b"picture"), content_type="image/png")
    url = await s3.signed_get(key, expires=A_MINUTE, filename='naïve "1".png', content_type="image/x-ours")
    async with httpx2.AsyncClient() as client:
        answer = await client.get(url)
        plain = await client.get(await s3.signed_get(key, expires=A_MINUTE))
        tampered = await client.get(url.replace("image%2Fx-ours", "text%2Fhtml"))
        unsigned = await client.get(url.partition("?")[0])
    assert (answer.status_code, answer.content) == (200, b"picture")
    assert answer.headers["content-type"] == "image/x-ours"
    wanted = "attachment; filename=\"na_ve _1_.png\"; filename*=UTF-8''na%C3%AFve%20%221%22.png"
    assert answer.headers["content-disposition"] == wanted
    assert (plain.status_code, plain.headers["content-type"]) == (200, "image/png")
    assert (tampered.status_code, unsigned.status_code) == (403, 403)


async def test_a_signed_put_stores_what_it_was_signed_for(s3: Objects, folder: str) -> None:
    url = await s3.signed_put(folder + "a", expires=A_MINUTE, content_type="image/png")
    async with httpx2.AsyncClient() as client:
        other_type = await client.put(url, content=b"1", headers={"content-type": "text/html"})
        other_key = await client.put(url.replace("/a?", "/b?"), content=b"1", headers={"content-type": "image/png"})
        put = await client.put(url, content=b"picture", headers={"content-type": "image/png"})
    assert (other_type.status_code, other_key.status_code, put.status_code) == (403, 403, 200)
    assert (await s3.head(folder + "a")).content_type == "image/png"
    assert [stored.key async for stored in s3.list(folder)] == [folder + "a"]


async def test_a_signed_url_ends(s3: Objects, folder: str) -> None:
    await s3.put(folder + "a", pieces(b"1"), content_type="image/png")
    url = await s3.signed_get(folder + "a", expires=timedelta(seconds=1))
    async with httpx2.AsyncClient() as client, asyncio.timeout(10):
        while (await client.get(url)).status_code != 403:
            await asyncio.sleep(0.1)


async def test_a_closed_port_is_an_unavailable_store(bucket: ObjectSettings) -> None:
    away = replace(bucket, endpoint=CLOSED_PORT, patience=IMPATIENT)
    async with within(10), opened(away) as objects:
        await fails_in_every_way(objects, "a")


async def test_a_silent_server_is_an_unavailable_store(bucket: ObjectSettings) -> None:
    async with silence() as endpoint:
        silent = replace(bucket, endpoint=endpoint, patience=replace(IMPATIENT, part=0.4, idle=0.3, retry=0.3))
        async with within(10), opened(silent) as objects:
            await fails_in_every_way(objects, "a")


async def test_a_wrong_secret_is_an_unavailable_store(bucket: ObjectSettings) -> None:
    async with within(10), opened(replace(bucket, secret_key="wrong", patience=IMPATIENT)) as objects:
        await fails_in_every_way(objects, "a")


async def test_a_missing_bucket_is_an_unavailable_store(bucket: ObjectSettings) -> None:
    async with opened(replace(bucket, bucket="none-of-this-name")) as objects:
        with pytest.raises(ObjectStoreUnavailable):
            await objects.check()
        with pytest.raises(ObjectStoreUnavailable):
            await objects.open("a")


async def test_a_server_that_goes_away_breaks_the_reading(s3: Objects, bucket: ObjectSettings, folder: str) -> None:
    await s3.put(folder + "a", pieces(body(20 * MIB)), content_type="image/png")
    assert bucket.endpoint is not None
    async with (
        within(10),
        relay(bucket.endpoint, limit=5 * MIB) as endpoint,
        opened(replace(bucket, endpoint=endpoint, patience=IMPATIENT)) as objects,
    ):
        reading = await objects.open(folder + "a")
        with pytest.raises(ObjectStoreUnavailable):
            await content(reading)


@pytest.mark.parametrize("only_if_absent", [False, True])
@pytest.mark.parametrize("limit", [4 * MIB, 18 * MIB])
async def test_a_server_that_goes_away_breaks_the_put_and_leaves_the_old_object(
    s3: Objects, bucket: ObjectSettings, folder: str, limit: int, only_if_absent: bool
) -> None:
    if not only_if_absent:
        await s3.put(folder + "a", pieces(b"old"), content_type="image/png")
    assert bucket.endpoint is not None
    async with (
        within(20),
        relay(bucket.endpoint, limit=limit) as endpoint,
        opened(replace(bucket, endpoint=endpoint, patience=IMPATIENT)) as objects,
    ):
        with pytest.raises(ObjectStoreUnavailable):
            await objects.put(folder + "a", pieces(body(20 * MIB)), content_type="a/b", only_if_absent=only_if_absent)
    left = [(stored.key, stored.size) async for stored in s3.list(folder)]
    assert left == ([] if only_if_absent else [(folder + "a", 3)])


async def test_a_cancelled_put_to_a_silent_server_ends_soon(bucket: ObjectSettings) -> None:
    patience = replace(IMPATIENT, part=60)
    async with silence() as endpoint:
        objects = S3Objects(replace(bucket, endpoint=endpoint, patience=patience))
        task = asyncio.create_task(objects.put("a", pieces(body(20 * MIB)), content_type="a/b"))
        done, _ = await asyncio.wait({task}, timeout=0.3)
        assert not done
        task.cancel()
        async with within(GRACE_SECONDS + 1):
            with pytest.raises(asyncio.CancelledError):
                await task
    await objects.close()
