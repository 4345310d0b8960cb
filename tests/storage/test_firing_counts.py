"""The counts of firings: what was written, whoever wrote it, and how schedules stand."""

import math
from datetime import UTC, datetime

import pytest

from storage import firing_counts
from storage.database import Database
from storage.firing_counts import BOUNDS, FiringCounts, Standing
from storage.model import TenantId
from storage.schedule_model import NewFiring, Origin, Outcome
from tests.scheduler.timetable import Timetable

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def started(late_seconds: float | None) -> NewFiring:
    return NewFiring(nominal_at=NOON, outcome=Outcome.STARTED, late_seconds=late_seconds)


def read(database: Database) -> FiringCounts:
    with database.platform_read() as tx:
        return firing_counts.read(tx)


def standing(database: Database) -> Standing:
    with database.platform_read() as tx:
        return firing_counts.standing(tx)


def test_nothing_is_counted_at_first(database: Database) -> None:
    counted = read(database)
    assert counted.by_outcome == dict.fromkeys(Outcome, 0)
    assert (list(counted.by_lateness), counted.late_seconds) == ([0] * len(BOUNDS), 0)


def test_every_outcome_is_counted_each_time(database: Database) -> None:
    for times, outcome in enumerate(Outcome, start=1):
        for _ in range(times):
            with database.platform() as tx:
                firing_counts.add(tx, [NewFiring(nominal_at=NOON, outcome=outcome)] * 2)
    assert read(database).by_outcome == {outcome: 2 * times for times, outcome in enumerate(Outcome, start=1)}


@pytest.mark.parametrize("place", range(len(BOUNDS)))
def test_a_bound_belongs_to_its_bucket(database: Database, place: int) -> None:
    bound = BOUNDS[place]
    at, above = (1e6, None) if math.isinf(bound) else (bound, math.nextafter(bound, math.inf))
    with database.platform() as tx:
        firing_counts.add(tx, [started(at), *([] if above is None else [started(above)])])
    wanted = [0] * len(BOUNDS)
    wanted[place] = 1
    if above is not None:
        wanted[place + 1] = 1
    assert list(read(database).by_lateness) == wanted


def test_lateness_is_only_of_firings_that_started_by_themselves(database: Database) -> None:
    late = [
        started(0.0),
        started(0.3),
        started(7.5),
        started(None),  # it was buffered before
        NewFiring(nominal_at=NOON, outcome=Outcome.STARTED, origin=Origin.TRIGGER),
        NewFiring(nominal_at=NOON, outcome=Outcome.MISSED, late_seconds=4000.0),
        NewFiring(nominal_at=NOON, outcome=Outcome.BUFFERED, late_seconds=1.0),
    ]
    with database.platform() as tx:
        firing_counts.add(tx, late)
    counted = read(database)
    assert counted.by_outcome[Outcome.STARTED] == 5
    assert sum(counted.by_lateness) == 3
    assert counted.late_seconds == pytest.approx(7.8)


def test_processes_count_beside_each_other(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    for slot in (1, 2, 2, 1):
        monkeypatch.setattr("storage.firing_counts._SLOT", slot)
        with database.platform() as tx:
            firing_counts.add(tx, [started(0.2)])
    with database.platform_read() as tx:
        rows = tx.sql("SELECT slot, firings FROM firing_counts ORDER BY slot").all()
    assert [tuple(row) for row in rows] == [(1, 2), (2, 2)]
    assert read(database).by_outcome[Outcome.STARTED] == 4


def test_what_is_rolled_back_was_not_counted(database: Database) -> None:
    with database.platform() as tx:
        firing_counts.add(tx, [started(0.2)])
        tx.connection.rollback()
    assert read(database).by_outcome[Outcome.STARTED] == 0


def test_schedules_stand_in_their_states(database: Database, tenant: TenantId) -> None:
    assert standing(database) == Standing(next_seconds=None, active=0, paused=0, ended=0, waiting=0)
    timetable = Timetable(database, tenant)
    timetable.make(every=3600)
    timetable.make(every=7200)
    once = timetable.make(every=60, max_runs=1)
    timetable.put_back(once, 61)
    timetable.turn()
    paused = timetable.make(every=60)
    with database.platform() as tx:
        tx.sql("UPDATE schedules SET paused_at = now(), due_at = NULL WHERE id = %(id)s", id=paused.id)
    found = standing(database)
    assert (found.active, found.paused, found.ended, found.waiting) == (2, 1, 1, 0)
    assert 3500 < (found.next_seconds or 0) <= 3600


def test_a_schedule_that_nobody_fires_is_overdue(database: Database, tenant: TenantId) -> None:
    timetable = Timetable(database, tenant)
    timetable.put_back(timetable.make(every=3600), 3700)
    assert -160 < (standing(database).next_seconds or 0) <= -100


def test_firings_that_wait_are_counted_until_they_start(database: Database, tenant: TenantId) -> None:
    timetable = Timetable(database, tenant)
    schedule = timetable.make(every=60, overlap="buffer_all")
    for seconds in (61, 61, 61):
        timetable.put_back(schedule, seconds)
        timetable.turn()
    assert timetable.outcomes(schedule) == ["started", "buffered", "buffered"]
    assert standing(database).waiting == 2
    timetable.end_jobs(schedule)
    timetable.turn()
    assert standing(database).waiting == 1
    counted = read(database).by_outcome
    assert (counted[Outcome.STARTED], counted[Outcome.BUFFERED]) == (2, 2)
