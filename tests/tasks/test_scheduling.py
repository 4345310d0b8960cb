"""What an owner does with a schedule: made, changed, paused, triggered, made up for."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from storage import schedules
from storage.database import Database, Tx
from storage.errors import ScheduleNameTaken
from storage.model import TenantId
from storage.schedule_model import Locked, NewFiring, Overlap, Schedule
from tasks import scheduling
from tasks.errors import BackfillTooLarge
from tasks.schedules import parse
from tests.scheduler.timetable import Timetable


@pytest.fixture
def timetable(database: Database, tenant: TenantId) -> Timetable:
    return Timetable(database, tenant)


def held(tx: Tx, schedule: Schedule) -> Locked:
    locked = schedules.lock(tx, schedule.id)
    assert locked is not None
    return locked


def changed(timetable: Timetable, schedule: Schedule, **fields: Any) -> Schedule:
    with timetable.database.begin(timetable.tenant) as tx:
        locked = held(tx, schedule)
        before = locked.schedule.document
        given = {**before, **fields}
        return scheduling.change(tx, locked, parse(given, now=locked.now, before=before))


def triggered(timetable: Timetable, schedule: Schedule, overlap: Overlap | None = None) -> NewFiring:
    with timetable.database.begin(timetable.tenant) as tx:
        return scheduling.trigger(tx, held(tx, schedule), overlap=overlap)


def backfilled(
    timetable: Timetable, schedule: Schedule, first: datetime, last: datetime, **said: Any
) -> tuple[int, int]:
    with timetable.database.begin(timetable.tenant) as tx:
        return scheduling.backfill(tx, held(tx, schedule), first, last, **said)


def paused(timetable: Timetable, schedule: Schedule, reason: str = "holiday") -> Schedule:
    with timetable.database.begin(timetable.tenant) as tx:
        return scheduling.pause(tx, held(tx, schedule), reason=reason)


def resumed(timetable: Timetable, schedule: Schedule) -> Schedule:
    with timetable.database.begin(timetable.tenant) as tx:
        return scheduling.resume(tx, held(tx, schedule))


def test_a_name_is_taken_once_a_tenant(timetable: Timetable) -> None:
    first, second = timetable.make(name="nightly"), timetable.make(name="other")
    with pytest.raises(ScheduleNameTaken):
        timetable.make(name="nightly")
    with pytest.raises(ScheduleNameTaken):
        changed(timetable, second, name="nightly")
    assert changed(timetable, first, name="nightly").version == 2
    assert timetable.find(second).version == 1


def test_a_change_of_other_things_keeps_the_next_time(timetable: Timetable) -> None:
    schedule = timetable.make()
    stands = changed(timetable, schedule, overlap="allow")
    assert (stands.next_at, stands.due_at) == (schedule.next_at, schedule.due_at)


def test_a_change_of_the_calendar_counts_from_now(timetable: Timetable) -> None:
    schedule = timetable.make()
    timetable.put_back(schedule, 130)
    was = timetable.find(schedule)
    stands = changed(timetable, schedule, cron="0 0 1 1 *", every=None, anchor=None)
    (run,) = timetable.runs(schedule)
    assert (run.nominal_at, run.outcome) == (was.next_at, "skipped")
    assert "was changed" in (run.reason or "")
    assert stands.next_at is not None
    assert (stands.next_at.month, stands.next_at.day) == (1, 1)
    timetable.turn()
    assert len(timetable.runs(schedule)) == 1


def test_more_runs_wake_a_schedule_that_had_ended(timetable: Timetable) -> None:
    schedule = timetable.make(max_runs=1)
    timetable.put_back(schedule, 61)
    timetable.turn()
    assert timetable.find(schedule).state == "ended"
    assert changed(timetable, schedule, max_runs=2).state == "active"
    assert changed(timetable, schedule, max_runs=1).state == "ended"


def test_what_comes_in_a_pause_is_one_row(timetable: Timetable) -> None:
    schedule = timetable.make(catch_up="all")
    assert paused(timetable, schedule).paused_reason == "holiday"
    assert paused(timetable, schedule, "again").paused_reason == "holiday"
    timetable.put_back(schedule, 630)
    timetable.turn()
    assert timetable.runs(schedule) == []
    stands = resumed(timetable, schedule)
    (run,) = timetable.runs(schedule)
    assert (run.outcome, run.job_id, run.until_at is not None) == ("skipped", None, True)
    assert "holiday" in (run.reason or "")
    timetable.turn()
    assert list(timetable.jobs(schedule)) == []
    assert stands.next_at is not None
    assert stands.next_at > run.fired_at
    assert resumed(timetable, schedule).version == stands.version


def test_a_pause_in_which_nothing_came_leaves_no_row(timetable: Timetable) -> None:
    schedule = timetable.make()
    paused(timetable, schedule)
    assert resumed(timetable, schedule).next_at == schedule.next_at
    assert timetable.runs(schedule) == []


@pytest.mark.parametrize("overlap", list(Overlap))
def test_a_trigger_starts_at_once_and_obeys_the_overlap(timetable: Timetable, overlap: Overlap) -> None:
    schedule = timetable.make(overlap=overlap.value, max_runs=1)
    paused(timetable, schedule)
    first, second = triggered(timetable, schedule), triggered(timetable, schedule)
    expected = {"skip": "skipped", "allow": "started"}.get(overlap, "buffered")
    assert (first.outcome, second.outcome) == ("started", expected)
    assert timetable.jobs(schedule)[0][:2] == (first.job_id, first.nominal_at)
    assert timetable.find(schedule).runs == 0
    timetable.turn()
    timetable.end_jobs(schedule)
    timetable.turn()
    assert len(timetable.jobs(schedule)) == (1 if overlap is Overlap.SKIP else 2)


def test_a_trigger_at_a_moment_that_has_a_firing_takes_the_next(timetable: Timetable) -> None:
    schedule = timetable.make(overlap="allow")
    with timetable.database.begin(timetable.tenant) as tx:
        locked = held(tx, schedule)
        first, second = (scheduling.trigger(tx, locked) for _ in range(2))
    assert second.nominal_at - first.nominal_at == timedelta(microseconds=1)
    assert len(timetable.jobs(schedule)) == 2


def test_a_trigger_may_be_told_to_start_beside_others(timetable: Timetable) -> None:
    schedule = timetable.make()
    assert triggered(timetable, schedule).outcome == "started"
    assert triggered(timetable, schedule, Overlap.ALLOW).outcome == "started"


def test_a_backfill_starts_one_job_for_each_time_that_has_none(timetable: Timetable) -> None:
    schedule = timetable.make(catch_up="last")
    came = timetable.put_back(schedule, 630)
    timetable.turn()
    timetable.end_jobs(schedule)
    assert timetable.outcomes(schedule) == ["missed"] * 9 + ["started"]
    assert backfilled(timetable, schedule, came[0], came[-1]) == (9, 10)
    assert backfilled(timetable, schedule, came[0], came[-1]) == (0, 10)
    for done in range(1, 10):
        timetable.turn()
        assert len(timetable.jobs(schedule)) == done + 1, "one after the other"
        timetable.end_jobs(schedule)
    assert [at for _, at, _ in timetable.jobs(schedule)] == came
    assert {run.origin for run in timetable.runs(schedule)} == {"schedule", "backfill"}
    assert timetable.find(schedule).runs == 1


def test_a_backfill_may_run_all_at_once(timetable: Timetable) -> None:
    schedule = timetable.make(catch_up="none")
    came = timetable.put_back(schedule, 630)
    timetable.turn()
    assert backfilled(timetable, schedule, came[2], came[4], overlap=Overlap.ALLOW) == (3, 3)
    timetable.turn()
    assert [at for _, at, _ in timetable.jobs(schedule)] == came[2:5]


def test_a_backfill_reaches_back_behind_the_schedule(timetable: Timetable) -> None:
    schedule = timetable.make(cron="0 * * * *")
    first = datetime.fromisoformat("2020-01-01T00:00:00Z")
    assert backfilled(timetable, schedule, first, first + timedelta(hours=2)) == (3, 3)


def test_a_backfill_is_bounded_and_says_by_what(timetable: Timetable) -> None:
    schedule = timetable.make(every=1)
    first = timetable.put_back(schedule, 5000)[0]
    with pytest.raises(BackfillTooLarge) as raised:
        backfilled(timetable, schedule, first, first + timedelta(seconds=2000))
    assert raised.value.last == first + timedelta(seconds=scheduling.MAX_BACKFILL - 1)
    assert timetable.runs(schedule) == []


def test_a_deleted_schedule_leaves_its_jobs(timetable: Timetable) -> None:
    schedule = timetable.make()
    triggered(timetable, schedule)
    with timetable.database.begin(timetable.tenant) as tx:
        assert schedules.delete(tx, schedule.id)
    (job,) = timetable.jobs(schedule)
    assert job[2] == "queued"
    timetable.end_jobs(schedule)
    timetable.turn()  # the end of its job is told to nobody
    with timetable.database.begin(timetable.tenant) as tx:
        assert not schedules.delete(tx, schedule.id)
        assert tx.sql("SELECT count(*) FROM firing_ends").scalar_one() == 0
