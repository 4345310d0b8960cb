"""`millrace batch`, `millrace batches` and `Millrace.batches`, against a real server."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from api.cli.commands import cli
from api.client import ApiError, Millrace, TimedOut
from scheduler.batches import finish_all
from storage.model import JobId, PublicError
from tests.api.batching import body, end_job
from tests.api.conftest import Api
from tests.documents import ECHO
from tests.waiting import until

Run = Callable[..., Result]


@pytest.fixture
def millrace(api: Api) -> Iterator[Millrace]:
    with Millrace(api.url, api.acme.key) as made:
        yield made


@pytest.fixture
def run(api: Api) -> Run:
    """The command line."""

    def run(*arguments: str, typed: bytes = b"") -> Result:
        environ = {"MILLRACE_URL": api.url, "MILLRACE_API_KEY": api.acme.key}
        result = CliRunner(env=environ).invoke(cli, arguments, input=typed)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


def work(api: Api, millrace: Millrace, before: set[str], error: PublicError | None = None) -> None:
    """Do the jobs of the next batch, as a worker does, and end it."""
    batch_id = until(lambda: next((one.id for one in millrace.batches.all() if one.id not in before), None))
    for job in list(millrace.batches.jobs(batch_id)):
        end_job(api.database, api.acme.tenant, JobId(job.id), error)
    finish_all(api.database, "")


def test_a_file_of_lines_is_submitted_and_what_is_wrong_is_named(run: Run, millrace: Millrace, tmp_path: Path) -> None:
    file = tmp_path / "jobs.ndjson"
    file.write_bytes(body(ECHO, {"stps": {}}, ECHO))
    result = run("batch", str(file), "--name", "spring")
    assert result.exit_code == 1
    assert "2 accepted, 1 refused" in result.stdout
    assert "line 2: /stps: unknown field; did you mean 'steps'?" in result.stderr
    batch_id = result.stdout.split()[0]
    assert (millrace.batches.get(batch_id).name, len(list(millrace.batches.jobs(batch_id)))) == ("spring", 2)
    shown = run("batches", "show", batch_id)
    assert (shown.exit_code, "line 2:" in shown.stdout) == (0, True)
    listed = [json.loads(line) for line in run("batches", "list", "--json").stdout.splitlines()]
    assert batch_id in [one["id"] for one in listed]
    assert run("batches", "cancel", batch_id).stdout.split() == [batch_id, "canceling"]


def test_lines_are_read_from_standard_input_all_or_none(run: Run) -> None:
    assert run("batch", "-", "--atomic", typed=body(ECHO, ECHO)).exit_code == 0
    refused = run("batch", "-", "--atomic", typed=body(ECHO, {}))
    assert refused.exit_code == 1
    assert "line 2: /: give either steps or a template" in refused.stderr
    assert run("batch", "-", "--template", "nothing-such", typed=body({})).exit_code == 1
    assert run("batch", "no-such-file").exit_code == 2


@pytest.mark.parametrize("error", [None, PublicError(code="broken", message="it broke")])
def test_who_watches_sees_the_end(run: Run, api: Api, millrace: Millrace, error: PublicError | None) -> None:
    before = {one.id for one in millrace.batches.all()}
    worker = threading.Thread(target=work, args=(api, millrace, before, error))
    worker.start()
    result = run("batch", "-", "--watch", typed=body(ECHO, ECHO))
    worker.join()
    assert result.exit_code == (1 if error else 0), result.stderr
    assert result.stdout.splitlines()[-1].endswith("2 failed" if error else "2 succeeded")


def test_the_client_sends_documents_and_waits(api: Api, millrace: Millrace) -> None:
    batch = millrace.batches.submit([{}, {"priority": "odd"}], defaults=ECHO, metadata={"a": 1}, name="n")
    assert (batch.name, batch.metadata, batch.counts["accepted"]) == ("n", {"a": 1}, 1)
    assert [(error.line, error.errors[0][0]) for error in millrace.batches.errors(batch.id)] == [(2, "/priority")]
    with pytest.raises(TimedOut, match="0% have ended"):
        millrace.batches.wait(batch.id, timeout=0)
    end_job(api.database, api.acme.tenant, JobId(next(millrace.batches.jobs(batch.id, "queued")).id))
    finish_all(api.database, "")
    assert millrace.batches.wait(batch.id, timeout=10).finished
    with pytest.raises(ApiError) as refused:
        millrace.batches.submit([ECHO, {}], atomic=True)
    assert (refused.value.code, refused.value.errors[0][0]) == ("batch_refused", "line 2: /")
