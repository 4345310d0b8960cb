"""What one schedule, one tenant or one frozen process must not do to the others, and rules that meet each other."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from storage import schedules
from storage.database import Database
from storage.model import TenantId
from storage.schedule_model import MAX_WAITING, Overlap, Schedule
from tasks import scheduling
from tests.scheduler.timetable import Timetable
from tests.tasks.test_scheduling import backfilled, changed, paused, resumed, triggered
from tests.waiting import until


@pytest.fixture
def timetable(database: Database, tenant: TenantId) -> Timetable:
    return Timetable(database, tenant)


def due_in(timetable: Timetable, schedule: Schedule) -> float | None:
    """Seconds until a loop looks at it."""
    due_at = timetable.find(schedule).due_at
    with timetable.database.read(timetable.tenant) as tx:
        return None if due_at is None else (due_at - schedules.clock(tx)).total_seconds()


@contextmanager
def holding(timetable: Timetable, statement: str, **said: object) -> Iterator[None]:
    """Another process that holds what the statement locks, and does not go on."""
    with timetable.database.begin(timetable.tenant) as tx:
        tx.sql(statement, **said)
        yield


def test_one_whose_line_is_full_waits_and_loses_nothing(timetable: Timetable) -> None:
    schedule = timetable.make(every=1, catch_up="all")
    came = timetable.put_back(schedule, MAX_WAITING + 100)
    timetable.turn()
    assert timetable.outcomes(schedule) == ["started", *["buffered"] * MAX_WAITING]
    assert (due_in(timetable, schedule) or 0) > 5, "it is not looked at again and again"
    timetable.end_jobs(schedule)
    timetable.turn()
    assert timetable.outcomes(schedule) == ["started", "started", *["buffered"] * MAX_WAITING]
    assert [run.nominal_at for run in timetable.runs(schedule)] == came[: MAX_WAITING + 2]


def test_more_than_a_pass_is_shown_start_all_the_same(timetable: Timetable) -> None:
    schedule = timetable.make(cron="0 * * * *", catch_up="none")
    first = timetable.find(schedule).created_at - timedelta(days=20)
    taken, _ = backfilled(timetable, schedule, first, first + timedelta(hours=250), overlap=Overlap.ALLOW)
    until(lambda: timetable.fired(schedule) and len(timetable.jobs(schedule)) == taken)
    assert taken > 2 * MAX_WAITING


def test_a_held_row_holds_up_no_other_schedule(timetable: Timetable) -> None:
    frozen, other = timetable.make(overlap="buffer_all"), timetable.make()
    for _ in range(2):
        timetable.put_back(frozen, 61)
        timetable.turn()
    timetable.end_jobs(frozen)
    timetable.put_back(other, 61)
    with holding(timetable, "SELECT FROM schedules WHERE id = %(id)s FOR UPDATE", id=frozen.id):
        timetable.turn()
        assert timetable.outcomes(other) == ["started"]
        assert timetable.outcomes(frozen) == ["started", "buffered"]
    timetable.turn()  # the end of its job has waited
    assert timetable.outcomes(frozen) == ["started", "started"]


def test_a_job_that_a_worker_holds_is_canceled_later(timetable: Timetable) -> None:
    schedule, other = timetable.make(overlap="cancel_running"), timetable.make()
    timetable.put_back(schedule, 61)
    timetable.turn()
    for one in (schedule, other):
        timetable.put_back(one, 61)
    with holding(timetable, "SELECT FROM jobs WHERE schedule_id = %(id)s FOR UPDATE", id=schedule.id):
        timetable.turn()
        assert timetable.outcomes(other) == ["started"]
    until(lambda: timetable.fired(schedule) and timetable.outcomes(schedule) == ["started", "started"])
    assert [state for _, _, state in timetable.jobs(schedule)] == ["canceled", "queued"]


def test_a_unique_key_in_other_hands_holds_up_no_other_schedule(timetable: Timetable) -> None:
    keyed = timetable.make(job={"steps": {"a": {"kind": "echo"}}, "unique_key": "k"})
    other = timetable.make()
    for one in (keyed, other):
        timetable.put_back(one, 61)
    taken = "INSERT INTO unique_keys (tenant_id, key, job_id) VALUES (%(tenant)s, 'k', 'job_x')"
    with holding(timetable, taken):
        timetable.turn()
        assert (timetable.outcomes(keyed), timetable.outcomes(other)) == ([], ["started"])
    until(lambda: timetable.fired(keyed))
    assert timetable.outcomes(keyed) == ["started"]


def test_a_backfill_gets_all_of_a_pause(timetable: Timetable) -> None:
    schedule = timetable.make()
    paused(timetable, schedule)
    came = timetable.put_back(schedule, 630)
    resumed(timetable, schedule)
    assert backfilled(timetable, schedule, came[0], came[-1], overlap=Overlap.ALLOW) == (10, 10)
    timetable.turn()
    assert [at for _, at, _ in timetable.jobs(schedule)] == came
    assert timetable.outcomes(schedule) == ["started", "skipped", *["started"] * 9]


def test_a_pause_is_told_though_its_first_time_was_backfilled(timetable: Timetable) -> None:
    schedule = timetable.make()
    paused(timetable, schedule)
    came = timetable.put_back(schedule, 630)
    assert backfilled(timetable, schedule, came[0], came[0]) == (1, 1)
    timetable.turn()
    resumed(timetable, schedule)
    assert [(run.nominal_at, run.outcome) for run in timetable.runs(schedule)] == [
        (came[0], "started"),
        (came[0], "skipped"),
    ]


def test_what_is_made_up_for_is_not_canceled_by_the_next(timetable: Timetable) -> None:
    schedule = timetable.make(overlap="cancel_running", catch_up="all")
    came = timetable.put_back(schedule, 220)
    for done in range(1, len(came) + 1):
        timetable.turn()
        assert [state for _, _, state in timetable.jobs(schedule)] == ["succeeded"] * (done - 1) + ["queued"]
        timetable.end_jobs(schedule)
    assert len(came) == 3


def test_a_paused_schedule_cancels_nothing_for_what_it_holds_back(timetable: Timetable) -> None:
    schedule = timetable.make(overlap="cancel_running")
    timetable.put_back(schedule, 61)
    timetable.turn()
    with timetable.database.begin(timetable.tenant) as tx:  # its step runs, and takes a while to stop
        tx.sql("UPDATE steps SET state = 'running', worker = 'w', lease_until = now() + interval '1 minute'")
        tx.sql("UPDATE jobs SET state = 'running', started_at = now()")
    timetable.put_back(schedule, 61)
    timetable.turn()
    paused(timetable, schedule)
    timetable.end_jobs(schedule, "canceled")
    triggered(timetable, schedule, Overlap.ALLOW)
    timetable.turn()
    assert timetable.outcomes(schedule) == ["started", "buffered", "started"]
    assert timetable.jobs(schedule)[-1][2] == "queued"


@pytest.mark.parametrize(
    ("its_rule", "asked", "then"),
    [
        ("allow", Overlap.BUFFER_ALL, ["queued"]),
        ("skip", Overlap.CANCEL_RUNNING, ["canceled", "queued"]),
        ("cancel_running", Overlap.BUFFER_ALL, ["queued"]),
    ],
)
def test_a_trigger_goes_by_the_rule_that_it_was_given(
    timetable: Timetable, its_rule: str, asked: Overlap, then: list[str]
) -> None:
    schedule = timetable.make(overlap=its_rule)
    triggered(timetable, schedule)
    assert triggered(timetable, schedule, asked).outcome == "buffered"
    for _ in range(3):
        timetable.turn()
    assert [state for _, _, state in timetable.jobs(schedule)] == then


def test_a_firing_that_a_unique_key_skipped_is_no_run(timetable: Timetable) -> None:
    job = {"steps": {"a": {"kind": "echo"}}, "unique_key": "k"}
    holder, schedule = timetable.make(job=job), timetable.make(job=job, max_runs=1)
    timetable.put_back(holder, 61)
    timetable.turn()
    timetable.put_back(schedule, 61)
    timetable.turn()
    stands = timetable.find(schedule)
    assert (timetable.outcomes(schedule), stands.state, stands.runs) == (["skipped"], "active", 0)
    timetable.end_jobs(holder)
    timetable.put_back(schedule, 61)
    timetable.turn()
    assert (timetable.outcomes(schedule), timetable.find(schedule).state) == (["skipped", "started"], "ended")


def test_what_waits_and_cannot_start_gives_way_to_the_next_at_once(timetable: Timetable) -> None:
    schedule = timetable.make(catch_up="all")
    came = timetable.put_back(schedule, 630)
    timetable.turn()
    with timetable.database.begin(timetable.tenant) as tx:
        gone = """UPDATE schedules SET document = jsonb_set(document, '{job,steps,say,kind}', '"acme.gone"')"""
        tx.sql(gone + " WHERE id = %(id)s", id=schedule.id)
    timetable.end_jobs(schedule)
    until(lambda: timetable.fired(schedule) and "buffered" not in timetable.outcomes(schedule), seconds=5)
    assert timetable.outcomes(schedule) == ["started"] + ["failed"] * (len(came) - 1)
    assert all("there is no such kind" in (run.reason or "") for run in timetable.runs(schedule)[1:])


def test_a_pause_within_the_jitter_loses_no_firing(timetable: Timetable) -> None:
    schedule = timetable.make(jitter_seconds=60)
    with timetable.database.begin(timetable.tenant) as tx:
        back = "UPDATE schedules SET next_at = now() - interval '1 ms' WHERE id = %(id)s"
        tx.sql(back, id=schedule.id)
    was = timetable.find(schedule)
    paused(timetable, schedule)
    stands = resumed(timetable, schedule)
    assert (stands.next_at, timetable.runs(schedule)) == (was.next_at, [])


def test_last_lists_few_of_many_missed_times_and_starts_the_newest(timetable: Timetable) -> None:
    schedule = timetable.make(every=1, catch_up="last")
    came = timetable.put_back(schedule, 20_000)
    timetable.turn()
    timetable.turn()
    runs = timetable.runs(schedule)
    assert len(runs) < 120
    assert [run.until_at is not None for run in runs].count(True) == 1
    started = [run.nominal_at for run in runs if run.outcome == "started"]
    assert started
    assert started[0] >= came[-1] - timedelta(seconds=5)


def test_a_failed_job_that_runs_again_by_now_pauses_nothing(timetable: Timetable) -> None:
    schedule = timetable.make(pause_on_failure=True)
    triggered(timetable, schedule)
    timetable.end_jobs(schedule, "failed")
    with timetable.database.begin(timetable.tenant) as tx:
        tx.sql("UPDATE jobs SET state = 'queued', finished_at = NULL")
    timetable.turn()
    assert timetable.find(schedule).state == "active"


def test_a_change_to_allow_lets_go_what_waits(timetable: Timetable) -> None:
    schedule = timetable.make(catch_up="all")
    came = timetable.put_back(schedule, 630)
    timetable.turn()
    changed(timetable, schedule, overlap="allow")
    timetable.turn()
    assert [at for _, at, _ in timetable.jobs(schedule)] == came


def test_the_end_of_the_calendar_is_an_end_like_any_other(timetable: Timetable) -> None:
    schedule = timetable.make(at="9999-12-31T23:59:59Z", jitter_seconds=86_400)
    assert schedule.state == "active"
    with timetable.database.begin(timetable.tenant) as tx:
        locked = schedules.lock(tx, schedule.id)
        assert locked is not None
        assert scheduling.pause(tx, locked).state == "paused"
