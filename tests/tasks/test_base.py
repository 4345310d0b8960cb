"""A step from hint to end, in this process, against a real database."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
from celery.exceptions import SoftTimeLimitExceeded
from pydantic import BaseModel, ConfigDict

from storage import jobs
from storage.errors import ObjectMissing, ObjectStoreUnavailable
from storage.model import Job, JobState, Outcome, Step, StepId, StepState, TenantId, new_job_id
from tasks import base
from tasks.document import parse
from tasks.errors import StepFailed, StepRetryable
from tasks.names import KINDS, Kind, Retry
from tasks.process import Process
from tasks.submit import submit
from tasks.work import Work
from tests.documents import put_in, runnable_steps, taken


class AnyParams(BaseModel):
    model_config = ConfigDict(extra="allow")


TEST_KIND = Kind(name="test", summary="for tests", params=AnyParams, run="tests:nothing", retry=Retry(max_attempts=2))
Look = Callable[[], Job]


@pytest.fixture
def do(process: Process, tenant: TenantId) -> Callable[[base.Run], Step]:
    """Run a function as the work of a fresh step, once; returns the step as it then stands."""

    def once(run: base.Run, kind: Kind = TEST_KIND) -> Step:
        kinds: Mapping[str, Kind] = {**KINDS, kind.name: kind}
        with process.database.begin(tenant) as tx:
            spec = parse({"steps": {"it": {"kind": kind.name}}}, kinds=kinds)
            job = submit(tx, spec, job_id=new_job_id(), file=None).job
        try:
            base.perform(process, kind, tenant, job.id, job.steps[0].id, run=run)
        except base.StepUnsuccessful:
            assert read(process, tenant, job).steps[0].state in {StepState.FAILED, StepState.RETRYING}
        return read(process, tenant, job).steps[0]

    return once


def read(process: Process, tenant: TenantId, job: Job) -> Job:
    with process.database.read(tenant) as tx:
        found = jobs.find(tx, job.id)
    assert found is not None
    return found


def nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


def raising(exc: BaseException) -> base.Run:
    def run(_work: Work, _params: Any) -> Any:
        raise exc

    return run


def test_what_the_function_returns_is_the_result(do: Any) -> None:
    step = do(lambda work, params: {"a": [1, "ü", None]})
    assert (step.state, step.result) == (StepState.SUCCEEDED, {"a": [1, "ü", None]})


@pytest.mark.parametrize(
    ("exc", "state", "code"),
    [
        (StepFailed("no_luck", "it is so"), StepState.FAILED, "no_luck"),
        (StepRetryable("busy", "come back"), StepState.RETRYING, "busy"),
        (ObjectMissing("x"), StepState.FAILED, "file_missing"),
        (ObjectStoreUnavailable("x"), StepState.RETRYING, "storage_unavailable"),
        (SoftTimeLimitExceeded(), StepState.RETRYING, "timed_out"),
        (ZeroDivisionError("secret"), StepState.RETRYING, "internal_error"),
        (RecursionError(), StepState.RETRYING, "internal_error"),
    ],
)
def test_what_the_function_raises_decides_how_the_step_goes_on(
    do: Any, exc: BaseException, state: StepState, code: str
) -> None:
    step = do(raising(exc))
    assert (step.state, step.error.code) == (state, code)
    assert "secret" not in step.error.message


def test_the_last_attempt_fails_for_good(process: Process, tenant: TenantId) -> None:
    job = put_in(process.database, tenant)
    for _ in range(3):
        with process.database.platform() as tx:
            tx.sql("UPDATE steps SET run_at = now()")
        runnable_steps(process.database)
        with pytest.raises(base.StepUnsuccessful):
            base.perform(
                process, KINDS["echo"], tenant, job.id, job.steps[0].id, run=raising(StepRetryable("busy", "x"))
            )
    ended = read(process, tenant, job)
    assert ended.state is JobState.FAILED
    assert [tried.outcome for tried in ended.steps[0].attempts] == [Outcome.RETRIED, Outcome.RETRIED, Outcome.FAILED]


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (object(), "result_not_json"),
        ({"x": float("nan")}, "result_not_json"),
        ("x" * 300_000, "result_too_large"),
        (nested(65), "result_too_deep"),
        (nested(100_000), "result_not_json"),
    ],
)
def test_a_result_that_no_row_can_carry_fails_the_step(do: Any, result: Any, code: str) -> None:
    step = do(lambda work, params: result)
    assert (step.state, step.error.code) == (StepState.FAILED, code)


def test_what_text_in_a_row_cannot_hold_is_replaced_and_nothing_else(do: Any) -> None:
    given = {"a": "x\x00y\ud800", "\x00": ["\\u0000", "\\ud800", nested(60)]}
    assert do(lambda work, params: given).result == {
        "a": "x\ufffdy\ufffd",
        "\ufffd": ["\\u0000", "\\ud800", nested(60)],
    }


def test_a_reason_that_cannot_be_stored_is_mended_and_cut(do: Any) -> None:
    step = do(raising(StepFailed("odd", "\x00\ud800" + "x" * 5000)))
    assert step.state is StepState.FAILED
    assert (step.error.message[:3], len(step.error.message)) == ("\ufffd\ufffdx", 2000)


@pytest.mark.parametrize("source", [None, "run = 1 / 0", "def run(:", "pass"])
def test_a_kind_that_cannot_be_loaded_is_written_down(
    process: Process, tenant: TenantId, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str | None
) -> None:
    module = f"broken_{tmp_path.name.replace('-', '_')}"
    if source is not None:
        (tmp_path / f"{module}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    job = put_in(process.database, tenant)
    broken = Kind(name="echo", summary="", params=AnyParams, run=f"{module}:run")
    with pytest.raises(base.StepUnsuccessful, match="kind_not_loadable"):
        base.perform(process, broken, tenant, job.id, job.steps[0].id)
    assert read(process, tenant, job).steps[0].state is StepState.RETRYING


def test_a_connection_that_went_stale_costs_no_hint(process: Process, tenant: TenantId) -> None:
    job = put_in(process.database, tenant)
    with process.database.platform() as tx:
        tx.sql("SELECT 1")
    with psycopg.connect(process.settings.database.url, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    base.perform(process, KINDS["echo"], tenant, job.id, job.steps[0].id)
    assert read(process, tenant, job).state is JobState.SUCCEEDED


def test_a_hint_for_a_step_that_is_taken_or_ended_does_nothing(process: Process, tenant: TenantId) -> None:
    job = put_in(process.database, tenant)
    ran = []

    def run(_work: Work, _params: Any) -> None:
        ran.append(1)

    for _ in range(3):
        base.perform(process, KINDS["echo"], tenant, job.id, job.steps[0].id, run=run)
    assert ran == [1]
    base.perform(process, KINDS["echo"], tenant, job.id, StepId("stp_nothing"), run=run)
    assert ran == [1]


def test_a_worker_that_lost_its_step_changes_nothing(process: Process, tenant: TenantId) -> None:
    job = put_in(process.database, tenant)

    def run(work: Work, _params: Any) -> Any:
        with work.process.database.platform() as tx:
            tx.sql("UPDATE steps SET attempt = attempt + 1")
        return {"from": "the old attempt"}

    base.perform(process, KINDS["echo"], tenant, job.id, job.steps[0].id, run=run)
    step = read(process, tenant, job).steps[0]
    assert (step.state, step.result, step.attempts) == (StepState.RUNNING, None, ())


def test_local_files_of_a_step_are_gone_afterwards(do: Any) -> None:
    seen = []

    def run(work: Work, _params: Any) -> None:
        folder = work.folder
        seen.append(folder)
        raise StepFailed("x", "y")

    do(run)
    assert not Path(seen[0]).exists()


def test_every_kind_names_a_function_that_exists() -> None:
    for kind in KINDS.values():
        assert callable(base.function_of(kind))


def test_a_step_is_claimed_under_the_workers_name(process: Process, tenant: TenantId) -> None:
    job = put_in(process.database, tenant)
    taken(process.database, tenant, job, "say", worker="images@here")
    with process.database.platform() as tx:
        assert tx.sql("SELECT worker FROM steps").scalar_one() == "images@here"
