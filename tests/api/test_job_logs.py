"""A job's log over HTTP, through the client, and on the command line."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner, Result

from api.cli.commands import cli
from api.client import ApiError, LogLine, Millrace
from deploy.local.servers import Urls
from storage import job_logs
from storage.job_logs import JobLine
from storage.model import Job
from storage.tenants import create_key, ensure
from tests.api.started import Api, started_api
from tests.documents import put_in
from tests.trust import TRUST_NOBODY

ECHO = {"steps": {"say": {"kind": "echo"}}}
LINE = {"at": "2026-01-02T03:04:05.678Z", "level": "info", "process": "worker@here/7", "fields": {}}


@pytest.fixture(scope="module")
def api(servers: Urls, template_database: str, s3_env: Mapping[str, str]) -> Iterator[Api]:
    with started_api(servers, template_database, s3_env) as started:
        yield started


@pytest.fixture
def client(api: Api) -> Iterator[Millrace]:
    with Millrace(api.url, api.key) as made:
        yield made


@pytest.fixture
def run(api: Api) -> Callable[..., Result]:
    environ = {"MILLRACE_URL": api.url, "MILLRACE_API_KEY": api.key}
    return lambda *arguments: CliRunner(env=environ).invoke(cli, arguments)


def ask(api: Api, job_id: str, key: str | None = None, **params: Any) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {key or api.key}"}
    return httpx2.get(f"{api.url}/v1/jobs/{job_id}/logs", params=params, headers=headers, verify=TRUST_NOBODY)


def keep(api: Api, job: Job, *events: str, **changes: Any) -> None:
    made = [JobLine(tenant_id=api.tenant_id, job_id=job.id, event=event, **LINE) for event in events]  # type: ignore[arg-type]
    job_logs.write(api.database, [replace(line, **changes) for line in made])


def test_a_job_that_is_accepted_says_by_which_request(api: Api, client: Millrace) -> None:
    headers = {"Authorization": f"Bearer {api.key}", "X-Request-Id": "request-of-the-test"}
    job_id = httpx2.post(f"{api.url}/v1/jobs", json=ECHO, headers=headers).json()["id"]
    (line,) = client.logs(job_id)
    assert (line.event, line.level, line.step, line.attempt) == ("job.queued", "info", None, None)
    assert (line.fields, line.process) == ({"request": "request-of-the-test"}, None)
    with api.database.platform_read() as tx:
        row = tx.sql("SELECT request_id FROM jobs WHERE id = %(job)s", job=job_id).one()
    assert row.request_id == "request-of-the-test"
    assert line.message == f"job.queued {' '.join(f'{name}={value}' for name, value in line.fields.items())}"


def test_pages_are_in_the_order_of_time_and_go_on_where_they_ended(api: Api) -> None:
    job = put_in(api.database, api.tenant_id)
    keep(api, job, "second.one", at="2026-01-02T00:00:02Z")
    keep(api, job, "first.one", at="2026-01-02T00:00:01Z")
    page = ask(api, job.id).json()
    assert [line["event"] for line in page["data"]] == ["first.one", "second.one", "job.queued"]
    assert ask(api, job.id, after=page["next_after"]).json() == {"data": [], "next_after": page["next_after"]}
    keep(api, job, "third.one", step_id=job.steps[0].id, attempt=2)
    (line,) = ask(api, job.id, after=page["next_after"], limit=1).json()["data"]
    assert (line["event"], line["step"], line["attempt"]) == ("third.one", "say", 2)


def test_only_grave_lines_are_shown_where_only_they_are_asked_for(api: Api, client: Millrace) -> None:
    job = put_in(api.database, api.tenant_id)
    keep(api, job, "a.b")
    keep(api, job, "a.c", level="error")
    assert [line.event for line in client.logs(job.id, level="warning")] == ["a.c"]


def test_nobody_sees_the_log_of_another_tenants_job(api: Api) -> None:
    job = put_in(api.database, api.tenant_id)
    keep(api, job, "a.b")
    with api.database.platform() as tx:
        theirs = create_key(tx, ensure(tx, "other"), ["jobs:read"])
    for job_id, key in ((job.id, theirs), ("job_01h455vb4pex5vsknk084sn02q", None), ("nonsense", None)):
        answer = ask(api, job_id, key)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("params", [{"limit": 0}, {"limit": 1001}, {"level": "loud"}])
def test_what_makes_no_sense_is_refused(api: Api, params: dict[str, Any]) -> None:
    job = put_in(api.database, api.tenant_id)
    answer = ask(api, job.id, **params)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameter")


@pytest.mark.parametrize("after", ["-1", "7", "1.2.3", f"{10**9}.0", "e1", "\u0661.\u0661"])
def test_a_place_that_no_page_named_is_refused(api: Api, after: str) -> None:
    job = put_in(api.database, api.tenant_id)
    answer = ask(api, job.id, after=after)
    assert (answer.status_code, answer.json()["code"]) == (422, "cursor_invalid")


def test_the_words_of_the_platforms_own_errors_are_for_operators(api: Api) -> None:
    job = put_in(api.database, api.tenant_id)
    error = {"type": "OSError", "message": "10.0.0.7 is away", "stack": "Traceback …"}
    keep(api, job, "a.b", fields={"reason": "10.0.0.7 is away", "n": 1}, private=frozenset({"reason"}), error=error)
    theirs, _ = ask(api, job.id).json()["data"]
    assert (theirs["fields"], theirs["message"], theirs["error"]) == ({"n": 1}, "a.b n=1", None)
    ours, _ = ask(api, job.id, api.another_key("jobs:read", "operate")).json()["data"]
    assert (ours["fields"], ours["error"]) == ({"n": 1, "reason": "10.0.0.7 is away"}, error)


def test_whoever_follows_gets_every_line_once_until_the_job_has_ended(api: Api, client: Millrace) -> None:
    job, got = put_in(api.database, api.tenant_id), list[LogLine]()
    keep(api, job, *(f"early.no{n}" for n in range(450)))
    thread = threading.Thread(target=lambda: got.extend(client.logs(job.id, follow=True)))
    thread.start()
    keep(api, job, "while.it_runs")
    api.succeed(job.id)
    keep(api, job, "at.its_end")
    thread.join(30)
    events = {"job.queued", "job.running", "step.running", "step.succeeded", "job.succeeded"}
    assert [line.event for line in got if line.event not in events] == [
        *(f"early.no{n}" for n in range(450)),
        *("while.it_runs", "at.its_end"),
    ]
    assert {line.event for line in got} > events
    assert len(got) == 452 + len(events)


def test_the_command_prints_the_lines_and_says_what_is_wrong(api: Api, run: Callable[..., Result]) -> None:
    job = put_in(api.database, api.tenant_id)
    assert run("logs", job.id, "--level", "warning").stderr == "Nothing was logged about it.\n"
    keep(api, job, "step.said", step_id=job.steps[0].id, attempt=1, fields={"words": "\x1b[2J"}, level="warning")
    told = run("logs", job.id)
    assert (told.exit_code, told.stderr) == (0, "")
    assert "warning" in told.stdout
    assert "say#1 step.said words=?[2J  worker@here/7" in told.stdout
    assert json.loads(run("logs", job.id, "--json", "--level", "warning").stdout)["event"] == "step.said"
    missing = run("logs", "job_01h455vb4pex5vsknk084sn02q")
    assert (missing.exit_code, missing.stderr) == (1, "error: there is no such job (not_found)\n")


def test_the_client_tells_of_a_job_that_is_not_there(client: Millrace) -> None:
    with pytest.raises(ApiError, match="no such job"):
        list(client.logs("job_01h455vb4pex5vsknk084sn02q"))
