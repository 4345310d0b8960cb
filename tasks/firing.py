"""Fires schedules: what becomes of each nominal time, and the jobs, are written in one transaction."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from storage import firing_counts, firings, schedules
from storage.database import PlatformTx, Tx
from storage.model import Fired, JobId, ScheduleId, TenantId, new_job_id
from storage.schedule_model import Locked, Moved, NewFiring, Outcome, Schedule
from tasks.errors import InvalidDocument
from tasks.firing_plan import ON_TIME_SECONDS, Plan, plan
from tasks.schedules import job_at, terms
from tasks.submit import Birth, submit_all

log = logging.getLogger(__name__)

Written = tuple[TenantId, ScheduleId, NewFiring]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pass:
    """What one pass did: how many schedules it looked at, what became of firings, and which jobs are to be canceled."""

    looked_at: int
    firings: Sequence[tuple[Schedule, NewFiring]]
    cancels: Sequence[tuple[TenantId, JobId]]


def fire_due(tx: PlatformTx, *, limit: int, on_time_seconds: float = ON_TIME_SECONDS) -> Pass:
    """Fire up to `limit` schedules that are due and that nobody else fires.

    Cancel the jobs after the commit, in transactions of their own: they may be locked by workers.
    """
    found = schedules.lock_due(tx, limit=limit)
    plans = [
        (locked, plan(locked, terms(locked.schedule.document), on_time_seconds=on_time_seconds)) for locked in found
    ]
    written = _write(tx, plans)
    schedules.move(tx, [_moved(locked, made) for locked, made in plans])
    return Pass(
        looked_at=len(found),
        firings=written,
        cancels=[(one.schedule.tenant_id, job) for one, made in plans if made.cancels for job in one.running],
    )


def start_now(tx: Tx, schedule: Schedule, firing: NewFiring) -> NewFiring:
    """Write a firing of a locked schedule outside its calendar, with its job if it is to be started.

    Where its nominal time has a row already, since a clock went back, it takes the next microsecond that has none.
    """
    seen = Locked(schedule=schedule, now=firing.nominal_at, running=(), waiting=())
    while True:
        written = _write(PlatformTx(connection=tx.connection), [(seen, Plan(next_at=None, firings=[firing]))])
        if written:
            return written[0][1]
        firing = replace(firing, nominal_at=firing.nominal_at + timedelta(microseconds=1))


def _write(tx: PlatformTx, plans: Sequence[tuple[Locked, Plan]]) -> list[tuple[Schedule, NewFiring]]:
    """Write the firings of all plans and the jobs that they start; returns them as they were written."""
    births: dict[JobId, Birth] = {}
    new = [(one.schedule, _with_job(one.schedule, firing, births)) for one, made in plans for firing in made.firings]
    old = [(one.schedule, _with_job(one.schedule, firing, births)) for one, made in plans for firing in made.decided]
    fresh = firings.insert(tx, [_row(*each) for each in new])
    # A nominal time that has its row has had its decision: nothing is started for it again.
    new = [(of, firing) for of, firing in new if (of.tenant_id, of.id, firing.nominal_at) in fresh]
    wanted = [births[firing.job_id] for _, firing in (*new, *old) if firing.job_id is not None]
    held = submit_all(tx, wanted)
    settled = [(of, _unless_held(firing, held.get(firing.job_id or JobId("")))) for of, firing in new]
    decided = [(of, _unless_held(firing, held.get(firing.job_id or JobId("")))) for of, firing in old]
    refused = [pair for pair, (_, before) in zip(settled, new, strict=True) if pair[1] is not before]
    firings.decide(tx, [_row(*each) for each in (*decided, *refused)])
    firing_counts.add(tx, [firing for _, firing in (*settled, *decided)])
    return [*settled, *decided]


def _with_job(schedule: Schedule, firing: NewFiring, births: dict[JobId, Birth]) -> NewFiring:
    """The firing with a job of its own, if it is to start one and its document still can be read."""
    if firing.outcome is not Outcome.STARTED:
        return firing
    try:
        spec = job_at(schedule, firing.nominal_at)
    except InvalidDocument as exc:
        log.warning("fire.job_invalid schedule=%s nominal_at=%s reason=%s", schedule.id, firing.nominal_at, exc)
        return replace(
            firing, outcome=Outcome.FAILED, reason=f"its job's document is not accepted any more: {exc}"[:1000]
        )
    fired = Fired(schedule_id=schedule.id, fire_time=firing.nominal_at)
    birth = Birth(tenant_id=schedule.tenant_id, job_id=new_job_id(), spec=spec, fired=fired)
    births[birth.job_id] = birth
    return replace(firing, job_id=birth.job_id)


def _unless_held(firing: NewFiring, holder: JobId | None) -> NewFiring:
    if holder is None:
        return firing
    return replace(firing, outcome=Outcome.SKIPPED, reason=f"job {holder} holds its unique_key", job_id=None)


def _row(schedule: Schedule, firing: NewFiring) -> Written:
    return schedule.tenant_id, schedule.id, firing


def _moved(locked: Locked, made: Plan) -> Moved:
    return Moved(
        tenant_id=locked.schedule.tenant_id,
        schedule_id=locked.schedule.id,
        next_at=made.next_at,
        due_at=made.due_at,
        runs=made.runs,
    )
