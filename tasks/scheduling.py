"""What the owner of a schedule does with it, in the owner's transaction: make, change, pause, trigger, backfill."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice

from storage import firing_counts, firings, schedules
from storage.database import PlatformTx, Tx
from storage.model import ScheduleId
from storage.schedule_model import (
    MAX_WAITING,
    Locked,
    NewFiring,
    NewSchedule,
    Origin,
    Outcome,
    Overlap,
    Schedule,
    new_schedule_id,
)
from storage.schedules import Change
from tasks.errors import BackfillTooLarge, Flaw, InvalidDocument
from tasks.firing import start_now
from tasks.firing_plan import due
from tasks.schedules import ScheduleSpec, terms, terms_if_any

MAX_BACKFILL = 1000  # firings at once
PAUSED = "by its owner"


def create(tx: Tx, spec: ScheduleSpec, now: datetime, *, source: str | None = None) -> Schedule:
    """Write a new schedule; it fires from `now` on, by the database's clock. Raises ScheduleNameTaken."""
    schedule_id = new_schedule_id()
    next_at = spec.terms.calendar.after(now)
    new = NewSchedule(
        id=schedule_id,
        name=spec.name,
        document=spec.document,
        starts=spec.starts,
        next_at=next_at,
        due_at=_due(schedule_id, spec, next_at),
        source=source,
    )
    return schedules.insert(tx, new)


def change(tx: Tx, locked: Locked, spec: ScheduleSpec) -> Schedule:
    """Have a locked schedule be like this document from now on.

    Raises ScheduleNameTaken, and InvalidDocument for another name of one that a source applies.

    What was due by the old calendar and has not fired is written as skipped, unless the calendar stays the same.
    """
    old, now = locked.schedule, locked.now
    if old.source is not None and spec.name != old.name:
        detail = f"is what {old.source!r} knows this schedule by, which is applied again and again: change it there"
        raise InvalidDocument([Flaw(pointer="/name", detail=detail)])
    was = terms_if_any(old.document)
    next_at = old.next_at
    if was is None or was.calendar != spec.terms.calendar:
        _skip_past(tx, locked, "the schedule was changed before it fired")
        next_at = spec.terms.calendar.after(now)
    elif next_at is None:  # it may have ended by its max_runs, which may have been raised
        next_at = spec.terms.calendar.after(now)
    if spec.terms.max_runs is not None and old.runs >= spec.terms.max_runs:
        next_at = None
    due_at = None if old.paused_at is not None else _due(old.id, spec, next_at)
    wanted = replace(
        _as_it_is(locked), name=spec.name, document=spec.document, starts=spec.starts, next_at=next_at, due_at=due_at
    )
    made = schedules.change(tx, old.id, wanted)
    if locked.waiting:
        schedules.look_again(tx, old.id)
    return made


def pause(tx: Tx, locked: Locked, *, reason: str = PAUSED) -> Schedule:
    """Have a locked schedule fire no more until it is resumed. Twice is as once: the first reason stays."""
    if locked.schedule.paused_at is not None:
        return locked.schedule
    made = schedules.change(tx, locked.schedule.id, replace(_as_it_is(locked), due_at=None, paused_reason=reason))
    if locked.waiting:  # a backfill goes on
        schedules.look_again(tx, locked.schedule.id)
    return made


def resume(tx: Tx, locked: Locked) -> Schedule:
    """Have a locked schedule fire again, from now on: what came while it was paused is one row, as skipped.

    Raises InvalidDocument if its calendar cannot be read any more.
    """
    schedule, now = locked.schedule, locked.now
    if schedule.paused_at is None:
        return schedule
    said = terms_if_any(schedule.document)
    if said is None:
        detail = f"{schedule.document['timezone']!r} is not known here any more; change it first"
        raise InvalidDocument([Flaw(pointer="/timezone", detail=detail)])
    _skip_past(tx, locked, f"the schedule was paused: {schedule.paused_reason}")
    next_at = schedule.next_at
    if next_at is not None and due(schedule.id, next_at, said) <= now:
        next_at = said.calendar.after(now)
    due_at = None if next_at is None else due(schedule.id, next_at, said)
    wanted = replace(_as_it_is(locked), next_at=next_at, due_at=due_at, paused_reason=None)
    made = schedules.change(tx, schedule.id, wanted)
    schedules.look_again(tx, schedule.id)  # a pause hides what it holds: some of it may start now
    return made


def trigger(tx: Tx, locked: Locked, *, overlap: Overlap | None = None) -> NewFiring:
    """Fire a locked schedule now, also one that is paused or has ended; `overlap` instead of its own, if given.

    Returns what became of it. It does not count towards max_runs.
    """
    rule = terms(locked.schedule.document).overlap if overlap is None else overlap
    is_busy = bool(locked.running or locked.waiting)
    firing = NewFiring(nominal_at=locked.now, origin=Origin.TRIGGER, outcome=Outcome.STARTED)
    if is_busy and rule is not Overlap.ALLOW:
        reason = _refusal(rule, locked)
        outcome = Outcome.SKIPPED if reason else Outcome.BUFFERED
        firing = replace(firing, outcome=outcome, reason=reason, overlap=rule)
    written = start_now(tx, locked.schedule, firing)
    if written.outcome is Outcome.BUFFERED:
        schedules.look_again(tx, locked.schedule.id)
    return written


def backfill(
    tx: Tx, locked: Locked, first: datetime, last: datetime, *, overlap: Overlap = Overlap.BUFFER_ALL
) -> tuple[int, int]:
    """Fire a locked schedule for its nominal times from `first` to `last` that have no job, both included.

    One after the other, oldest first, or with `overlap` allow all at once. Returns how many will start, and how many
    nominal times there were. Raises BackfillTooLarge. They do not count towards max_runs.
    """
    times = list(islice(terms(locked.schedule.document).calendar.between(first, last), MAX_BACKFILL + 1))
    if len(times) > MAX_BACKFILL:
        raise BackfillTooLarge(MAX_BACKFILL, times[MAX_BACKFILL - 1])
    schedule = locked.schedule
    new = [NewFiring(nominal_at=at, origin=Origin.BACKFILL, outcome=Outcome.BUFFERED, overlap=overlap) for at in times]
    written = _write(tx, schedule, new, take_over=True)
    schedules.look_again(tx, schedule.id)
    return written, len(times)


def _refusal(rule: Overlap, locked: Locked) -> str | None:
    """Why a trigger is not even to wait; None if it may."""
    if rule is Overlap.SKIP:
        return "a job of an earlier firing has not ended (overlap is 'skip')"
    if rule is Overlap.BUFFER_ONE and locked.waiting:
        return "another firing waits already (overlap is 'buffer_one')"
    return f"{MAX_WAITING} firings wait already" if len(locked.waiting) >= MAX_WAITING else None


def _skip_past(tx: Tx, locked: Locked, reason: str) -> None:
    """Write nominal times that have come and not been decided as one row, if there are any."""
    schedule, now, said = locked.schedule, locked.now, terms_if_any(locked.schedule.document)
    if schedule.next_at is None or said is None or due(schedule.id, schedule.next_at, said) > now:
        return
    row = NewFiring(nominal_at=schedule.next_at, until_at=now, outcome=Outcome.SKIPPED, reason=reason)
    _write(tx, schedule, [row])


def _write(tx: Tx, schedule: Schedule, new: Sequence[NewFiring], *, take_over: bool = False) -> int:
    """Write and count firings that start no job now; returns how many are new."""
    platform = PlatformTx(connection=tx.connection)
    rows = [(schedule.tenant_id, schedule.id, one) for one in new]
    fresh = firings.insert(platform, rows, take_over=take_over)
    firing_counts.add(platform, [one for *whose, one in rows if (*whose, one.place) in fresh])
    return len(fresh)


def _as_it_is(locked: Locked) -> Change:
    schedule = locked.schedule
    return Change(
        name=schedule.name,
        document=schedule.document,
        starts=None,
        next_at=schedule.next_at,
        due_at=schedule.due_at,
        paused_reason=schedule.paused_reason,
    )


def _due(schedule_id: ScheduleId, spec: ScheduleSpec, next_at: datetime | None) -> datetime | None:
    return None if next_at is None else due(schedule_id, next_at, spec.terms)
