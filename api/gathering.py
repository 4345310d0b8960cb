"""What several requests ask the database at once is asked in one go; what comes alone is asked at once.

While questions are being answered, others gather behind them, and go together next: the more there are, the fewer
round trips and commits each costs.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar

from storage.errors import NotStorable

A = TypeVar("A")
R = TypeVar("R")

MOST = 100  # that go together
AT_ONCE = 2  # groups that are being answered: while one is, the process need not stand still
TURNS = 2  # of the event loop before a group goes: what has arrived is read in one, and asks its question in the next


class Gathering(Generic[A, R]):
    """`ask_all` answers questions in their order; after NotStorable each is asked again alone.

    What is being asked is asked to the end, whoever has gone meanwhile: in a task that `begin` makes. Who goes before
    their turn is not asked for.
    """

    def __init__(
        self,
        ask_all: Callable[[Sequence[A]], Awaitable[Sequence[R]]],
        begin: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self._ask_all = ask_all
        self._begin = begin
        self._waiting: deque[tuple[A, asyncio.Future[R]]] = deque()
        self._under_way = 0
        self._is_gathering = False

    async def ask(self, question: A) -> R:
        """The answer. Raises what `ask_all` raises."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        if not self._is_gathering and self._under_way < AT_ONCE:
            self._is_gathering = True
            self._under_way += 1
            self._begin(self._answer())
        return await future

    async def _answer(self) -> None:
        try:
            await self._answer_all(await self._gathered())
            while self._waiting and not self._is_gathering:
                self._is_gathering = True
                await self._answer_all(await self._gathered())
        finally:
            self._under_way -= 1

    async def _gathered(self) -> Sequence[tuple[A, "asyncio.Future[R]"]]:
        try:
            for _ in range(TURNS):
                await asyncio.sleep(0)
        finally:
            self._is_gathering = False
        asked = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
        return [one for one in asked if not one[1].done()]

    async def _answer_all(self, asked: Sequence[tuple[A, "asyncio.Future[R]"]]) -> None:
        if not asked:
            return
        try:
            answers = await self._ask_all([question for question, _ in asked])
        except BaseException as exc:
            if len(asked) > 1 and isinstance(exc, NotStorable):  # one of them is to blame, and nothing was written
                for one in asked:
                    await self._answer_all([one])
                return
            for _, future in asked:
                if not future.done():
                    future.set_exception(exc if isinstance(exc, Exception) else asyncio.CancelledError())
            if not isinstance(exc, Exception):
                raise
            return
        for (_, future), answer in zip(asked, answers, strict=True):
            if not future.done():
                future.set_result(answer)
