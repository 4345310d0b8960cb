"""Keeps the platform's loops running: each in a thread of its own, restarted with a growing pause when it fails."""

import logging
import threading
import time
from collections.abc import Callable, Mapping

from scheduler.errors import SchedulerError
from storage.errors import StorageError
from storage.telemetry.metrics import LOOP_FAILURES, LOOP_RUNS

log = logging.getLogger(__name__)

Loop = Callable[[threading.Event], None]  # returns when the event is set

GOOD_RUN_SECONDS = 30.0  # after a run this long a failure counts as the first
MAX_PAUSE_SECONDS = 2.0  # a database that comes back is noticed within this time


def keep(loops: Mapping[str, Loop], stop: threading.Event) -> None:
    """Run the loops until `stop` is set; returns when all have ended."""
    threads = [threading.Thread(target=_keep_one, args=(name, loop, stop), name=name) for name, loop in loops.items()]
    for thread in threads:
        thread.start()
    log.info("scheduler.ready loops=%s", ",".join(loops))
    for thread in threads:
        thread.join()
    if not stop.is_set():
        raise SchedulerError("every loop has ended, and nobody told them to")


def _keep_one(name: str, loop: Loop, stop: threading.Event) -> None:
    failures = 0
    while not stop.is_set():
        began = time.monotonic()
        LOOP_RUNS.add(name)
        LOOP_FAILURES.add(name, by=0.0)  # there before the first: Prometheus would not see it otherwise
        try:
            loop(stop)
        except (StorageError, SchedulerError) as exc:
            LOOP_FAILURES.add(name)
            log.warning("loop.interrupted loop=%s failures=%s reason=%s", name, failures + 1, exc)
        except Exception:
            LOOP_FAILURES.add(name)
            log.exception("loop.failed loop=%s failures=%s", name, failures + 1)
        failures = 1 if time.monotonic() - began > GOOD_RUN_SECONDS else failures + 1
        stop.wait(pause_seconds(failures))


def pause_seconds(failures: int) -> float:
    """How long to wait before trying again after so many failures in a row."""
    return min(0.25 * 2.0 ** min(failures, 10), MAX_PAUSE_SECONDS)
