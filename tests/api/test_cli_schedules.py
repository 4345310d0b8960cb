"""`millrace schedules` and `Millrace.schedules`, against a real API process."""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from api.cli.commands import cli
from api.cli.schedule_terms import replacing
from api.client import Millrace, Schedule
from deploy.local.servers import Urls
from scheduler.fire import turn
from tasks.values import merged
from tests.api.started import Api, api_here

JOB = {"steps": {"say": {"kind": "echo", "message": "hi"}}}
NIGHTLY = {"cron": "0 3 * * *", "timezone": "Europe/Berlin", "job": JOB}

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def api(servers: Urls, template_database: str, s3_env: Mapping[str, str]) -> Iterator[Api]:
    with api_here(servers, template_database, s3_env) as started:
        yield started


@pytest.fixture
def run(api: Api) -> Run:
    """The command line after `millrace schedules`."""
    environ = {"MILLRACE_URL": api.url, "MILLRACE_API_KEY": api.key}

    def run(*arguments: str | Path, typed: str = "") -> Result:
        words = ["schedules", *(str(argument) for argument in arguments)]
        result = CliRunner(env=environ).invoke(cli, words, input=typed)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


@pytest.fixture
def millrace(api: Api) -> Iterator[Millrace]:
    with Millrace(api.url, api.key) as made:
        for one in made.schedules.list():
            made.schedules.delete(one.id)
        yield made


@pytest.fixture
def nightly(millrace: Millrace) -> Schedule:
    return millrace.schedules.create({**NIGHTLY, "name": "nightly"})


COMMANDS = ["list", "show", "create", "update", "delete", "pause", "resume", "trigger", "backfill", "runs", "preview"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(run: Run, command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"  millrace schedules {command}" in result.stdout
    assert command in run("--help").stdout


WRONG: list[tuple[tuple[str, ...], str, str]] = [
    (("create",), "", "Nothing to do"),
    (("create", "--every", "soon"), "", "no length of time"),
    (("create", "--every", "60", "--cron", "* * * * *"), "", "both say when"),
    (("create", "--template", "t", "--job", "-"), "{}", "both say what"),
    (("create", "--every", "60", "--job", "-"), "{", "is not JSON"),
    (("create", "--file", "-"), "[]", "must be a JSON object"),
    (("create", "--overlap", "maybe"), "", "'maybe' is not one of"),
    (("update", "nightly"), "", "Nothing to change"),
    (("update",), "", "Missing argument"),
    (("backfill", "nightly", "--from", "2026-01-01T00:00:00Z"), "", "Missing option '--to'"),
    (("preview",), "", "Give a SCHEDULE"),
    (("preview", "nightly", "--cron", "* * * * *"), "", "Give a SCHEDULE"),
    (("preview", "--cron", "* * * * *", "--count", "0"), "", "--count"),
    (("runs", "nightly", "--outcome", "done"), "", "'done' is not one of"),
]


@pytest.mark.parametrize(("arguments", "typed", "says"), WRONG)
def test_a_wrong_command_line_is_exit_status_2(run: Run, arguments: tuple[str, ...], typed: str, says: str) -> None:
    result = run(*arguments, typed=typed)
    assert result.exit_code == 2
    assert says in result.stderr


def test_a_schedule_is_made_from_options(run: Run, millrace: Millrace) -> None:
    result = run(
        *("create", "--name", "quarters", "--every", "15m", "--timezone", "Europe/Berlin", "--job", "-"),
        *(
            "--exclude",
            "2026-12-24",
            "--exclude",
            "2026-12-25",
            "--overlap",
            "allow",
            "--jitter",
            "30",
            "--max-runs",
            "9",
        ),
        *("--catch-up", "all", "--catch-up-for", "2h", "--pause-on-failure", "--end-at", "2099-01-01T00:00:00"),
        typed=json.dumps(JOB),
    )
    assert (result.exit_code, result.stderr) == (0, "")
    assert "quarters  active" in result.stdout
    assert "every 15 minutes" in result.stdout
    made = millrace.schedules.named("quarters")
    assert made is not None
    wanted = {
        "every": 900,
        "exclude": ["2026-12-24", "2026-12-25"],
        "overlap": "allow",
        "jitter_seconds": 30.0,
        "max_runs": 9,
        "catch_up": "all",
        "catch_up_seconds": 7200.0,
        "pause_on_failure": True,
        "end_at": "2098-12-31T23:00:00Z",
        "job": JOB,
    }
    assert {name: made.document[name] for name in wanted} == wanted


TOML = """
name = "from-toml"
at = 2099-12-24T18:00:00
timezone = "Europe/Berlin"
exclude = [2098-12-24]
[job.steps.say]
kind = "echo"
"""


def test_a_schedule_is_made_from_a_file_and_options_go_before_it(run: Run, tmp_path: Path, millrace: Millrace) -> None:
    (tmp_path / "s.json").write_text(json.dumps({**NIGHTLY, "name": "from-json"}))
    (tmp_path / "s.toml").write_text(TOML)
    (tmp_path / "bad.toml").write_text("name = ")
    as_json = run("create", "--file", tmp_path / "s.json", "--name", "other", "--json")
    assert (as_json.exit_code, json.loads(as_json.stdout)["name"]) == (0, "other")
    as_toml = json.loads(run("create", "--file", tmp_path / "s.toml", "--json").stdout)
    assert (as_toml["name"], as_toml["at"], as_toml["exclude"]) == ("from-toml", "2099-12-24T17:00:00Z", ["2098-12-24"])
    bad = run("create", "--file", tmp_path / "bad.toml")
    assert (bad.exit_code, "not TOML" in bad.stderr) == (2, True)
    again = run("create", "--file", tmp_path / "s.toml")
    assert (again.exit_code, "schedule_name_taken" in again.stderr) == (1, True)


def test_a_refused_expression_is_shown_with_its_place(run: Run) -> None:
    for command in (("create", "--job", "-"), ("preview",)):
        result = run(*command, "--cron", "61 * * * *", typed=json.dumps(JOB))
        assert (result.exit_code, result.stdout) == (1, "")
        assert "\n  /cron: " in result.stderr


def test_schedules_are_listed_and_shown_by_id_or_name(run: Run, millrace: Millrace, nightly: Schedule) -> None:
    other = millrace.schedules.create({"at": "2099-01-01T00:00:00Z", "job": JOB})
    head, *listed = run("list").stdout.splitlines()
    assert head.split() == ["schedule", "name", "state", "next", "runs", "when"]
    assert [line.split()[0] for line in listed] == [other.id, nightly.id]
    assert json.loads(run("list", "--limit", "1", "--json").stdout)["id"] == other.id
    assert run().stdout == run("list").stdout
    assert run("list", "--state", "ended").stderr == "There are no ended schedules.\n"
    shown = run("show", "nightly")
    assert shown.stdout == run("show", nightly.id).stdout
    assert f"{nightly.id}  nightly  active\n" in shown.stdout
    assert "03:00" in shown.stdout
    assert "  overlap: skip\n" in shown.stdout
    assert json.loads(run("show", "nightly", "--json").stdout) == nightly.raw


@pytest.mark.parametrize("command", [("show",), ("trigger",), ("delete",), ("runs",), ("update", "--name", "x")])
@pytest.mark.parametrize("which", ["nobody", "sch_01m81xfwczevz8kg5rcf2w0d65", "../jobs", "x" * 200])
def test_a_schedule_that_is_not_there_is_one_line(run: Run, command: tuple[str, ...], which: str) -> None:
    result = run(command[0], which, *command[1:])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1


def test_a_schedule_is_changed(run: Run, millrace: Millrace, nightly: Schedule, tmp_path: Path) -> None:
    assert run("update", "nightly", "--every", "1h", "--max-runs", "3").exit_code == 0
    now = millrace.schedules.get(nightly.id).document
    assert (now["cron"], now["every"], now["max_runs"], now["timezone"]) == (None, 3600, 3, "Europe/Berlin")
    job = {"steps": {"tell": {"kind": "echo"}}, "priority": "low"}
    (tmp_path / "patch.json").write_text('{"name": "hourly"}')
    changed = run(
        "update",
        "nightly",
        "--job",
        "-",
        "--reset",
        "max-runs",
        "--file",
        tmp_path / "patch.json",
        typed=json.dumps(job),
    )
    assert changed.exit_code == 0, changed.stderr
    now = millrace.schedules.get(nightly.id).document
    assert (now["name"], now["job"], now["max_runs"]) == ("hourly", job, None)


def test_the_patch_that_makes_one_object_another_does() -> None:
    old = {"steps": {"a": {"kind": "echo", "data": [1]}, "b": {"kind": "echo"}}, "priority": "low"}
    new = {"steps": {"a": {"kind": "echo", "message": "x"}, "c": {"kind": "echo"}}, "metadata": {"k": {"v": 1}}}
    assert merged(old, replacing(old, new)) == new


def test_a_schedule_is_paused_resumed_and_deleted(run: Run, millrace: Millrace, nightly: Schedule) -> None:
    paused = run("pause", "nightly", "--reason", "the shop\x1b[2J is closed")
    assert paused.stdout == f"{nightly.id}  paused: the shop?[2J is closed\n"
    assert "paused since" in run("show", "nightly").stdout
    assert run("resume", "nightly").stdout == f"{nightly.id}  active\n"
    assert run("delete", "nightly").stdout == f"{nightly.id}  deleted\n"
    assert millrace.schedules.named("nightly") is None


def test_a_trigger_says_what_became_of_it(run: Run, millrace: Millrace, nightly: Schedule) -> None:
    first = run("trigger", "nightly")
    (fired,) = millrace.schedules.runs(nightly.id)
    assert (first.exit_code, first.stdout) == (0, f"started  {fired.job}\n")
    assert fired.job is not None
    job = millrace.job(fired.job)
    assert job.schedule is not None
    assert (job.schedule.id, job.schedule.fire_time) == (nightly.id, fired.nominal_at)
    second = run("trigger", nightly.id)
    assert second.exit_code == 1
    assert second.stdout.startswith("skipped: a job of an earlier firing")
    assert json.loads(run("trigger", "nightly", "--overlap", "buffer_one", "--json").stdout)["outcome"] == "buffered"
    shown = run("runs", "nightly").stdout.splitlines()
    assert [line.split()[1] for line in shown] == ["for", "buffered", "skipped", "started"]
    assert fired.job in shown[-1]
    assert run("runs", "nightly", "--outcome", "missed").stderr == "There are no such runs.\n"
    assert len(run("runs", "nightly", "--json", "--limit", "2").stdout.splitlines()) == 2


def test_a_backfill_says_how_much_it_starts(run: Run, api: Api, millrace: Millrace, nightly: Schedule) -> None:
    assert run("runs", "nightly").stderr == "It has not fired yet.\n"
    span = ("backfill", "nightly", "--from", "2026-03-27T00:00:00", "--to", "2026-03-30T00:00:00")
    assert run(*span).stdout == "3 nominal times; 3 had no job and will be started.\n"
    assert json.loads(run(*span, "--overlap", "allow", "--json").stdout) == {"accepted": 0, "nominal_times": 3}
    turn(api.database)
    assert [run.outcome for run in millrace.schedules.runs(nightly.id)] == ["buffered", "buffered", "started"]
    wrong = run("backfill", "nightly", "--from", "2026-03-27", "--to", "2026-03-30T00:00:00")
    assert (wrong.exit_code, "\n  /from: " in wrong.stderr) == (1, True)


def test_a_preview_tells_both_clocks(run: Run, millrace: Millrace, nightly: Schedule) -> None:
    result = run(
        "preview",
        "--cron",
        "30 2 * * *",
        "--timezone",
        "Europe/Berlin",
        "--after",
        "2026-03-28T12:00:00",
        "--count",
        "1",
    )
    words, head, times = result.stdout.splitlines()
    assert "02:30" in words
    assert head.split() == ["Europe/Berlin", "UTC"]
    assert times.split() == ["2026-03-29T03:00:00+02:00", "2026-03-29T01:00:00+00:00"]
    assert len(run("preview", "nightly", "--count", "7").stdout.splitlines()) == 9
    assert len(json.loads(run("preview", nightly.id, "--json").stdout)["fire_times"]) == 5
    past = millrace.schedules.preview({"every": 60}, after=datetime.now(UTC) + timedelta(days=1), count=2)
    assert past.fire_times[1] - past.fire_times[0] == timedelta(minutes=1)
