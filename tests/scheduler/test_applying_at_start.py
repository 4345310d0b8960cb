"""Schedules as code, as the scheduler's processes apply them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from scheduler import settings
from scheduler.errors import ConfigurationError
from storage.database import Database
from storage.model import TenantId
from tests.faults.proxy import Proxy
from tests.scheduler.timetable import Timetable
from tests.tasks.test_applying import TOML, file, look
from tests.waiting import until


def test_the_setting_names_a_file_or_none(tmp_path: Path) -> None:
    assert settings.schedules_file({"SCHEDULES_FILE": ""}) is None
    assert settings.schedules_file({"SCHEDULES_FILE": str(file(tmp_path))}) == file(tmp_path)
    assert settings.schedules_file({}) is None
    with pytest.raises(ConfigurationError, match="SCHEDULES_FILE must be a"):
        settings.schedules_file({"SCHEDULES_FILE": str(tmp_path / "none.toml")})


def command(database_url: str, *words: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "scheduler", *words],
        env={**os.environ, "DATABASE_URL": database_url, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_says_what_it_did(database: Database, database_url: str, tmp_path: Path) -> None:
    path = str(file(tmp_path))
    dry = command(database_url, "apply-schedules", "--file", path, "--dry-run")
    assert look(database, "nightly") is None
    done = command(database_url, "apply-schedules", SCHEDULES_FILE=path)
    assert (dry.returncode, done.returncode) == (0, 0)
    assert dry.stdout.startswith("dry run: nothing is changed")
    assert dry.stdout.endswith(done.stdout)
    assert sorted(done.stdout.splitlines()) == ["created nightly of acme", "created pulse of platform", "untouched: 0"]
    assert command(database_url, "apply-schedules", "--file", path).stdout == "untouched: 2\n"


def test_the_command_ends_with_the_flaws(database_url: str, tmp_path: Path) -> None:
    path = file(tmp_path, TOML.replace("0 3 * * *", "0 25 * * *"))
    done = command(database_url, "apply-schedules", "--file", str(path))
    assert (done.returncode, done.stdout) == (os.EX_CONFIG, "")
    assert done.stderr.startswith(f"error: {path}: nightly: /cron: ")


@contextmanager
def started(log: Path, name: str, **env: str) -> Iterator[None]:
    """A scheduler process that must end in order; its words go to `log`."""
    with log.open("w") as words:
        process = subprocess.Popen(
            [sys.executable, "-m", "scheduler", name], env={**os.environ, **env}, stderr=words, stdout=words
        )
    try:
        yield
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def env(database_url: str, broker_url: str, s3_env: Mapping[str, str], tmp_path: Path) -> dict[str, str]:
    return {
        **s3_env,
        "DATABASE_URL": database_url,
        "CELERY_BROKER_URL": broker_url,
        "SCHEDULES_FILE": str(file(tmp_path)),
    }


@pytest.mark.parametrize("name", ["run", "fire"])
def test_a_scheduler_applies_the_file_at_its_start(
    database: Database, env: dict[str, str], tmp_path: Path, name: str
) -> None:
    with started(tmp_path / "log", name, **env):
        until(lambda: look(database, "nightly"))
        assert (kept := look(database, "retention", "platform")) is not None, "the platform's own file is applied, too"
    assert (kept.source, kept.document["job"]["steps"]["clean"]["kind"]) == ("platform", "platform.retention")


def test_a_scheduler_waits_for_a_database_that_is_away(
    database: Database, database_url: str, env: dict[str, str], tmp_path: Path
) -> None:
    url = make_url(database_url)
    assert url.port is not None
    proxy = Proxy(url.port)
    proxy.cut()
    log = tmp_path / "log"
    through = url.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
    try:
        with started(log, "run", **{**env, "DATABASE_URL": through}):
            until(lambda: "schedules.not_applied" in log.read_text())
            proxy.mend()
            until(lambda: look(database, "nightly"))
    finally:
        proxy.close()


def test_a_name_that_a_tenant_has_taken_does_not_stop_the_start(
    database: Database, tenant: TenantId, env: dict[str, str], tmp_path: Path
) -> None:
    timetable = Timetable(database, tenant)
    mine = timetable.make(name="nightly")
    timetable.put_back(mine, 60)
    with started(tmp_path / "log", "run", **env):
        until(lambda: timetable.runs(mine))
        until(lambda: look(database, "pulse", "platform"))
    assert look(database, "nightly") == timetable.find(mine), "it stays its tenant's"


def test_a_bad_file_stops_the_start_of_a_scheduler(env: dict[str, str], tmp_path: Path) -> None:
    bad = env["SCHEDULES_FILE"]
    file(tmp_path, "[[schedule]]\nname = 'a'\nevery = 0")
    done = command(env.pop("DATABASE_URL"), "run", **env)
    assert done.returncode == os.EX_CONFIG
    assert f"error: {bad}: a: /every: " in done.stderr
