"""`millrace secrets` and `Millrace.secrets`, against a real API process."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping

import pytest
from click.testing import CliRunner, Result

from api.cli.commands import cli
from api.client import ApiError, Millrace, MillraceError
from deploy.local.servers import Urls
from storage import secrets
from storage.sealing import Keyring
from tests.api.serving import SECRET_KEY
from tests.api.started import Api, CutWire, api_here

TOKEN = "tok-5f1e90c7ab"
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def api(servers: Urls, template_database: str, s3_env: Mapping[str, str]) -> Iterator[Api]:
    with api_here(servers, template_database, s3_env, SECRET_KEY=SECRET_KEY) as started:
        yield started


@pytest.fixture
def millrace(api: Api) -> Iterator[Millrace]:
    with Millrace(api.url, api.key) as made:
        for one in list(made.secrets.all()):
            made.secrets.delete(one.name)
        yield made


@pytest.fixture
def run(api: Api, millrace: Millrace) -> Run:
    """The command line after `millrace secrets`, before a platform without any."""
    environ = {"MILLRACE_URL": api.url, "MILLRACE_API_KEY": api.key}

    def run(*arguments: str, typed: str | bytes = "") -> Result:
        result = CliRunner(env=environ).invoke(cli, ["secrets", *arguments], input=typed)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert TOKEN not in result.output
        return result

    return run


def kept(api: Api, *names: str) -> dict[str, str]:
    with api.database.read(api.tenant_id) as tx:
        return secrets.opened(tx, Keyring([SECRET_KEY]), names)


@pytest.mark.parametrize("command", ["list", "set", "delete"])
def test_every_command_explains_itself_with_an_example(run: Run, command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"  millrace secrets {command}" in result.stdout
    assert command in run("--help").stdout


def test_a_value_is_read_from_standard_input_without_the_line_break_at_its_end(run: Run, api: Api) -> None:
    for number, typed in enumerate((TOKEN, f"{TOKEN}\n", f"{TOKEN}\r\n"), start=1):
        assert run("set", "crm", typed=typed).stdout == f"crm  version {number}\n"
        assert kept(api, "crm") == {"crm": TOKEN}


@pytest.mark.parametrize("typed", ["", "\n"])
def test_nothing_on_standard_input_is_no_value(run: Run, millrace: Millrace, typed: str) -> None:
    result = run("set", "crm", typed=typed)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "nothing came" in result.stderr
    assert list(millrace.secrets.all()) == []


def test_a_value_is_no_argument(run: Run, millrace: Millrace) -> None:
    result = run("set", "crm", "hush")
    assert result.exit_code == 2
    assert list(millrace.secrets.all()) == []


@pytest.mark.parametrize("typed", [f"{TOKEN}\nmore", f" {TOKEN}", f"{TOKEN}\n\n", "ä", "x" * 9000, "x" * 100_000])
def test_a_value_that_no_header_carries_is_refused_and_not_shown(run: Run, millrace: Millrace, typed: str) -> None:
    result = run("set", "crm", typed=typed)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
    assert list(millrace.secrets.all()) == []


def test_bytes_that_are_no_text_are_no_value(run: Run, millrace: Millrace) -> None:
    result = run("set", "crm", typed=b"\xff\xfe")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "error: the value is no text in UTF-8\n")
    assert list(millrace.secrets.all()) == []


def test_secrets_are_listed_without_their_values(run: Run, millrace: Millrace) -> None:
    assert run().stderr == "There are no secrets.\n"
    millrace.secrets.put("erp", TOKEN)
    for _ in range(2):
        crm = millrace.secrets.put("crm", TOKEN)
    head, *lines = run("list").stdout.splitlines()
    assert head.split() == ["secret", "version", "changed"]
    assert [line.split()[:2] for line in lines] == [["crm", "2"], ["erp", "1"]]
    first, _ = (json.loads(line) for line in run("list", "--json").stdout.splitlines())
    assert first == crm.raw


def test_a_secret_is_deleted(run: Run, millrace: Millrace) -> None:
    millrace.secrets.put("crm", TOKEN)
    assert run("delete", "crm").stdout == "crm  deleted\n"
    assert list(millrace.secrets.all()) == []


@pytest.mark.parametrize("arguments", [("delete", "gone"), ("delete", "../jobs"), ("set", "../jobs"), ("set", "Crm")])
def test_a_name_that_is_none_is_told_and_changes_nothing(
    run: Run, millrace: Millrace, arguments: tuple[str, ...]
) -> None:
    result = run(*arguments, typed=TOKEN)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
    assert list(millrace.secrets.all()) == []


def test_on_a_terminal_the_value_is_asked_for_and_not_shown(api: Api, millrace: Millrace) -> None:
    terminal, theirs = pty.openpty()
    environ = {**os.environ, "MILLRACE_URL": api.url, "MILLRACE_API_KEY": api.key}
    asking = subprocess.Popen(
        [sys.executable, "-m", "api.cli", "secrets", "set", "crm"],
        env=environ,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    while b"Value of crm: " not in shown:  # by then nothing is echoed any more
        shown += os.read(terminal, 1000)
    os.write(terminal, f"{TOKEN}\n".encode())
    while b"version" not in shown:
        shown += os.read(terminal, 1000)
    assert asking.wait(60) == 0
    os.close(terminal)
    assert TOKEN.encode() not in shown
    assert b"crm  version 1" in shown
    assert kept(api, "crm") == {"crm": TOKEN}


def test_the_client_keeps_lists_and_forgets(api: Api, millrace: Millrace) -> None:
    names = [f"n{number:03}" for number in range(105)]  # more than a page
    made = [millrace.secrets.put(name, TOKEN) for name in names]
    assert list(millrace.secrets.all()) == made
    assert [one.name for one in millrace.secrets.all(limit=3)] == names[:3]
    assert millrace.secrets.get("n007") == made[7]
    millrace.secrets.delete("n007")
    with pytest.raises(ApiError) as gone:
        millrace.secrets.delete("n007")
    assert (gone.value.status, gone.value.code) == (404, "not_found")
    with pytest.raises(MillraceError, match="is not the name of a secret"):
        millrace.secrets.put("a/b", TOKEN)
    assert TOKEN not in repr(made)


def test_a_value_is_put_again_where_the_answer_was_lost(api: Api, millrace: Millrace) -> None:
    with CutWire(api.url, [0, None]) as wire, Millrace(wire.url, api.key) as cut:
        assert cut.secrets.put("crm", TOKEN).version == 2  # it was put the first time, too
    assert kept(api, "crm") == {"crm": TOKEN}


def test_a_refusal_names_the_place_and_not_the_value(millrace: Millrace) -> None:
    with pytest.raises(ApiError) as refused:
        millrace.secrets.put("crm", f"{TOKEN}\n")
    assert refused.value.code == "invalid_request"
    assert "/value: must be ASCII characters" in str(refused.value)
    assert TOKEN not in str(refused.value)
