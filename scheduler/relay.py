"""Sends the hints: as soon as a step may run, the broker gets a message that says so.

Any number of relays may run. The rows are marked and the messages sent inside one transaction: a crash in between sends
a message twice, never not at all, and a worker that gets it twice finds the step taken.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from scheduler.errors import BrokerUnavailable
from scheduler.hints import Hints
from scheduler.listening import wait
from storage import runnable
from storage.database import Database, PlatformTx
from storage.events import READY_CHANNEL
from storage.telemetry import trace_rows
from storage.telemetry.metrics import RELAY_SECONDS, RELAY_SENT

log = logging.getLogger(__name__)

BATCH = 100  # steps per transaction: what is sent twice when one of them cannot be sent
WINDOW = 500  # hints per queue that the broker holds at a time; the rest waits in the database
DUE = 1000  # steps whose time has come, queued at once
POLL_SECONDS = 1.0  # how often it looks without being woken
FULL_POLL_SECONDS = 0.2  # and while a queue's window is full
CHECK_SECONDS = 1.0  # how often it looks for hints that were lost
LOST_AFTER_SECONDS = 4.0  # a hint this old, not taken, while the queue is empty, is taken for lost
OVERTAKEN_SECONDS = 10.0  # and one that was overtaken by one that was sent this much later


def relay(database: Database, stop: threading.Event) -> None:
    """Relay until `stop` is set. Raises DatabaseUnavailable or BrokerUnavailable: call it again."""
    hints = Hints()
    checked = float("-inf")
    try:
        with database.listen(READY_CHANNEL) as connection:
            while not stop.is_set():
                if time.monotonic() - checked > CHECK_SECONDS:
                    find_lost(database, hints)
                    checked = time.monotonic()
                began = time.monotonic()
                is_full = publish(database, hints).is_full
                RELAY_SECONDS.observe(time.monotonic() - began)
                wait(connection, _pause(database, is_full=is_full), stop)
    finally:
        hints.close()


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """How many hints were sent, and whether there are more than some queue's window takes."""

    sent: int
    is_full: bool


def publish(database: Database, hints: Hints) -> Published:
    """Send the hints of the steps that may run now, as far as their queues' windows go. Raises BrokerUnavailable."""
    # Committed before anything is sent: a worker that is quick must see the step queued, or it would drop the hint.
    with database.platform() as tx:
        runnable.make_due_queued(tx, limit=DUE)
        rooms = runnable.room(tx, hints.queues, window=WINDOW)
    sent, failed = {}, []
    for queue, room in rooms.items():
        try:
            sent[queue] = _publish_queue(database, hints, queue, room)
        except BrokerUnavailable as exc:
            hints.connect()  # raises if it is the whole broker; a single queue that is stuck must not stop the others
            failed.append(exc)
    if failed:
        raise failed[0]
    return Published(sent=sum(sent.values()), is_full=any(sent[queue] >= room for queue, room in rooms.items()))


def find_lost(database: Database, hints: Hints) -> int:
    """Have hints sent again that no queue holds any more: the broker was wiped, or a worker died with them in hand.

    All of them if the broker has forgotten; else those that are old while their queue is empty, or while one that was
    sent well after them has been taken already. Returns how many. A worker may still hold some of them, behind a long
    step: it will find those steps taken.
    """
    if not hints.is_remembered():
        with database.platform() as tx:
            found = runnable.unpublish_all(tx)
        hints.begin_epoch()  # not sooner: were we to die in between, the next relay would not know
        log.warning("relay.broker_forgot steps=%s", found)
        return found
    with database.platform_read() as tx:
        queues = runnable.queues_with_old_hints(tx, hints.queues, older_than_seconds=LOST_AFTER_SECONDS)
    if not queues:
        return 0
    empty = [queue for queue in queues if hints.waiting(queue) == 0]
    overtaken = partial(runnable.unpublish_overtaken, by_seconds=OVERTAKEN_SECONDS, limit=BATCH)
    old = partial(runnable.unpublish, queues=empty, older_than_seconds=LOST_AFTER_SECONDS, limit=BATCH)
    found = _again(database, overtaken) + (_again(database, old) if empty else 0)
    if found:
        log.warning("relay.hints_lost steps=%s empty_queues=%s", found, ",".join(empty))
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


def _publish_queue(database: Database, hints: Hints, queue: str, room: int) -> int:
    sent = 0
    while sent < room:
        size = min(BATCH, room - sent)
        with database.platform() as tx:
            batch = _publish_batch(tx, hints, queue, size)
        RELAY_SENT.add(queue, by=batch)
        sent += batch
        if batch < size:
            break
    return sent


def _publish_batch(tx: PlatformTx, hints: Hints, queue: str, size: int) -> int:
    # Losing these marks in a crash of the database costs a second hint, so the commit need not wait for the disk.
    tx.sql("SET LOCAL synchronous_commit = off")
    steps = runnable.take_to_publish(tx, queue, limit=size)
    traced = trace_rows.waiting(tx, steps)
    for step in steps:
        hints.send(step)
    trace_rows.tell_sent(traced)
    return len(steps)


def _pause(database: Database, *, is_full: bool) -> float:
    if is_full:
        return FULL_POLL_SECONDS
    with database.platform_read() as tx:
        due = runnable.seconds_to_next(tx)
    return POLL_SECONDS if due is None else min(POLL_SECONDS, due)
