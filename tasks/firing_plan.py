"""Decides what a schedule does now: which nominal times have come, and what becomes of each. Pure.

`now` is the database's clock, seen after the schedule's row was locked, so that every loop decides the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from storage.schedule_model import MAX_WAITING, CatchUp, Locked, NewFiring, Origin, Outcome, Overlap, Waiting
from tasks.schedules import Terms, jitter

ON_TIME_SECONDS = 5.0  # later than this a firing counts as missed: a loop that hiccups is no loop that was away
AGAIN_SECONDS = 15.0  # how soon a schedule with firings that wait is looked at, should nobody wake it
MAX_TIMES = 200  # nominal times in one pass: others have their turn in between
MAX_MISSED = 100  # rows for what is too old to be made up for; the rest becomes one row


@dataclass(frozen=True, slots=True)
class Came:
    """A nominal time that has come, and how many seconds ago it was due."""

    at: datetime
    late: float


@dataclass(kw_only=True, slots=True)
class Plan:
    """What is to be written: new `firings` and decisions about those that waited; `started` ones need a job each.

    `cancels` says that the schedule's running jobs are to be canceled. `runs` are added to those that count.
    """

    firings: list[NewFiring] = field(default_factory=list)
    decided: list[NewFiring] = field(default_factory=list)
    cancels: bool = False
    next_at: datetime | None
    due_at: datetime | None = None
    runs: int = 0


def plan(locked: Locked, terms: Terms, *, on_time_seconds: float = ON_TIME_SECONDS) -> Plan:
    """What the schedule does now; see docs/schedules.md for the rules of `overlap` and `catch_up`."""
    schedule = locked.schedule
    made = Plan(next_at=schedule.next_at)
    is_paused = schedule.paused_at is not None
    waiting, busy = _start_waiting(locked, terms, made, is_paused=is_paused)
    if not is_paused:
        _fire(locked, terms, made, waiting, busy=busy, on_time_seconds=on_time_seconds)
        if made.next_at is not None:
            made.due_at = due(schedule.id, made.next_at, terms)
    if waiting:
        again = locked.now + timedelta(seconds=AGAIN_SECONDS)
        made.due_at = again if made.due_at is None else min(made.due_at, again)
    made.cancels = terms.overlap is Overlap.CANCEL_RUNNING and bool(locked.running) and bool(waiting)
    return made


def due(schedule_id: str, nominal_at: datetime, terms: Terms) -> datetime:
    """When a nominal time is due: with its jitter."""
    return nominal_at + timedelta(seconds=jitter(schedule_id, nominal_at, terms.jitter_seconds))


def _start_waiting(locked: Locked, terms: Terms, made: Plan, *, is_paused: bool) -> tuple[list[Waiting], bool]:
    """Start of the firings that wait what may start now; returns those that go on waiting, and whether a job runs."""
    busy, left = bool(locked.running), []
    for one in locked.waiting:
        is_held = is_paused and one.origin is Origin.SCHEDULE
        is_free = one.concurrent or terms.overlap is Overlap.ALLOW or not busy
        if is_held or not is_free:
            left.append(one)
            continue
        busy = True
        made.decided.append(NewFiring(nominal_at=one.nominal_at, origin=one.origin, outcome=Outcome.STARTED))
    return left, busy


def _fire(
    locked: Locked, terms: Terms, made: Plan, waiting: list[Waiting], *, busy: bool, on_time_seconds: float
) -> None:
    """Decide about the nominal times that have come since the last pass; `waiting` is kept up."""
    came, made.next_at = _come(locked, terms)
    is_last = made.next_at is None or due(locked.schedule.id, made.next_at, terms) > locked.now
    for place, one in enumerate(came):
        if terms.max_runs is not None and locked.schedule.runs + made.runs >= terms.max_runs:
            made.next_at = None
            return
        missed = _missed(one, terms, on_time_seconds, is_newest=is_last and place == len(came) - 1)
        if missed:
            made.firings.append(_firing(one, Outcome.MISSED, missed))
            if len(made.firings) >= MAX_MISSED and _skip_old(locked, terms, made, one, on_time_seconds):
                return
            continue
        is_late = one.late > on_time_seconds
        if is_late and terms.overlap is not Overlap.ALLOW and len(waiting) >= MAX_WAITING:
            made.next_at = one.at  # what is made up for waits for its turn where it stands
            return
        firing = _decide(one, terms, made, waiting, busy=busy, is_late=is_late)
        made.firings.append(firing)
        if firing.outcome is not Outcome.SKIPPED:
            busy, made.runs = True, made.runs + 1
    if terms.max_runs is not None and locked.schedule.runs + made.runs >= terms.max_runs:
        made.next_at = None


def _come(locked: Locked, terms: Terms) -> tuple[Sequence[Came], datetime | None]:
    """The nominal times that have come, and the next one."""
    came: list[Came] = []
    at = locked.schedule.next_at
    while at is not None and len(came) < MAX_TIMES:
        late = (locked.now - due(locked.schedule.id, at, terms)).total_seconds()
        if late < 0:
            break
        came.append(Came(at, late))
        at = terms.calendar.after(at)
    return came, at


def _missed(one: Came, terms: Terms, on_time_seconds: float, *, is_newest: bool) -> str | None:
    """Why this one is not made up for; None if it is, or if it is on time."""
    if one.late <= on_time_seconds:
        return None
    late = f"{one.late:.0f} s late"
    if terms.catch_up is CatchUp.NONE:
        return f"{late}, and catch_up is 'none'"
    if one.late > terms.catch_up_seconds:
        return f"{late}, and catch_up_seconds are {terms.catch_up_seconds:g}"
    if terms.catch_up is CatchUp.LAST and not is_newest:
        return f"{late}, and a later firing was due as well (catch_up is 'last')"
    return None


def _skip_old(locked: Locked, terms: Terms, made: Plan, one: Came, on_time_seconds: float) -> bool:
    """Make one row of all that is too old anyway, if there is more of it; whether that was done."""
    window = 0.0 if terms.catch_up is CatchUp.NONE else terms.catch_up_seconds
    horizon = locked.now - timedelta(seconds=max(window, on_time_seconds) + terms.jitter_seconds)
    first = terms.calendar.after(one.at)
    if first is None or first >= horizon:
        return False
    reason = "too late to be made up for; not listed one by one"
    made.firings.append(NewFiring(nominal_at=first, until_at=horizon, outcome=Outcome.MISSED, reason=reason))
    made.next_at = terms.calendar.after(horizon)
    return True


def _decide(one: Came, terms: Terms, made: Plan, waiting: list[Waiting], *, busy: bool, is_late: bool) -> NewFiring:
    if terms.overlap is Overlap.ALLOW or not (busy or waiting):
        return _firing(one, Outcome.STARTED)
    own = [other for other in waiting if other.origin is Origin.SCHEDULE]
    if not is_late:  # one that is made up for waits for its turn, whatever the rule
        if terms.overlap is Overlap.SKIP:
            return _firing(one, Outcome.SKIPPED, "a job of an earlier firing has not ended (overlap is 'skip')")
        if terms.overlap is Overlap.BUFFER_ONE and own:
            return _firing(one, Outcome.SKIPPED, "another firing waits already (overlap is 'buffer_one')")
        if len(waiting) >= MAX_WAITING:
            return _firing(one, Outcome.SKIPPED, f"{MAX_WAITING} firings wait already")
        if terms.overlap is Overlap.CANCEL_RUNNING:
            _give_way(made, waiting, own)
    waiting.append(Waiting(nominal_at=one.at, origin=Origin.SCHEDULE, concurrent=False))
    return _firing(one, Outcome.BUFFERED)


def _give_way(made: Plan, waiting: list[Waiting], own: Sequence[Waiting]) -> None:
    """A later firing takes the place of those that wait."""
    reason = "a later firing took its place (overlap is 'cancel_running')"
    for other in own:
        waiting.remove(other)
        gone = NewFiring(nominal_at=other.nominal_at, outcome=Outcome.SKIPPED, reason=reason)
        planned = next((one for one in made.firings if one.nominal_at == other.nominal_at), None)
        if planned is None:
            made.decided.append(gone)
        else:  # of this very pass
            made.firings[made.firings.index(planned)] = replace(gone, late_seconds=planned.late_seconds)


def _firing(one: Came, outcome: Outcome, reason: str | None = None) -> NewFiring:
    return NewFiring(nominal_at=one.at, outcome=outcome, reason=reason, late_seconds=one.late)
