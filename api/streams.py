"""The event streams that are open in this process: what wakes them, and what ends them.

Thousands may be open, of which nothing is heard for hours. So a stream that waits has no task and no timer of its own
for that: one clock gives all of them, a few at a time, their sign of life. And none goes on for long when its reader
may read no more: a sign-out that comes to this process ends its streams at once; whatever else ends a right is found
out by one look at all streams together, every so many seconds.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import cycle

from anyio import CapacityLimiter, to_thread
from fastapi import Request

from api import session_cookie
from storage import tenants
from storage.database import Database
from storage.errors import DatabaseUnavailable, SessionsUnavailable
from storage.model import KeyId, Principal
from storage.sessions import Sessions

TICK_SECONDS = 0.1  # of the clock: 5,000 streams with a sign of life every 15 s are 33 at a time

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Right:
    """By what somebody reads: a key, or the sign-in with it that `token` stands for."""

    key_id: KeyId
    token: str | None


class Reading:
    """An open stream. It looks for news, says what there is, and waits: see `news`."""

    __slots__ = ("_has_news", "_waiting", "is_over", "right")

    def __init__(self, right: Right) -> None:
        self.right = right
        self.is_over = False
        self._has_news = False
        self._waiting: asyncio.Future[None] | None = None

    def set(self) -> None:
        """There is news."""
        self._has_news = True
        self.wake()

    def end(self) -> None:
        """Its reader may read no more, or has gone."""
        self.is_over = True
        self.wake()

    def wake(self) -> None:
        """Let it say that it lives, if it waits."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def news(self) -> bool:
        """Wait until there is news since the last time, or the stream is over; False: it is time for a sign of life."""
        if not (self._has_news or self.is_over):
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        found, self._has_news = self._has_news or self.is_over, False
        return found


class Streams:
    """All of them; it belongs to the event loop that serves them."""

    def __init__(
        self,
        database: Database,
        sessions: Sessions | None,
        limiter: CapacityLimiter,
        *,
        check_seconds: float,
        keep_alive_seconds: float,
    ) -> None:
        self._database = database
        self._sessions = sessions
        self._limiter = limiter
        self._check_seconds = check_seconds
        count = max(1, round(keep_alive_seconds / TICK_SECONDS))
        self._tick_seconds = keep_alive_seconds / count
        # One after the other they get their sign of life, and streams come into them in turn: those that were opened
        # all at once, after a restart, are spread like any others.
        self._circle: list[set[Reading]] = [set() for _ in range(count)]
        self._joined = cycle(self._circle)
        self._running: list[asyncio.Task[None]] = []

    def start(self) -> None:
        for loop in (self._keep_alive(), self._keep_checking()):
            self._running.append(asyncio.create_task(loop))

    def close(self) -> None:
        for task in self._running:
            task.cancel()

    @contextlib.contextmanager
    def open(self, right: Right) -> Iterator[Reading]:
        """A stream that is read by that right; it is to end when it `is_over`."""
        reading, among = Reading(right), next(self._joined)
        among.add(reading)
        try:
            yield reading
        finally:
            among.discard(reading)

    def end_session(self, token: str) -> None:
        """End the streams of one sign-in."""
        self._end(lambda right: right.token == token)

    def end_sessions(self, key_id: KeyId) -> None:
        """End the streams of all sign-ins with a key, but not those that are read by the key itself."""
        self._end(lambda right: right.token is not None and right.key_id == key_id)

    async def check(self) -> None:
        """End the streams whose key was revoked or whose sign-in has ended; nothing while nobody can tell."""
        rights = {reading.right for reading in self._all()}
        keys = {right.key_id for right in rights}
        tokens = {right.token for right in rights if right.token is not None}
        with _unless_away():
            good_keys = await to_thread.run_sync(self._good, keys, limiter=self._limiter) if keys else keys
            self._end(lambda right: right.key_id in keys and right.key_id not in good_keys)
        with _unless_away():
            good = await self._sessions.those_that_live(tokens) if tokens and self._sessions else tokens
            self._end(lambda right: right.token in tokens and right.token not in good)

    def _all(self) -> list[Reading]:
        return [reading for among in self._circle for reading in among]

    def _end(self, over: Callable[[Right], bool]) -> None:
        for reading in self._all():
            if over(reading.right):
                reading.end()

    def _good(self, keys: Collection[KeyId]) -> set[KeyId]:
        with self._database.platform_read() as tx:
            return tenants.good_keys(tx, keys)

    async def _keep_alive(self) -> None:
        for due in cycle(self._circle):
            await asyncio.sleep(self._tick_seconds)
            for reading in due:
                reading.wake()

    async def _keep_checking(self) -> None:
        while True:
            await asyncio.sleep(self._check_seconds)
            try:
                await self.check()
            except Exception:
                log.exception("streams.check_failed")


def right_of(request: Request, caller: Principal, public_url: str) -> Right:
    """By what the caller reads, who was let in with this request."""
    token = session_cookie.token_in(request, public_url) if caller.via == "session" else None
    return Right(key_id=caller.key_id, token=token)


@contextlib.contextmanager
def _unless_away() -> Iterator[None]:
    try:
        yield
    except (DatabaseUnavailable, SessionsUnavailable) as exc:
        log.warning("streams.not_checked reason=%s", exc)
