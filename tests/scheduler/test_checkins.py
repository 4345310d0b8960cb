"""Check-ins at Sentry: envelopes as a real server receives them, after real passes of the firing loop."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from scheduler.checkins import CheckIns, id_of_job
from storage import schedules
from storage.database import Database
from storage.model import TenantId
from storage.schedule_model import Origin, Overlap
from storage.telemetry.failure_settings import SentrySettings
from tasks import scheduling
from tests.scheduler.sentry_server import Sentry, applied, sentry_server
from tests.scheduler.timetable import Timetable
from tests.waiting import until

ENV = {"STORAGE_URL": "memory://", "CELERY_BROKER_URL": "redis://x", "SCHEDULES_FILE": "", "SENTRY_DSN": ""}


@pytest.fixture
def sentry() -> Iterator[Sentry]:
    with sentry_server() as running:
        yield running


@pytest.fixture
def timetable(database: Database, tenant: TenantId) -> Timetable:
    return Timetable(database, tenant)


@contextmanager
def checking_in(dsn: str, database: Database) -> Iterator[CheckIns]:
    """Check-ins that have all been sent at the end of the block, if they can be."""
    made = CheckIns(SentrySettings(dsn=dsn, environment="staging"), database)
    try:
        yield made
    finally:
        made.close()


def fire(timetable: Timetable, told: CheckIns) -> None:
    timetable.turn(tell=told.tell, tell_ends=told.tell_ends)


def test_the_start_and_the_end_are_one_check_in(timetable: Timetable, sentry: Sentry) -> None:
    schedule = applied(timetable)
    timetable.put_back(schedule, 61)
    with checking_in(sentry.dsn, timetable.database) as told:
        fire(timetable, told)
    timetable.end_jobs(schedule)
    with checking_in(sentry.dsn, timetable.database) as told:  # another one, which has not seen the start
        fire(timetable, told)
    ((job, _, _),) = timetable.jobs(schedule)
    assert sentry.statuses("nightly") == ["in_progress", "ok"]
    assert {one["check_in_id"] for one in sentry.got} == {id_of_job(job)}
    assert {one["environment"] for one in sentry.got} == {"staging"}
    assert all(one["release"].startswith("millrace@") for one in sentry.got)
    config = {"type": "interval", "value": 1, "unit": "minute"}
    assert [one["monitor_config"]["schedule"] for one in sentry.got] == [config, config]
    assert sentry.paths == {"/api/1/envelope/"}


@pytest.mark.parametrize(
    ("state", "status"), [("succeeded", "ok"), ("canceled", "ok"), ("failed", "error"), ("expired", "error")]
)
def test_how_a_job_ended_is_how_it_checks_in(timetable: Timetable, sentry: Sentry, state: str, status: str) -> None:
    schedule = applied(timetable)
    timetable.put_back(schedule, 61)
    with checking_in(sentry.dsn, timetable.database) as told:
        fire(timetable, told)
        timetable.end_jobs(schedule, state)
        fire(timetable, told)
    assert sentry.statuses("nightly") == ["in_progress", status]


def test_missed_firings_check_in_once_as_an_error(timetable: Timetable, sentry: Sentry) -> None:
    schedule = applied(timetable, catch_up="last")
    came = timetable.put_back(schedule, 630)
    with checking_in(sentry.dsn, timetable.database) as told:
        fire(timetable, told)
    assert timetable.outcomes(schedule) == ["missed"] * (len(came) - 1) + ["started"]
    assert sentry.statuses("nightly") == ["error", "in_progress"]
    assert len({one["check_in_id"] for one in sentry.got}) == 2


def test_a_job_that_cannot_be_written_checks_in_as_an_error(timetable: Timetable, sentry: Sentry) -> None:
    schedule = applied(timetable)
    with timetable.database.begin(timetable.tenant) as tx:
        gone = '{"job": {"steps": {"say": {"kind": "acme.gone"}}}}'
        tx.sql("UPDATE schedules SET document = document || %(job)s::jsonb WHERE id = %(id)s", job=gone, id=schedule.id)
    timetable.put_back(schedule, 61)
    with checking_in(sentry.dsn, timetable.database) as told:
        fire(timetable, told)
    assert timetable.outcomes(schedule) == ["failed"]
    assert sentry.statuses("nightly") == ["error"]
    assert len(sentry.got[0]["check_in_id"]) == 32


def test_a_firing_that_waited_checks_in_when_it_starts(timetable: Timetable, sentry: Sentry) -> None:
    schedule = applied(timetable, overlap="buffer_one")
    with checking_in(sentry.dsn, timetable.database) as told:
        for seconds in (61, 61):
            timetable.put_back(schedule, seconds)
            fire(timetable, told)
        timetable.end_jobs(schedule)
        fire(timetable, told)
    first, second = (id_of_job(job) for job, _, _ in timetable.jobs(schedule))
    assert [(one["status"], one["check_in_id"]) for one in sentry.got] == [
        ("in_progress", first),
        ("ok", first),
        ("in_progress", second),
    ]


def test_triggers_and_backfills_do_not_check_in(timetable: Timetable, sentry: Sentry) -> None:
    schedule = applied(timetable, overlap="skip")
    with checking_in(sentry.dsn, timetable.database) as told:
        for _ in ("started", "skipped"):
            (came,) = timetable.put_back(schedule, 61)
            fire(timetable, told)
        with timetable.database.begin(timetable.tenant) as tx:
            locked = schedules.lock(tx, schedule.id)
            assert locked is not None
            scheduling.trigger(tx, locked, overlap=Overlap.ALLOW)
            assert scheduling.backfill(tx, locked, came, came) == (1, 1)  # of the one that was skipped
        for _ in ("the first and the trigger", "the backfill"):
            timetable.end_jobs(schedule)
            fire(timetable, told)
        timetable.end_jobs(schedule)
        fire(timetable, told)
    assert {run.origin for run in timetable.runs(schedule)} == set(Origin)
    assert len(timetable.jobs(schedule)) == 3
    assert sentry.statuses("nightly") == ["in_progress", "ok"]


def test_schedules_of_tenants_do_not_check_in(timetable: Timetable, sentry: Sentry) -> None:
    ours, theirs = applied(timetable, "ours"), timetable.make(every=60)
    for schedule in (ours, theirs):
        timetable.put_back(schedule, 61)
    with checking_in(sentry.dsn, timetable.database) as told:
        fire(timetable, told)
        for schedule in (ours, theirs):
            timetable.end_jobs(schedule)
        fire(timetable, told)
    assert timetable.outcomes(theirs) == ["started"]
    assert [one["monitor_slug"] for one in sentry.got] == ["ours", "ours"]


def test_firing_goes_on_while_sentry_is_away(timetable: Timetable, caplog: pytest.LogCaptureFixture) -> None:
    with sentry_server() as gone:
        pass
    schedule = applied(timetable)
    timetable.put_back(schedule, 61)
    with checking_in(gone.dsn, timetable.database) as told:
        fire(timetable, told)
        timetable.end_jobs(schedule)
        fire(timetable, told)
    assert timetable.outcomes(schedule) == ["started"]
    assert [record.getMessage() for record in caplog.records if record.name == "scheduler.checkins"] == [
        "checkins.lost reason=network"
    ] * 2


def test_firing_does_not_wait_for_sentry(timetable: Timetable, sentry: Sentry) -> None:
    sentry.hang = threading.Event()
    made = [applied(timetable, overlap="allow") for _ in range(3)]
    with checking_in(sentry.dsn, timetable.database) as told:
        for schedule in made:
            timetable.put_back(schedule, 61)
            fire(timetable, told)
        assert [timetable.outcomes(schedule) for schedule in made] == [["started"]] * 3
        until(lambda: sentry.got)
        assert len(sentry.got) == 1  # it still has not answered
        sentry.hang.set()
    assert sentry.statuses("nightly") == ["in_progress"] * 3


def test_trouble_stays_where_it_is(timetable: Timetable, sentry: Sentry, caplog: pytest.LogCaptureFixture) -> None:
    schedule = applied(timetable)
    away = Database(timetable.database.settings)
    timetable.put_back(schedule, 61)
    with checking_in(sentry.dsn, away) as told:
        fire(timetable, told)
        with timetable.database.begin(timetable.tenant) as tx:
            tx.sql("ALTER TABLE firings RENAME COLUMN origin TO gone")  # so that nobody can say whose the job is
        timetable.end_jobs(schedule)
        timetable.turn(tell_ends=told.tell_ends)
        until(lambda: "checkins.failed" in caplog.messages)
    away.close()
    assert sentry.statuses("nightly") == ["in_progress"]


@contextmanager
def process(*options: str, **env: str) -> Iterator[list[str]]:
    """`python -m scheduler fire` while the block runs, then stopped in order; what it said is added to the list."""
    with tempfile.TemporaryFile("w+") as output:  # a pipe would be full before anybody reads it
        running = subprocess.Popen(
            [sys.executable, *options, "-m", "scheduler", "fire"],
            env={**os.environ, **ENV, **env},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        said: list[str] = []
        try:
            yield said
            running.send_signal(signal.SIGTERM)
            assert running.wait(20) == 0
            output.seek(0)
            said += output.read().splitlines()
        finally:
            running.kill()
            running.wait()


def test_two_processes_speak_of_one_check_in(timetable: Timetable, sentry: Sentry) -> None:
    env = {"DATABASE_URL": timetable.database.settings.url, "SENTRY_DSN": sentry.dsn, "SENTRY_ENVIRONMENT": "staging"}
    schedule = applied(timetable)
    timetable.put_back(schedule, 61)
    with process(**env):
        until(lambda: sentry.statuses("nightly") == ["in_progress"])
    timetable.end_jobs(schedule)
    with process(**env):
        until(lambda: sentry.statuses("nightly") == ["in_progress", "ok"])
    ((job, _, _),) = timetable.jobs(schedule)
    assert {(one["check_in_id"], one["environment"]) for one in sentry.got} == {(id_of_job(job), "staging")}


def test_nothing_of_sentry_is_loaded_without_a_dsn(timetable: Timetable) -> None:
    schedule = applied(timetable)
    timetable.put_back(schedule, 61)
    with process("-X", "importtime", DATABASE_URL=timetable.database.settings.url) as said:
        until(lambda: timetable.outcomes(schedule) == ["started"])
    loaded = {line.rpartition("|")[2].strip() for line in said}
    assert "scheduler.fire" in loaded
    assert not {name for name in loaded if name.startswith(("sentry_sdk", "scheduler.checkins"))}
