"""Steps that lose their worker, or are handed back by it, where tests/storage/test_state_machine.py does not look."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from storage import jobs, losses, steps
from storage.database import Database
from storage.errors import LeaseLost
from storage.model import Claim, Job, JobState, Outcome, PublicError, Step, StepState, TenantId
from tests.documents import put_in, runnable_steps, taken

BOOM = PublicError(code="boom", message="it broke")
CAUSES = [
    PublicError(code="lease_expired", message="the worker stopped renewing"),
    PublicError(code="memory", message="the step needed more memory"),
    PublicError(code="child_died", message="the process was killed by signal 9"),
]


def lose(database: Database, claim: Claim, error: PublicError = BOOM) -> bool:
    with database.begin(claim.tenant_id) as tx:
        return losses.lose(tx, claim, error, only_if_expired=False)


def hand_back(database: Database, claim: Claim) -> bool:
    with database.begin(claim.tenant_id) as tx:
        return losses.hand_back(tx, claim, BOOM)


def only_step(database: Database, tenant: TenantId, job: Job) -> Step:
    with database.read(tenant) as tx:
        found = jobs.find(tx, job.id)
    assert found is not None
    return found.steps[0]


def lost_with(database: Database, tenant: TenantId, causes: list[PublicError]) -> Step:
    job = put_in(database, tenant)
    for cause in causes:
        assert lose(database, taken(database, tenant, job, "say"), cause)
    return only_step(database, tenant, job)


def test_poison_names_the_number_of_losses_and_the_last_cause(database: Database, tenant: TenantId) -> None:
    step = lost_with(database, tenant, CAUSES)
    assert (step.state, step.losses, step.failures) == (StepState.FAILED, 3, 0)
    assert step.error is not None
    assert step.error.code == "poison"
    assert "3 times" in step.error.message
    assert CAUSES[-1].message in step.error.message
    assert [tried.error for tried in step.attempts] == [*CAUSES[:2], step.error]


def test_poison_of_the_same_last_cause_is_one_group_of_dead_letters(database: Database, tenant: TenantId) -> None:
    by_memory = [lost_with(database, tenant, [CAUSES[0], CAUSES[2], CAUSES[1]]) for _ in range(2)]
    by_signal = lost_with(database, tenant, CAUSES)
    fingerprints = [step.error.fingerprint for step in (*by_memory, by_signal) if step.error]
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]


def test_a_step_that_is_handed_back_again_and_again_has_neither_failed_nor_been_lost(
    database: Database, tenant: TenantId
) -> None:
    job = put_in(database, tenant)
    for _ in range(7):
        assert hand_back(database, taken(database, tenant, job, "say"))
        assert len(runnable_steps(database)) == 1
    step = only_step(database, tenant, job)
    assert (step.state, step.attempt, step.failures, step.losses) == (StepState.QUEUED, 7, 0, 0)
    assert {tried.outcome for tried in step.attempts} == {Outcome.RETURNED}
    claim = taken(database, tenant, job, "say")
    assert (claim.failures, claim.losses) == (0, 0)


def test_failures_do_not_count_as_losses_nor_losses_as_failures(database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant)
    for _ in range(2):
        assert lose(database, taken(database, tenant, job, "say"))
        with database.begin(tenant) as tx:
            steps.retry(tx, taken(database, tenant, job, "say"), BOOM, delay_seconds=0)
        runnable_steps(database)
    claim = taken(database, tenant, job, "say")
    assert (claim.attempt, claim.failures, claim.losses) == (5, 2, 2)
    assert lose(database, claim)
    assert only_step(database, tenant, job).state is StepState.FAILED


def test_of_several_that_take_a_step_back_one_does(database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant)
    claim = taken(database, tenant, job, "say")
    with ThreadPoolExecutor(4) as pool:
        took = list(pool.map(lambda _: lose(database, claim), range(4)))
    assert sorted(took) == [False, False, False, True]
    assert only_step(database, tenant, job).losses == 1


def test_a_step_that_ends_while_it_is_taken_back_does_one_of_the_two(database: Database, tenant: TenantId) -> None:
    def succeed(claim: Claim) -> bool:
        try:
            with database.begin(tenant) as tx:
                steps.succeed(tx, claim, {})
        except LeaseLost:
            return False
        return True

    for _ in range(10):
        job = put_in(database, tenant)
        claim = taken(database, tenant, job, "say")
        with ThreadPoolExecutor(2) as pool:
            lost, done = pool.submit(lose, database, claim), pool.submit(succeed, claim)
        assert lost.result() != done.result()
        step = only_step(database, tenant, job)
        assert step.state is (StepState.SUCCEEDED if done.result() else StepState.QUEUED)
        assert len(step.attempts) == 1


@pytest.mark.parametrize("take_it", [lose, hand_back])
def test_a_claim_on_a_job_that_is_gone_cannot_be_lost_or_handed_back(
    database: Database, tenant: TenantId, take_it: Callable[[Database, Claim], bool]
) -> None:
    job = put_in(database, tenant)
    claim = taken(database, tenant, job, "say")
    with database.begin(tenant) as tx:
        steps.succeed(tx, claim, {})
        tx.sql("DELETE FROM jobs WHERE tenant_id = %(tenant)s")
    assert not take_it(database, claim)


def test_the_job_of_a_poisoned_step_says_so(database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant)
    for cause in CAUSES:
        lose(database, taken(database, tenant, job, "say"), cause)
    with database.read(tenant) as tx:
        ended = jobs.find(tx, job.id)
    assert ended is not None
    assert ended.error is not None
    assert ended.state is JobState.FAILED
    assert CAUSES[-1].message in ended.error.message
