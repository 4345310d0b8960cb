"""`millrace queues` and `millrace pools`: what there is to do, how many do it, and why."""

import json
from collections.abc import Callable, Iterator, Mapping

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from api.cli import pools as pools_command
from api.cli import queues as queues_command
from api.cli.commands import cli
from api.cli.tables import lasting
from api.client import Millrace
from deploy.local.servers import Urls
from storage.tenants import create_key, ensure
from tests.api.deciding import decide, grow_old, serve
from tests.api.started import Api, api_here
from tests.documents import CHAIN, put_in, taken

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def api(servers: Urls, template_database: str, s3_env: Mapping[str, str]) -> Iterator[Api]:
    with api_here(servers, template_database, s3_env) as started:
        yield started


@pytest.fixture
def run(api: Api) -> Run:
    """The command line with an operator's key."""
    environ = {"MILLRACE_URL": api.url, "MILLRACE_API_KEY": api.another_key("jobs:read", "operate")}

    def run(*arguments: str) -> Result:
        result = CliRunner(env=environ).invoke(cli, arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


def cells(result: Result) -> list[list[str]]:
    assert (result.exit_code, result.stderr) == (0, "")
    return [line.split() for line in result.stdout.splitlines()]


@pytest.mark.parametrize("command", ["queues", "pools"])
def test_every_command_explains_itself_with_an_example(run: Run, command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"  millrace {command}" in result.stdout
    assert command in run("--help").stdout


def test_before_any_scaler_ran_that_is_said(run: Run) -> None:
    result = run("pools")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "No scaler has decided anything yet.\n")
    missing = run("pools", "images")
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert missing.stderr == "error: there is no such pool; no scaler has decided about any yet (not_found)\n"


def test_queues_show_what_there_is_to_do(run: Run, api: Api) -> None:
    tenant = api.tenant_id
    job = put_in(api.database, tenant, {**CHAIN, "priority": "high"})
    api.end(taken(api.database, tenant, job, "first"))
    taken(api.database, tenant, put_in(api.database, tenant, CHAIN), "first")
    serve(api.database, "default", slots=4)
    head, *rows = cells(run("queues"))
    assert head == ["queue", "runnable", "running", "later", "oldest", "in/s", "out/s", "mean", "p95", "slots", "state"]
    assert [row[0] for row in rows] == ["images", "ai", "calls", "default"]
    assert rows[0] == ["images", "0", "0", "0", "0.00", "0.00", "0", "running"]
    busy = rows[3]
    assert (busy[1:4], busy[5], busy[-2:]) == (["1", "1", "0"], "s", ["4", "running"])
    head, *rows = cells(run("queues", "--by-priority"))
    assert head[:3] == ["queue", "priority", "runnable"]
    assert [row[:4] for row in rows[9:]] == [
        ["default", "high", "1", "0"],
        ["default", "normal", "0", "1"],
        ["default", "low", "0", "0"],
    ]
    documents = [json.loads(line) for line in run("queues", "--json").stdout.splitlines()]
    assert [document["load"]["runnable"] for document in documents] == [0, 0, 0, 1]


@pytest.mark.parametrize("option", [(), ("--by-priority",)])
def test_without_the_scope_operate_queues_have_no_numbers(run: Run, api: Api, option: tuple[str, ...]) -> None:
    result = run("--key", api.key, "queues", *option)
    assert (result.exit_code, result.stderr) == (0, "The numbers are for keys with the scope operate:read.\n")
    rows = [line.split() for line in result.stdout.splitlines()[1:]]
    assert rows == ([] if option else [[name, "running"] for name in ("images", "ai", "calls", "default")])


def test_pools_show_what_was_decided_when_and_why(run: Run, api: Api) -> None:
    decide(api.database)
    decide(api.database, "ai", replicas=2, wanted=2, dry_run=True)
    grow_old(api.database, "ai", 300)
    result = run("pools")
    head, ai, images = cells(result)
    assert head == ["pool", "replicas", "wanted", "min-max", "when", "why"]
    assert ai[:8] == ["ai", "2", "2", "1-10", "stale:", "5", "min", "ago"]
    assert result.stdout.splitlines()[1].endswith("2 → 2: 12 runnable, 5 a replica (dry run)")
    assert (images[:4], images[5:7]) == (["images", "1", "3", "1-10"], ["s", "ago"])
    documents = [json.loads(line) for line in run("pools", "--json").stdout.splitlines()]
    assert [document["stale"] for document in documents] == [True, False]


def test_a_pool_shows_its_last_decisions_newest_first(run: Run, api: Api) -> None:
    for wanted in (2, 3, 4):
        decide(api.database, "calls", wanted=wanted, reason=f"1 → {wanted}: \x1b[2J")
    head, *rows = run("pools", "calls", "--limit", "2").stdout.splitlines()
    assert head.split() == ["when", "what"]
    assert [row.partition("  ")[2] for row in rows] == ["1 → 4: ?[2J", "1 → 3: ?[2J"]
    assert all(row.startswith("2") for row in rows)
    assert len(run("pools", "calls", "--json").stdout.splitlines()) == 3
    decide(api.database, "default", replicas=1, wanted=1)
    assert run("pools", "default").stderr == "Its replicas have not been changed yet.\n"


def test_what_is_refused_is_one_line(run: Run, api: Api) -> None:
    decide(api.database)
    wrong = run("pools", "imags")
    assert (wrong.exit_code, wrong.stdout) == (1, "")
    assert wrong.stderr.startswith("error: there is no such pool; there are: ")
    refused = run("--key", api.key, "pools")
    said = "error: this API key lacks the scope operate:read (scope_missing)\n"
    assert (refused.exit_code, refused.stderr) == (1, said)
    assert "not the name of a pool" in run("pools", "../x").stderr
    for arguments in (("pools", "--limit", "3"), ("pools", "images", "--limit", "0")):
        assert run(*arguments).exit_code == 2


def test_the_table_of_queues_fits_a_terminal_of_eighty_columns(run: Run, api: Api) -> None:
    console = Console(width=80, force_terminal=True, color_system=None)
    with Millrace(api.url, api.another_key("jobs:read", "operate")) as client, console.capture() as shown:
        queues_command.show(console, client.queues())
        pools_command.show(console, client.pools())
    assert "…" not in shown.get()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "0.00 s"),
        (9.99, "9.99 s"),
        (9.999, "10 s"),
        (119, "119 s"),
        (130, "2 min"),
        (9000, "2 h"),
        (200_000, "2 d"),
    ],
)
def test_lengths_of_time_are_short(seconds: float, words: str) -> None:
    assert lasting(seconds) == words


def test_an_operator_sees_and_changes_what_another_tenant_has(run: Run, api: Api) -> None:
    with api.database.platform() as tx:
        key = create_key(tx, ensure(tx, "acme & sons"), ["jobs:write"])
    with Millrace(api.url, key) as theirs:
        job = theirs.submit({"steps": {"hello": {"kind": "echo", "message": "hi"}}})
    assert job.id not in run("jobs").stdout
    assert job.id in run("--tenant", "acme & sons", "jobs", "--limit", "1").stdout
    assert run("--tenant", "acme & sons", "cancel", job.id).exit_code == 0
    nobody = run("--tenant", "nobody", "jobs")
    assert (nobody.exit_code, nobody.stderr) == (1, "error: there is no such tenant (not_found)\n")
    alone = run("--tenant", "acme & sons", "secrets")
    assert (alone.exit_code, "only the tenant itself" in alone.stderr) == (1, True)
