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
CANCEL_SECONDS = 1.0  # and one whose jobs are being canceled
MAX_TIMES = 200  # nominal times in one pass: others have their turn in between
MAX_MISSED = 100  # rows for what is too old to be made up for; the rest becomes one row
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Came:
    """A nominal time that has come, when it was due, and how many seconds ago that was."""

    at: datetime
    due_at: datetime
    late: float


@dataclass(kw_only=True, slots=True)
class Plan:
    """What is to be written: new `firings` and decisions about those that waited; each that is started needs a job.

    `waiting` are those that go on waiting. `cancels` says that the schedule's running jobs are to be canceled. `runs`
    are added to those that count; `is_over` if they have reached max_runs by that.
    """

    firings: list[NewFiring] = field(default_factory=list)
    decided: list[NewFiring] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    cancels: bool = False
    next_at: datetime | None
    due_at: datetime | None = None
    latest_due: datetime | None = None
    runs: int = 0
    is_over: bool = False


def plan(locked: Locked, terms: Terms, *, on_time_seconds: float = ON_TIME_SECONDS, max_times: int = MAX_TIMES) -> Plan:
    """What the schedule does now; see docs/schedules.md for the rules of `overlap` and `catch_up`."""
    schedule = locked.schedule
    made = Plan(next_at=schedule.next_at)
    is_paused = schedule.paused_at is not None
    busy = _start_waiting(locked, terms, made, max_starts=max_times)
    is_held_up = False
    if not is_paused:
        is_held_up = _fire(locked, terms, made, busy=busy, on_time_seconds=on_time_seconds, max_times=max_times)
    made.cancels = bool(locked.running) and any(rule(one, terms) is Overlap.CANCEL_RUNNING for one in made.waiting)
    made.due_at = _look_next(locked, terms, made, is_paused=is_paused, is_held_up=is_held_up)
    return made


def due(schedule_id: str, nominal_at: datetime, terms: Terms) -> datetime:
    """When a nominal time is due: with its jitter."""
    try:
        return nominal_at + timedelta(seconds=jitter(schedule_id, nominal_at, terms.jitter_seconds))
    except OverflowError:  # at the calendar's end
        return nominal_at


def rule(one: Waiting, terms: Terms) -> Overlap:
    """What a firing that waits goes by: its own rule, if it has one, and else what its schedule says now.

    Of a schedule that allows overlaps its own firings wait for nothing, whatever they were told when they came.
    """
    if one.overlap is None or (one.origin is Origin.SCHEDULE and terms.overlap is Overlap.ALLOW):
        return terms.overlap
    return one.overlap


def _look_next(locked: Locked, terms: Terms, made: Plan, *, is_paused: bool, is_held_up: bool) -> datetime | None:
    """When a loop looks at the schedule again; never in the past, so that others have their turn in between."""
    looks: list[datetime] = []
    # There may be more that can start: it was not shown all, or took no more than it might.
    if made.decided and (len(locked.waiting) == MAX_WAITING or _could_start(made, terms)):
        looks.append(locked.now)
    if made.waiting:
        looks.append(locked.now + timedelta(seconds=CANCEL_SECONDS if made.cancels else AGAIN_SECONDS))
    if made.next_at is not None and not is_paused and not is_held_up:
        looks.append(max(due(locked.schedule.id, made.next_at, terms), locked.now))
    return min(looks, default=None)


def _could_start(made: Plan, terms: Terms) -> bool:
    """Whether one that goes on waiting waits for nobody."""
    return any(rule(one, terms) is Overlap.ALLOW for one in made.waiting)


def _start_waiting(locked: Locked, terms: Terms, made: Plan, *, max_starts: int) -> bool:
    """Start of the firings that wait what may start now; returns whether a job runs then.

    One that has others canceled goes first, or all that wait before it would be started for nothing.
    """
    busy = bool(locked.running)
    for one in sorted(locked.waiting, key=lambda one: rule(one, terms) is not Overlap.CANCEL_RUNNING):
        is_free = rule(one, terms) is Overlap.ALLOW or not busy
        if not is_free or len(made.decided) >= max_starts:
            made.waiting.append(one)
            continue
        busy = True
        made.decided.append(NewFiring(nominal_at=one.nominal_at, origin=one.origin, outcome=Outcome.STARTED))
    return busy


def _fire(locked: Locked, terms: Terms, made: Plan, *, busy: bool, on_time_seconds: float, max_times: int) -> bool:
    """Decide about the nominal times that have come since the last pass.

    Returns whether one has to stay where it is, since as many wait as may.
    """
    came, made.next_at = _come(locked, terms, max_times)
    is_last = made.next_at is None or due(locked.schedule.id, made.next_at, terms) > locked.now
    for place, one in enumerate(came):
        if _is_over(locked, terms, made):
            return False
        missed = _missed(one, terms, on_time_seconds, is_newest=is_last and place == len(came) - 1)
        if missed:
            made.latest_due = one.due_at
            made.firings.append(_firing(one, Outcome.MISSED, missed))
            if len(made.firings) >= MAX_MISSED and _skip_old(locked, terms, made, one, on_time_seconds):
                return False
            continue
        is_late = one.late > on_time_seconds
        if is_late and terms.overlap is not Overlap.ALLOW and len(made.waiting) >= MAX_WAITING:
            made.next_at = one.at
            return True
        made.latest_due = one.due_at
        firing = _decide(one, terms, made, busy=busy, is_late=is_late)
        made.firings.append(firing)
        if firing.outcome is not Outcome.SKIPPED:
            busy, made.runs = True, made.runs + 1
    _is_over(locked, terms, made)
    return False


def _is_over(locked: Locked, terms: Terms, made: Plan) -> bool:
    """Whether it has reached its max_runs; then it has no next time."""
    if terms.max_runs is None or locked.schedule.runs + made.runs < terms.max_runs:
        return False
    made.next_at, made.is_over = None, True
    return True


def _come(locked: Locked, terms: Terms, max_times: int) -> tuple[Sequence[Came], datetime | None]:
    """The nominal times that have come, and the next one.

    They are taken in their order, so one is due no sooner than those before it, however short its own jitter is.
    """
    came: list[Came] = []
    at, latest = locked.schedule.next_at, locked.schedule.latest_due
    while at is not None and len(came) < max_times:
        due_at = due(locked.schedule.id, at, terms)
        if due_at > locked.now:
            break
        latest = due_at if latest is None else max(latest, due_at)
        came.append(Came(at, latest, (locked.now - latest).total_seconds()))
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
    """Make one row of all that is not made up for anyway, if there is more of it; whether that was done."""
    window = 0.0 if terms.catch_up is CatchUp.NONE else terms.catch_up_seconds
    horizon = locked.now - timedelta(seconds=max(window, on_time_seconds) + terms.jitter_seconds)
    if terms.catch_up is CatchUp.LAST and (newest := _newest(locked, terms, one.at)) is not None:
        horizon = max(horizon, newest - _INSTANT)
    first = terms.calendar.after(one.at)
    if first is None or first >= horizon:
        return False
    reason = f"nobody was there, and catch_up is {terms.catch_up.value!r}; not listed one by one"
    made.firings.append(NewFiring(nominal_at=first, until_at=horizon, outcome=Outcome.MISSED, reason=reason))
    made.next_at = terms.calendar.after(horizon)
    return True


def _newest(locked: Locked, terms: Terms, after: datetime) -> datetime | None:
    """The last nominal time after this one that has come, as far as can be told without looking at all of them.

    Looked for from now backwards in growing steps, and then between two of them by halving; what is due later for its
    jitter has not come.
    """
    latest = locked.now - timedelta(seconds=terms.jitter_seconds)
    step = timedelta(seconds=1)
    found = terms.calendar.after(latest - step)
    while (found is None or found > latest) and latest - step > after:
        step *= 2
        found = terms.calendar.after(max(latest - step, after))
    if found is None or not after < found <= latest:
        return None
    low, high = found, latest
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        later = terms.calendar.after(middle)
        if later is not None and later <= latest:
            low = found = later
        else:
            high = middle
    later = terms.calendar.after(found)
    return later if later is not None and later <= latest else found


def _decide(one: Came, terms: Terms, made: Plan, *, busy: bool, is_late: bool) -> NewFiring:
    why = f"{one.late:.0f} s late, and made up for (catch_up is {terms.catch_up.value!r})" if is_late else None
    if terms.overlap is Overlap.ALLOW or not (busy or made.waiting):
        return _firing(one, Outcome.STARTED, why)
    if is_late:  # what is made up for waits for its turn, whatever the rule
        made.waiting.append(Waiting(nominal_at=one.at, origin=Origin.SCHEDULE, overlap=Overlap.BUFFER_ALL))
        return replace(_firing(one, Outcome.BUFFERED, why), overlap=Overlap.BUFFER_ALL)
    own = [other for other in made.waiting if other.origin is Origin.SCHEDULE and other.overlap is None]
    if terms.overlap is Overlap.SKIP:
        return _firing(one, Outcome.SKIPPED, "a job of an earlier firing has not ended (overlap is 'skip')")
    if terms.overlap is Overlap.BUFFER_ONE and own:
        return _firing(one, Outcome.SKIPPED, "another firing waits already (overlap is 'buffer_one')")
    if terms.overlap is Overlap.CANCEL_RUNNING:
        _give_way(made, own)
    if len(made.waiting) >= MAX_WAITING:
        return _firing(one, Outcome.SKIPPED, f"{MAX_WAITING} firings wait already")
    made.waiting.append(Waiting(nominal_at=one.at, origin=Origin.SCHEDULE, overlap=None))
    return _firing(one, Outcome.BUFFERED)


def _give_way(made: Plan, own: Sequence[Waiting]) -> None:
    """A later firing takes the place of those that came on time and wait."""
    reason = "a later firing took its place (overlap is 'cancel_running')"
    for other in own:
        made.waiting.remove(other)
        gone = NewFiring(nominal_at=other.nominal_at, outcome=Outcome.SKIPPED, reason=reason)
        planned = next((one for one in made.firings if one.nominal_at == other.nominal_at), None)
        if planned is None:
            made.decided.append(gone)
        else:  # of this very pass
            made.firings[made.firings.index(planned)] = replace(gone, late_seconds=planned.late_seconds)


def _firing(one: Came, outcome: Outcome, reason: str | None = None) -> NewFiring:
    return NewFiring(nominal_at=one.at, outcome=outcome, reason=reason, late_seconds=one.late)
