"""A hint that names many small steps: they are claimed some at a time, worked on one after another, ended together.

How many are claimed at once follows the pace: as many as are done in GATHER_SECONDS. Should one of them take long, the
ends of those before it are written meanwhile, and those behind it are given to whoever has time.
"""

import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from celery.exceptions import SoftTimeLimitExceeded

from storage import losses, runnable, step_groups, steps
from storage.errors import DatabaseRefused, LeaseLost, StorageError
from storage.model import Claim, Json, PublicError
from storage.step_groups import Asked
from tasks import base, ends, watching
from tasks.group_watch import watched
from tasks.names import Kind
from tasks.passage import Passage
from tasks.process import Process, is_handing_back

log = logging.getLogger(__name__)

MOST = 100  # steps that are claimed at once at most: what a slot that is killed loses
GATHER_SECONDS = 0.05  # how long an end may wait for others
SLOW_SECONDS = 0.5  # a step that takes longer lets the others go, and so do steps that were claimed together
LONG_SECONDS = 1.0  # a hint that takes longer lets go what is not claimed: other slots may have time
OVERTAKEN = PublicError(code="step_overtaken", message="a step of the same hint took long, so this one went to others")

_pace: dict[str, float] = {}  # seconds that the work on a step of a kind takes in this process


@dataclass(kw_only=True, slots=True)
class _Group:
    """The steps of one hint: still to be claimed, claimed and not begun, done and not written.

    The times are of the hint, of those claimed together, and of the step that is being worked on (0 if there is none);
    `share` is what claiming and ending those claimed together takes the slot for each of them, in seconds.
    The lock is held while these change, and while ends are written: by the slot itself, or by its watch.
    """

    process: Process
    kind: Kind
    waiting: deque[Asked]
    claimed: deque[Claim] = field(default_factory=deque)
    done: list[tuple[watching.Watch, Json]] = field(default_factory=list)
    hint_since: float = field(default_factory=time.monotonic)
    claimed_since: float = 0.0
    since: float = 0.0
    share: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)


def perform(process: Process, kind: Kind, asked: Sequence[Asked]) -> None:
    """Work on these steps, if they are still to be done; whatever happens to each is written down.

    Raises DatabaseUnavailable if it stays away: then the hints of what was not claimed are sent again.
    """
    group = _Group(process=process, kind=kind, waiting=deque(asked))
    with _looked_after(group):
        while group.waiting and not is_handing_back():
            _claim(group, _size(kind))
            _work_on_all(group)


def _size(kind: Kind) -> int:
    """How many to claim at once; one before the pace is known: others would stand as begun, however long it takes."""
    pace = _pace.get(kind.name)
    return 1 if pace is None else min(MOST, max(1, int(GATHER_SECONDS / pace)))


def _note_pace(kind: Kind, seconds: float) -> None:
    """How long the work on a step took: the average goes with the times, at once with what is slow."""
    before, now = _pace.get(kind.name, seconds), max(seconds, 1e-6)
    _pace[kind.name] = now if now > 4 * before else 0.8 * before + 0.2 * now


def _claim(group: _Group, size: int) -> None:
    """Claim the next steps; those that could not even be asked for go on waiting. Raises DatabaseUnavailable."""
    with group.lock:
        asked = [group.waiting.popleft() for _ in range(min(size, len(group.waiting)))]
    if not asked:  # they were given to others in this moment
        return
    here, took = group.process, 0.0

    def claim() -> list[Claim]:
        nonlocal took
        began = time.monotonic()
        with here.database.platform_read() as tx:
            lease = here.settings.lease_seconds
            claims = step_groups.claim(tx, asked, worker=here.worker, slot=os.getpid(), lease_seconds=lease)
        took = time.monotonic() - began  # of this try: those before it waited for the database
        return claims

    try:
        claims = base.patiently(asked[0][2], claim)
    except BaseException:
        with group.lock:
            group.waiting.extendleft(reversed(asked))
        raise
    with group.lock:
        group.claimed.extend(claims)
        group.claimed_since = time.monotonic()
        group.share = 2 * took / max(1, len(claims))  # an end takes about what a claim does
    if len(claims) < len(asked):
        with here.database.platform_read() as tx:
            step_groups.keep_for_later(tx, asked)
        log.info("group.not_claimed steps=%s", len(asked) - len(claims))


def _work_on_all(group: _Group) -> None:
    began = time.monotonic()
    while True:
        with group.lock:
            if not group.claimed:
                group.since = 0.0
                break
            claim = group.claimed.popleft()
            group.since = time.monotonic()
        _work_on(group, claim)
        now = time.monotonic()
        _note_pace(group.kind, now - group.since)
        if now - began > GATHER_SECONDS:
            _write(group)
            began = time.monotonic()
    _write(group)


def _work_on(group: _Group, claim: Claim) -> None:
    process, kind = group.process, group.kind
    with watching.attempt(kind, claim) as watch:
        try:
            end, error = base.attempt(process, kind, None, claim, Passage(), watch)
            if end.alone is not None:
                watch.worked()
                with group.lock:
                    group.done.append((watch, end.alone.result))
                return
            end, _ = base.conclude(process, kind, claim, end, error, watch)
        except LeaseLost:
            base.lost(claim, watch)
            return
    if end.is_last_of_process:
        _write(group)
        _let_go(group)
        base.end_process()


def _write(group: _Group) -> None:
    """Write the ends of what is done."""
    with group.lock:
        if not group.done:
            return
        try:
            _write_done(group)
        except SoftTimeLimitExceeded:  # it fell into the writing, of work that is done
            _write_done(group)


def _write_done(group: _Group) -> None:
    done = list(group.done)

    def succeed() -> frozenset[str]:
        ended = [watch.success(result, share=group.share) for watch, result in done]
        with group.process.database.platform_read() as tx:
            return frozenset(step_groups.succeed(tx, ended))

    try:
        written = base.patiently(done[0][0].claim.step_id, succeed)
    except DatabaseRefused:  # one of the results: each for itself, as if it had come alone
        written = frozenset()
    for watch, result in done:
        if watch.claim.step_id in written:
            watch.succeeded()
        else:
            _conclude_alone(group, watch, result)
    group.done.clear()


def _conclude_alone(group: _Group, watch: watching.Watch, result: Json) -> None:
    """Its job is being stopped, or somebody else has it, or its result cannot be stored."""
    end, error = ends.done(watch.claim, result, [])
    if end.alone is not None:
        end = replace(end, alone=watch.success(result, share=0.0))
    try:
        base.conclude(group.process, group.kind, watch.claim, end, error, watch)
    except LeaseLost:
        base.lost(watch.claim, watch)


@contextmanager
def _looked_after(group: _Group) -> Iterator[None]:
    """See that nothing waits for a step that takes long; at the end, and at an error, what is left goes to others."""
    try:
        with watched(partial(_look_after, group)):
            yield
    finally:
        _let_go(group)


def _look_after(group: _Group) -> None:
    with group.lock:
        now = time.monotonic()
        took = now - group.since if group.since else 0.0
        is_late = took > GATHER_SECONDS and bool(group.done)
        is_slow = bool(group.since) and now - group.claimed_since > SLOW_SECONDS
    try:
        if is_late:
            _write(group)
        if is_slow:
            _let_go(group)
        elif now - group.hint_since > LONG_SECONDS:
            _let_go_unclaimed(group)
    except Exception as exc:  # noqa: BLE001 - the edge of the thread: the slot meets the same, and says what it means
        log.warning("group.watch_failed reason=%s", exc)


def _let_go(group: _Group) -> None:
    """Have others work on what was not begun. What could not be let go stays: it is tried again, or begun here."""
    _let_go_unclaimed(group)
    number = 0
    while True:
        with group.lock:
            if not group.claimed:
                break
            claim = group.claimed.pop()
        try:
            with contextlib.suppress(LeaseLost), group.process.database.begin(claim.tenant_id) as tx:
                steps.begun(tx, claim, at=time.monotonic())  # not at all, that is: it has only waited
                losses.hand_back(tx, claim, OVERTAKEN)
        except StorageError as exc:  # at the end of the hint: its lease runs out
            with group.lock:
                group.claimed.append(claim)
                group.claimed_since = time.monotonic()  # again when that is long ago
            log.warning("group.not_let_go claimed=%s reason=%s", len(group.claimed), exc)
            break
        number += 1
    if number:
        log.info("group.let_go claimed=%s", number)


def _let_go_unclaimed(group: _Group) -> None:
    with group.lock:
        waiting = list(group.waiting)
        group.waiting.clear()
    if not waiting:
        return
    try:
        with group.process.database.platform() as tx:
            runnable.give_back_hints(tx, [(tenant, step) for tenant, _, step in waiting])
    except StorageError as exc:  # at the end of the hint: those of what was not claimed are missed
        with group.lock:
            group.waiting.extendleft(reversed(waiting))
            group.hint_since = time.monotonic()
        log.warning("group.not_let_go waiting=%s reason=%s", len(waiting), exc)
    else:
        log.info("group.let_go waiting=%s", len(waiting))
