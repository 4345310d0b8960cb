"""Sends the hints: as soon as a step may run, the broker gets a message that says so.

Any number of relays may run. The rows are marked and the messages sent inside one transaction: a crash in between sends
a message twice, never not at all, and a worker that gets it twice finds the step taken.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from scheduler.errors import BrokerUnavailable
from scheduler.hints import Hints
from scheduler.listening import wait
from storage import publishing, runnable, workers
from storage.database import Database, PlatformTx
from storage.events import READY_CHANNEL
from storage.publishing import Runnable
from storage.telemetry import trace_rows, traces
from storage.telemetry.metrics import RELAY_SECONDS, RELAY_SENT
from tasks.names import Priority

log = logging.getLogger(__name__)

BATCH = 400  # steps per transaction: what is sent twice when one of them cannot be sent
WINDOW = 1000  # steps per queue whose hints the broker holds at a time; the rest waits in the database
FORGOTTEN = 5_000  # hints that a broker can have forgotten: the windows of all queues together are smaller
DUE = 1000  # steps whose time has come, queued at once
POLL_SECONDS = 1.0  # how often it looks without being woken
FULL_SECONDS = 0.1  # a queue whose window it has filled is not looked at for so long: to count one takes a while
STILL_SECONDS = 0.25  # nor one of whose window nothing has been taken since
ENOUGH = 4  # small steps that are sent and not taken, of a queue: then others gather
GATHER_SECONDS = 0.2  # for so long at most
HELD_SECONDS = 0.02  # meanwhile, and after having been woken for nothing, the relay does not look at what is announced
QUIET_SECONDS = 0.01  # after which what arrives is taken to be alone
CHECK_SECONDS = 1.0  # how often it looks for hints that were lost
LOST_AFTER_SECONDS = 4.0  # a hint this old, not taken, while the queue is empty, is taken for lost
OVERTAKEN_SECONDS = 10.0  # and one that was overtaken by one that was sent this much later


def relay(database: Database, stop: threading.Event) -> None:
    """Relay until `stop` is set. Raises DatabaseUnavailable or BrokerUnavailable: call it again."""
    hints = Hints()
    try:
        with database.listen(READY_CHANNEL) as connection:
            find_lost(database, hints)  # first: to a broker that has forgotten everything is sent again
            checked = ended = time.monotonic()
            is_woken, full = False, Full()
            while not stop.is_set():
                began = time.monotonic()
                sent = publish_lone(database, hints) if began - ended > QUIET_SECONDS else 0
                published = publish(database, hints, full)
                RELAY_SECONDS.observe(time.monotonic() - began)
                if time.monotonic() - checked > CHECK_SECONDS:  # behind what may be waiting for us
                    found = find_lost(database, hints)
                    checked = time.monotonic()
                    if found:
                        full = Full()
                        continue
                if published.is_held or (is_woken and not sent + published.sent):  # such as of a queue that is paused
                    stop.wait(HELD_SECONDS)  # whatever is announced meanwhile
                ended = time.monotonic()
                is_woken = not published.is_held and wait(connection, _pause(published, full), stop)
    finally:
        hints.close()


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """How many steps were sent; whether small ones are held until they are many; when the next one is due, if any, by
    the clock of time.monotonic.
    """

    sent: int
    is_held: bool = False
    due_at: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Full:
    """The queues whose windows were full when they were looked at, and until when they are taken to be so still."""

    until: dict[str, float] = field(default_factory=dict)

    def note(self, queue: str, *, seconds: float) -> None:
        self.until[queue] = time.monotonic() + seconds

    def others(self, queues: Sequence[str]) -> list[str]:
        """The queues to look at now: those whose time has come are not full any more until they are noted again."""
        now = time.monotonic()
        for queue in [queue for queue, until in self.until.items() if until <= now]:
            del self.until[queue]
        return [queue for queue in queues if queue not in self.until]

    def seconds(self) -> float | None:
        """Until one is to be looked at again, 0 if that should have been; None if none is full."""
        return max(0.0, min(self.until.values()) - time.monotonic()) if self.until else None


def publish(database: Database, hints: Hints, full: Full | None = None) -> Published:
    """Send the hints of the steps that may run now, as far as their queues' windows go. Raises BrokerUnavailable.

    First what is queued, which somebody waits for, then what has become due. Queues that are known to be `full` are
    left out, and those that are now are noted there.
    """
    full = Full() if full is None else full
    published = _publish_queued(database, hints, full)
    with database.platform_read() as tx:  # committed before it is sent: who is quick must see the step queued
        due = runnable.make_due_queued(tx, limit=DUE)
    due_at = None if due.seconds_to_next is None else time.monotonic() + due.seconds_to_next
    if not due.steps:
        return replace(published, due_at=due_at)
    more = _publish_queued(database, hints, full)
    return replace(more, sent=published.sent + more.sent, due_at=due_at)


def publish_lone(database: Database, hints: Hints) -> int:
    """Send at once what is alone in its queue: one round trip less than `publish` before somebody works on it.

    Returns how many were sent; none while the broker is away, of which `publish` says more.
    """
    try:
        with database.platform() as tx:
            steps = publishing.take_lone(tx, hints.queues, traced=traces.is_on())
            _send(tx, hints, steps, slots=0)
    except BrokerUnavailable:
        return 0
    for step in steps:
        RELAY_SENT.add(step.queue)
    return len(steps)


def _publish_queued(database: Database, hints: Hints, full: Full) -> Published:
    # Each of these stands by itself. One step alone forms no group, whoever serves it.
    with database.platform_read() as tx:
        rooms = publishing.room(tx, full.others(hints.queues), window=WINDOW, many=BATCH)
        is_asked = any(rooms[name].unsent > 1 or rooms[name].sent >= ENOUGH for name in hints.grouping & rooms.keys())
        serving = workers.serving(tx) if is_asked else {}
    slots = {name: one.slots for name, one in serving.items()}
    held = {name for name, room in rooms.items() if name in hints.grouping and is_held(room, slots.get(name, 0))}
    sent, failed = {}, []
    for queue, room in rooms.items():
        if queue in held:
            continue
        try:
            sent[queue] = _publish_queue(database, hints, queue, WINDOW - room.sent, slots.get(queue, 0))
        except BrokerUnavailable as exc:
            hints.connect()  # raises if it is the whole broker; a single queue that is stuck must not stop the others
            failed.append(exc)
    if failed:
        raise failed[0]
    for queue, number in sent.items():
        if number >= WINDOW - rooms[queue].sent:
            full.note(queue, seconds=FULL_SECONDS if number else STILL_SECONDS)
    return Published(sent=sum(sent.values()), is_held=bool(held))


def is_held(room: publishing.Room, slots: int) -> bool:
    """Whether the workers of small steps have enough before them: others gather a moment longer, for larger hints."""
    is_urgent = room.priority == Priority.HIGH.rank or room.waits_seconds > GATHER_SECONDS
    return room.sent >= max(ENOUGH, 2 * slots) and room.unsent < BATCH and not is_urgent


def find_lost(database: Database, hints: Hints) -> int:
    """Have hints sent again that no queue holds any more: the broker was wiped, or a worker died with them in hand.

    All of them if the broker has forgotten; else those that are old while their queue is empty, or while one that was
    sent well after them has been taken already. Returns how many. A worker may still hold some of them, behind a long
    step: it will find those steps taken.
    """
    if not hints.is_remembered():
        with database.platform() as tx:  # at once: other relays are sending them again already
            found = runnable.unpublish_all(tx, limit=FORGOTTEN)
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


def _publish_queue(database: Database, hints: Hints, queue: str, room: int, slots: int) -> int:
    sent = 0
    while sent < room:
        size = min(BATCH, room - sent)
        with database.platform() as tx:
            batch = _publish_batch(tx, hints, queue, size, slots)
        RELAY_SENT.add(queue, by=batch)
        sent += batch
        if batch < size:
            break
    return sent


def _publish_batch(tx: PlatformTx, hints: Hints, queue: str, size: int, slots: int) -> int:
    steps = publishing.take_to_publish(tx, queue, limit=size, traced=traces.is_on())
    _send(tx, hints, steps, slots)
    return len(steps)


def _send(tx: PlatformTx, hints: Hints, steps: Sequence[Runnable], slots: int) -> None:
    if steps:
        traced = trace_rows.waiting(tx, steps)
        hints.send_all(hints.group(steps, slots))
        trace_rows.tell_sent(traced)


def _pause(published: Published, full: Full) -> float:
    due = None if published.due_at is None else max(0.0, published.due_at - time.monotonic())
    return min(seconds for seconds in (POLL_SECONDS, due, full.seconds()) if seconds is not None)
