"""What every object store does, in memory and in the real S3 server alike."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pytest

from storage.errors import ObjectExists, ObjectMissing
from storage.objects import PART_BYTES, Objects, Stored
from tests.contracts.bodies import (
    MIB,
    Broken,
    body,
    broken_after,
    content,
    endless,
    mixed_pieces,
    pieces,
    waiting_after,
)

pytestmark = pytest.mark.anyio

Pending = Callable[[], list[str]]
SMALL, LARGE = 1000, PART_BYTES + MIB
A_DAY = timedelta(days=1)


async def put(objects: Objects, key: str, data: bytes, content_type: str = "image/png") -> Stored:
    return await objects.put(key, pieces(data), content_type=content_type)


async def keys(listing: AsyncIterator[Stored]) -> list[str]:
    return [stored.key async for stored in listing]


@pytest.mark.parametrize("size", [0, 1, PART_BYTES, PART_BYTES + 1, 20 * MIB])
async def test_what_was_put_comes_back(objects: Objects, folder: str, size: int) -> None:
    data, before = body(size), datetime.now(UTC)
    stored = await put(objects, folder + "a", data)
    opened = await objects.open(folder + "a")
    assert await content(opened) == data
    assert (stored.key, stored.size, stored.content_type) == (folder + "a", size, "image/png")
    assert (opened.stored.size, opened.stored.content_type, opened.start, opened.end) == (size, "image/png", 0, size)
    assert opened.stored.etag == stored.etag != ""
    assert timedelta(seconds=-2) < stored.modified - before < timedelta(minutes=1)


@pytest.mark.parametrize("size", [100_000, 30 * MIB])
async def test_pieces_of_any_size_are_joined(objects: Objects, folder: str, size: int) -> None:
    data = body(size)
    await objects.put(folder + "a", mixed_pieces(data), content_type="image/png")
    assert await content(await objects.open(folder + "a")) == data


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_a_put_replaces_bytes_and_content_type(objects: Objects, folder: str, size: int) -> None:
    await put(objects, folder + "a", body(3 * MIB))
    stored = await put(objects, folder + "a", body(size, seed=1), "text/plain")
    assert await content(await objects.open(folder + "a")) == body(size, seed=1)
    head = await objects.head(folder + "a")
    assert (head.size, head.content_type, head.etag) == (size, "text/plain", stored.etag)


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_of_eight_conditional_puts_exactly_one_wins(
    objects: Objects, folder: str, pending: Pending, size: int
) -> None:
    async def attempt(seed: int) -> int | None:
        chunks = pieces(body(size, seed), MIB)
        try:
            await objects.put(folder + "a", chunks, content_type="image/webp", only_if_absent=True)
        except ObjectExists:
            return None
        return seed

    results = await asyncio.gather(*(attempt(seed) for seed in range(8)))
    [winner] = [seed for seed in results if seed is not None]
    assert await content(await objects.open(folder + "a")) == body(size, winner)
    assert (await objects.head(folder + "a")).content_type == "image/webp"
    assert pending() == []


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_a_conditional_put_leaves_what_is_there(objects: Objects, folder: str, size: int) -> None:
    await put(objects, folder + "a", b"old")
    with pytest.raises(ObjectExists):
        await objects.put(folder + "a", pieces(body(size)), content_type="text/plain", only_if_absent=True)
    assert await content(await objects.open(folder + "a")) == b"old"


@pytest.mark.parametrize("only_if_absent", [False, True])
@pytest.mark.parametrize("size", [0, SMALL, LARGE])
async def test_a_source_that_breaks_leaves_no_object(
    objects: Objects, folder: str, pending: Pending, size: int, only_if_absent: bool
) -> None:
    with pytest.raises(Broken):
        await objects.put(
            folder + "a", broken_after(body(size)), content_type="image/png", only_if_absent=only_if_absent
        )
    assert await keys(objects.list(folder)) == []
    assert pending() == []


@pytest.mark.parametrize("size", [SMALL, 20 * MIB])
async def test_a_source_that_breaks_leaves_the_old_object(
    objects: Objects, folder: str, pending: Pending, size: int
) -> None:
    await put(objects, folder + "a", b"old")
    with pytest.raises(Broken):
        await objects.put(folder + "a", broken_after(body(size)), content_type="image/png")
    assert await content(await objects.open(folder + "a")) == b"old"
    assert pending() == []


@pytest.mark.parametrize("only_if_absent", [False, True])
@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_a_cancelled_put_leaves_no_object(
    objects: Objects, folder: str, pending: Pending, size: int, only_if_absent: bool
) -> None:
    reached = asyncio.Event()
    chunks = waiting_after(body(size), reached)
    task = asyncio.create_task(
        objects.put(folder + "a", chunks, content_type="image/png", only_if_absent=only_if_absent)
    )
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await keys(objects.list(folder)) == []
    assert pending() == []


@pytest.mark.parametrize("announce_at", [MIB, PART_BYTES, 9 * MIB, 17 * MIB, 30 * MIB])
async def test_a_put_cancelled_while_it_sends_leaves_the_old_object(
    objects: Objects, folder: str, pending: Pending, announce_at: int
) -> None:
    await put(objects, folder + "a", b"old")
    reached = asyncio.Event()
    task = asyncio.create_task(
        objects.put(folder + "a", _yielding(endless(announce_at, reached)), content_type="image/png")
    )
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await content(await objects.open(folder + "a")) == b"old"
    assert pending() == []


async def _yielding(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield chunk
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (0, 1),
        (0, None),
        (None, 10),
        (10, 20),
        (999, 1000),
        (990, 5000),
        (995, None),
        (5, 5),
        (1000, None),
        (2000, 3000),
    ],
)
async def test_a_range_is_that_slice(objects: Objects, folder: str, start: int | None, end: int | None) -> None:
    data = body(1000)
    await put(objects, folder + "a", data)
    opened = await objects.open(folder + "a", start=start, end=end)
    assert await content(opened) == data[start:end]
    assert opened.end - opened.start == len(data[start:end])
    assert opened.stored.size == 1000


async def test_a_range_of_an_empty_object_is_empty(objects: Objects, folder: str) -> None:
    await put(objects, folder + "a", b"")
    assert await content(await objects.open(folder + "a", start=0, end=10)) == b""


async def test_a_range_may_cross_parts(objects: Objects, folder: str) -> None:
    data = body(20 * MIB)
    await put(objects, folder + "a", data)
    opened = await objects.open(folder + "a", start=PART_BYTES - 10, end=2 * PART_BYTES + 10)
    assert await content(opened) == data[PART_BYTES - 10 : 2 * PART_BYTES + 10]


async def test_reading_may_stop_early(objects: Objects, folder: str) -> None:
    await put(objects, folder + "a", body(20 * MIB))
    opened = await objects.open(folder + "a")
    assert len(await anext(opened.chunks)) < 20 * MIB
    await opened.aclose()
    await opened.aclose()


@pytest.mark.parametrize("range_", [(None, None), (5, 10), (5, 5)])
async def test_a_missing_key_is_told(objects: Objects, folder: str, range_: tuple[int | None, int | None]) -> None:
    with pytest.raises(ObjectMissing):
        await objects.open(folder + "none", start=range_[0], end=range_[1])
    with pytest.raises(ObjectMissing):
        await objects.head(folder + "none")


async def test_deleting_takes_missing_keys_too(objects: Objects, folder: str) -> None:
    await put(objects, folder + "a", b"1")
    await objects.delete([folder + "a", folder + "none"])
    await objects.delete([folder + "a"])
    await objects.delete([])
    with pytest.raises(ObjectMissing):
        await objects.head(folder + "a")


async def test_a_folder_is_deleted_with_all_below_it_and_nothing_else(objects: Objects, folder: str) -> None:
    for name in ("x/a", "x/b/c", "x/b/d", "xy", "x.txt", "y/a"):
        await put(objects, folder + name, b"1")
    assert await objects.delete_prefix(folder + "x/") == 3
    assert await objects.delete_prefix(folder + "x/") == 0
    assert sorted(await keys(objects.list(folder))) == [folder + name for name in ("x.txt", "xy", "y/a")]
    with pytest.raises(ValueError, match="whole bucket"):
        await objects.delete_prefix("")


async def test_a_listing_is_in_key_order_and_goes_on_after_a_key(objects: Objects, folder: str) -> None:
    names = ["B", "a/1", "a/2", "b", "c/x/y", "c/z", "ä", "日"]
    for name in reversed(names):
        await put(objects, folder + name, name.encode())
    expected = [folder + name for name in names]
    listed = [stored async for stored in objects.list(folder)]
    assert [stored.key for stored in listed] == expected
    assert [stored.size for stored in listed] == [len(name.encode()) for name in names]
    for count, key in enumerate(expected, start=1):
        assert await keys(objects.list(folder, after=key)) == expected[count:]
    assert await keys(objects.list(folder + "c/")) == [folder + "c/x/y", folder + "c/z"]
    assert await keys(objects.list(folder + "none/")) == []


async def test_going_on_after_each_key_visits_all_even_beside_folders(objects: Objects, folder: str) -> None:
    names = {"a/1", "a/2", "a-b", "a.x", "a0", "a b/c"}
    for name in names:
        await put(objects, folder + name, b"1")
    visited: list[str] = []
    while True:
        following = objects.list(folder, after=visited[-1] if visited else None)
        key = await anext(following, None)
        if key is None:
            break
        visited.append(key.key)
    assert sorted(visited) == sorted(folder + name for name in names)


@pytest.mark.parametrize(
    "name", ["a b", "a+b", "a%20b", "100%", "ü/日本", "a&b=c?d#e", "'q\"", "*~!()[]{}|<>", "x" * 200]
)
async def test_keys_are_kept_as_they_are(objects: Objects, folder: str, name: str) -> None:
    await put(objects, folder + name, b"1")
    assert (await put(objects, folder + name, b"22")).key == folder + name
    assert (await objects.head(folder + name)).key == folder + name
    assert await content(await objects.open(folder + name)) == b"22"
    assert await keys(objects.list(folder)) == [folder + name]
    await objects.delete([folder + name])
    assert await keys(objects.list(folder)) == []


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "a/../b", ".", "a\\b", "a\nb", "a\x00", "x" * 1025, "\ud800"])
async def test_keys_that_some_store_would_change_are_refused(objects: Objects, key: str) -> None:
    with pytest.raises(ValueError, match="an object key"):
        await put(objects, key, b"1")
    with pytest.raises(ValueError, match="an object key"):
        await objects.open(key)
    with pytest.raises(ValueError, match="an object key"):
        await objects.delete([key])


async def test_a_prefix_is_a_folder(objects: Objects) -> None:
    with pytest.raises(ValueError, match="ends with a slash"):
        await keys(objects.list("a"))


async def test_signed_urls_live_from_a_second_to_a_week(objects: Objects) -> None:
    for expires in (timedelta(0), timedelta(days=7, seconds=1)):
        with pytest.raises(ValueError, match="a signed URL lives"):
            await objects.signed_get("a", expires=expires)
        with pytest.raises(ValueError, match="a signed URL lives"):
            await objects.signed_put("a", expires=expires)
    assert "://" in await objects.signed_get("a b", expires=A_DAY, filename="ü.png", content_type="image/png")
    assert "://" in await objects.signed_put("a b", expires=A_DAY, content_type="image/png")


async def test_the_check_passes(objects: Objects) -> None:
    await objects.check()
