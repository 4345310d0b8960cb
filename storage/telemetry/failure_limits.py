"""How many errors one process tells of: each kind of error once in a while, and all of them so many a minute."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

PER_MINUTE = 30  # of all errors of a process
AGAIN_SECONDS = 60.0  # until the same error is told again
MOST_KNOWN = 1000  # errors that are remembered


@dataclass(kw_only=True, slots=True)
class _Known:
    next_at: float
    untold: int = 0


class Limits:
    """Decides whether an error is told; for several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.RLock()  # a time limit's signal may raise, and so be told, while it is held
        self._known: dict[str, _Known] = {}
        self._left = float(PER_MINUTE)
        self._filled_at = clock()

    def admit(self, fingerprint: str) -> int | None:
        """How many of the same were not told since the last one that was; None if this one is not told either."""
        with self._lock:
            now = self._clock()
            known = self._known.get(fingerprint)
            if known is not None and now < known.next_at:
                known.untold += 1
                return None
            self._left = min(PER_MINUTE, self._left + (now - self._filled_at) * PER_MINUTE / 60)
            self._filled_at = now
            if self._left < 1:
                if known is not None:
                    known.untold += 1
                return None
            self._left -= 1
            self._known.pop(fingerprint, None)
            self._known[fingerprint] = _Known(next_at=now + AGAIN_SECONDS)
            while len(self._known) > MOST_KNOWN:
                del self._known[next(iter(self._known))]
            return 0 if known is None else known.untold
