"""Work that was done in part, and conditions on results: how such steps end."""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from storage import jobs, losses, replays, steps
from storage.errors import LeaseLost
from storage.model import Job, JobState, Json, PublicError, StepState, TenantId, new_job_id
from tasks import base
from tasks.document import parse
from tasks.errors import StepFailed, StepIncomplete
from tasks.names import Kind, Retry
from tasks.process import Process
from tasks.submit import submit
from tasks.work import Work

LOST = PublicError(code="worker_lost", message="gone")


class AnyParams(BaseModel):
    model_config = ConfigDict(extra="allow")


KIND = Kind(name="test", summary="", params=AnyParams, run="tests:none", retry=Retry(max_attempts=3, first_seconds=0))


class Bench:
    """One job with one step of the kind, done by hand, attempt by attempt."""

    def __init__(self, process: Process, tenant: TenantId, **step: Any) -> None:
        self.process, self.tenant = process, tenant
        with process.database.begin(tenant) as tx:
            spec = parse({"steps": {"it": {"kind": "test", **step}}}, kinds={"test": KIND})
            self.job = submit(tx, spec, job_id=new_job_id(), file=None).job

    def do(self, run: base.Run) -> Job:
        step = self.job.steps[0].id
        with self.process.database.begin(self.tenant) as tx:
            tx.sql("UPDATE steps SET state = 'queued' WHERE id = %(step)s AND state = 'retrying'", step=step)
        try:
            base.perform(self.process, KIND, self.tenant, self.job.id, step, run=run)
        except base.StepUnsuccessful:
            assert self.read().steps[0].state is not StepState.SUCCEEDED
        return self.read()

    def read(self) -> Job:
        with self.process.database.read(self.tenant) as tx:
            found = jobs.find(tx, self.job.id)
        assert found is not None
        return found


@pytest.fixture
def bench(process: Process, tenant: TenantId) -> Callable[..., Bench]:
    return lambda **step: Bench(process, tenant, **step)


def half(work: Work, _: Any) -> Json:
    raise StepIncomplete("half", "the other half failed", result={"count": 1 + (work.kept or {"count": 0})["count"]})


def test_what_is_done_is_shown_and_given_to_the_next_attempt(bench: Callable[..., Bench]) -> None:
    made = bench()
    step = made.do(half).steps[0]
    assert (step.state, step.result, step.error and step.error.code) == (StepState.RETRYING, {"count": 1}, "half")
    step = made.do(lambda work, _: {"seen": work.kept}).steps[0]
    assert (step.state, step.result) == (StepState.SUCCEEDED, {"seen": {"count": 1}})


def test_when_no_attempt_is_left_the_part_counts_as_it_is(bench: Callable[..., Bench]) -> None:
    made = bench()
    for _ in range(2):
        assert made.do(half).steps[0].state is StepState.RETRYING
    found = made.do(half)
    assert (found.state, found.steps[0].result) == (JobState.SUCCEEDED, {"count": 3})


def test_a_lost_worker_costs_nothing_that_an_earlier_attempt_has_done(
    bench: Callable[..., Bench], process: Process, tenant: TenantId
) -> None:
    made = bench()
    made.do(half)

    def lost(work: Work, _: Any) -> Json:
        with process.database.begin(tenant) as tx:
            assert losses.lose(tx, work.claim, LOST, only_if_expired=False)
        return "late"

    assert made.do(lost).steps[0].result == {"count": 1}
    assert made.do(lambda work, _: work.kept).steps[0].result == {"count": 1}


def test_an_ordinary_failure_keeps_it_too_and_after_the_last_one_it_counts(bench: Callable[..., Bench]) -> None:
    made = bench()
    made.do(half)

    def fail(*_: Any) -> Json:
        raise ValueError

    assert made.do(fail).steps[0].result == {"count": 1}
    step = made.do(fail).steps[0]
    assert (step.state, step.result) == (StepState.SUCCEEDED, {"count": 1})


def test_a_refusal_for_good_stays_one_and_shows_what_there_was(bench: Callable[..., Bench]) -> None:
    made = bench()
    made.do(half)

    def refuse(*_: Any) -> Json:
        raise StepFailed("no", "never")

    step = made.do(refuse).steps[0]
    assert (step.state, step.result) == (StepState.FAILED, {"count": 1})


def test_what_is_kept_on_the_way_survives_the_process(
    bench: Callable[..., Bench], process: Process, tenant: TenantId
) -> None:
    made = bench()

    def dies(work: Work, _: Any) -> Json:
        work.keep({"half": True})
        with process.database.begin(tenant) as tx:
            assert losses.lose(tx, work.claim, LOST, only_if_expired=False)
        with pytest.raises(LeaseLost):
            work.keep({"too": "late"})
        return "late"

    assert made.do(dies).steps[0].result == {"half": True}
    assert made.do(lambda work, _: {"seen": work.kept}).steps[0].result == {"seen": {"half": True}}


def test_nothing_in_the_end_is_nothing_whatever_was_kept(bench: Callable[..., Bench]) -> None:
    made = bench()
    made.do(half)
    step = made.do(lambda *_: None).steps[0]
    assert (step.state, step.result) == (StepState.SUCCEEDED, None)


def test_outputs_of_a_part_are_refused_since_they_go_with_their_attempt(bench: Callable[..., Bench]) -> None:
    def run(work: Work, _: Any) -> Json:
        made = work.save("a", b"bytes", content_type="text/plain")
        raise StepIncomplete("half", "", result={"outputs": [made]})

    step = bench().do(run).steps[0]
    assert (step.state, step.error and step.error.code) == (StepState.FAILED, "outputs_not_kept")


def test_a_result_that_meets_the_condition_ends_the_job(bench: Callable[..., Bench]) -> None:
    found = bench(stop_when="nsfw > 0.8").do(lambda *_: {"nsfw": 0.9})
    assert (found.state, found.withheld) == (JobState.FAILED, True)
    assert found.error is not None
    assert (found.error.code, found.steps[0].result) == ("nsfw_rejected", {"nsfw": 0.9})
    assert "nsfw > 0.8" in found.error.message


def test_a_result_that_does_not_meet_it_passes(bench: Callable[..., Bench]) -> None:
    assert bench(stop_when="nsfw > 0.8").do(lambda *_: {"nsfw": 0.8}).state is JobState.SUCCEEDED


def test_a_condition_that_cannot_be_decided_lets_nothing_pass(bench: Callable[..., Bench]) -> None:
    found = bench(stop_when="nsfw > 0.8").do(lambda *_: {"sfw": 0.8})
    step = found.steps[0]
    assert (found.state, step.state, step.error and step.error.code) == (
        JobState.FAILED,
        StepState.FAILED,
        "condition_undecided",
    )
    assert step.error is not None
    assert "'nsfw'" in step.error.message


def test_the_condition_sees_the_part_that_counts_in_the_end(bench: Callable[..., Bench]) -> None:
    made = bench(stop_when={"condition": "count >= 3", "code": "enough", "message": "that is enough"})
    for _ in range(2):
        assert made.do(half).state is JobState.RUNNING
    found = made.do(half)
    assert (found.state, found.error) == (JobState.FAILED, PublicError(code="enough", message="that is enough"))


def test_what_is_written_with_a_success_is_written_only_then(
    bench: Callable[..., Bench], process: Process, tenant: TenantId
) -> None:
    written: list[str] = []

    def run(result: Json) -> base.Run:
        def work_on(work: Work, _: Any) -> Json:
            work.on_success(lambda tx: written.append(work.claim.step_id))
            return result

        return work_on

    bench(stop_when="bad == true").do(run({"bad": True}))
    assert written == []
    made = bench(stop_when="bad == true")
    made.do(run({"bad": False}))
    assert written == [made.job.steps[0].id]


def test_kept_work_does_not_outlive_new_parameters(
    bench: Callable[..., Bench], process: Process, tenant: TenantId
) -> None:
    made = bench()
    made.do(half)
    with process.database.begin(tenant) as tx:
        tx.sql("UPDATE steps SET state = 'queued' WHERE state = 'retrying'")
        claim = steps.claim(tx, made.job.id, made.job.steps[0].id, worker="w", slot=1, lease_seconds=30)
        assert claim is not None
        assert claim.kept == {"count": 1}
        steps.fail(tx, claim, LOST)
        assert replays.retry(tx, made.job.id, params={"it": {"new": 1}})
    assert made.read().steps[0].result is None
