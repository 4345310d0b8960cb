"""Whom keys belong to, remembered: a request is not to wait for what the one before it has asked.

What is remembered is forgotten as soon as the database says that a key has changed, and not used at all while nobody
listens to it. A connection that is dead without having said so is why it is asked again after a few seconds anyway.
"""

import time
from collections.abc import Callable

from storage.model import Principal
from storage.tenants import key_hash

AGAIN_SECONDS = 5.0
MOST = 10_000  # keys, a few hundred bytes each


class KnownKeys:
    """Of one event loop; it holds hashes and no keys. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._found: dict[bytes, tuple[Principal, float]] = {}
        self._is_told = False
        self.changes = 0

    def listening(self) -> None:
        """From now on `forget` is called when a key changes; until then it was not."""
        self.forget()
        self._is_told = True

    def deaf(self) -> None:
        """Until `listening` is called, nothing is known."""
        self._is_told = False

    def forget(self) -> None:
        """Some key has changed."""
        self._found.clear()
        self.changes += 1

    def find(self, key: str) -> Principal | None:
        """Whom the key belongs to, if that is known."""
        found = self._found.get(key_hash(key)) if self._is_told else None
        return found[0] if found is not None and self._clock() - found[1] < AGAIN_SECONDS else None

    def note(self, key: str, whose: Principal, *, changes: int) -> None:
        """Remember what was asked when `changes` was this; not if a key has changed since then."""
        if not self._is_told or changes != self.changes:
            return
        if len(self._found) >= MOST:
            self._found.clear()
        self._found[key_hash(key)] = whose, self._clock()
