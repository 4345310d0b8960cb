"""Questions that are asked together."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from api.gathering import TURNS, Gathering
from storage.errors import DatabaseUnavailable, NotStorable


def gathering(
    answer: Callable[[int], int],
) -> tuple[Gathering[int, int], list[list[int]], asyncio.Event]:
    """With what was asked so far, at once, and an event without which no answer comes."""
    asked: list[list[int]] = []
    go = asyncio.Event()

    async def ask_all(questions: Sequence[int]) -> Sequence[int]:
        asked.append(list(questions))
        await go.wait()
        return [answer(one) for one in questions]

    return Gathering(ask_all, asyncio.create_task), asked, go


async def turns() -> None:
    """Let the event loop turn until a question that was asked has gone."""
    for _ in range(TURNS + 2):
        await asyncio.sleep(0)


def picky(question: int) -> int:
    if question == 3:
        raise NotStorable("not three")
    return 10 * question


def test_the_first_is_asked_at_once_and_those_that_come_meanwhile_together() -> None:
    async def scene() -> None:
        made, asked, go = gathering(lambda question: 10 * question)
        tasks = [asyncio.create_task(made.ask(0))]
        await turns()
        assert asked == [[0]]
        tasks += [asyncio.create_task(made.ask(n)) for n in range(1, 121)]
        await asyncio.sleep(0)
        tasks[5].cancel()
        await turns()
        assert len(asked) == 2  # at once; the rest waits
        go.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [one for one in found if not isinstance(one, asyncio.CancelledError)] == [
            10 * n for n in range(121) if n != 5
        ]
        assert asked == [[0], [n for n in range(1, 101) if n != 5], list(range(101, 121))]
        assert await made.ask(7) == 70

    asyncio.run(scene())


def test_one_that_fails_costs_the_others_nothing() -> None:
    async def scene() -> None:
        made, asked, go = gathering(picky)
        go.set()
        found = await asyncio.gather(*(made.ask(n) for n in range(1, 6)), return_exceptions=True)
        assert found[:2] + found[3:] == [10, 20, 40, 50]
        assert isinstance(found[2], NotStorable)
        assert asked == [[1, 2, 3, 4, 5], [1], [2], [3], [4], [5]]
        with pytest.raises(NotStorable, match="not three"):
            await made.ask(3)

    asyncio.run(scene())


def test_what_cannot_be_asked_at_all_is_not_asked_again() -> None:
    def away(_: int) -> int:
        raise DatabaseUnavailable("it is away")

    async def scene() -> None:
        made, asked, go = gathering(away)
        go.set()
        found = await asyncio.gather(*(made.ask(n) for n in range(3)), return_exceptions=True)
        assert [type(one) for one in found] == [DatabaseUnavailable] * 3
        assert asked == [[0, 1, 2]]

    asyncio.run(scene())
