"""Sends the hints: as soon as a step may run, the broker gets a message that says so.

Any number of relays may run. The rows are marked and the messages sent inside one transaction: a crash in between sends
a message twice, never not at all, and a worker that gets it twice finds the step taken.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg

from scheduler.hints import Hints
from storage import runnable
from storage.database import Database, PlatformTx
from storage.errors import DatabaseUnavailable
from storage.events import READY_CHANNEL

log = logging.getLogger(__name__)

BATCH = 100  # steps per transaction: what is sent twice when one of them cannot be sent
DUE = 1000  # steps whose time has come, queued at once
POLL_SECONDS = 1.0  # how often it looks without being woken
CHECK_SECONDS = 5.0  # how often it looks for hints that were lost
LOST_AFTER_SECONDS = 10.0  # a hint this old, not taken, while the queue is empty, is taken for lost


def relay(database: Database, stop: threading.Event) -> None:
    """Relay until `stop` is set. Raises DatabaseUnavailable or BrokerUnavailable: call it again."""
    hints = Hints()
    checked = 0.0
    try:
        with database.listen(READY_CHANNEL) as connection:
            while not stop.is_set():
                publish(database, hints)
                if time.monotonic() - checked > CHECK_SECONDS:
                    find_lost(database, hints)
                    checked = time.monotonic()
                _wait(connection, _pause(database), stop)
    finally:
        hints.close()


def publish(database: Database, hints: Hints) -> int:
    """Send the hints of all steps that may run now; returns how many were sent. Raises BrokerUnavailable."""
    # Committed before anything is sent: a worker that is quick must see the step queued, or it would drop the hint.
    with database.platform() as tx:
        runnable.make_due_queued(tx, limit=DUE)
    sent = 0
    while True:
        with database.platform() as tx:
            batch = _publish_batch(tx, hints)
        sent += batch
        if batch < BATCH:
            return sent


def find_lost(database: Database, hints: Hints) -> int:
    """Have hints sent again that no queue holds any more: the broker was wiped, or a worker died with them in hand.

    They are old and their queue is empty, or one that was sent well after them has been taken already. Returns how
    many. A worker may still hold some of them, behind a long step: it will find those steps taken.
    """
    with database.platform() as tx:
        queues = runnable.queues_with_old_hints(tx, older_than_seconds=LOST_AFTER_SECONDS)
    empty = [queue for queue in queues if hints.waiting(queue) == 0]
    found = _again(database, lambda tx: runnable.unpublish_overtaken(tx, by_seconds=LOST_AFTER_SECONDS, limit=BATCH))
    if empty:
        age = LOST_AFTER_SECONDS
        found += _again(database, lambda tx: runnable.unpublish(tx, empty, older_than_seconds=age, limit=BATCH))
    if found:
        log.warning("relay.hints_lost steps=%s empty_queues=%s", found, ",".join(empty))
        publish(database, hints)
    return found


def _again(database: Database, unpublish: Callable[[PlatformTx], int]) -> int:
    """Unpublish batch by batch until nothing is left; returns how many there were."""
    found = 0
    while True:
        with database.platform() as tx:
            batch = unpublish(tx)
        found += batch
        if batch < BATCH:
            return found


def _publish_batch(tx: PlatformTx, hints: Hints) -> int:
    # Losing these marks in a crash of the database costs a second hint, so the commit need not wait for the disk.
    tx.sql("SET LOCAL synchronous_commit = off")
    steps = runnable.take_to_publish(tx, limit=BATCH)
    for step in steps:
        hints.send(step)
    return len(steps)


def _pause(database: Database) -> float:
    with database.platform_read() as tx:
        due = runnable.seconds_to_next(tx)
    return POLL_SECONDS if due is None else min(POLL_SECONDS, due)


def _wait(connection: "psycopg.Connection[Any]", seconds: float, stop: threading.Event) -> None:
    """Return when a step has become ready, the time is over, or we are to stop; further announcements are coalesced."""
    deadline = time.monotonic() + seconds
    try:
        while not stop.is_set() and (left := deadline - time.monotonic()) > 0:
            if list(connection.notifies(timeout=min(left, 0.25), stop_after=1)):
                list(connection.notifies(timeout=0))
                return
    except psycopg.OperationalError as exc:
        raise DatabaseUnavailable(str(exc).strip()) from exc
