"""What Celery's beat service, and tools, ask of our scheduler class."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery
from celery.beat import SchedulingError
from celery.schedules import crontab
from sqlalchemy.engine import make_url

from scheduler.beat import Scheduler
from storage.database import Database
from storage.model import TenantId
from tests.faults.proxy import Proxy
from tests.scheduler.test_beat import ran, rows
from tests.scheduler.timetable import Timetable


@pytest.fixture
def made(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Scheduler]]:
    """Makes the class as Celery does, for the tenant acme."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("BEAT_TENANT", "acme")
    all_of_them: list[Scheduler] = []

    def make(lazy: bool = False, **entries: dict[str, Any]) -> Scheduler:
        app = Celery("test", set_as_current=False, broker="redis://127.0.0.1:1/0")
        app.conf.beat_schedule = entries
        all_of_them.append(Scheduler(app=app, schedule_filename="x", max_interval=None, lazy=lazy))
        return all_of_them[-1]

    yield make
    for one in all_of_them:
        one.close()


def test_tools_see_the_rows_as_entries(database: Database, tenant: TenantId, made: Callable[..., Scheduler]) -> None:
    scheduler = made(
        often={"task": "echo", "schedule": 60, "kwargs": {"message": "x"}},
        daily={"task": "echo", "schedule": crontab(minute=0, hour=3)},
    )
    assert sorted(scheduler.schedule) == ["daily", "often"]
    often = scheduler.schedule["often"]
    assert (often.name, often.task, often.kwargs, often.total_run_count) == ("often", "echo", {"message": "x"}, 0)
    assert often.is_due()[0] is False
    assert 0 < often.is_due()[1] <= 60
    assert repr(scheduler.schedule["daily"].schedule) == "<At 03:00 every day, in UTC>"
    (came,) = Timetable(database, tenant).put_back(rows(database, tenant)["often"], 60)
    assert scheduler.schedule["often"].is_due() == (True, 0.0)
    assert scheduler.tick() <= 1.0
    often = scheduler.schedule["often"]
    assert (often.last_run_at, often.total_run_count) == (came, 1)


def test_a_paused_row_is_never_due(database: Database, tenant: TenantId, made: Callable[..., Scheduler]) -> None:
    scheduler = made(often={"task": "echo", "schedule": 60})
    with database.begin(tenant) as tx:
        tx.sql("UPDATE schedules SET paused_at = now(), paused_reason = 'x', due_at = NULL")
    is_due, seconds = scheduler.schedule["often"].is_due()
    assert not is_due
    assert seconds > 1e9


def test_it_fires_what_others_made(database: Database, tenant: TenantId, made: Callable[..., Scheduler]) -> None:
    timetable = Timetable(database, tenant)
    by_hand = timetable.make(every=60)
    timetable.put_back(by_hand, 60)
    made().tick()
    assert timetable.outcomes(by_hand) == ["started"]


def test_an_entry_that_is_gone_is_deleted(database: Database, tenant: TenantId, made: Callable[..., Scheduler]) -> None:
    made(a={"task": "echo", "schedule": 60}, b={"task": "echo", "schedule": 60})
    made(b={"task": "echo", "schedule": 60})
    assert list(rows(database, tenant)) == ["b"]


def test_an_app_without_entries_deletes_nothing(
    database: Database, tenant: TenantId, made: Callable[..., Scheduler]
) -> None:
    made(often={"task": "echo", "schedule": 60})
    made()
    assert list(rows(database, tenant)) == ["often"]


def test_the_schedule_is_written_over_http_and_by_the_import_only(made: Callable[..., Scheduler]) -> None:
    scheduler = made(a={"task": "echo", "schedule": 60})
    with pytest.raises(SchedulingError, match="/v1/schedules"):
        scheduler.schedule = {}
    with pytest.raises(SchedulingError, match="trigger"):
        scheduler.apply_async(scheduler.schedule["a"])
    with pytest.raises(TypeError):
        scheduler.schedule["b"] = scheduler.schedule["a"]


def test_the_banner_needs_no_database(made: Callable[..., Scheduler], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    scheduler = made(lazy=True)
    assert (scheduler.info.strip(), dict(scheduler.schedule), scheduler.max_interval) == (
        ". schedules -> PostgreSQL, entries of beat_schedule as those of tenant acme",
        {},
        1,
    )


@pytest.fixture
def proxy(database_url: str) -> Iterator[Proxy]:
    """Stands before the database."""
    port = make_url(database_url).port
    assert port is not None
    made = Proxy(port)
    yield made
    made.close()


def test_a_database_that_is_away_is_asked_again(
    database: Database,
    tenant: TenantId,
    database_url: str,
    proxy: Proxy,
    made: Callable[..., Scheduler],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    through = make_url(database_url).set(host="127.0.0.1", port=proxy.port)
    monkeypatch.setenv("DATABASE_URL", through.render_as_string(hide_password=False))
    proxy.cut()
    scheduler = made(a={"task": "echo", "schedule": 60})
    assert scheduler.tick() == 1.0
    assert rows(database, tenant) == {}
    proxy.mend()
    scheduler.tick()
    assert list(rows(database, tenant)) == ["a"]
    proxy.cut()
    assert scheduler.tick() == 1.0
    proxy.mend()
    Timetable(database, tenant).put_back(rows(database, tenant)["a"], 60)
    scheduler.tick()
    assert [run.outcome for run in ran(database, tenant, "a")] == ["started"]


def test_one_that_is_closed_ends_the_service(made: Callable[..., Scheduler]) -> None:
    scheduler = made()
    scheduler.close()
    scheduler.close()
    with pytest.raises(SystemExit):
        scheduler.tick()


def tick_for_ever(scheduler: Scheduler, timer: threading.Timer) -> None:
    timer.start()
    while True:
        scheduler.tick()


def end_by_signal(scheduler: Scheduler, seconds: float) -> None:
    """Tick until a signal comes and ends it, or fail by the test's timeout."""

    def end(*_: object) -> None:  # as celery.apps.beat does
        scheduler.close()
        raise SystemExit

    before = signal.signal(signal.SIGUSR1, end)
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGUSR1))
    try:
        with pytest.raises(SystemExit):
            tick_for_ever(scheduler, timer)
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("milliseconds", range(0, 20, 4))
def test_a_signal_ends_it_wherever_it_is(
    database: Database, tenant: TenantId, made: Callable[..., Scheduler], milliseconds: int
) -> None:
    end_by_signal(made(a={"task": "echo", "schedule": 60}), milliseconds / 1000)
    assert list(rows(database, tenant)) == ["a"]


@pytest.mark.timeout(20)
def test_a_signal_ends_it_while_it_waits_for_the_database(database: Database, made: Callable[..., Scheduler]) -> None:
    """What the driver makes of a statement that was broken off must not be taken for the database's absence."""
    scheduler = made(a={"task": "echo", "schedule": 60})
    with database.platform() as tx:
        tx.sql("LOCK TABLE schedules")
        end_by_signal(scheduler, 0.2)
