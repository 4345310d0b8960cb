"""An open stream that waits: no news is lost between two looks, and a sign of life is never taken for news."""

import asyncio

from api.streams import Reading, Right
from storage.model import KeyId

RIGHT = Right(key_id=KeyId("key_1"), token=None)


async def _settled(waiting: "asyncio.Task[bool]") -> bool:
    await asyncio.sleep(0)
    return waiting.done()


def test_news_that_comes_while_one_looks_is_told_at_once_and_once() -> None:
    async def look() -> None:
        reading = Reading(RIGHT)
        reading.set()
        reading.wake()  # of no use: it does not wait
        assert await reading.news()
        waiting = asyncio.create_task(reading.news())
        assert not await _settled(waiting)
        reading.wake()
        reading.set()  # after the sign of life was due, before it was said
        assert await waiting

    asyncio.run(look())


def test_a_sign_of_life_is_no_news() -> None:
    async def look() -> None:
        reading = Reading(RIGHT)
        waiting = asyncio.create_task(reading.news())
        assert not await _settled(waiting)
        reading.wake()
        assert not await waiting

    asyncio.run(look())


def test_a_stream_that_is_over_waits_no_more() -> None:
    async def look() -> None:
        reading = Reading(RIGHT)
        waiting = asyncio.create_task(reading.news())
        assert not await _settled(waiting)
        reading.end()
        assert await waiting
        assert await reading.news()
        assert reading.is_over

    asyncio.run(look())
