"""How many calls may go to a host now: one budget for all worker processes, or one for each while Redis is away."""

import logging
import math
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from storage.model import TenantId
from storage.telemetry.metrics import BREAKER_CHANGES
from tasks.budget_local import Local
from tasks.budget_rules import Breaker, BudgetUnreachable, Held, HostStanding, Limits, Permit, Went
from tasks.budget_shared import CONNECTIONS, Shared

__all__ = ["Breaker", "Budget", "Held", "HostStanding", "Limits", "Permit", "Went"]

log = logging.getLogger(__name__)

T = TypeVar("T")

AWAY_SECONDS = 3.0  # until a server that did not answer is tried again
UNTOLD = 1000  # permits that were left meanwhile are told to it then; of more the latest


class Budget:
    """The budget of calls, for all threads of a process. No method fails because Redis is away.

    `cache_url` begins with redis://, rediss:// or unix://. Without one, and while it does not answer, the same limits
    hold for this process by itself. What the process does is noted in its memory at all times, so that this bound knows
    what is under way, which hosts are down and which asked for less. Raises ValueError for a URL of another kind.
    """

    def __init__(self, cache_url: str | None, limits: Limits) -> None:
        self._local = Local(limits)
        self._shared = Shared(cache_url, limits) if cache_url else None
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(CONNECTIONS)
        self._is_away = False
        self._again_at = 0.0
        self._untold: deque[Permit] = deque(maxlen=UNTOLD)

    def enter(self, tenant: TenantId, host: str, *, hold_seconds: float) -> Permit | Held:
        """A permit for one call to `host` ("name:port"), or when to ask again. It never waits.

        The permit frees itself after `hold_seconds`: longer than the call can take. Raises ValueError where that is not
        above 0.
        """
        if not 0 < hold_seconds < math.inf:
            raise ValueError("a permit is held for a number of seconds above 0")
        # A letter first, so that no token can be taken for a number.
        asked = Permit(tenant=tenant, host=host.lower(), token=f"t{secrets.token_hex(8)}")
        answer = self._in_shared(lambda shared: shared.enter(asked, hold_seconds))
        if answer is None:
            answer = self._local.enter(asked, hold_seconds)
        elif isinstance(answer, Permit):
            self._local.note(answer, hold_seconds)
        if isinstance(answer, Permit) and answer.is_probe:
            BREAKER_CHANGES.add(Breaker.PROBING.value)
        return answer

    def leave(self, permit: Permit, went: Went, *, seconds: float, retry_after: float | None = None) -> None:
        """Free the permit, and learn from a call that took `seconds` and went like that.

        `retry_after`: seconds that the host asked to be left alone. A permit that is not held any more is ignored.
        """
        took = _sane(seconds)
        after = None if retry_after is None else _sane(retry_after)
        became = self._local.leave(permit, went, seconds=took, retry_after=after)

        def tell(shared: Shared) -> tuple[Breaker | None]:
            return (shared.leave(permit, went, seconds=took, retry_after=after),)

        told = self._in_shared(tell)
        if told is not None:
            (became,) = told  # what all processes know together counts
        elif self._shared is not None:
            self._untold.append(permit)
        if became is not None:
            BREAKER_CHANGES.add(became.value)

    def give_up(self) -> None:
        """Free all permits of this process, which ends: what it has under way is handed back, and asks for new ones."""
        for permit in self._local.under_way():
            self.leave(permit, Went.NEITHER, seconds=0)

    def standing(self, limit: int = 100) -> list[HostStanding]:
        """How the hosts stand that were called within the last hour, the latest first; no more than `limit`."""
        found = self._in_shared(lambda shared: shared.standing(limit))
        return self._local.standing(limit) if found is None else found

    def close(self) -> None:
        """Close the connections; they open again when they are needed."""
        if self._shared is not None:
            self._shared.close()

    def _in_shared(self, do: Callable[[Shared], T]) -> T | None:
        """What the shared budget answers; None where there is none, or it is away."""
        if self._shared is None:
            return None
        with self._places:  # whoever had to wait here finds out at once if the server went away meanwhile
            if not self._is_worth_trying():
                return None
            try:
                answer = do(self._shared)
            except BudgetUnreachable as exc:
                self._went_away(exc)
                return None
        self._came_back()
        return answer

    def _is_worth_trying(self) -> bool:
        """Whether the server was not away lately; of many threads one finds out whether it is back."""
        if not self._is_away:
            return True
        with self._lock:
            now = time.monotonic()
            if now < self._again_at:
                return False
            self._again_at = now + AWAY_SECONDS
        return True

    def _went_away(self, exc: BudgetUnreachable) -> None:
        with self._lock:
            self._again_at = time.monotonic() + AWAY_SECONDS
            if self._is_away:
                return
            self._is_away = True
        log.warning("budget.away reason=%s", exc)

    def _came_back(self) -> None:
        if not self._is_away:
            return
        with self._lock:
            if not self._is_away:
                return
            self._is_away, self._again_at = False, 0.0
        log.info("budget.back")
        self._tell()

    def _tell(self) -> None:
        """Free what was left while the server was away, rather than let it free itself in its own time."""
        for _ in range(len(self._untold)):
            try:
                permit = self._untold.popleft()
            except IndexError:  # another thread tells, too
                return
            self.leave(permit, Went.NEITHER, seconds=0)


def _sane(seconds: float) -> float:
    """What a host or a clock says, as a number that can be reckoned with."""
    return max(seconds, 0.0) if math.isfinite(seconds) else 0.0
