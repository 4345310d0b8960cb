"""What becomes of a firing while a job of an earlier one has not ended."""

from datetime import timedelta

import pytest

from storage import schedules
from storage.database import Database
from storage.model import TenantId
from storage.schedule_model import Schedule
from tasks import scheduling
from tests.scheduler.timetable import Timetable


@pytest.fixture
def timetable(database: Database, tenant: TenantId) -> Timetable:
    return Timetable(database, tenant)


def fire_again(timetable: Timetable, schedule: Schedule, times: int = 1) -> None:
    """Have it fire on time, so often, while nobody ends its jobs."""
    for _ in range(times):
        timetable.put_back(schedule, 61)
        timetable.turn()


def test_skip(timetable: Timetable) -> None:
    schedule = timetable.make(overlap="skip")
    fire_again(timetable, schedule, 3)
    assert timetable.outcomes(schedule) == ["started", "skipped", "skipped"]
    assert "has not ended" in (timetable.runs(schedule)[1].reason or "")
    timetable.end_jobs(schedule)
    fire_again(timetable, schedule)
    assert timetable.outcomes(schedule)[-1] == "started"


def test_buffer_one(timetable: Timetable) -> None:
    schedule = timetable.make(overlap="buffer_one")
    fire_again(timetable, schedule, 3)
    assert timetable.outcomes(schedule) == ["started", "buffered", "skipped"]
    timetable.end_jobs(schedule)
    timetable.turn()
    assert timetable.outcomes(schedule) == ["started", "started", "skipped"]
    assert [state for _, _, state in timetable.jobs(schedule)] == ["succeeded", "queued"]


def test_buffer_all(timetable: Timetable) -> None:
    schedule = timetable.make(overlap="buffer_all")
    fire_again(timetable, schedule, 4)
    assert timetable.outcomes(schedule) == ["started", "buffered", "buffered", "buffered"]
    for done in range(1, 4):
        timetable.end_jobs(schedule)
        timetable.turn()
        assert [state for _, _, state in timetable.jobs(schedule)] == ["succeeded"] * done + ["queued"]
    assert timetable.outcomes(schedule) == ["started"] * 4


def test_allow(timetable: Timetable) -> None:
    schedule = timetable.make(overlap="allow")
    fire_again(timetable, schedule, 3)
    assert timetable.outcomes(schedule) == ["started"] * 3
    assert [state for _, _, state in timetable.jobs(schedule)] == ["queued"] * 3


def test_cancel_running(timetable: Timetable) -> None:
    schedule = timetable.make(overlap="cancel_running")
    fire_again(timetable, schedule, 2)
    timetable.turn()
    assert [state for _, _, state in timetable.jobs(schedule)] == ["canceled", "queued"]
    assert timetable.outcomes(schedule) == ["started", "started"]


def test_of_those_that_wait_for_a_cancellation_the_last_one_starts(timetable: Timetable) -> None:
    schedule = timetable.make(overlap="cancel_running")
    fire_again(timetable, schedule)
    with timetable.database.begin(timetable.tenant) as tx:  # its step runs, and takes a while to stop
        tx.sql("UPDATE steps SET state = 'running', worker = 'w', lease_until = now() + interval '1 minute'")
        tx.sql("UPDATE jobs SET state = 'running', started_at = now()")
    fire_again(timetable, schedule, 2)
    assert timetable.outcomes(schedule) == ["started", "skipped", "buffered"]
    assert "took its place" in (timetable.runs(schedule)[1].reason or "")
    timetable.end_jobs(schedule, "canceled")
    timetable.turn()
    assert timetable.outcomes(schedule) == ["started", "skipped", "started"]


def test_a_job_that_runs_again_counts_as_running(timetable: Timetable) -> None:
    schedule = timetable.make(overlap="skip")
    fire_again(timetable, schedule)
    timetable.end_jobs(schedule, "failed")
    with timetable.database.begin(timetable.tenant) as tx:
        tx.sql("UPDATE jobs SET state = 'queued', finished_at = NULL")
    fire_again(timetable, schedule)
    assert timetable.outcomes(schedule) == ["started", "skipped"]


@pytest.mark.parametrize(("state", "pauses"), [("failed", True), ("expired", True), ("canceled", False)])
def test_pause_on_failure(timetable: Timetable, state: str, pauses: bool) -> None:
    schedule = timetable.make(pause_on_failure=True)
    careless = timetable.make()
    for one in (schedule, careless):
        fire_again(timetable, one)
        timetable.end_jobs(one, state)
    timetable.turn()
    stands = timetable.find(schedule)
    assert (stands.state == "paused") is pauses
    assert (str(timetable.jobs(schedule)[0][0]) in (stands.paused_reason or "")) is pauses
    assert timetable.find(careless).state == "active"
    timetable.put_back(schedule, 61)
    timetable.turn()
    assert len(timetable.jobs(schedule)) == (1 if pauses else 2)


def test_a_paused_schedule_fires_its_backfill_and_nothing_else(timetable: Timetable) -> None:
    schedule = timetable.make(overlap="buffer_all")
    fire_again(timetable, schedule, 2)  # one runs, one waits
    with timetable.database.begin(timetable.tenant) as tx:
        locked = schedules.lock(tx, schedule.id)
        assert locked is not None
        first = timetable.runs(schedule)[0].nominal_at - timedelta(minutes=5)
        taken = scheduling.backfill(tx, locked, first, first)
        scheduling.pause(tx, locked)
    assert taken == (1, 1)
    timetable.end_jobs(schedule)
    timetable.put_back(schedule, 610)
    timetable.turn()
    assert timetable.outcomes(schedule) == ["started", "started", "buffered"]
    assert timetable.runs(schedule)[0].nominal_at == first - timedelta(seconds=610)
