"""Waiting on a condition, never for a time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(look: Callable[[], T | None], *, seconds: float = 60) -> T:
    """Look again and again until there is something true to see, and return it; fails after `seconds`."""
    began = time.monotonic()
    while True:
        found = look()
        if found:
            return found
        waited = time.monotonic() - began
        assert waited < seconds, f"still {found!r} after {seconds} s"
        # Ever less often: to look costs those beside us, whom we wait for.
        time.sleep(min(max(waited / 10, 0.01), 0.1))
