"""Entries of Celery beat's beat_schedule become schedules that fire at the same times, or are refused with words."""

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.beat import BeatLazyFunc
from celery.schedules import BaseSchedule, crontab, schedule

from scheduler import beat, beat_import
from scheduler.beat_import import Imported
from scheduler.errors import ConfigurationError
from storage import schedule_sources
from storage.database import Database
from storage.schedule_model import Schedule
from storage.tenants import ensure
from tasks.applying import SchedulesRefused
from tasks.calendar import zone_of

ECHO = {"task": "echo", "schedule": 60}
START = datetime(2026, 1, 1, tzinfo=UTC)


def app_with(beat_schedule: dict[str, Any], **conf: Any) -> Celery:
    app = Celery("test", set_as_current=False, broker="redis://127.0.0.1:1/0")
    app.conf.update(beat_schedule=beat_schedule, **conf)
    return app


def read(entry: Any, **conf: Any) -> Imported:
    return beat_import.read(app_with({"it": entry}, **conf), "acme")


def document(entry: Any, **conf: Any) -> dict[str, Any]:
    (one,) = read(entry, **conf).wanted
    return dict(one.document)


def refusal(entry: Any, **conf: Any) -> str:
    with pytest.raises(SchedulesRefused) as refused:
        read(entry, **conf)
    return str(refused.value)


def rows(database: Database, tenant: str = "acme") -> dict[str, Schedule]:
    with database.platform() as tx:
        found = schedule_sources.of_source(tx.of(ensure(tx, tenant)), "beat")
    return {str(one.name): one for one in found}


def test_days_that_must_be_of_both_kinds_are_refused_where_no_pattern_says_so() -> None:
    friday_13th = crontab(minute=0, hour=0, day_of_month=13, day_of_week="fri")
    said = refusal({"task": "echo", "schedule": friday_13th})
    assert said.startswith("beat_schedule: it: /schedule: beat runs it on days that are both in day_of_month and in")


@pytest.mark.parametrize(
    ("made", "rule"),
    [
        (30, {"every": 30}),
        (30.0, {"every": 30}),
        (timedelta(minutes=90), {"every": 5400}),
        (schedule(run_every=45), {"every": 45}),
        (schedule(timedelta(hours=2), relative=True), {"every": 7200, "anchor": "2001-01-01T00:00:00"}),
        (schedule(timedelta(days=1), relative=True), {"cron": "0 0 * * *"}),
        (schedule(timedelta(days=7), relative=True), {"every": 604_800, "anchor": "2001-01-01T00:00:00"}),
        (schedule(30, relative=True), {"every": 30}),
    ],
)
def test_an_interval_becomes_one(made: Any, rule: dict[str, Any]) -> None:
    found = document({"task": "echo", "schedule": made})
    assert {field: found[field] for field in ("every", "anchor", "cron") if field in found} == rule


def test_relative_may_stand_beside_the_schedule() -> None:
    assert document({"task": "echo", "schedule": timedelta(days=1), "relative": True})["cron"] == "0 0 * * *"


def test_it_behaves_as_beat_does_where_a_choice_is_left() -> None:
    found = document({**ECHO, "kwargs": {"message": "hi"}})
    assert (found["overlap"], found["catch_up"], found["catch_up_seconds"]) == ("allow", "last", 31 * 86_400.0)
    assert found["job"] == {"steps": {"task": {"kind": "echo", "message": "hi"}}}
    late = document({"task": "echo", "schedule": crontab()}, beat_cron_starting_deadline=300)
    assert late["catch_up_seconds"] == 300


@pytest.mark.parametrize(
    ("conf", "zone"),
    [
        ({}, "UTC"),
        ({"timezone": "Europe/Berlin"}, "Europe/Berlin"),
        ({"timezone": zone_of("Asia/Tokyo")}, "Asia/Tokyo"),
    ],
)
def test_the_apps_zone_is_taken_over(conf: dict[str, Any], zone: str) -> None:
    assert document(ECHO, **conf)["timezone"] == zone


def test_the_machines_zone_is_not_guessed() -> None:
    with pytest.raises(ConfigurationError, match="set timezone to its name"):
        read(ECHO, enable_utc=False)
    with pytest.raises(ConfigurationError, match="did you mean 'Europe/Berlin'"):
        read(ECHO, timezone="Europe/Berln")


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({"priority": 0}, {"priority": "high"}),
        ({"priority": 4}, {"priority": "normal"}),
        ({"priority": 9}, {"priority": "low"}),
        ({"expires": 90}, {"deadline_seconds": 90.0}),
        ({"expires": timedelta(minutes=2)}, {"deadline_seconds": 120.0}),
    ],
)
def test_options_that_have_a_meaning_here_are_taken_over(options: dict[str, Any], fields: dict[str, Any]) -> None:
    job = document({**ECHO, "options": options})["job"]
    assert {field: value for field, value in job.items() if field != "steps"} == fields


@pytest.mark.parametrize(
    ("entry", "conf", "said"),
    [
        ({**ECHO, "options": {"queue": "fast"}}, {}, "it: the option 'queue' is not taken over: the kind decides"),
        ({**ECHO, "options": {"priority": 9}}, {"broker_url": "amqp://x"}, "depends on the broker"),
        ({**ECHO, "options": {"expires": 9}}, {}, "by then a job must have ended; with beat, it must have begun"),
        ({**ECHO, "options": {"headers": {}}}, {}, "the option 'headers' is not taken over: no message carries it"),
        ({**ECHO, "schedule": crontab(nowfun=datetime.now)}, {}, "its nowfun is not used"),
        ({**ECHO, "schedule": crontab()}, {"timezone": "Europe/Berlin"}, "when the clocks of Europe/Berlin change"),
    ],
)
def test_what_is_not_taken_over_is_told(entry: dict[str, Any], conf: dict[str, Any], said: str) -> None:
    (notice,) = read(entry, **conf).notices
    assert said in notice


def test_where_nothing_differs_nothing_is_told() -> None:
    assert read({**ECHO, "schedule": crontab()}, timezone="Asia/Tokyo").notices == []


class Tides(BaseSchedule):
    """A schedule of somebody's own."""


class OddCrontab(crontab):
    """One that may decide anything."""


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({**ECHO, "schedule": 0.5}, "/schedule: an interval is whole seconds, at least 1, and 0.5 is not"),
        ({**ECHO, "schedule": 0}, "/schedule: an interval is whole seconds"),
        ({**ECHO, "schedule": timedelta(days=400)}, "/schedule: Input should be less than or equal to"),
        ({**ECHO, "schedule": schedule(5400, relative=True)}, "/schedule: relative and not a whole number of hours"),
        ({**ECHO, "schedule": Tides()}, "/schedule: must be a crontab, a timedelta or a number of seconds"),
        ({**ECHO, "schedule": OddCrontab()}, "/schedule: must be a crontab, a timedelta or a number of seconds"),
        ({"task": "echo"}, "/schedule: must be a crontab"),
        ({**ECHO, "args": (1,)}, "/args: kinds take named parameters"),
        ({**ECHO, "kwargs": {"massage": "x"}}, "/kwargs/massage: unknown field; did you mean 'message'?"),
        ({**ECHO, "kwargs": {"data": BeatLazyFunc(datetime.now)}}, "/kwargs: must be JSON: "),
        ({**ECHO, "kwargs": {"use": "x"}}, "/kwargs/use: is a word that every step has"),
        (
            {**ECHO, "task": "proj.tasks.ecko"},
            "'proj.tasks.ecko' is no installed kind; did you mean 'echo'?; docs/beat",
        ),
        ({**ECHO, "task": "image.resize", "kwargs": {}}, "/kwargs/variants: Field required"),
        ({**ECHO, "options": {"countdown": 5}}, "/options/countdown: would run each firing later"),
        ({**ECHO, "options": {"link": "x"}}, "/options/link: what comes after is a step of the job"),
        ({**ECHO, "options": {"expires": START}}, "/options/expires: is the same moment for every firing"),
        ({**ECHO, "options": {"expires": -1}}, "/options/expires: must be a number of seconds above 0"),
        ({**ECHO, "shedule": 5}, "/shedule: unknown; did you mean 'schedule'?"),
        ("echo", "an entry is a dict"),
    ],
)
def test_what_would_change_its_meaning_is_refused(entry: Any, said: str) -> None:
    assert said in refusal(entry)


def test_days_apart_at_midnight_are_refused_where_clocks_change() -> None:
    entry = {**ECHO, "schedule": schedule(timedelta(days=2), relative=True)}
    assert "write it as a crontab" in refusal(entry, timezone="Europe/Berlin")


def test_an_event_of_the_sun_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Sunset(BaseSchedule):
        """Celery's own needs a package that is not installed here."""

    monkeypatch.setattr(beat_import, "solar", Sunset)
    assert "/schedule: an event of the sun has no rule here" in refusal({**ECHO, "schedule": Sunset()})


def test_all_flaws_are_told_at_once(database: Database) -> None:
    app = app_with({"a": {**ECHO, "args": [1]}, "b": ECHO, "c": {**ECHO, "kwargs": {"x": 1}}})
    with pytest.raises(SchedulesRefused) as refused:
        beat_import.read(app, "acme")
    assert [(flaw.entry, flaw.flaw.pointer) for flaw in refused.value.flaws] == [("a", "/args"), ("c", "/kwargs/x")]


def test_an_import_is_applied_and_forgets_nothing_unless_told_to(database: Database) -> None:
    both = beat_import.read(app_with({"a": ECHO, "b": ECHO}), "acme")
    assert len(beat_import.apply(database, both, prune=False).created) == 2
    before = rows(database)
    assert len(beat_import.apply(database, both, prune=True).untouched) == 2
    assert rows(database) == before
    one = beat_import.read(app_with({"a": ECHO}), "acme")
    assert beat_import.apply(database, one, prune=False).deleted == []
    assert beat_import.apply(database, one, prune=True).deleted == [("acme", "b")]
    other = beat_import.read(app_with({}), "other")
    beat_import.apply(database, other, prune=True)
    assert list(rows(database)) == ["a"]


CONFIG = """
from datetime import timedelta
from celery.schedules import crontab

{name} = {{
    "nightly": {{"task": "echo", "schedule": crontab(minute=0, hour=3), "kwargs": {{"message": "x"}}}},
    "often": {{"task": "echo", "schedule": timedelta(minutes=5), "options": {{"queue": "x"}}}},
}}
"""


@pytest.fixture
def command(database_url: str, tmp_path: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        root = str(Path(__file__).parents[2])
        return subprocess.run(
            [sys.executable, "-m", "scheduler", "import-beat", *words],
            env={**os.environ, "DATABASE_URL": database_url, "PYTHONPATH": f"{tmp_path}:{root}"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.mark.parametrize("name", ["beat_schedule", "CELERYBEAT_SCHEDULE"])
def test_the_command_takes_a_configuration(
    database: Database, command: Callable[..., Any], tmp_path: Path, name: str
) -> None:
    (tmp_path / "oldconfig.py").write_text(CONFIG.format(name=name))
    dry = command("--config", "oldconfig", "--tenant", "acme", "--dry-run")
    assert (dry.returncode, rows(database)) == (0, {})
    done = command("--config", "oldconfig", "--tenant", "acme")
    assert done.stdout == "created nightly of acme\ncreated often of acme\nuntouched: 0\n"
    assert dry.stdout == f"dry run: nothing is changed; without --dry-run this would be said:\n{done.stdout}"
    assert done.stderr.startswith("notice: often: the option 'queue' is not taken over")
    assert rows(database)["nightly"].document["cron"] == "0 3 * * *"


def test_the_command_takes_an_app_with_periodic_tasks(
    database: Database, command: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "proj.py").write_text(
        "from celery import Celery, signature\n\napp = Celery('proj', broker='redis://127.0.0.1:1/0')\n\n\n"
        "@app.on_after_finalize.connect\n"
        "def plan(sender, **_):\n"
        "    sender.add_periodic_task(30, signature('echo', kwargs={'message': 'x'}, app=sender), name='often')\n"
    )
    done = command("--app", "proj:app", "--tenant", "acme")
    assert (done.returncode, done.stderr) == (0, "")
    assert rows(database)["often"].document["every"] == 30


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--config", "nowhere"], "error: nowhere cannot be loaded: ModuleNotFoundError"),
        (["--app", "nowhere:app"], "error: nowhere:app cannot be loaded: "),
        (["--app", "a", "--config", "b"], "error: give either --app or --config"),
    ],
)
def test_the_command_says_what_it_cannot_load(command: Callable[..., Any], words: list[str], said: str) -> None:
    done = command(*words)
    assert done.returncode == os.EX_CONFIG
    assert said in done.stderr


def test_ours_is_the_default_configuration() -> None:
    assert beat.find_app(None, None).conf.beat_schedule == {}
