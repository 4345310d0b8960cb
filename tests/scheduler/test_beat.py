"""Celery beat on our rows: the real program, and what tools ask of its scheduler class."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from celery.beat import SchedulingError
from celery.schedules import crontab
from sqlalchemy.engine import make_url

from scheduler.beat import Scheduler
from scheduler.fire import turn
from storage import firings, schedules
from storage.database import Database
from storage.model import TenantId
from storage.schedule_model import Firing, Schedule
from storage.tenants import ensure
from tests.faults.proxy import Proxy
from tests.scheduler.timetable import Timetable
from tests.waiting import until

ROOT = Path(__file__).parents[2]
CONFIG = """
from pathlib import Path

exec(Path({ours!r}).read_text())

beat_schedule = {{
    "tick": {{"task": "echo", "schedule": 1, "kwargs": {{"message": "tick"}}}},
    "nightly": {{"task": {task!r}, "schedule": 86_400}},
}}
"""

Beat = Callable[..., AbstractContextManager["subprocess.Popen[str]"]]


@pytest.fixture
def platform(database: Database) -> TenantId:
    with database.platform() as tx:
        return ensure(tx, "platform")


@pytest.fixture
def beat(database_url: str, broker_url: str, tmp_path: Path) -> Beat:
    """Starts the real program beside a celeryconfig.py with a beat_schedule."""

    @contextmanager
    def start(*, task: str = "echo", name: str = "beat", **env: str) -> Iterator["subprocess.Popen[str]"]:
        (tmp_path / "celeryconfig.py").write_text(CONFIG.format(ours=str(ROOT / "celeryconfig.py"), task=task))
        words = ["-A", "tasks.app", "beat", "-S", "scheduler.beat:Scheduler", "--pidfile=", "--loglevel", "INFO"]
        known = {"DATABASE_URL": database_url, "CELERY_BROKER_URL": broker_url, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
        with (tmp_path / f"{name}.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "celery", *words],
                cwd=tmp_path,
                env={**os.environ, **known, **env},
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    return start


def rows(database: Database, tenant: TenantId) -> dict[str, Schedule]:
    with database.read(tenant) as tx:
        return {str(one.name): one for one in schedules.of_source(tx, "beat")}


def ran(database: Database, tenant: TenantId, name: str = "tick") -> list[Firing]:
    row = rows(database, tenant).get(name)
    if row is None:
        return []
    with database.read(tenant) as tx:
        return firings.page(tx, row.id, outcome=None, before=None, limit=1000)[::-1]


def stopped(process: "subprocess.Popen[str]") -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(10)


def test_beat_and_a_loop_of_ours_fire_each_time_once_and_nothing_reaches_the_broker(
    database: Database, platform: TenantId, beat: Beat, broker_url: str
) -> None:
    stop = threading.Event()

    def race() -> None:
        while not stop.wait(0.01):
            turn(database)

    racing = threading.Thread(target=race)
    with beat() as process:
        racing.start()
        try:
            until(lambda: len(ran(database, platform)) >= 4, seconds=30)
        finally:
            stop.set()
            racing.join(10)
        assert stopped(process) == 0
    found = ran(database, platform)
    times = [one.nominal_at for one in found]
    assert times == [times[0] + timedelta(seconds=place) for place in range(len(times))]
    tick = rows(database, platform)["tick"]
    jobs = Timetable(database, platform).jobs(tick)
    assert [(job, at) for job, at, _ in jobs] == [(one.job_id, one.nominal_at) for one in found]
    with redis.Redis.from_url(broker_url) as broker:
        assert [key for key in broker.scan_iter() if broker.type(key) == b"list"] == []


def test_two_beats_do_not_double(database: Database, platform: TenantId, beat: Beat) -> None:
    with beat(name="one") as one, beat(name="two") as two:
        until(lambda: len(ran(database, platform)) >= 3, seconds=30)
        assert [stopped(one), stopped(two)] == [0, 0]
    tick = rows(database, platform)["tick"]
    found = ran(database, platform)
    assert len({run.nominal_at for run in found}) == len(found) == len(Timetable(database, platform).jobs(tick))


def test_a_beat_that_starts_again_goes_on_where_it_was(database: Database, platform: TenantId, beat: Beat) -> None:
    with beat() as process:
        until(lambda: ran(database, platform), seconds=30)
        assert stopped(process) == 0
    before = rows(database, platform)["tick"]
    with beat() as process:
        until(lambda: len(ran(database, platform)) >= 2 + before.runs, seconds=30)
        assert stopped(process) == 0
    after = rows(database, platform)["tick"]
    assert (after.id, after.version, after.document) == (before.id, before.version, before.document)


def test_a_beat_that_is_refused_ends_with_the_reason(
    database: Database, platform: TenantId, beat: Beat, tmp_path: Path
) -> None:
    with beat(task="proj.nightly") as process:
        assert process.wait(30) == os.EX_CONFIG
    assert "beat_schedule: nightly: /task: 'proj.nightly' is no installed kind" in (tmp_path / "beat.log").read_text()
    assert rows(database, platform) == {}


def test_a_beat_without_a_database_says_which_variable(beat: Beat, tmp_path: Path) -> None:
    with beat(DATABASE_URL="") as process:
        assert process.wait(30) == os.EX_CONFIG
    assert "DATABASE_URL is not set" in (tmp_path / "beat.log").read_text()


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
