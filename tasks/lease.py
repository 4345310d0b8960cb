"""What a worker's parent process does for the steps that its slots hold: renew, stop the unwanted, hand back."""

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Iterable
from enum import Enum, auto
from queue import Empty, SimpleQueue
from typing import Any

from billiard import active_children
from celery import bootsteps
from celery.worker import state

from storage import losses, runnable, steps
from storage.errors import LeaseLost, StorageError
from storage.model import Claim, PublicError, StepId, TenantId
from storage.telemetry import logs as telemetry_logs
from storage.telemetry.start import send_rest
from tasks import hinted, process
from tasks.names import KINDS
from tasks.presence import Presence

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
CLOSING_SECONDS = 1.0  # how long a worker that must go at once has to stop taking what is new
TIMED_OUT = PublicError(code="timed_out", message="the step took longer than its kind allows and was stopped")
STOPPED = PublicError(code="worker_stopped", message="the worker was told to stop before the step had ended")

Steps = list[tuple[TenantId, StepId]]


class _Word(Enum):
    """What a worker is told."""

    STOP = auto()  # within its grace
    AT_ONCE = auto()


class LeaseKeeper(bootsteps.StartStopStep):
    """A thread that renews the leases of all running steps of this worker in one statement per interval.

    It asks Celery which requests are active, so a slot whose process died is not renewed, and a step deep in C code is.
    It also ends steps that go on although their job is canceled. It is never stopped: a worker that was told to stop
    renews until its last step has ended, or until its grace is over and what still runs is handed back. SIGQUIT ends
    that grace, or stops a worker without any: for one that must go at once.
    """

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **_: Any) -> None:
        self._thread = threading.Thread(target=self._keep, name="lease-keeper", daemon=True)
        self._hander = threading.Thread(target=self._hand_back_in_time, name="hand-back", daemon=True)
        # Not an event: a signal that comes while this very thread sets one would wait for itself.
        self._told: SimpleQueue[_Word] = SimpleQueue()
        self._closed = threading.Event()
        self._presence = Presence(sorted(parent.app.amqp.queues.consume_from), parent.concurrency)

    def start(self, parent: Any) -> None:
        process.clear_old_scratch()
        signal.signal(signal.SIGQUIT, self._stop_at_once)  # instead of Celery's, which drops what runs
        self._presence.tell()
        self._thread.start()
        self._hander.start()

    def close(self, parent: Any) -> None:
        """Called when the worker is told to stop, before anything ends: others get at once what it has not begun."""
        begun = set(steps_of(state.active_requests))
        hints = [step for step in steps_of(state.reserved_requests) if step not in begun]
        self._presence.stopping()
        if hints:
            give_back(hints)
        self._closed.set()
        self._told.put(_Word.STOP)

    def stop(self, parent: Any) -> None:
        """Nothing: see the class."""

    def _stop_at_once(self, *_: object) -> None:
        self._told.put(_Word.AT_ONCE)
        # Celery's own way to stop warmly, so that nothing new begins.
        state.should_stop = os.EX_OK  # type: ignore[assignment]

    def _keep(self) -> None:
        interval = process.current().settings.lease_seconds / 3
        tick, renewed = threading.Event(), 0.0
        while not tick.wait(min(TICK_SECONDS, interval)):
            try:
                self._presence.tell()
                held = steps_of(state.active_requests)
                if held and time.monotonic() - renewed >= interval - TICK_SECONDS / 2:
                    _renew(held)
                    renewed = time.monotonic()
                if held:
                    self._stop_unwanted(held)
                    self._disown_overlong()
            except StorageError as exc:
                log.warning("lease.put_off reason=%s", exc)
            except Exception:
                # The edge of the loop: were it to end, every step longer than its lease would be done twice.
                log.exception("lease.crashed")

    def _stop_unwanted(self, held: Steps) -> None:
        """End what did not stop by itself within the grace time: its slot is killed, or in a pool of threads fenced."""
        here = process.current()
        grace = here.settings.cancel_grace_seconds
        with here.database.platform_read() as tx:
            unwanted = runnable.unwanted(tx, here.worker, held, for_seconds=grace)
        for one in unwanted:
            if one.slot is not None and one.slot in slots():
                _kill(one.slot)
            try:
                with here.database.begin(one.claim.tenant_id) as tenant_tx:
                    steps.end_stopped(tenant_tx, one.claim)
            except LeaseLost:
                continue  # it stopped in this moment
            ids = (*_ids(one.claim), one.slot)
            log.warning("lease.step_stopped tenant=%s job=%s step=%s attempt=%s slot=%s", *ids)

    def _disown_overlong(self) -> None:
        """Take what runs beyond its hard time limit from a pool of threads, which nobody can kill one by one."""
        here = process.current()
        if slots():
            return  # children: Celery kills them itself
        with here.database.platform_read() as tx:
            held = runnable.all_held(tx, here.worker)
        for one in held:
            kind = KINDS.get(one.claim.kind)
            if kind is not None and one.ran_seconds > kind.time_limit:
                with here.database.begin(one.claim.tenant_id) as tenant_tx:
                    losses.lose(tenant_tx, one.claim, TIMED_OUT, only_if_expired=False)
                ids = (*_ids(one.claim), one.ran_seconds)
                log.warning("lease.disowned tenant=%s job=%s step=%s attempt=%s seconds=%.1f", *ids)

    def _hand_back_in_time(self) -> None:
        """Wait until the worker is told to stop and its grace is over, then hand back what still runs, and end.

        The process ends here rather than in Celery's own way, which may wait for half a minute.
        """
        word = self._told.get()
        here = process.current()
        end = time.monotonic() + here.settings.stop_grace_seconds
        while word is not _Word.AT_ONCE and (left := end - time.monotonic()) > 0:
            with contextlib.suppress(Empty):
                word = self._told.get(timeout=left)
        self._closed.wait(CLOSING_SECONDS)
        process.note_hand_back()
        for slot in slots():
            _kill(slot)
        try:
            _hand_back_all()
        except StorageError as exc:  # then the leases run out
            log.warning("lease.not_handed_back reason=%s", exc)
        here.budget.give_up()
        self._presence.gone()
        process.clear_scratch(here.worker)
        send_rest()
        telemetry_logs.end()
        logging.shutdown()
        os._exit(os.EX_OK)


def _ids(claim: Claim) -> tuple[str, str, str, int]:
    return claim.tenant_id, claim.job_id, claim.step_id, claim.attempt


def hand_back(tenant: TenantId, step: StepId) -> None:
    """Queue a step of this worker again, at once, as if it had not been begun."""
    here = process.current()
    with here.database.platform() as tx:
        held = runnable.held_by(tx, here.worker, tenant, step)
        if held is not None and losses.hand_back(tx.of(tenant), held.claim, STOPPED):
            log.warning("lease.handed_back tenant=%s job=%s step=%s attempt=%s", *_ids(held.claim))


def _hand_back_all() -> None:
    """Hand back whatever the rows say that this worker holds: Celery may not have noted yet what was begun last."""
    here = process.current()
    with here.database.platform_read() as tx:
        left = runnable.all_held(tx, here.worker)
    for held in left:  # each for itself: workers that stop together hold steps of the same jobs
        with here.database.begin(held.claim.tenant_id) as tenant_tx:
            losses.hand_back(tenant_tx, held.claim, STOPPED)
        log.warning("lease.handed_back tenant=%s job=%s step=%s attempt=%s", *_ids(held.claim))


def _kill(slot: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended in this moment
        os.kill(slot, signal.SIGKILL)


def slots() -> frozenset[int]:
    """The process numbers of this worker's living children; none in a pool of threads."""
    return frozenset(child.pid for child in active_children() if child.pid is not None)


def steps_of(requests: Iterable[Any]) -> Steps:
    """The steps that these of Celery's requests are about."""
    hints = [request.kwargs for request in _copy(requests) if isinstance(request.kwargs, dict)]
    return [(tenant, step) for hint in hints for tenant, _, step in hinted.steps_of(hint)]


def _renew(held: Steps) -> None:
    here = process.current()
    with here.database.platform() as tx:
        runnable.renew(tx, here.worker, held, lease_seconds=here.settings.lease_seconds)


def give_back(hints: Steps) -> None:
    """Have the hints of those of these steps that are still queued sent again, for others to take."""
    try:
        with process.current().database.platform() as tx:
            given = runnable.give_back_hints(tx, hints)
    except StorageError:
        log.warning("lease.give_back_failed hints=%s", len(hints), exc_info=True)
    else:
        log.info("lease.hints_given_back hints=%s", given)


def _copy(requests: Iterable[Any]) -> list[Any]:
    while True:
        try:
            return list(requests)
        except RuntimeError:  # another thread added or removed one meanwhile
            continue
