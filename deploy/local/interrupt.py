"""Turns signals into the end of a block of code: the first asks it to end, the second hurries."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

HURRY = threading.Event()
"""Set by the second signal: what is still stopping is killed. One per process, as signals are."""


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt in the body at the first SIGINT, SIGTERM or SIGHUP; later ones only set HURRY.

    So whatever cleans up after the first is never cut off half-way. For the main thread.
    """
    asked = threading.Event()
    HURRY.clear()

    def handle(_number: int, _frame: FrameType | None) -> None:
        if asked.is_set():
            HURRY.set()
        else:
            asked.set()
            raise KeyboardInterrupt

    caught = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # under nohup we outlive the terminal
        caught.append(signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in caught}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
