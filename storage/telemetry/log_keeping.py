"""Keeps the lines about jobs with their jobs: a bounded queue, and one thread that writes it to the database.

Nobody who logs ever waits. While the database is away the lines wait here, the newest are dropped when there is no more
room, and how many is told. A process that is killed loses what it logged in its last moment.
"""

import atexit
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from storage import job_logs
from storage.database import Database
from storage.errors import DatabaseRefused, StorageError
from storage.job_logs import JobLine
from storage.model import JobId, StepId, TenantId
from storage.telemetry.log_lines import Line, rfc3339

log = logging.getLogger(__name__)

GATHER_SECONDS = 0.5  # how long lines wait for others to be written with
BATCH = 500
MOST_WAITING = 10_000  # lines,
MOST_WAITING_BYTES = 16 * 1024 * 1024  # and bytes of them, of one process
MOST_LINE_BYTES = 16 * 1024  # of a line's fields
END_SECONDS = 1.0
PAUSES = (0.5, 1.0, 2.0, 5.0)  # while the database is away
TELL_SECONDS = 60.0  # between two words about what was dropped

# What the events of a job say, which are its log as well (storage.job_log_pages).
_SAID_BY_EVENTS = frozenset({"job.accepted", "step.started", "step.ended"})
_IDS = frozenset({"tenant", "job", "step", "attempt"})


@dataclass(kw_only=True, slots=True)
class _Keeper:
    """Lines that are not written yet, and the thread that does; `lock` is held for moments only."""

    database: Callable[[], Database]
    lock: threading.RLock = field(default_factory=threading.RLock)  # a signal may come while it is held
    waiting: deque[tuple[Line, str, int]] = field(default_factory=deque)  # with the process, and about their bytes
    bytes: int = 0
    dropped: int = 0
    told: float = float("-inf")
    thread: threading.Thread | None = None
    come: threading.Event = field(default_factory=threading.Event)  # there is something to write, or it is the end
    ending: threading.Event = field(default_factory=threading.Event)


_here: list[_Keeper] = []  # one at most


def begin(database: Callable[[], Database]) -> None:
    """From now on keep lines; `database` is asked for in the writing thread, and in a child after a fork again."""
    end(0.0)
    _here.append(_Keeper(database=database))


def end(seconds: float = END_SECONDS) -> None:
    """Write what still waits, for so long at most; what is logged after that is not kept."""
    while _here:
        keeper = _here.pop()
        keeper.ending.set()
        keeper.come.set()
        if keeper.thread is not None and keeper.thread is not threading.current_thread():
            keeper.thread.join(seconds)


def offer(line: Line, process: str) -> None:
    """Keep the line if it is about a job: in the form of an event, or a warning at least. Returns at once."""
    if not _here or line.event in _SAID_BY_EVENTS or line.level == "debug" or (line.logger and line.level == "info"):
        return
    if not isinstance(line.fields.get("tenant"), str) or not isinstance(line.fields.get("job"), str):
        return
    keeper, size = _here[-1], _size(line.fields) + (_size(line.error) if line.error else 0)
    with keeper.lock:
        if len(keeper.waiting) >= MOST_WAITING or keeper.bytes + size > MOST_WAITING_BYTES:
            keeper.dropped += 1
            return
        keeper.waiting.append((line, process, size))
        keeper.bytes += size
        if keeper.thread is None:
            thread = threading.Thread(target=_write_on, args=(keeper,), name="job-logs", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the process ends, or may have no more threads: the next line tries again
                return
            keeper.thread = thread
    if not keeper.come.is_set():
        keeper.come.set()


def _kept(line: Line, process: str, size: int) -> JobLine:
    fields: Mapping[str, Any] = {name: value for name, value in line.fields.items() if name not in _IDS}
    if size > MOST_LINE_BYTES and _size(fields) > MOST_LINE_BYTES:
        fields = {"cut": True}
    step, attempt = line.fields.get("step"), line.fields.get("attempt")
    return JobLine(
        tenant_id=TenantId(line.fields["tenant"]),
        job_id=JobId(line.fields["job"]),
        at=rfc3339(line.at),
        level=line.level,
        process=process,
        event=line.event,
        step_id=StepId(step) if isinstance(step, str) else None,
        attempt=attempt if isinstance(attempt, int) else None,
        text=line.text,
        fields=fields,
        error=line.error,
        private=line.private & fields.keys(),
    )


def _size(fields: Mapping[str, Any]) -> int:
    """About how many bytes they take."""
    return 100 + sum(len(name) + (len(one) if isinstance(one, str) else len(repr(one))) for name, one in fields.items())


def _write_on(keeper: _Keeper) -> None:
    """Write whatever comes, until the end."""
    while True:
        keeper.come.wait()
        keeper.ending.wait(GATHER_SECONDS)
        keeper.come.clear()
        while batch := _first(keeper, BATCH):
            if not _write_patiently(keeper, batch):
                return
        if keeper.ending.is_set():
            return


def _first(keeper: _Keeper, count: int) -> list[JobLine]:
    """The oldest lines that wait, which go on waiting until they are written."""
    with keeper.lock:
        batch = list(islice(keeper.waiting, count))
    return [_kept(*one) for one in batch]


def _write_patiently(keeper: _Keeper, batch: list[JobLine]) -> bool:
    """Write a batch, again and again while the database is away; False if the end has come before that."""
    failures = 0
    while True:
        try:
            refused = job_logs.write(keeper.database(), batch)
        except DatabaseRefused as exc:  # as by a schema that is older than this process
            log.warning("logs.refused lines=%s reason=%s", len(batch), exc)
            refused = len(batch)
        except StorageError as exc:
            if not failures:
                log.warning("logs.put_off reason=%s", exc)
            if keeper.ending.wait(PAUSES[min(failures, len(PAUSES) - 1)]):
                return False
            failures += 1
            continue
        except Exception:  # the edge: without this thread nothing would be kept any more
            log.exception("logs.crashed lines=%s", len(batch))
            refused = len(batch)
        _written(keeper, len(batch), refused)
        return True


def _written(keeper: _Keeper, count: int, refused: int) -> None:
    with keeper.lock:
        for _ in range(count):
            keeper.bytes -= keeper.waiting.popleft()[2]
        keeper.dropped += refused
        dropped, now = keeper.dropped, time.monotonic()
        if not dropped or now - keeper.told < TELL_SECONDS:
            return
        keeper.dropped, keeper.told = 0, now
    log.warning("logs.dropped lines=%s", dropped)


def _after_fork() -> None:
    # The parent writes its own lines, and its thread is not here; a lock may have been held in that moment.
    _here[:] = [_Keeper(database=keeper.database) for keeper in _here]


os.register_at_fork(after_in_child=_after_fork)
atexit.register(end)
