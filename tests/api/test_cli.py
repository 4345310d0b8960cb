import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from api.cli.commands import cli
from api.client import Millrace
from deploy.local.servers import Urls
from tests.api.started import Api, api_here

ECHO = {"steps": {"hello": {"kind": "echo", "message": "hi"}}}

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def api(servers: Urls, template_database: str, s3_env: Mapping[str, str]) -> Iterator[Api]:
    with api_here(servers, template_database, s3_env) as started:
        yield started


@pytest.fixture
def environ(api: Api) -> dict[str, str]:
    return {"MILLRACE_URL": api.url, "MILLRACE_API_KEY": api.key}


@pytest.fixture
def run(environ: dict[str, str]) -> Run:
    def run(*arguments: str | Path, typed: str = "") -> Result:
        result = CliRunner(env=environ).invoke(cli, [str(argument) for argument in arguments], input=typed)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


@pytest.fixture
def millrace(api: Api) -> Iterator[Millrace]:
    with Millrace(api.url, api.key) as made:
        yield made


@pytest.mark.parametrize("command", [(), ("submit",), ("watch",), ("jobs",), ("job",)])
def test_every_command_explains_itself_with_an_example(run: Run, command: tuple[str, ...]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "Example" in result.stdout


def test_a_photo_is_submitted_with_the_template_thumbnails(run: Run, photos: Path, millrace: Millrace) -> None:
    result = run("submit", photos / "rocket.jpg", photos / "chelsea.png")
    assert (result.exit_code, result.stderr) == (0, "")
    submitted = dict(line.split("  ") for line in result.stdout.splitlines())
    assert sorted(submitted.values()) == ["chelsea.png", "rocket.jpg"]
    assert all(list(millrace.job(job_id).steps) == ["thumbs"] for job_id in submitted)


def test_work_without_a_file_is_read_from_standard_input(run: Run) -> None:
    result = run("submit", "--job", "-", "--json", typed=json.dumps(ECHO))
    assert (result.exit_code, json.loads(result.stdout)["steps"]["hello"]["kind"]) == (0, "echo")


@pytest.mark.parametrize(
    ("arguments", "typed", "says"),
    [
        (("submit",), "", "Nothing to submit"),
        (("submit", "/nowhere.jpg"), "", "does not exist"),
        (("submit", "--job", "-", "--template", "t"), "{}", "give one of them"),
        (("submit", "--job", "-"), "{", "is not JSON"),
        (("submit", "--job", "-"), '{"a": NaN}', "NaN is not a number in JSON"),
        (("submit", "--job", "-"), "[]", "must be a JSON object"),
        (("submit", "--job", "/nowhere.json"), "", "No such file"),
        (("submit", "--job", "-", "--output", "x", "--no-watch"), "{}", "leave out --no-watch"),
        (("jobs", "--state", "lost"), "", "'lost' is not one of"),
        (("watch",), "", "Missing argument"),
    ],
)
def test_a_wrong_command_line_is_exit_status_2(run: Run, arguments: tuple[str, ...], typed: str, says: str) -> None:
    result = run(*arguments, typed=typed)
    assert result.exit_code == 2
    assert says in result.stderr


def test_a_refused_document_is_shown_with_its_flaws(run: Run) -> None:
    result = run("submit", "--job", "-", typed='{"steps": {"x": {"kind": "ecko"}}}')
    assert (result.exit_code, result.stdout) == (1, "")
    assert "/steps/x/kind: there is no such kind; did you mean 'echo'?" in result.stderr


def test_one_refused_photo_does_not_hold_up_the_others(run: Run, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "empty\x1b[2J.jpg").touch()
    result = run("submit", tmp_path / "empty\x1b[2J.jpg", photos / "rocket.jpg")
    assert (result.exit_code, result.stdout.split()[1]) == (1, "rocket.jpg")
    assert "error: empty?[2J.jpg: " in result.stderr
    assert "/file: the file is empty" in result.stderr


def test_what_all_photos_fail_for_is_said_once(run: Run, photos: Path) -> None:
    result = run("--key", "mk_wrong", "submit", photos / "rocket.jpg", photos / "chelsea.png")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        "error: rocket.jpg, chelsea.png: this API key is unknown or revoked (key_invalid)"
    ]


def test_a_failed_job_is_exit_status_1_with_its_public_error(run: Run, api: Api, millrace: Millrace) -> None:
    failed, done = millrace.submit(ECHO), millrace.submit(ECHO)
    api.fail(failed.id, "The cat sat on it.")
    api.succeed(done.id)
    assert run("watch", done.id).exit_code == 0
    result = run("watch", failed.id, done.id)
    assert result.exit_code == 1
    assert f"error: {failed.id}: step 'hello' failed: The cat sat on it." in result.stderr
    assert "The cat sat on it. (broken)" in run("job", failed.id).stdout


def test_jobs_are_listed_newest_first(run: Run, api: Api, millrace: Millrace) -> None:
    made = [millrace.submit(ECHO).id for _ in range(3)]
    api.succeed(made[0])
    shown = run("jobs", "--limit", "3").stdout.splitlines()
    assert [line.split()[0] for line in shown] == ["job", *made[::-1]]
    assert json.loads(run("jobs", "--state", "succeeded", "--limit", "1", "--json").stdout)["id"] == made[0]
    assert run("jobs", "--state", "expired").stderr == "There are no jobs in the state expired.\n"


@pytest.mark.parametrize("arguments", [("job", "job_x"), ("watch", "job_x"), ("job", "../x")])
def test_a_job_that_is_not_there_is_one_line(run: Run, arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1


def test_ctrl_c_leaves_the_job_to_the_platform_and_says_how_to_look_again(
    environ: dict[str, str], millrace: Millrace, tmp_path: Path
) -> None:
    (tmp_path / "spec.json").write_text(json.dumps(ECHO))
    process = subprocess.Popen(
        [sys.executable, "-m", "api.cli", "submit", "--job", str(tmp_path / "spec.json"), "--watch"],
        env=environ,
        cwd=Path(__file__).parent.parent.parent,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    accepted = process.stderr.readline().split()
    assert (accepted[0], accepted[2]) == ("spec.json:", "queued")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=10)
    assert process.returncode == 130
    assert f"  millrace watch {accepted[1]}" in said
    assert "Traceback" not in said
    assert millrace.job(accepted[1]).state == "queued"


def test_a_photo_may_be_a_url_which_the_platform_fetches(run: Run, api: Api) -> None:
    submitted = run("submit", "https://photos.example/a/cat%20one.jpg?sig=1", "--template", "describe", "--json")
    assert submitted.exit_code == 0, submitted.output
    with Millrace(api.url, api.key) as client:
        job = client.job(json.loads(submitted.stdout)["id"])
    assert (job.steps["input"].kind, job.steps["look"].use) == ("input.fetch", ("input",))
    refused = run("submit", "http://127.0.0.1/a.jpg")
    assert (refused.exit_code, "/input/url" in refused.output) == (1, True)
    assert run("submit", "no-such-file.jpg").exit_code == 2
    own = '{"template": "describe", "input": {"url": "https://photos.example/b.jpg"}}'
    twice = run("submit", "https://photos.example/a.jpg", "--job", "-", typed=own)
    assert (twice.exit_code, "says itself where its input is" in twice.output) == (2, True)
