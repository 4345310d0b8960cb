"""`millrace templates`, `millrace submit --set` and `Millrace.templates`, against a real API process."""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from api.cli.commands import cli
from api.client import ApiError, Millrace, MillraceError
from deploy.local.servers import Urls
from tests.api.started import Api, api_here

MINE: dict[str, Any] = {
    "description": "Says\x1b[31m hello.",
    "steps": {"say": {"kind": "echo", "message": "hello "}},
    "overrides": {
        "word": {"type": "string", "default": "you", "append": ["/say/message"], "description": "whom"},
        "count": {"type": "integer", "minimum": 1, "maximum": 9, "at": ["/say/sleep_seconds"]},
        "list": {"type": "number", "minimum": 0, "maximum": 9, "max_items": 3, "at": ["/say/data"]},
    },
}
Run = Callable[..., Result]
NAMES = itertools.count(1)


@pytest.fixture(scope="module")
def api(servers: Urls, template_database: str, s3_env: Mapping[str, str]) -> Iterator[Api]:
    with api_here(servers, template_database, s3_env) as started:
        yield started


@pytest.fixture
def millrace(api: Api) -> Iterator[Millrace]:
    with Millrace(api.url, api.key) as made:
        yield made


@pytest.fixture
def name() -> str:
    """Of a template that no other test makes: numbers of versions are not given twice, even after a delete."""
    return f"mine-{next(NAMES)}"


@pytest.fixture
def run(api: Api) -> Run:
    """The command line."""
    environ = {"MILLRACE_URL": api.url, "MILLRACE_API_KEY": api.key}

    def run(*arguments: str, typed: str = "") -> Result:
        result = CliRunner(env=environ).invoke(cli, arguments, input=typed)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


def params(api: Api, job_id: str) -> Any:
    with api.database.read(api.tenant_id) as tx:
        return tx.sql("SELECT params FROM steps WHERE tenant_id = %(tenant)s AND job_id = %(id)s", id=job_id).scalar()


def put(millrace: Millrace, name: str, **said: Any) -> str:
    made = MINE | said
    return millrace.templates.put(name, made["steps"], made["overrides"], description=made["description"]).reference


@pytest.mark.parametrize("command", ["list", "show", "versions", "put", "delete"])
def test_every_command_explains_itself_with_an_example(run: Run, command: str) -> None:
    result = run("templates", command, "--help")
    assert result.exit_code == 0
    assert f"millrace templates {command}" in result.output


def test_a_client_puts_reads_uses_and_deletes_a_template(api: Api, millrace: Millrace, name: str) -> None:
    assert [put(millrace, name), put(millrace, name), put(millrace, name, description="b")] == [
        f"{name}@1",
        f"{name}@1",
        f"{name}@2",
    ]
    first = millrace.templates.get(f"{name}@1")
    assert (first.description, first.steps, first.shipped) == (MINE["description"], MINE["steps"], False)
    assert (first.overrides["list"].is_list, first.overrides["word"].default) == (True, "you")
    assert [one.version for one in millrace.templates.versions(name)] == [2, 1]
    assert {f"{name}@2", "thumbnails@1"} <= {one.reference for one in millrace.templates.all()}
    job = millrace.submit(template=name, overrides={"word": "all"})
    assert (job.template, params(api, job.id)) == (f"{name}@2", {"message": "hello all"})
    millrace.templates.delete(name)
    with pytest.raises(ApiError) as caught:
        millrace.templates.get(name)
    assert caught.value.code == "not_found"


def test_a_client_refuses_what_cannot_be_asked(millrace: Millrace) -> None:
    with pytest.raises(MillraceError, match="not the name of a template"):
        millrace.templates.get("../jobs")
    with pytest.raises(TypeError, match="of a template"):
        millrace.submit({"steps": {}}, overrides={"a": 1})


def test_the_list_says_what_may_be_changed(run: Run, millrace: Millrace, name: str) -> None:
    put(millrace, name)
    said = run("templates").stdout
    [line] = [line for line in said.splitlines() if line.startswith(f"{name}@1")]
    assert "word, count, list" in line
    assert "\x1b" not in said
    assert any(line.startswith("thumbnails@1") for line in said.splitlines())
    documents = [json.loads(line) for line in run("templates", "list", "--json").stdout.splitlines()]
    assert [one["name"] for one in documents] == sorted(one["name"] for one in documents)


def test_a_template_is_shown_with_what_each_change_takes(run: Run, millrace: Millrace, name: str) -> None:
    put(millrace, name)
    put(millrace, name, description="newer")
    said = run("templates", "show", f"{name}@1").stdout
    assert '"message": "hello "' in said
    assert "\x1b" not in said
    rows = {line.split()[0]: line for line in said.splitlines() if line.split()}
    assert ("text" in rows["word"], "you" in rows["word"], "whom" in rows["word"]) == (True, True, True)
    assert "1 to 9" in rows["count"]
    assert "list of 0 to 9" in rows["list"]
    versions = run("templates", "versions", name).stdout.splitlines()
    assert [line.split()[0] for line in versions[1:]] == [f"{name}@2", f"{name}@1"]


def test_what_is_shown_as_json_is_put_under_another_name(run: Run, tmp_path: Path, name: str) -> None:
    file = tmp_path / "mine.json"
    file.write_text(run("templates", "show", "thumbnails", "--json").stdout)
    assert run("templates", "put", name, "--file", str(file)).stdout == f"{name}@1\n"
    assert run("templates", "put", name, typed=file.read_text()).stdout == f"{name}@1\n"
    assert run("templates", "delete", name).stdout == f"{name}  deleted\n"


@pytest.mark.parametrize(
    ("typed", "status", "said"),
    [
        ("[]", 2, "must be a JSON object"),
        ("{}", 2, "has no steps"),
        ('{"steps": {}, "colour": 1}', 2, "has a field 'colour'"),
        ('{"steps": {"a": {"kind": "ecko"}}}', 1, "did you mean 'echo'?"),
    ],
)
def test_a_file_that_is_no_template_is_refused(run: Run, name: str, typed: str, status: int, said: str) -> None:
    result = run("templates", "put", name, typed=typed)
    assert result.exit_code == status
    assert said in result.stderr


def test_set_changes_a_template_by_the_types_that_it_has(
    run: Run, millrace: Millrace, api: Api, photos: Path, name: str
) -> None:
    put(millrace, name)
    settings = ("--set", "word=7", "--set", "count=3", "--set", "list=1,2.5")
    [document] = run("submit", "--template", name, *settings, "--json").stdout.splitlines()
    job = json.loads(document)
    assert (job["template"], params(api, job["id"])) == (
        f"{name}@1",
        {"message": "hello 7", "sleep_seconds": 3, "data": [1, 2.5]},
    )
    photo = str(photos / "rocket.jpg")
    [document] = run("submit", photo, "--set", "quality=70", "--json").stdout.splitlines()
    job = json.loads(document)
    assert {one["quality"] for one in params(api, job["id"])["variants"]} == {70}


@pytest.mark.parametrize(
    ("settings", "status", "said"),
    [
        (("--set", "wrod=x"), 2, "lets nobody change 'wrod'; it lets change: word, count, list"),
        (("--set", "word"), 2, "is not NAME=VALUE"),
        (("--set", "count=1", "--set", "count=2"), 2, "twice"),
        (("--set", "count=many"), 1, "must be a whole number"),
        (("--set", "count=10"), 1, "must be from 1 to 9"),
    ],
)
def test_what_a_template_does_not_let_change_is_not_sent(
    run: Run, millrace: Millrace, name: str, settings: tuple[str, ...], status: int, said: str
) -> None:
    put(millrace, name)
    result = run("submit", "--template", name, *settings)
    assert result.exit_code == status
    assert said in " ".join(result.stderr.split())


def test_set_is_of_templates_only(run: Run) -> None:
    result = run("submit", "--job", "-", "--set", "a=1", typed="{}")
    assert result.exit_code == 2
    assert "--set changes a template" in result.stderr
