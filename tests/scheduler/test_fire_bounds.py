"""What a pass takes on is bounded, whatever a tenant has made, and others have their turn."""

from datetime import timedelta
from time import monotonic

import pytest

from scheduler.fire import turn
from storage import schedules
from storage.database import Database
from storage.model import TenantId
from storage.schedule_model import Overlap
from storage.tenants import ensure
from tasks import scheduling
from tasks.errors import InvalidDocument
from tasks.schedules import terms
from tests.scheduler.timetable import Timetable
from tests.tasks.test_scheduling import backfilled, changed, held, paused, resumed, triggered
from tests.waiting import until


@pytest.fixture
def timetable(database: Database, tenant: TenantId) -> Timetable:
    return Timetable(database, tenant)


@pytest.fixture
def other(database: Database) -> Timetable:
    with database.platform() as tx:
        return Timetable(database, ensure(tx, "other"))


def heavy(kilobytes: int) -> dict[str, object]:
    return {"steps": {f"say{number}": {"kind": "echo", "message": "x" * 9000} for number in range(kilobytes // 9)}}


def test_a_backfill_of_heavy_jobs_goes_piece_by_piece(timetable: Timetable, other: Timetable) -> None:
    schedule = timetable.make(cron="0 * * * *", job=heavy(300))
    first = schedule.created_at - timedelta(days=2)
    backfilled(timetable, schedule, first, first + timedelta(hours=19, minutes=1), overlap=Overlap.ALLOW)
    victim = other.make()
    other.put_back(victim, 61)
    turn(timetable.database)
    assert len(timetable.jobs(schedule)) == 3, "as many as a megabyte holds"
    assert other.outcomes(victim) == ["started"]
    until(lambda: "buffered" not in [run.outcome for run in timetable.fired(schedule)])
    assert len(timetable.jobs(schedule)) >= 19


def test_tenants_take_turns(timetable: Timetable, other: Timetable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.firing.MAX_FIRINGS", 4)
    many = [timetable.make() for _ in range(20)]
    for schedule in many:
        timetable.put_back(schedule, 62)
    victim = other.make()
    other.put_back(victim, 61)  # due after all of these
    turn(timetable.database)
    assert other.outcomes(victim) == ["started"]


def test_documents_that_would_fill_the_memory_are_read_a_few_at_a_time(
    timetable: Timetable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.schedules.MAX_BYTES", 1500)
    made = [timetable.make() for _ in range(6)]
    for schedule in made:
        timetable.put_back(schedule, 61)
    with timetable.database.platform() as tx:
        found, is_more = schedules.lock_due(tx, limit=100)
        tx.connection.rollback()
    assert 0 < len(found) < 6
    assert is_more
    timetable.turn()
    assert [timetable.outcomes(schedule) for schedule in made] == [["started"]] * 6


def test_the_newest_of_very_many_missed_times_is_found_quickly(timetable: Timetable) -> None:
    schedule = timetable.make(cron="* * * * * *", catch_up="last", catch_up_seconds=31 * 86_400)
    with timetable.database.begin(timetable.tenant) as tx:
        long_ago = """UPDATE schedules SET next_at = date_trunc('second', now() - interval '50 days'), due_at = now(),
            document = jsonb_set(document, '{end_at}', to_jsonb(date_trunc('second', now() - interval '25 days')))
            WHERE id = %(id)s"""
        tx.sql(long_ago, id=schedule.id)
    end = terms(timetable.find(schedule).document).calendar.end_at
    began = monotonic()
    timetable.turn()
    timetable.turn()
    assert monotonic() - began < 10, "and not one by one: it would be killed after 15 s, and be as long again"
    assert [run.nominal_at for run in timetable.runs(schedule) if run.outcome == "started"] == [end]


def test_cancel_running_spares_what_is_made_up_for(timetable: Timetable) -> None:
    schedule = timetable.make(overlap="cancel_running")
    came = timetable.put_back(schedule, 630)
    with timetable.database.begin(timetable.tenant) as tx:
        tx.sql("UPDATE schedules SET next_at = now() + interval '1 hour' WHERE id = %(id)s", id=schedule.id)
    backfilled(timetable, schedule, came[0], came[-1])
    timetable.turn()
    with timetable.database.begin(timetable.tenant) as tx:
        tx.sql(
            "UPDATE schedules SET next_at = date_trunc('second', now()), due_at = now() WHERE id = %(id)s",
            id=schedule.id,
        )
    for _ in range(4):
        timetable.turn()
    states = [state for _, _, state in timetable.jobs(schedule)]
    assert (states.count("canceled"), states.count("queued")) == (1, 1)
    assert timetable.outcomes(schedule).count("buffered") == len(came) - 1


def test_what_a_paused_schedule_holds_hides_no_backfill(timetable: Timetable) -> None:
    schedule = timetable.make(every=1, catch_up="all")
    came = timetable.put_back(schedule, 150)
    timetable.turn()
    paused(timetable, schedule)
    first = came[0] - timedelta(seconds=5)
    backfilled(timetable, schedule, first, first)
    timetable.end_jobs(schedule)
    timetable.turn()
    assert timetable.jobs(schedule)[0][1] == first
    assert triggered(timetable, schedule, Overlap.BUFFER_ONE).outcome == "buffered"


def test_what_a_pause_has_held_starts_when_it_is_over(timetable: Timetable) -> None:
    schedule = timetable.make(every=86_400, overlap="buffer_one")
    for _ in range(2):
        timetable.put_back(schedule, 86_401)
        timetable.turn()
    paused(timetable, schedule)
    timetable.end_jobs(schedule)
    timetable.turn()
    assert timetable.outcomes(schedule) == ["started", "buffered"]
    resumed(timetable, schedule)
    timetable.turn()
    assert timetable.outcomes(schedule) == ["started", "started"]


def test_a_zone_that_is_gone_can_be_changed(timetable: Timetable) -> None:
    schedule = timetable.make()
    timetable.put_back(schedule, 61)
    with timetable.database.begin(timetable.tenant) as tx:
        gone = """UPDATE schedules SET document = jsonb_set(document, '{timezone}', '"Mars/Olympus"')"""
        tx.sql(gone + " WHERE id = %(id)s", id=schedule.id)
    timetable.turn()
    with timetable.database.begin(timetable.tenant) as tx, pytest.raises(InvalidDocument, match="Mars/Olympus"):
        scheduling.resume(tx, held(tx, schedule))
    stands = changed(timetable, schedule, timezone="UTC")
    assert stands.next_at is not None
    assert stands.next_at > schedule.created_at


def test_the_name_of_one_that_is_applied_stays(timetable: Timetable) -> None:
    schedule = timetable.make(name="nightly")
    with timetable.database.begin(timetable.tenant) as tx:
        tx.sql("UPDATE schedules SET source = 'file' WHERE id = %(id)s", id=schedule.id)
    with pytest.raises(InvalidDocument, match="/name"):
        changed(timetable, schedule, name="other")
    assert changed(timetable, schedule, overlap="allow").name == "nightly"


def test_a_backfill_before_the_jitter_is_over_takes_no_run(timetable: Timetable) -> None:
    schedule = timetable.make(max_runs=1)
    (came,) = timetable.put_back(schedule, 61)
    backfilled(timetable, schedule, came, came)
    timetable.turn()
    stands = timetable.find(schedule)
    assert ([run.origin for run in timetable.runs(schedule)], stands.runs, stands.state) == (["backfill"], 0, "active")
