"""Keeps the platform's loops running: each in a thread of its own, restarted with a growing pause when it fails."""

import logging
import threading
from collections.abc import Callable, Mapping

from scheduler.errors import SchedulerError
from storage.errors import StorageError

log = logging.getLogger(__name__)

Loop = Callable[[threading.Event], None]  # returns when the event is set

MAX_PAUSE_SECONDS = 5.0  # a database that comes back is noticed within this time


def keep(loops: Mapping[str, Loop], stop: threading.Event) -> None:
    """Run the loops until `stop` is set; returns when all have ended."""
    threads = [threading.Thread(target=_keep_one, args=(name, loop, stop), name=name) for name, loop in loops.items()]
    for thread in threads:
        thread.start()
    log.info("scheduler.ready loops=%s", ",".join(loops))
    for thread in threads:
        thread.join()


def _keep_one(name: str, loop: Loop, stop: threading.Event) -> None:
    failures = 0
    while not stop.is_set():
        try:
            loop(stop)
            failures = 0
        except (StorageError, SchedulerError) as exc:
            failures += 1
            log.warning("loop.interrupted loop=%s failures=%s reason=%s", name, failures, exc)
        except Exception:
            failures += 1
            log.exception("loop.failed loop=%s failures=%s", name, failures)
        if failures:
            stop.wait(min(0.25 * 2**failures, MAX_PAUSE_SECONDS))
