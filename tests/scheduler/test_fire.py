"""Firing: one row and one job for each nominal time, and what is done about those that nobody was there for."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest

from scheduler.fire import fire, turn
from storage import counts, schedules
from storage.database import Database
from storage.errors import DatabaseRefused
from storage.model import TenantId
from tests.scheduler.timetable import Timetable
from tests.waiting import until

DOWN_SECONDS = 630  # of a schedule that fires every minute: ten nominal times, the last half a minute ago


@pytest.fixture
def timetable(database: Database, tenant: TenantId) -> Timetable:
    return Timetable(database, tenant)


def test_a_nominal_time_has_one_row_and_one_job(timetable: Timetable) -> None:
    schedule = timetable.make(every=60)
    (came,) = timetable.put_back(schedule, 60)
    for _ in range(3):
        timetable.turn()
    (run,) = timetable.runs(schedule)
    assert (run.nominal_at, run.outcome, run.origin) == (came, "started", "schedule")
    assert [(job, at) for job, at, _ in timetable.jobs(schedule)] == [(run.job_id, came)]
    assert timetable.find(schedule).next_at == came + timedelta(seconds=60)


def test_nothing_fires_before_its_time(timetable: Timetable) -> None:
    schedule = timetable.make(every=60)
    timetable.turn()
    assert (timetable.runs(schedule), list(timetable.jobs(schedule))) == ([], [])


def test_the_job_is_given_its_nominal_time(timetable: Timetable) -> None:
    schedule = timetable.make(every=60, catch_up="all", timezone="Asia/Kolkata", job=_asking())
    came = timetable.put_back(schedule, DOWN_SECONDS)
    timetable.turn()
    (job, _, _) = timetable.jobs(schedule)[0]
    with timetable.database.read(timetable.tenant) as tx:
        params = tx.sql("SELECT params FROM steps WHERE job_id = %(job)s", job=job).scalar_one()
    fired = came[0].isoformat().replace("+00:00", "Z")
    assert params["message"] == f"{schedule.id} {fired} {(came[0] + timedelta(hours=5.5)).date()}"


def _asking() -> dict[str, object]:
    message = "{{schedule.id}} {{schedule.fire_time}} {{ schedule.local_date }}"
    return {"steps": {"say": {"kind": "echo", "message": message}}}


@pytest.mark.parametrize(("catch_up", "jobs"), [("none", 0), ("last", 1), ("all", 10)])
def test_down_across_ten_firings(timetable: Timetable, catch_up: str, jobs: int) -> None:
    schedule = timetable.make(every=60, catch_up=catch_up, overlap="allow")
    came = timetable.put_back(schedule, DOWN_SECONDS)
    assert len(came) == 10
    timetable.turn()
    assert [at for _, at, _ in timetable.jobs(schedule)] == came[10 - jobs :]
    runs = timetable.runs(schedule)
    assert [run.nominal_at for run in runs] == came
    assert timetable.outcomes(schedule) == ["missed"] * (10 - jobs) + ["started"] * jobs
    assert all("late" in (run.reason or "") for run in runs)
    assert all("made up for" in (run.reason or "") for run in runs[10 - jobs :])


def test_what_is_made_up_for_does_not_overlap_by_itself(timetable: Timetable) -> None:
    schedule = timetable.make(every=60, catch_up="all")
    came = timetable.put_back(schedule, DOWN_SECONDS)
    started = []
    for _ in came:
        timetable.turn()
        running = [at for _, at, state in timetable.jobs(schedule) if state == "queued"]
        assert len(running) == 1
        started += running
        timetable.end_jobs(schedule)
    timetable.turn()
    assert started == came
    assert timetable.outcomes(schedule) == ["started"] * 10


def test_too_late_is_missed_whatever_the_rule(timetable: Timetable) -> None:
    schedule = timetable.make(every=60, catch_up="all", overlap="allow", catch_up_seconds=300)
    came = timetable.put_back(schedule, DOWN_SECONDS)
    timetable.turn()
    assert [at for _, at, _ in timetable.jobs(schedule)] == came[5:]
    assert "catch_up_seconds are 300" in (timetable.runs(schedule)[0].reason or "")


def test_a_moment_late_is_not_missed(timetable: Timetable) -> None:
    schedule = timetable.make(every=60, catch_up="none")
    timetable.put_back(schedule, 62)
    timetable.turn()
    (run,) = timetable.runs(schedule)
    assert run.outcome == "started"
    assert 1 <= (run.late_seconds or 0) <= 5


def test_a_long_time_away_costs_few_rows(timetable: Timetable) -> None:
    schedule = timetable.make(every=1, catch_up="none")
    timetable.put_back(schedule, 7 * 86_400)
    timetable.turn()
    runs = timetable.runs(schedule)
    assert len(runs) < 110
    (range_row,) = [run for run in runs if run.until_at is not None]
    assert range_row.until_at is not None
    assert (range_row.outcome, range_row.until_at - range_row.nominal_at > timedelta(days=6)) == ("missed", True)
    now = timetable.find(schedule)
    assert now.next_at is not None
    assert now.next_at > range_row.until_at


def test_a_long_backlog_is_made_up_for_batch_by_batch(timetable: Timetable) -> None:
    schedule = timetable.make(every=1, catch_up="all", overlap="allow")
    came = timetable.put_back(schedule, 700)
    until(lambda: len(timetable.fired(schedule)) >= len(came))
    fired = [at for _, at, _ in timetable.jobs(schedule)]
    assert fired[: len(came)] == came
    assert len(came) >= 690


def test_a_long_backlog_lets_others_in_between(timetable: Timetable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.firing.MAX_FIRINGS", 150)
    behind = [timetable.make(every=1, catch_up="all", overlap="allow") for _ in range(3)]
    for schedule in behind:
        timetable.put_back(schedule, 1000)
    other = timetable.make(every=60)
    timetable.put_back(other, 60)
    for _ in behind:  # each of those behind has its turn
        turn(timetable.database)
    assert [len(timetable.runs(schedule)) for schedule in behind] == [200] * 3
    turn(timetable.database)  # and then the one on time
    assert len(timetable.runs(other)) == 1
    until(lambda: len(timetable.fired(behind[2])) >= 1000)


def test_jitter_delays_a_firing_and_not_its_nominal_time(timetable: Timetable) -> None:
    made = [timetable.make(every=60, jitter_seconds=50) for _ in range(20)]
    delays = {((one.due_at or one.created_at) - (one.next_at or one.created_at)).total_seconds() for one in made}
    assert len(delays) == 20
    assert 0 <= min(delays) <= max(delays) <= 50
    schedule = made[0]
    with timetable.database.begin(timetable.tenant) as tx:
        schedules.look_again(tx, schedule.id)  # too early
    timetable.turn()
    assert timetable.runs(schedule) == []
    assert timetable.find(schedule).due_at == schedule.due_at


def test_three_loops_at_once_fire_each_schedule_once(timetable: Timetable) -> None:
    made = [timetable.make(every=60) for _ in range(150)]
    for schedule in made:
        timetable.put_back(schedule, 60)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: turn(timetable.database), range(9)))
    assert [timetable.outcomes(schedule) for schedule in made] == [["started"]] * 150
    assert [len(timetable.jobs(schedule)) for schedule in made] == [1] * 150


def test_a_unique_key_that_is_held_skips_the_firing(timetable: Timetable) -> None:
    job = {"steps": {"say": {"kind": "echo"}}, "unique_key": "one"}
    first, second = (timetable.make(every=60, job=job, overlap="allow") for _ in range(2))
    for schedule in (first, second):
        timetable.put_back(schedule, 60)
    timetable.turn()  # both in one transaction
    started, skipped = sorted(
        (*timetable.runs(first), *timetable.runs(second)), key=lambda run: run.outcome != "started"
    )
    assert (started.outcome, skipped.outcome, skipped.job_id) == ("started", "skipped", None)
    assert str(started.job_id) in (skipped.reason or "")
    assert len(timetable.jobs(first)) + len(timetable.jobs(second)) == 1


def test_a_job_whose_kind_is_gone_is_a_failed_firing_and_stops_no_other(timetable: Timetable) -> None:
    gone, good = timetable.make(every=60), timetable.make(every=60)
    with timetable.database.begin(timetable.tenant) as tx:
        document = '{"steps": {"say": {"kind": "acme.gone"}}}'
        asked = "UPDATE schedules SET document = jsonb_set(document, '{job}', %(job)s::jsonb) WHERE id = %(id)s"
        tx.sql(asked, job=document, id=gone.id)
    for schedule in (gone, good):
        timetable.put_back(schedule, 60)
    timetable.turn()
    (run,) = timetable.runs(gone)
    assert (run.outcome, run.job_id) == ("failed", None)
    assert "acme.gone" not in timetable.outcomes(good)
    assert "there is no such kind" in (run.reason or "")
    assert timetable.outcomes(good) == ["started"]
    assert (timetable.find(gone).next_at or gone.created_at) > run.nominal_at


def test_what_the_database_refuses_is_a_failed_firing_and_stops_no_other(timetable: Timetable) -> None:
    with timetable.database.platform() as tx:
        tx.sql("ALTER TABLE jobs ADD CONSTRAINT no_poison CHECK (metadata ->> 'poison' IS NULL)")
    job = {"steps": {"say": {"kind": "echo"}}}
    made = [timetable.make(every=60, job=job) for _ in range(3)]
    poison = timetable.make(every=60, job={**job, "metadata": {"poison": "yes"}})
    for schedule in (poison, *made):
        timetable.put_back(schedule, 60)
    timetable.turn()
    assert [timetable.outcomes(schedule) for schedule in made] == [["started"]] * 3
    (run,) = timetable.runs(poison)
    assert (run.outcome, run.job_id) == ("failed", None)
    assert "no_poison" in (run.reason or "")
    stands = timetable.find(poison)
    assert stands.state == "active"
    assert (stands.next_at or run.nominal_at) > run.nominal_at


def test_a_database_that_refuses_everything_pauses_and_fails_nothing(timetable: Timetable) -> None:
    schedule = timetable.make(every=60)
    timetable.put_back(schedule, 60)
    with timetable.database.platform() as tx:
        tx.sql("ALTER TABLE steps ADD COLUMN newer text NOT NULL")
    with pytest.raises(DatabaseRefused):
        turn(timetable.database)
    assert (timetable.find(schedule).state, timetable.runs(schedule)) == ("active", [])
    with timetable.database.platform() as tx:
        tx.sql("ALTER TABLE steps DROP COLUMN newer")
    timetable.turn()
    assert timetable.outcomes(schedule) == ["started"]


def test_a_schedule_that_cannot_be_planned_is_paused_and_stops_no_other(timetable: Timetable) -> None:
    odd, good = timetable.make(every=60), timetable.make(every=60)
    for schedule in (odd, good):
        timetable.put_back(schedule, 60)
    with timetable.database.begin(timetable.tenant) as tx:
        asked = (
            "UPDATE schedules SET document = jsonb_set(document, '{timezone}', '\"Mars/Olympus\"') WHERE id = %(id)s"
        )
        tx.sql(asked, id=odd.id)
    timetable.turn()
    assert timetable.outcomes(good) == ["started"]
    stands = timetable.find(odd)
    assert (stands.state, stands.due_at) == ("paused", None)
    assert "Mars/Olympus" in (stands.paused_reason or "")


def test_max_runs_end_a_schedule(timetable: Timetable) -> None:
    schedule = timetable.make(every=60, max_runs=3, catch_up="all", overlap="allow")
    came = timetable.put_back(schedule, DOWN_SECONDS)
    timetable.turn()
    assert [at for _, at, _ in timetable.jobs(schedule)] == came[:3]
    stands = timetable.find(schedule)
    assert (stands.state, stands.runs, stands.due_at) == ("ended", 3, None)


def test_a_schedule_for_once_fires_once_and_has_ended(timetable: Timetable) -> None:
    with timetable.database.read(timetable.tenant) as tx:
        at = schedules.clock(tx) + timedelta(milliseconds=300)
    schedule = timetable.make(at=at.isoformat())
    until(lambda: timetable.fired(schedule))
    assert timetable.find(schedule).state == "ended"
    assert len(timetable.jobs(schedule)) == 1


def test_what_schedules_will_start_is_known_beforehand(timetable: Timetable) -> None:
    job = {"steps": {"a": {"kind": "echo"}, "b": {"kind": "echo"}, "c": {"kind": "echo", "use": ["a"]}}}
    timetable.make(every=300, job=job)
    timetable.make(every=3600)
    waiting = timetable.make(every=3600, overlap="buffer_all")
    with timetable.database.begin(timetable.tenant) as tx:
        tx.sql("UPDATE schedules SET due_at = now() + interval '15 s' WHERE id = %(id)s", id=waiting.id)
    with timetable.database.platform_snapshot() as ptx:
        (soon,) = counts.due_soon(ptx, within_seconds=600)
    assert (soon.queue, soon.steps) == ("default", 2)
    assert 290 <= soon.in_seconds <= 300


def test_the_loop_fires_in_time_and_starts_what_waits_when_a_job_ends(timetable: Timetable) -> None:
    schedule, stop = timetable.make(every=1, overlap="buffer_one"), threading.Event()
    loop = threading.Thread(target=partial(fire, timetable.database, stop))
    loop.start()
    try:
        until(lambda: "buffered" in timetable.outcomes(schedule))
        timetable.end_jobs(schedule)
        until(lambda: len(timetable.jobs(schedule)) == 2)
    finally:
        stop.set()
        loop.join()
    first = timetable.runs(schedule)[0]
    assert (first.late_seconds or 0) < 1
