"""`millrace audit` and `Millrace.audit`, against a real API process."""

import json
from collections.abc import Callable, Iterator, Mapping

import pytest
from click.testing import CliRunner, Result

from api.cli.commands import cli
from api.client import Millrace
from deploy.local.servers import Urls
from tests.api.serving import SECRET_KEY
from tests.api.started import Api, api_here

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def api(servers: Urls, template_database: str, s3_env: Mapping[str, str]) -> Iterator[Api]:
    with api_here(servers, template_database, s3_env, SECRET_KEY=SECRET_KEY) as started:
        yield started


@pytest.fixture(scope="module")
def millrace(api: Api) -> Iterator[Millrace]:
    """Of a tenant that has kept a secret, and then canceled a job."""
    with Millrace(api.url, api.key) as made:
        made.secrets.put("crm", "tok-5f1e90c7ab")
        made.cancel(made.submit({"steps": {"say": {"kind": "echo"}}}).id)
        yield made


@pytest.fixture
def run(api: Api, millrace: Millrace) -> Run:
    environ = {"MILLRACE_URL": api.url, "MILLRACE_API_KEY": api.key}

    def run(*arguments: str) -> Result:
        result = CliRunner(env=environ).invoke(cli, ["audit", *arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


def test_it_explains_itself_with_an_example(run: Run) -> None:
    assert "  millrace audit --action queue" in run("--help").stdout


def test_what_was_done_is_listed_newest_first(run: Run, api: Api, millrace: Millrace) -> None:
    result = run()
    title, newest, before = result.stdout.splitlines()
    assert (result.exit_code, title.split()) == (0, ["when", "action", "of", "by", "from", "what"])
    cancel, secret = millrace.audit.all()
    assert newest.split()[:4] == [cancel.at.isoformat(timespec="seconds"), "job.cancel", cancel.target, cancel.key]
    assert before.split()[1:5] == ["secret.create", "crm", secret.key, secret.address]
    assert api.key.startswith(str(secret.key).rstrip("…"))
    assert (secret.via, secret.by, secret.raw["id"]) == ("key", None, secret.id)
    assert "tok-5f1e90c7ab" not in result.stdout


def test_a_noun_or_an_action_is_chosen_and_a_document_printed_on_each_line(run: Run, millrace: Millrace) -> None:
    assert [one.action for one in millrace.audit.all("secret")] == ["secret.create"]
    [line] = run("--action", "job.cancel", "--json").stdout.splitlines()
    assert json.loads(line) == next(millrace.audit.all("job.cancel")).raw
    assert len(run("--limit", "1").stdout.splitlines()) == 2


def test_nothing_is_said_to_be_nothing(run: Run) -> None:
    result = run("--action", "webhook")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "There is nothing of webhook.\n")
