"""Fires schedules when they are due. Any number of these loops may run: each nominal time has one row, and one job.

The database's clock decides when something is due; the clock of this machine measures waits only.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from scheduler.listening import wait
from storage import firings, schedules, stops
from storage.database import Database
from storage.errors import DatabaseRefused, DatabaseUnavailable, JobEnded
from storage.firings import Ended
from storage.model import JobId, TenantId
from storage.schedules import SCHEDULES_CHANNEL
from tasks.firing import Pass, fire_due
from tasks.firing_plan import ON_TIME_SECONDS

log = logging.getLogger(__name__)

BATCH = 500  # schedules in one transaction
ENDS = 1000  # ends of jobs in one transaction
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
    for tenant_id, job_id in done.cancels:
        _cancel(database, tenant_id, job_id)
    return done.looked_at == BATCH or len(ended) == ENDS


def fire_once(database: Database, *, limit: int, on_time_seconds: float = ON_TIME_SECONDS) -> Pass:
    """Fire up to `limit` schedules that are due, in one transaction. Raises DatabaseUnavailable.

    If the database refuses what one of them would write, they are fired one by one, and that one is paused.
    """
    fire_some = partial(fire_due, on_time_seconds=on_time_seconds)
    try:
        with database.platform() as tx:
            return fire_some(tx, limit=limit)
    except DatabaseRefused as exc:
        log.warning("fire.refused schedules=%s reason=%s", limit, exc)
    made: list[Pass] = []
    while len(made) < limit and (one := _fire_or_pause(database, fire_some)).looked_at:
        made.append(one)
    return Pass(
        looked_at=len(made),
        firings=[firing for one in made for firing in one.firings],
        cancels=[cancel for one in made for cancel in one.cancels],
    )


def _fire_or_pause(database: Database, fire_some: Callable[..., Pass]) -> Pass:
    try:
        with database.platform() as tx:
            return fire_some(tx, limit=1)
    except DatabaseRefused as exc:
        with database.platform() as tx:
            for locked in schedules.lock_due(tx, limit=1):
                log.error("fire.impossible schedule=%s reason=%s", locked.schedule.id, exc)
                firings.pause(
                    tx,
                    locked.schedule.tenant_id,
                    locked.schedule.id,
                    reason=f"its firing cannot be written: {exc}"[:1000],
                )
        return Pass(looked_at=1, firings=(), cancels=())


def _cancel(database: Database, tenant_id: TenantId, job_id: JobId) -> None:
    """Cancel a job that a later firing takes the place of; if that fails, the next pass does it."""
    try:
        with database.begin(tenant_id) as tx:
            stops.cancel(tx, job_id)
    except (JobEnded, DatabaseUnavailable) as exc:
        log.info("fire.not_canceled job=%s reason=%s", job_id, exc)


def _pause(database: Database) -> float:
    with database.platform_read() as tx:
        due = schedules.seconds_to_next(tx)
    return POLL_SECONDS if due is None else min(POLL_SECONDS, due)
