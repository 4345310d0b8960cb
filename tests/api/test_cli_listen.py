"""`millrace listen`: what webhooks would be sent comes to a developer's machine, whatever breaks in between."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from queue import SimpleQueue

import pytest
from click.testing import CliRunner
from standardwebhooks import Webhook

from api.cli import listen as listen_command
from api.cli.commands import cli
from api.cli.listen import Forwarder
from api.client import ApiError, Millrace, MillraceError
from api.client.webhook_listening import Interrupted, Listening, Message, News
from storage import listeners
from tests.api import sink as platform
from tests.api.conftest import Api
from tests.api.hearing import ended, gone_for
from tests.api.started import CutWire
from tests.api.working import start, succeed
from tests.documents import put_in
from tests.sink import Answer, sink
from tests.waiting import until

SECONDS = 15.0


class Listener:
    """A running `millrace listen`; its lines are read as they come."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.told: list[str] = []  # on standard error, so far
        self._out: SimpleQueue[str] = SimpleQueue()
        self._heard = threading.Event()
        for target in (self._read_out, self._read_err):
            threading.Thread(target=target, daemon=True).start()

    def line(self) -> str:
        """The next line of standard output."""
        return self._out.get(timeout=SECONDS)

    def listens(self) -> None:
        """Wait until the platform tells what happens."""
        assert self._heard.wait(SECONDS), self.told

    def secret(self) -> str:
        return next(line for line in self.told if line.startswith("Signed with: ")).removeprefix("Signed with: ")

    def interrupt(self) -> tuple[int, float]:
        """Press Ctrl-C; the exit status and how many seconds it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(SECONDS), time.monotonic() - began

    def _read_out(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._out.put(line.rstrip("\n"))

    def _read_err(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.told.append(line.rstrip("\n"))
            if line.startswith("listening"):
                self._heard.set()


@contextlib.contextmanager
def listener(api: Api, *arguments: str, key: str | None = None) -> Iterator[Listener]:
    """Start it and wait until it listens."""
    process = subprocess.Popen(
        [sys.executable, "-m", "api.cli", "listen", *arguments],
        env={"PATH": os.environ["PATH"], "MILLRACE_URL": api.url, "MILLRACE_API_KEY": key or api.acme.key},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            made = Listener(process)
            made.listens()
            yield made
        finally:
            process.kill()


@pytest.fixture
def millrace(api: Api) -> Iterator[Millrace]:
    with Millrace(api.url, api.acme.key) as made:
        yield made


def test_a_local_server_is_sent_the_very_bytes_and_the_reference_verifier_accepts_them(api: Api) -> None:
    with sink() as local, listener(api, "--forward", local.url) as running:
        job_id = ended(api)
        at, kind, told, status, milliseconds, unit = running.line().split()
        assert (kind, told, status, unit) == ("job.succeeded", job_id, "200", "ms")
        assert at.count(":") == 2
        assert int(milliseconds) >= 0
        (got,) = local.received
        assert Webhook(running.secret()).verify(got.body, dict(got.headers))["data"]["id"] == job_id
        assert got.method == "POST"
        assert got.headers["content-type"] == "application/json"
        assert running.interrupt()[0] == 0


def test_ctrl_c_ends_it_at_once_whatever_it_waits_for(api: Api) -> None:
    with listener(api) as running:
        status, seconds = running.interrupt()
        assert (status, seconds < 5) == (0, True)
    may_go_on = threading.Event()
    with sink() as local, listener(api, "--forward", local.url) as running:
        local.answers = [Answer(hang=may_go_on)]
        ended(api)
        until(lambda: local.received)
        status, seconds = running.interrupt()
        may_go_on.set()
        assert (status, seconds < 5) == (0, True)


def test_for_machines_each_message_is_a_line_of_json(api: Api) -> None:
    with sink() as local, listener(api, "--forward", local.url, "--event", "step.succeeded", "--json") as running:
        local.answers = [Answer(status=500)]
        job_id = ended(api)
        told = json.loads(running.line())
        assert (told["type"], told["job"]) == ("step.succeeded", job_id)
        assert told["body"].encode() == local.received[0].body
        assert (told["answer"]["status"], told["answer"]["error"]) == (500, None)
        Webhook(running.secret()).verify(told["body"], told["headers"])
    with listener(api, "--json") as running:
        ended(api)
        assert json.loads(running.line())["answer"] is None


def test_a_local_server_that_is_not_there_or_sends_elsewhere_is_told_and_it_goes_on(api: Api) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        nowhere = f"http://127.0.0.1:{free.getsockname()[1]}/hook"
    with listener(api, "--forward", nowhere) as running:
        for _ in range(2):
            job_id = ended(api)
            assert f"{job_id}  nobody is there" in running.line()
    with sink() as local, listener(api, "--forward", local.url) as running:
        local.answers = [Answer(status=307, headers={"Location": f"{local.url}/elsewhere"}), Answer()]
        ended(api)
        assert "  307  " in running.line()
        ended(api)
        assert "  200  " in running.line()
        assert [one.path for one in local.received] == ["/hook", "/hook"]


def test_a_key_that_may_only_read_listens_and_is_told_why_no_secret_is_shown(api: Api) -> None:
    with listener(api, key=api.key(api.acme, "jobs:read")) as running:
        assert "lacks the scope jobs:write" in running.secret()
        job_id = ended(api)
        assert job_id in running.line()


@pytest.mark.parametrize("url", ["localhost:3000", "ftp://localhost/", "http://", "http://[::1", "http://localhost:0"])
def test_what_is_no_url_is_refused(url: str) -> None:
    result = CliRunner().invoke(cli, ["listen", "--forward", url])
    assert result.exit_code == 2
    assert "is no http or https URL" in result.stderr


def test_it_explains_itself_with_examples() -> None:
    result = CliRunner().invoke(cli, ["listen", "--help"])
    assert "millrace listen --forward http://localhost:3000/hook" in result.stdout


def test_a_limit_is_an_error_that_says_what_to_do(api: Api, millrace: Millrace) -> None:
    with contextlib.ExitStack() as clients:
        for _ in range(listeners.MOST):
            client = clients.enter_context(Millrace(api.url, api.acme.key))
            assert isinstance(next(client.webhooks.listen()), Listening)
        with pytest.raises(ApiError, match="one that has gone counts for a minute") as refused:
            next(millrace.webhooks.listen())
        assert refused.value.code == "too_many_listeners"


def test_a_connection_that_breaks_within_a_message_is_made_again_and_loses_none(api: Api) -> None:
    with CutWire(api.url, [1500, None]) as wire, Millrace(wire.url, api.acme.key) as client:
        news = client.webhooks.listen()
        first = next(news)
        job_ids = [ended(api) for _ in range(5)]
        told: list[News] = []
        while len([one for one in told if isinstance(one, Message)]) < len(job_ids):
            told.append(next(news))
        assert [one.job for one in told if isinstance(one, Message)] == job_ids
        assert [one for one in told if isinstance(one, Listening)] == [first]
        assert len([one for one in told if isinstance(one, Interrupted)]) == 1
        assert wire.connections == 2


def test_a_large_message_with_odd_ends_of_lines_comes_whole(api: Api, millrace: Millrace) -> None:
    news = millrace.webhooks.listen()
    next(news)
    job = put_in(api.database, api.acme.tenant)
    succeed(api, start(api, job), {"text": "é\u2028\u0085\r\n" * 70_000})
    told = next(news)
    assert isinstance(told, Message)
    assert len(told.body.encode()) > 700_000
    Webhook(millrace.webhooks.signing_secrets()[0]).verify(told.body, told.headers)


def test_who_was_away_for_too_long_is_told_that_something_was_missed(api: Api, millrace: Millrace) -> None:
    news = millrace.webhooks.listen()
    assert next(news) == Listening(listener=str(next_listener(api)), missed=False)
    gone_for(api, 1)
    ended(api)
    with Millrace(api.url, api.acme.key) as other:
        other_news = other.webhooks.listen()  # whose messages wake both streams
        next(other_news)
        ended(api)
        assert isinstance(next(news), Interrupted)
    back = next(news)
    assert isinstance(back, Listening)
    assert back.missed


def test_a_platform_that_is_away_is_asked_again_with_a_growing_pause(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    paused: list[float] = []
    monkeypatch.setattr("api.client.webhook_listening.time.sleep", paused.append)
    away = platform.answer("503 Service Unavailable", b"{}", "Retry-After: 7")
    with platform.sink([away, away, away, platform.answer("200 OK", b"", "Content-Type: text/event-stream")]) as there:
        with Millrace(there.url, "mk_x") as client:
            news = client.webhooks.listen()
            told = [next(news) for _ in range(8)]
        assert all(isinstance(one, Interrupted) for one in told)
        assert paused == [7, 7, 7, 4, 8, 16, 30]


def test_what_is_not_the_platforms_stream_is_an_error(api: Api) -> None:
    strange = platform.answer("200 OK", b"event: hello\ndata: {}\n\n", "Content-Type: text/event-stream")
    with (
        platform.sink([strange]) as there,
        Millrace(there.url, "mk_x") as client,
        pytest.raises(MillraceError, match="is the URL right"),
    ):
        next(client.webhooks.listen())


def test_a_local_server_that_does_not_answer_in_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen_command, "TIMEOUT_SECONDS", 0.2)
    may_go_on = threading.Event()
    message = Message(type="job.succeeded", job="job_1", headers={"content-type": "application/json"}, body="{}")
    with sink() as local, contextlib.closing(Forwarder(local.url)) as forwarder:
        local.answers = [Answer(hang=may_go_on), Answer()]
        answered = forwarder.post(message)
        may_go_on.set()
        assert (answered.status, answered.error) == (None, "no answer within 0.2 s")
        assert forwarder.post(message).status == 200


def next_listener(api: Api) -> str:
    """The id of acme's only listener."""
    with api.database.read(api.acme.tenant) as tx:
        found: str = tx.sql("SELECT id FROM webhook_endpoints WHERE tenant_id = %(tenant)s").scalar_one()
        return found
