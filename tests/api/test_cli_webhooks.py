"""`millrace webhooks`, against a real API process; the part of the loop that delivers is done by hand."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from api.cli.commands import cli
from api.client import Millrace, Webhook
from deploy.local.servers import Urls
from tests.api.hooked import HOOK, OWN_SECRET, try_all
from tests.api.serving import SECRET_KEY
from tests.api.started import Api, api_here
from tests.waiting import until

URL = HOOK["url"]
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def api(servers: Urls, template_database: str, s3_env: Mapping[str, str]) -> Iterator[Api]:
    with api_here(servers, template_database, s3_env, SECRET_KEY=SECRET_KEY) as started:
        yield started


@pytest.fixture
def run(api: Api) -> Run:
    """The command line after `millrace webhooks`."""
    environ = {"MILLRACE_URL": api.url, "MILLRACE_API_KEY": api.key}

    def run(*arguments: str | Path, typed: str = "") -> Result:
        words = ["webhooks", *(str(argument) for argument in arguments)]
        result = CliRunner(env=environ).invoke(cli, words, input=typed)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


@pytest.fixture
def millrace(api: Api) -> Iterator[Millrace]:
    with Millrace(api.url, api.key) as made:
        for one in made.webhooks.list():
            made.webhooks.delete(one.id)
        yield made


@pytest.fixture
def hook(millrace: Millrace) -> Webhook:
    return millrace.webhooks.create(URL, description="the shop")


def cancel_one(millrace: Millrace) -> str:
    return millrace.cancel(millrace.submit({"steps": {"say": {"kind": "echo"}}}).id).id


COMMANDS = ["list", "show", "create", "update", "delete", "rotate", "test", "deliveries", "delivery", "redeliver"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(run: Run, command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"  millrace webhooks {command}" in result.stdout
    assert command in run("--help").stdout


WRONG: list[tuple[tuple[str, ...], str]] = [
    (("create",), "Missing argument"),
    (("create", URL, "--event", "job.done"), "'job.done' is not one of"),
    (("update", "whe_x"), "Nothing to change"),
    (("deliveries", "whe_x", "--state", "lost"), "'lost' is not one of"),
    (("redeliver", "whe_x"), "Give a DELIVERY"),
    (("redeliver", "whe_x", "dlv_x", "--since", "2026-01-01T00:00:00Z"), "Give a DELIVERY"),
    (("redeliver", "whe_x", "dlv_x", "--state", "any"), "goes with --since"),
    (("redeliver", "job_x", "--since", "2026-01-01T00:00:00Z"), "goes with a WEBHOOK"),
]


@pytest.mark.parametrize(("arguments", "says"), WRONG)
def test_a_wrong_command_line_is_exit_status_2(run: Run, arguments: tuple[str, ...], says: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert says in result.stderr


def test_what_is_told_of_a_job_is_shown_and_sent_again(run: Run, millrace: Millrace, hook: Webhook) -> None:
    job = cancel_one(millrace)
    (told,) = millrace.webhooks.of_job(job)
    assert told.id in run("deliveries", job).stdout
    assert json.loads(run("delivery", job, told.id).stdout) == {**told.raw, "payload": None}
    assert run("redeliver", job, told.id).stdout == f"{told.id}  is sent again\n"


def test_a_webhook_is_made_and_its_secret_printed_once(run: Run, millrace: Millrace) -> None:
    result = run(
        "create", URL, "--event", "job.failed", "--event", "step.succeeded", "--description", "the\x1b[2J shop"
    )
    assert (result.exit_code, result.stderr) == (0, "")
    (made,) = millrace.webhooks.list()
    assert made.events == ("job.failed", "step.succeeded")
    assert f"{made.id}  enabled\n{URL}\nthe?[2J shop\n" in result.stdout
    assert "  secret: whsec_" in result.stdout
    shown = run("show", made.id).stdout
    assert shown == result.stdout[: result.stdout.index("  secret:")]
    assert json.loads(run("show", made.id, "--json").stdout) == made.raw


def test_ones_own_secret_comes_from_a_file_and_not_from_the_command_line(
    run: Run, millrace: Millrace, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text(f"{OWN_SECRET}\n")
    made = json.loads(
        run("create", URL, "--secret-file", tmp_path / "secret", "--ed25519", "--disabled", "--json").stdout
    )
    assert (made["secret"], made["enabled"]) == (OWN_SECRET, False)
    assert f"  public key: {made['public_key']}\n" in run("show", made["id"]).stdout
    assert "disabled by its owner" in run("show", made["id"]).stdout
    odd = run("create", URL, "--secret-file", "-", typed="whsec_hush")
    assert (odd.exit_code, odd.stdout) == (1, "")
    assert "\n  /secret: " in odd.stderr
    assert "hush" not in odd.stderr


def test_webhooks_are_listed(run: Run, millrace: Millrace) -> None:
    assert run().stderr == "There are no webhooks.\n"
    hook, other = millrace.webhooks.create(URL), millrace.webhooks.create("https://b.example/", enabled=False)
    head, *lines = run("list").stdout.splitlines()
    assert head.split() == ["webhook", "state", "delivered", "url", "description", "events"]
    assert [line.split()[:2] for line in lines] == [[other.id, "disabled"], [hook.id, "enabled"]]
    assert [json.loads(line)["id"] for line in run("list", "--json").stdout.splitlines()] == [other.id, hook.id]


def test_a_webhook_is_changed_rotated_and_deleted(run: Run, millrace: Millrace, hook: Webhook) -> None:
    assert (
        run("update", hook.id, "--url", "https://shop.example/v2", "--event", "job.failed", "--disable").exit_code == 0
    )
    now = millrace.webhooks.get(hook.id)
    assert (now.url, now.events, now.enabled, now.description) == (
        *("https://shop.example/v2", ("job.failed",), False),
        "the shop",
    )
    assert f"{hook.id}  enabled" in run("update", hook.id, "--enable", "--description", "").stdout
    rotated = run("rotate", hook.id)
    assert rotated.stdout.startswith("whsec_")
    assert "The one before signs as well until " in rotated.stderr
    assert run("rotate", hook.id, "--at-once").stderr == ""
    assert json.loads(run("rotate", hook.id, "--json").stdout)["secret"].startswith("whsec_")
    assert run("delete", hook.id).stdout == f"{hook.id}  deleted\n"
    assert list(millrace.webhooks.list()) == []


@pytest.mark.parametrize("command", [("show",), ("delete",), ("rotate",), ("test",), ("deliveries",)])
@pytest.mark.parametrize("which", ["whe_01m81xfwczevz8kg5rcf2w0d65", "../jobs"])
def test_a_webhook_that_is_not_there_is_one_line(run: Run, command: tuple[str, ...], which: str) -> None:
    result = run(*command, which)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("status", "exit_code", "says"),
    [(204, 0, "it answered 204 after 0.25 s"), (None, 1, "shop.example does not answer after 0.25 s")],
)
def test_a_test_says_what_the_endpoint_answered(
    run: Run, api: Api, millrace: Millrace, hook: Webhook, status: int | None, exit_code: int, says: str
) -> None:
    def deliver() -> None:
        until(lambda: try_all(api.database, api.tenant_id, hook.id, status=status, again_in_seconds=60))

    delivering = threading.Thread(target=deliver)
    delivering.start()
    result = run("test", hook.id)
    delivering.join()
    (sent,) = millrace.webhooks.deliveries(hook.id)
    assert (result.exit_code, result.stdout) == (exit_code, f"{sent.id}  {says}\n")


def test_a_test_that_nobody_delivers_is_not_waited_for_for_ever(run: Run, hook: Webhook) -> None:
    result = run("test", hook.id, "--wait", "0")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "has not been tried within 0 s" in result.stderr


def test_deliveries_are_listed_and_sent_again(run: Run, api: Api, millrace: Millrace, hook: Webhook) -> None:
    assert run("deliveries", hook.id, "--state", "failed").stderr == "There are no failed deliveries.\n"
    jobs = [cancel_one(millrace) for _ in range(2)]
    try_all(api.database, api.tenant_id, hook.id, status=500)
    head, *lines = run("deliveries", hook.id).stdout.splitlines()
    assert head.split() == ["delivery", "type", "state", "happened", "tries", "next", "job", "last", "answer"]
    assert [line.split()[2] for line in lines] == ["failed", "failed"]
    assert jobs[1] in lines[0]
    assert lines[0].endswith("it answered 500 after 0.25 s")
    first, second = (json.loads(line) for line in run("deliveries", hook.id, "--json").stdout.splitlines())
    assert run("redeliver", hook.id, first["id"]).stdout == f"{first['id']}  is sent again\n"
    since = ("redeliver", hook.id, "--since", second["happened_at"])
    assert run(*since).stdout == "1 delivery is sent again\n"
    assert run(*since).stdout == "0 deliveries are sent again\n"
    assert [line.split()[2] for line in run("deliveries", hook.id).stdout.splitlines()[1:]] == ["pending"] * 2
    assert "\n  /since: " in run("redeliver", hook.id, "--since", "yesterday").stderr


def test_all_that_failed_is_sent_again_however_many_there_are(run: Run, api: Api, hook: Webhook) -> None:
    with api.database.begin(api.tenant_id) as tx:
        tx.sql(
            "INSERT INTO deliveries (tenant_id, id, endpoint_id, lane, type, message_id, state, ended_at)"
            " SELECT %(tenant)s, new_typeid('dlv'), %(hook)s, %(hook)s, 'webhook.test', 'msg_' || n, state, now()"
            " FROM generate_series(1, 1001) AS n, unnest(ARRAY['failed', 'delivered']) AS state",
            hook=hook.id,
        )
    since = ("redeliver", hook.id, "--since", "2026-01-01T00:00:00Z")
    failed = run(*since)
    assert (failed.stdout, failed.stderr) == ("1001 deliveries are sent again\n", "")
    delivered = run(*since, "--state", "delivered")
    assert delivered.stdout == "1000 deliveries are sent again\n"
    assert "ask for the rest with a later --since" in delivered.stderr
