"""One thread of a process that looks after the groups it works on, several times a second while there are any.

A thread for each group would cost more than the steps of a small one.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

LOOK_SECONDS = 0.05
LINGER_SECONDS = 1.0  # after the last group: in a flood the next one is there before that


@dataclass(kw_only=True, slots=True, eq=False)
class _Watched:
    look: Callable[[], None]
    looking: threading.Lock = field(default_factory=threading.Lock)
    is_over: bool = False


@dataclass(kw_only=True, slots=True)
class _Watcher:
    """The groups, and the thread once there has been one."""

    groups: list[_Watched] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    come: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None


_here = [_Watcher()]


@contextmanager
def watched(look: Callable[[], None]) -> Iterator[None]:
    """Have `look` called every LOOK_SECONDS while the block runs, in another thread; not any more when it has ended.

    It must not raise.
    """
    watcher, group = _here[0], _Watched(look=look)
    with watcher.lock:
        watcher.groups.append(group)
        if watcher.thread is None:
            watcher.thread = threading.Thread(target=_look_on, args=(watcher,), name="group-watch", daemon=True)
            watcher.thread.start()
    if not watcher.come.is_set():
        watcher.come.set()
    try:
        yield
    finally:
        with watcher.lock:
            watcher.groups.remove(group)
        with group.looking:  # a look that is under way comes to its end
            group.is_over = True


def _look_on(watcher: _Watcher) -> None:
    last = time.monotonic()
    while True:
        with watcher.lock:
            groups = list(watcher.groups)
            if groups:
                last = time.monotonic()
            elif time.monotonic() - last > LINGER_SECONDS:
                watcher.come.clear()
        watcher.come.wait()
        time.sleep(LOOK_SECONDS)
        for group in groups:
            with group.looking:
                if not group.is_over:
                    group.look()


def _after_fork() -> None:
    _here[0] = _Watcher()  # the thread is the parent's, and a lock may have been held in that moment


os.register_at_fork(after_in_child=_after_fork)
