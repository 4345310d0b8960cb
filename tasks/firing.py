"""Fires schedules: what becomes of each nominal time, and the jobs, are written in one transaction."""

import json
import logging
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from storage import firing_counts, firings, schedules
from storage.database import PlatformTx, Tx
from storage.errors import NotStorable, RowBusy
from storage.model import Fired, JobId, Json, ScheduleId, TenantId, new_job_id
from storage.schedule_model import Locked, Moved, NewFiring, Outcome, Schedule
from tasks.errors import InvalidDocument
from tasks.firing_plan import MAX_TIMES, ON_TIME_SECONDS, Plan, due, plan
from tasks.own_templates import resolver
from tasks.schedules import Terms, job_at, terms
from tasks.submit import Birth, submit_all, with_files
from tasks.templates import MAX_BYTES as MAX_TEMPLATE_BYTES
from tasks.templates import Resolve, owned

log = logging.getLogger(__name__)

# What fits into one transaction, more or less: a long one holds its schedules, is slow to repeat, and may never end.
MAX_FIRINGS = 1000
MAX_STEPS = 2000
MAX_BYTES = 16_000_000
MAX_SHARE = 1_000_000  # bytes of the jobs of one schedule, but for the first
MAX_SECONDS = 2.0  # of planning
AGAIN_SECONDS = 2.0  # until a schedule is looked at again whose unique key is being decided elsewhere

News = list[tuple[Schedule, NewFiring]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pass:
    """What one pass did: how many schedules it looked at, what became of firings, and which jobs are to be canceled.

    `is_full` says that there may be more to do at once.
    """

    looked_at: int
    is_full: bool
    firings: Sequence[tuple[Schedule, NewFiring]]
    cancels: Sequence[tuple[TenantId, JobId]]


@dataclass(kw_only=True, slots=True)
class _Look:
    """One schedule in a pass: what is planned, and the jobs for it. `broken` says why nothing could be planned."""

    locked: Locked
    said: Terms | None
    made: Plan
    births: dict[JobId, Birth] = field(default_factory=dict)
    broken: str | None = None

    @property
    def schedule(self) -> Schedule:
        return self.locked.schedule


def fire_due(tx: PlatformTx, *, limit: int, on_time_seconds: float = ON_TIME_SECONDS, apart: bool = False) -> Pass:
    """Fire up to `limit` schedules that are due and that nobody else fires; one that cannot be planned is paused.

    Cancel the jobs after the commit, in transactions of their own: they may be locked by workers. Raises NotStorable or
    RowBusy for a row that cannot be written; with `apart` it is found out which, and the others stand.
    """
    found, is_more = schedules.lock_due(tx, limit=limit)
    looks = list(_looks(tx, found, on_time_seconds))
    _give_files(tx, looks)
    written = [one for look in looks for one in _write_apart(tx, look)] if apart else _write(tx, looks)
    firing_counts.add(tx, [firing for _, firing in written])
    return Pass(
        looked_at=len(looks),
        is_full=is_more or len(looks) < len(found),
        firings=written,
        cancels=[(one.schedule.tenant_id, job) for one in looks if one.made.cancels for job in one.locked.running],
    )


def start_now(tx: Tx, schedule: Schedule, firing: NewFiring) -> NewFiring:
    """Write a firing of a locked schedule outside its calendar, with its job if it is to be started.

    Where its nominal time has a row already, since a clock went back, it takes the next microsecond that has none.
    """
    seen = Locked(schedule=schedule, now=firing.nominal_at, running=(), waiting=())
    while True:
        look = _Look(locked=seen, said=None, made=Plan(next_at=None, firings=[firing]))
        _bear(look, resolver(tx))
        platform = PlatformTx(connection=tx.connection, acts=tx.acts)
        _give_files(platform, [look])
        written = _write_rows(platform, [look])
        if written:
            firing_counts.add(platform, [written[0][1]])
            return written[0][1]
        firing = replace(firing, nominal_at=firing.nominal_at + timedelta(microseconds=1))


def _looks(tx: PlatformTx, found: Sequence[Locked], on_time_seconds: float) -> Iterator[_Look]:
    """As many as fit into one transaction; the other schedules stay as they are, and due."""
    firings_left, steps_left, bytes_left = MAX_FIRINGS, MAX_STEPS, MAX_BYTES
    end = time.monotonic() + MAX_SECONDS
    for locked in found:
        if min(firings_left, steps_left, bytes_left) <= 0 or time.monotonic() > end:
            return
        size = _bytes_of(locked.schedule.document.get("job"))
        look = _planned(locked, on_time_seconds, max_times=min(MAX_TIMES, max(1, MAX_SHARE // size)))
        _bear(look, resolver(tx.of(locked.schedule.tenant_id)))
        firings_left -= 1 + len(look.made.firings) + len(look.made.decided)
        steps_left -= sum(len(birth.spec.steps) for birth in look.births.values())
        bytes_left -= size * len(look.births)
        yield look


def _planned(locked: Locked, on_time_seconds: float, *, max_times: int) -> _Look:
    try:
        said = terms(locked.schedule.document)
        made = plan(locked, said, on_time_seconds=on_time_seconds, max_times=max_times)
    except Exception as exc:  # one schedule must not keep all others from firing
        log.exception("fire.cannot_be_planned schedule=%s", locked.schedule.id)
        stays = Plan(next_at=locked.schedule.next_at)
        return _Look(locked=locked, said=None, made=stays, broken=f"its next firing cannot be told: {exc}"[:1000])
    return _Look(locked=locked, said=said, made=made)


def _bytes_of(asked: Json) -> int:
    """How large a job's document is at most, with the steps that come of a tenant's own template."""
    return len(json.dumps(asked)) + (0 if owned(asked) is None else MAX_TEMPLATE_BYTES)


def _bear(look: _Look, templates: Resolve) -> None:
    """Give each firing that is to be started a job, if the schedule's document still can be read."""
    look.made.firings = [_with_job(look, firing, templates) for firing in look.made.firings]
    look.made.decided = [_with_job(look, firing, templates) for firing in look.made.decided]


def _with_job(look: _Look, firing: NewFiring, templates: Resolve) -> NewFiring:
    if firing.outcome is not Outcome.STARTED:
        return firing
    schedule = look.schedule
    try:
        spec = job_at(schedule, firing.nominal_at, templates=templates)
    except InvalidDocument as exc:
        log.warning("fire.job_invalid schedule=%s nominal_at=%s reason=%s", schedule.id, firing.nominal_at, exc)
        return _failed(firing, f"its job's document is not accepted any more: {exc}")
    except Exception as exc:
        log.exception("fire.job_impossible schedule=%s nominal_at=%s", schedule.id, firing.nominal_at)
        return _failed(firing, f"its job's document cannot be made: {exc}")
    fired = Fired(schedule_id=schedule.id, fire_time=firing.nominal_at)
    birth = Birth(tenant_id=schedule.tenant_id, job_id=new_job_id(), spec=spec, fired=fired)
    look.births[birth.job_id] = birth
    return replace(firing, job_id=birth.job_id)


def _give_files(tx: PlatformTx, looks: Sequence[_Look]) -> None:
    """Give the jobs the uploads that they name; the firing of one that names what is gone has failed."""
    found, refused = with_files(tx, [birth for look in looks for birth in look.births.values()])
    with_file = {birth.job_id: birth for birth in found}
    for look in looks:
        look.births = {job_id: with_file[job_id] for job_id in look.births if job_id in with_file}
        for listed in (look.made.firings, look.made.decided):
            listed[:] = [_unless_refused(one, refused.get(one.job_id or JobId(""))) for one in listed]


def _unless_refused(firing: NewFiring, refused: InvalidDocument | None) -> NewFiring:
    return firing if refused is None else _failed(firing, f"its job's document is not accepted any more: {refused}")


def _failed(firing: NewFiring, reason: str) -> NewFiring:
    return replace(firing, outcome=Outcome.FAILED, reason=reason[:1000], job_id=None)


def _write(tx: PlatformTx, looks: Sequence[_Look]) -> News:
    """Write all of it, each kind of row in one statement, and move the schedules on."""
    written = _write_rows(tx, looks)
    became: dict[tuple[TenantId, ScheduleId], list[NewFiring]] = defaultdict(list)
    for of, firing in written:
        became[of.tenant_id, of.id].append(firing)
    for look in looks:
        if look.broken is not None:
            firings.pause(tx, look.schedule.tenant_id, look.schedule.id, reason=look.broken)
        _settle(look, became[look.schedule.tenant_id, look.schedule.id])
    schedules.move(tx, [_moved(look) for look in looks])
    return written


def _write_apart(tx: PlatformTx, look: _Look) -> News:
    """Write what one schedule does; if the database refuses it, its firings have failed, and say why."""
    try:
        with tx.savepoint():
            return _write(tx, [look])
    except RowBusy as exc:
        log.info("fire.put_off schedule=%s reason=%s", look.schedule.id, exc)
        look.made = Plan(next_at=look.schedule.next_at, due_at=look.locked.now + timedelta(seconds=AGAIN_SECONDS))
        schedules.move(tx, [_moved(look)])
        return []
    except NotStorable as exc:
        log.warning("fire.refused schedule=%s reason=%s", look.schedule.id, exc)
        reason = f"its job cannot be written: {exc}"
    look.births.clear()
    for listed in (look.made.firings, look.made.decided):
        listed[:] = [_failed(one, reason) if one.outcome is Outcome.STARTED else one for one in listed]
    try:
        with tx.savepoint():
            return _write(tx, [look])
    except (RowBusy, NotStorable) as exc:
        log.error("fire.impossible schedule=%s reason=%s", look.schedule.id, exc)
        look.made, look.broken = Plan(next_at=look.schedule.next_at), f"its firings cannot be written: {exc}"[:1000]
        return _write(tx, [look])


def _write_rows(tx: PlatformTx, looks: Sequence[_Look]) -> News:
    """Write the firings and the jobs that they start; returns the firings as they were written."""
    new = [(look.schedule, firing) for look in looks for firing in look.made.firings]
    old = [(look.schedule, firing) for look in looks for firing in look.made.decided]
    births = {job_id: birth for look in looks for job_id, birth in look.births.items()}
    fresh = firings.insert(tx, [(of.tenant_id, of.id, firing) for of, firing in new])
    # A nominal time that has its row has had its decision: nothing is started for it again.
    new = [(of, firing) for of, firing in new if (of.tenant_id, of.id, firing.place) in fresh]
    held = submit_all(tx, [births[firing.job_id] for _, firing in (*new, *old) if firing.job_id is not None])
    settled = [(of, _unless_held(firing, held.get(firing.job_id or JobId("")))) for of, firing in new]
    decided = [(of, _unless_held(firing, held.get(firing.job_id or JobId("")))) for of, firing in old]
    refused = [pair for pair, (_, before) in zip(settled, new, strict=True) if pair[1] is not before]
    firings.decide(tx, [(of.tenant_id, of.id, firing) for of, firing in (*decided, *refused)])
    return [*settled, *decided]


def _unless_held(firing: NewFiring, holder: JobId | None) -> NewFiring:
    if holder is None:
        return firing
    return replace(firing, outcome=Outcome.SKIPPED, reason=f"job {holder} holds its unique_key", job_id=None)


def _settle(look: _Look, written: Sequence[NewFiring]) -> None:
    """Correct the plan by what became of it: what a unique key or an earlier decision kept from starting was no run."""
    made, said = look.made, look.said
    if said is None:
        return
    planned = {firing.nominal_at for firing in made.firings if firing.outcome is Outcome.STARTED}
    started = {one.nominal_at for one in written if one.outcome is Outcome.STARTED}
    if planned - started:
        made.runs -= len(planned - started)
        if made.is_over:
            made.next_at = said.calendar.after(max(one.nominal_at for one in made.firings))
            made.due_at = None if made.next_at is None else due(look.schedule.id, made.next_at, said)
    if made.waiting and (planned or made.decided) and not started and not look.locked.running:
        made.due_at = look.locked.now  # nothing runs whose end would start the next one


def _moved(look: _Look) -> Moved:
    schedule, made = look.schedule, look.made
    return Moved(
        tenant_id=schedule.tenant_id,
        schedule_id=schedule.id,
        next_at=made.next_at,
        due_at=made.due_at,
        latest_due=made.latest_due,
        runs=made.runs,
    )
