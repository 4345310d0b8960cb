"""`millrace top`: once, live on a terminal, and what it does when something cannot be had."""

import io
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from fcntl import ioctl

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from api.cli import top, top_view
from api.cli.commands import cli
from api.client import Millrace, connection
from deploy.local.servers import Urls
from tests.api.deciding import decide, serve
from tests.api.started import Api, started_api
from tests.documents import put_in, taken

OPERATE = ("jobs:read", "jobs:write", "operate")


@pytest.fixture(scope="module")
def api(servers: Urls, template_database: str, s3_env: Mapping[str, str]) -> Iterator[Api]:
    with started_api(servers, template_database, s3_env) as started:
        decide(started.database, replicas=1, wanted=3)
        serve(started.database, "default", slots=4)
        put_in(started.database, started.tenant_id)
        job = put_in(started.database, started.tenant_id)
        taken(started.database, started.tenant_id, job, "say", worker="images@default", lease_seconds=600)
        started.fail(put_in(started.database, started.tenant_id).id, "the cat sat on it")
        yield started


@pytest.fixture
def run(api: Api) -> Callable[..., Result]:
    def run(*scopes: str) -> Result:
        environ = {"MILLRACE_URL": api.url, "MILLRACE_API_KEY": api.another_key(*scopes)}
        return CliRunner(env=environ).invoke(cli, ["top", "--once"])

    return run


def test_once_it_prints_queues_pools_workers_and_dead_letters_in_plain_lines(
    api: Api, run: Callable[..., Result]
) -> None:
    told = run(*OPERATE)
    assert (told.exit_code, told.stderr) == (0, "")
    blocks = [block.splitlines() for block in told.stdout.split("\n\n")]
    sections = {block[0]: {line.split()[0]: line.split() for line in block[2:]} for block in blocks[1:]}
    assert blocks[0][0].split()[1:3] == [api.url, "stuck"]
    assert "relay" in sections["stuck"], "there is no scheduler"
    assert sections["queues"]["default"][1:4] == ["1", "1", "0"], "runnable, running, and later"
    assert sections["pools"]["images"][1:4] == ["1", "3", "1-10"]
    (worker,) = sections["workers"].values()
    assert (worker[1], worker[4:6], worker[-1]) == ("1/4", ["echo", "0%"], "acme")
    assert sections["your dead letters"]["echo"][1:3] == ["broken", "1"]


def test_a_key_that_may_not_watch_sees_what_is_its_own(run: Callable[..., Result]) -> None:
    told = run("jobs:read")
    assert (told.exit_code, told.stderr) == (0, "")
    assert "default" in told.stdout
    assert "the cat sat on it" in told.stdout
    assert "pools" not in told.stdout


def test_where_nobody_answers_it_says_so_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "TRY_AGAIN_AFTER", ())
    environ = {"MILLRACE_URL": "http://127.0.0.1:1", "MILLRACE_API_KEY": "mk_x"}
    told = CliRunner(env=environ).invoke(cli, ["top", "--once"])
    assert (told.exit_code, told.stdout) == (1, "")
    assert told.stderr.startswith("error: ")


def test_what_cannot_be_had_any_more_stays_as_it_was_and_why_is_told(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "TRY_AGAIN_AFTER", ())
    with Millrace(api.url, api.another_key(*OPERATE)) as client:
        before = top.look(client, None)
    with Millrace("http://127.0.0.1:1", "mk_x") as nobody:
        after = top.look(nobody, before)
    assert (after.queues, after.pools, after.overview) == (before.queues, before.pools, before.overview)
    assert after.missing.keys() == {"queues", "overview", "pools", "workers", "dead"}


def test_on_a_low_screen_the_last_sections_give_way_first(api: Api) -> None:
    with Millrace(api.url, api.another_key(*OPERATE)) as client:
        seen = top.look(client, None)
    many = top_view.Sight(at=datetime.now(UTC), url="x", workers=[*seen.workers] * 50, queues=seen.queues)
    console = Console(width=200, height=30, record=True, force_terminal=True, file=io.StringIO())
    console.print(top_view.screen(many, console))
    lines = console.export_text().splitlines()
    assert len(lines) <= 30
    assert any(re.search(r"workers, \d+ more", line) for line in lines)


def test_live_it_shows_numbers_until_q_is_pressed_and_leaves_the_terminal_as_it_was(api: Api) -> None:
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 140, 0, 0))
    before = termios.tcgetattr(theirs)
    env = {"MILLRACE_URL": api.url, "MILLRACE_API_KEY": api.another_key(*OPERATE), "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "api.cli", "top", "--interval", "0.5"]
    process = subprocess.Popen(command, env={**os.environ, **env}, stdin=theirs, stdout=theirs, stderr=theirs)
    try:
        said = _read_until(ours, lambda text: text.count("acme") >= 2)  # it looked again
        assert "\x1b[?1049h" in said, "on a screen of its own"
        os.write(ours, b"xq")
        _read_until(ours, lambda text: "\x1b[?1049l" in text)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)


def _read_until(terminal: int, is_enough: Callable[[str], bool]) -> str:
    said = ""
    while not is_enough(said):
        ready, _, _ = select.select([terminal], [], [], 20)
        assert ready, f"nothing more came after: {said[-2000:]}"
        said += os.read(terminal, 65_536).decode(errors="replace")
    return said
