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

import pytest
import redis

from scheduler.fire import turn
from storage import firings, schedule_sources
from storage.database import Database
from storage.model import TenantId
from storage.schedule_model import Firing, Outcome, Schedule
from storage.tenants import ensure
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
        try:  # it ends as it is told from then on
            until(lambda: "beat: Starting" in Path(log.name).read_text() or process.poll() is not None)
            yield process
        finally:
            process.kill()
            process.wait()

    return start


def rows(database: Database, tenant: TenantId) -> dict[str, Schedule]:
    with database.read(tenant) as tx:
        return {str(one.name): one for one in schedule_sources.of_source(tx, "beat")}


def ran(database: Database, tenant: TenantId, name: str = "tick") -> list[Firing]:
    row = rows(database, tenant).get(name)
    if row is None:
        return []
    with database.read(tenant) as tx:
        return firings.page(tx, row.id, outcome=None, before=None, limit=1000)[::-1]


def stopped(process: "subprocess.Popen[str]") -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(60)


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
            until(lambda: len(ran(database, platform)) >= 4)
        finally:
            stop.set()
            racing.join(10)
        assert stopped(process) == 0
    found = ran(database, platform)
    times = [one.nominal_at for one in found]
    assert times == [times[0] + timedelta(seconds=place) for place in range(len(times))]
    tick = rows(database, platform)["tick"]
    jobs = Timetable(database, platform).jobs(tick)
    started = [one for one in found if one.outcome is Outcome.STARTED]
    assert [(job, at) for job, at, _ in jobs] == [(one.job_id, one.nominal_at) for one in started]
    with redis.Redis.from_url(broker_url) as broker:
        assert [key for key in broker.scan_iter() if broker.type(key) == b"list"] == []


def test_two_beats_do_not_double(database: Database, platform: TenantId, beat: Beat) -> None:
    with beat(name="one") as one, beat(name="two") as two:
        until(lambda: len(ran(database, platform)) >= 3)
        assert [stopped(one), stopped(two)] == [0, 0]
    tick = rows(database, platform)["tick"]
    found = ran(database, platform)
    started = [one for one in found if one.outcome is Outcome.STARTED]
    assert len({run.nominal_at for run in found}) == len(found)
    assert len(Timetable(database, platform).jobs(tick)) == len(started) >= 3


def test_a_beat_that_starts_again_goes_on_where_it_was(database: Database, platform: TenantId, beat: Beat) -> None:
    with beat() as process:
        until(lambda: ran(database, platform))
        assert stopped(process) == 0
    before = rows(database, platform)["tick"]
    with beat() as process:
        until(lambda: len(ran(database, platform)) >= 2 + before.runs)
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
