"""Fires schedules when they are due. Any number of these loops may run: each nominal time has one row, and one job.

The database's clock decides when something is due; the clock of this machine measures waits only.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from scheduler.listening import wait
from storage import firings, schedules, stops
from storage.database import Database
from storage.errors import DatabaseUnavailable, JobEnded, NotStorable, RowBusy
from storage.firings import Ended
from storage.model import JobId, TenantId
from storage.schedules import SCHEDULES_CHANNEL
from tasks.firing import Pass, fire_due
from tasks.firing_plan import ON_TIME_SECONDS

log = logging.getLogger(__name__)

BATCH = 500  # schedules in one transaction
APART = 50  # and where they are written one by one
ENDS = 1000  # schedules whose jobs have ended, in one transaction
CANCELING_SECONDS = 1.0  # spent on cancellations after a pass
GATHER_SECONDS = 0.05  # between two passes: what comes meanwhile is fired together
POLL_SECONDS = 1.0  # how often it looks without being woken

Told = Callable[[Pass], None]
ToldEnds = Callable[[Sequence[Ended]], None]


def _untold(_: Any) -> None:
    return


def fire(database: Database, stop: threading.Event, *, tell: Told = _untold, tell_ends: ToldEnds = _untold) -> None:
    """Fire until `stop` is set; `tell` hears of every pass, `tell_ends` of ended jobs, after their commits.

    Raises DatabaseUnavailable: call it again.
    """
    with database.listen(SCHEDULES_CHANNEL) as connection:
        while not stop.is_set():
            began = time.monotonic()
            is_full = turn(database, tell=tell, tell_ends=tell_ends)
            if stop.wait(max(0.0, GATHER_SECONDS - (time.monotonic() - began))) or is_full:
                continue
            wait(connection, _pause(database), stop)


def turn(
    database: Database, *, on_time_seconds: float = ON_TIME_SECONDS, tell: Told = _untold, tell_ends: ToldEnds = _untold
) -> bool:
    """Take up ended jobs and fire what is due, once; returns whether there is more of it."""
    with database.platform() as tx:
        ended = firings.take_ends(tx, limit=ENDS)
    if ended:
        tell_ends(ended)
    done = fire_once(database, limit=BATCH, on_time_seconds=on_time_seconds)
    if done.looked_at:
        tell(done)
    _cancel_all(database, done.cancels)
    return done.is_full or len(ended) >= ENDS


def fire_once(database: Database, *, limit: int, on_time_seconds: float = ON_TIME_SECONDS) -> Pass:
    """Fire up to `limit` schedules that are due, in one transaction. Raises DatabaseUnavailable, DatabaseRefused.

    If one of them cannot be written, some of them are fired one by one, and what is wrong with that one is its own.
    """
    try:
        with database.platform() as tx:
            tx.sql("SET LOCAL lock_timeout = '1s'")
            return fire_due(tx, limit=limit, on_time_seconds=on_time_seconds)
    except (NotStorable, RowBusy) as exc:
        log.warning("fire.one_by_one reason=%s", exc)
    with database.platform() as tx:
        tx.sql("SET LOCAL lock_timeout = '100ms'")
        return fire_due(tx, limit=min(limit, APART), on_time_seconds=on_time_seconds, apart=True)


def _cancel_all(database: Database, jobs: Sequence[tuple[TenantId, JobId]]) -> None:
    """Cancel jobs that later firings take the place of, for a moment; what is left is done at the next look."""
    end = time.monotonic() + CANCELING_SECONDS
    for tenant_id, job_id in jobs:
        if time.monotonic() > end:
            return
        try:
            with database.begin(tenant_id) as tx:
                tx.sql("SET LOCAL lock_timeout = '100ms'")
                stops.cancel(tx, job_id)
        except (JobEnded, DatabaseUnavailable) as exc:
            log.info("fire.not_canceled job=%s reason=%s", job_id, exc)


def _pause(database: Database) -> float:
    with database.platform_read() as tx:
        due = schedules.seconds_to_next(tx)
    return POLL_SECONDS if due is None else min(POLL_SECONDS, due)
