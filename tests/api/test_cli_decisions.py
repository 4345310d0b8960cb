"""The commands for jobs' ends, dead letters and queues."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from api.cli.commands import cli
from api.cli.follow import Accepted, Happened
from api.cli.progress import Row, applied
from api.client import ApiError, Millrace
from deploy.local.servers import Urls
from storage import losses, steps
from storage.model import PublicError
from tests.api.started import Api, api_here

ECHO = {"steps": {"hello": {"kind": "echo", "message": "hi"}}}

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def api(servers: Urls, template_database: str, s3_env: Mapping[str, str]) -> Iterator[Api]:
    with api_here(servers, template_database, s3_env) as started:
        yield started


@pytest.fixture
def run(api: Api) -> Run:
    """The command line with an operator's key."""
    environ = {"MILLRACE_URL": api.url, "MILLRACE_API_KEY": api.another_key("jobs:read", "jobs:write", "operate")}

    def run(*arguments: str | Path, typed: str = "") -> Result:
        result = CliRunner(env=environ).invoke(cli, [str(argument) for argument in arguments], input=typed)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


@pytest.fixture
def millrace(api: Api) -> Iterator[Millrace]:
    with Millrace(api.url, api.key) as made:
        yield made


def failed(api: Api, millrace: Millrace, message: str = "It broke.") -> str:
    """A job that has failed; its id."""
    job = millrace.submit(ECHO)
    api.fail(job.id, message)
    return job.id


COMMANDS = ["cancel", "retry", "delete", "dead-letters", "replay", "queues", "pause", "resume"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(run: Run, command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"  millrace {command}" in result.stdout or f"| millrace {command}" in result.stdout
    assert command in run("--help").stdout


@pytest.mark.parametrize(
    ("arguments", "typed", "says"),
    [
        (("cancel",), "", "Missing argument"),
        (("retry", "job_x", "--params", "-"), "{", "is not JSON"),
        (("retry", "job_x", "--params", "-"), "[]", "must be a JSON object"),
        (("retry", "job_x", "--params", "-"), '{"thumbs": 60}', "'thumbs' must be an object"),
        (("retry", "job_x", "--params", "/nowhere.json"), "", "No such file"),
        (("replay",), "", "or else --all"),
        (("replay", "--all", "--kind", "echo"), "", "or else --all"),
        (("replay", "--all", "--percent", "0"), "", "--percent"),
        (("replay", "--all", "--limit", "1001"), "", "--limit"),
        (("pause",), "", "Missing argument"),
    ],
)
def test_a_wrong_command_line_is_exit_status_2(run: Run, arguments: tuple[str, ...], typed: str, says: str) -> None:
    result = run(*arguments, typed=typed)
    assert result.exit_code == 2
    assert says in result.stderr


def test_jobs_are_canceled_at_once_or_said_to_be_stopping(run: Run, api: Api, millrace: Millrace) -> None:
    queued, running = millrace.submit(ECHO).id, millrace.submit(ECHO).id
    next(api.work(running))
    result = run("cancel", queued, running, queued)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{queued}  canceled\n{running}  running, stopping\n"
    assert "stopping: will be canceled" in run("job", running).stdout


@pytest.mark.parametrize("command", ["cancel", "retry", "delete"])
def test_what_is_refused_does_not_hold_up_the_others_and_is_said_once(
    run: Run, api: Api, millrace: Millrace, command: str
) -> None:
    good = millrace.submit(ECHO).id if command == "cancel" else failed(api, millrace)
    gone = [f"job_{'0' * 25}{digit}" for digit in (1, 2)]
    result = run(command, gone[0], good, gone[1])
    assert (result.exit_code, result.stdout.split()[0], len(result.stdout.splitlines())) == (1, good, 1)
    assert result.stderr == f"error: {gone[0]}, {gone[1]}: there is no such job (not_found)\n"
    assert run(command, gone[0]).stderr == "error: there is no such job (not_found)\n"


def test_a_job_runs_again(run: Run, api: Api, millrace: Millrace) -> None:
    job_id = failed(api, millrace)
    result = run("retry", job_id)
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{job_id}  queued\n", "")
    api.succeed(job_id)
    refused = run("retry", job_id)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "(nothing_to_retry)" in refused.stderr
    assert run("retry", job_id, "--all").exit_code == 0


def test_new_parameters_come_from_a_file_or_standard_input(
    run: Run, api: Api, millrace: Millrace, tmp_path: Path
) -> None:
    (tmp_path / "params.json").write_text('{"hello": {"message": "from a file"}}')
    job_id = failed(api, millrace)
    assert run("retry", job_id, "--params", tmp_path / "params.json").exit_code == 0
    assert next(api.work(job_id)).params == {"message": "from a file"}
    other = failed(api, millrace)
    assert run("retry", other, "--params", "-", typed='{"hello": {"message": null, "data": 1}}').exit_code == 0
    assert next(api.work(other)).params == {"data": 1}
    refused = run("retry", failed(api, millrace), "--params", "-", typed='{"helo": {}}')
    assert refused.exit_code == 1
    assert "/steps/helo: the job has no such step; did you mean 'hello'?" in refused.stderr


def test_a_deleted_job_is_gone(run: Run, api: Api, millrace: Millrace) -> None:
    job_id = failed(api, millrace)
    result = run("delete", job_id)
    assert (result.exit_code, result.stdout) == (0, f"{job_id}  deleted\n")
    with pytest.raises(ApiError):
        millrace.job(job_id)


def test_a_job_shows_each_attempt_of_steps_that_did_not_go_well_at_once(run: Run, api: Api, millrace: Millrace) -> None:
    job_id = millrace.submit(ECHO).id
    claim = next(api.work(job_id))
    with api.database.begin(api.tenant_id) as tx:
        losses.lose(tx, claim, PublicError(code="worker_lost", message="it\x1b[2J died"), only_if_expired=False)
    api.fail(job_id, "It broke.")
    shown = run("job", job_id).stdout
    assert "hello: attempt 1 lost: it?[2J died (worker_lost)\n" in shown
    assert "hello: attempt 2 failed: It broke. (broken)\n" in shown
    well = millrace.submit(ECHO).id
    api.succeed(well)
    assert "attempt 1" not in run("job", well).stdout


def test_a_step_that_waits_for_its_next_attempt_shows_why(run: Run, api: Api, millrace: Millrace) -> None:
    job_id = millrace.submit(ECHO).id
    claim = next(api.work(job_id))
    with api.database.begin(api.tenant_id) as tx:
        steps.retry(tx, claim, PublicError(code="busy", message="Nobody answers."), delay_seconds=60)
    assert "hello: attempt 1 retried: Nobody answers. (busy)\n" in run("job", job_id).stdout


def test_a_deadline_is_shown_until_the_end(run: Run, api: Api, millrace: Millrace) -> None:
    job = millrace.submit({**ECHO, "deadline_seconds": 3600})
    assert ", deadline 2" in run("job", job.id).stdout
    api.succeed(job.id)
    assert "deadline" not in run("job", job.id).stdout


def test_a_job_that_runs_again_is_shown_from_its_first_end_on(api: Api, millrace: Millrace) -> None:
    job = millrace.submit(ECHO)
    claim = next(api.work(job.id))
    with api.database.begin(api.tenant_id) as tx:
        losses.lose(tx, claim, PublicError(code="worker_lost", message="it died"), only_if_expired=False)
    api.fail(job.id, "It broke.")
    millrace.retry(job.id)
    api.succeed(job.id)
    row = applied(Row(label="photo"), Accepted(entry=0, job=job))
    shown = []
    for event in millrace.events(job.id):
        row = applied(row, Happened(entry=0, event=event))
        shown.append((event.type, row.state, row.steps["hello"].state, row.steps["hello"].note))
    assert shown == [
        ("job.queued", "queued", "queued", ""),
        ("job.running", "running", "queued", ""),
        ("step.running", "running", "running", ""),
        ("step.queued", "running", "queued", "it died"),
        ("step.running", "running", "running", ""),
        ("step.failed", "running", "failed", ""),
        ("job.failed", "failed", "failed", ""),
        ("job.queued", "queued", "waiting", ""),
        ("job.running", "running", "waiting", ""),
        ("step.running", "running", "running", ""),
        ("step.succeeded", "running", "succeeded", ""),
        ("job.succeeded", "succeeded", "succeeded", ""),
    ]


def test_dead_letters_are_listed_and_replayed(run: Run, api: Api, millrace: Millrace) -> None:
    run("replay", "--all")
    assert run("dead-letters").stderr == "There are no dead letters.\n"
    jobs = [failed(api, millrace, message) for message in ("often", "often", "once")]
    head, often, once = run("dead-letters").stdout.splitlines()
    assert head.split()[:4] == ["fingerprint", "kind", "code", "steps"]
    assert (often.split()[1:4], often.split()[-1]) == (["echo", "broken", "2"], "often")
    assert jobs[2] in once
    (group,) = run("dead-letters", "--fingerprint", often.split()[0], "--json").stdout.splitlines()
    assert json.loads(group)["count"] == 2
    assert run("dead-letters", "--kind", "no.such").stderr == "There are no such dead letters.\n"
    canary = run("replay", "--fingerprint", often.split()[0], "--percent", "5")
    assert (canary.exit_code, canary.stdout) == (0, f"{jobs[0]}\n")
    assert canary.stderr == "2 jobs match; 1 run again.\n"
    rest = run("replay", "--kind", "echo", "--code", "broken")
    assert (rest.stdout.split(), rest.stderr) == (jobs[1:], "2 jobs match; 2 run again.\n")
    assert run("replay", "--all").stderr == "0 jobs match.\n"


def test_what_cannot_be_replayed_is_counted(run: Run, api: Api, millrace: Millrace) -> None:
    run("replay", "--all")
    first = millrace.submit({**ECHO, "unique_key": "k"}).id
    api.fail(first, "It broke.")
    assert millrace.submit({**ECHO, "unique_key": "k"}).id != first
    result = run("replay", "--all")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith("1 job matches; 0 run again, 1 could not: ")


def test_queues_are_paused_and_resumed(run: Run) -> None:
    paused = run("pause", "images")
    assert (paused.exit_code, paused.stdout.startswith("images  paused since 2")) == (0, True)
    listed = [line.split() for line in run("queues").stdout.splitlines()]
    assert [line[0] for line in listed] == ["queue", "images", "ai", "calls", "default"]
    assert [line[-1] for line in listed if "paused" not in line] == ["state", "running", "running", "running"]
    assert listed[1][-3:-1] == ["paused", "since"]
    assert run("resume", "images").stdout == "images  running\n"
    assert [json.loads(line)["paused"] for line in run("queues", "--json").stdout.splitlines()] == [False] * 4


def test_a_queue_that_is_not_there_or_not_ones_own_is_one_line(run: Run, api: Api) -> None:
    wrong = run("pause", "imags")
    assert (wrong.exit_code, wrong.stdout) == (1, "")
    assert wrong.stderr == "error: there is no such queue; there are: images, ai, calls, default (not_found)\n"
    assert "not the name of a queue" in run("resume", "../x").stderr
    refused = run("--key", api.key, "pause", "images")
    assert (refused.exit_code, refused.stderr) == (1, "error: this API key lacks the scope operate (scope_missing)\n")
