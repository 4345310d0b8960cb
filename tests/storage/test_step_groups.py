"""Steps that are claimed, and ended, many in one statement."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from storage import events, jobs, queues, step_groups, steps, stops
from storage.database import Database
from storage.model import Claim, Job, JobId, JobState, Outcome, StepId, StepState, TenantId
from storage.step_groups import Asked, Success
from storage.tenants import ensure
from tests.documents import CHAIN, put_in

FAN_IN = {
    "steps": {
        "left": {"kind": "echo"},
        "right": {"kind": "echo"},
        "both": {"kind": "echo", "use": ["left", "right"]},
    }
}


def asked(tenant: TenantId, job: Job, *names: str) -> list[Asked]:
    return [(tenant, job.id, step.id) for step in job.steps if not names or step.name in names]


def claimed(database: Database, group: Sequence[Asked], *, worker: str = "w1") -> list[Claim]:
    with database.platform_read() as tx:
        return step_groups.claim(tx, group, worker=worker, slot=1, lease_seconds=30)


def succeeded(database: Database, claims: Sequence[Claim]) -> frozenset[StepId]:
    with database.platform_read() as tx:
        return step_groups.succeed(tx, [Success(claim=claim, result={"by": claim.name}) for claim in claims])


def read(database: Database, tenant: TenantId, job: Job) -> Job:
    with database.read(tenant) as tx:
        found = jobs.find(tx, job.id)
    assert found is not None
    return found


def told(database: Database, tenant: TenantId, job: Job) -> list[tuple[int, str, object]]:
    with database.read(tenant) as tx:
        return [(event.seq, event.type, event.data) for event in events.after(tx, job.id, 0)]


def test_a_group_of_several_tenants_and_jobs_is_worked_off_as_each_step_alone_would_be(
    database: Database, tenant: TenantId
) -> None:
    with database.platform() as tx:
        other = ensure(tx, "other")
    fan, echo, theirs = put_in(database, tenant, FAN_IN), put_in(database, tenant), put_in(database, other)
    group = [*asked(tenant, fan, "left", "right"), *asked(tenant, echo), *asked(other, theirs)]
    claims = claimed(database, group)
    assert [claim.step_id for claim in claims] == [step for _, _, step in group]
    assert succeeded(database, claims) == {step for _, _, step in group}

    alone = put_in(database, tenant, FAN_IN)
    singly = [*claimed(database, asked(tenant, alone, "left")), *claimed(database, asked(tenant, alone, "right"))]
    for claim in singly:
        with database.begin(tenant) as tx:
            steps.succeed(tx, claim, {"by": claim.name})
    assert sorted(told(database, tenant, fan), key=str) == sorted(told(database, tenant, alone), key=str)
    for whose, job, state in ((tenant, fan, "running"), (tenant, echo, "succeeded"), (other, theirs, "succeeded")):
        now = read(database, whose, job)
        assert now.state == state
        assert [seq for seq, _, _ in told(database, whose, job)] == list(range(1, len(told(database, whose, job)) + 1))
        assert {tried.outcome for step in now.steps for tried in step.attempts} == {Outcome.SUCCEEDED}
    (last,) = claimed(database, asked(tenant, fan, "both"))
    assert [(used.name, used.result) for used in last.uses] == [("left", {"by": "left"}), ("right", {"by": "right"})]
    succeeded(database, [last])
    assert read(database, tenant, fan).state is JobState.SUCCEEDED
    assert told(database, tenant, fan)[-1][1] == "job.succeeded"


def test_what_may_not_be_claimed_is_left_out_and_the_others_are_not(database: Database, tenant: TenantId) -> None:
    with database.platform() as tx:
        other = ensure(tx, "other")
    good, canceled, chain = put_in(database, tenant), put_in(database, tenant), put_in(database, tenant, CHAIN)
    with database.begin(tenant) as tx:
        stops.cancel(tx, canceled.id)
    unknown = (tenant, good.id, StepId("stp_01h455vb4pex5vsknk084sn02q"))
    of_another = (other, good.id, good.steps[0].id)
    of_another_job = (tenant, JobId(chain.id), good.steps[0].id)
    group = [*asked(tenant, canceled), *asked(tenant, chain), unknown, of_another, of_another_job]
    twice = [*asked(tenant, good), *asked(tenant, good)]
    assert [claim.name for claim in claimed(database, [*group, *twice])] == ["first", "say"]
    assert claimed(database, asked(tenant, good)) == []


def test_hints_of_a_paused_queue_are_kept_for_later(database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant)
    with database.platform() as tx:
        tx.sql("UPDATE steps SET published_at = now()")
        queues.pause(tx, "default")
    assert claimed(database, asked(tenant, job)) == []
    with database.platform() as tx:
        step_groups.keep_for_later(tx, asked(tenant, job))
        assert tx.sql("SELECT published_at FROM steps").scalar_one() is None


def test_only_the_newest_attempt_and_no_job_that_is_being_stopped_is_ended(
    database: Database, tenant: TenantId
) -> None:
    old, stopping, good = (put_in(database, tenant) for _ in range(3))
    claims = claimed(database, [*asked(tenant, old), *asked(tenant, stopping), *asked(tenant, good)])
    with database.platform() as tx:
        tx.sql("UPDATE steps SET attempt = 2 WHERE id = %(id)s", id=old.steps[0].id)
    with database.begin(tenant) as tx:
        stops.cancel(tx, stopping.id)
    assert succeeded(database, claims) == {good.steps[0].id}
    assert read(database, tenant, old).steps[0].state is StepState.RUNNING
    assert read(database, tenant, stopping).steps[0].state is StepState.RUNNING
    with database.begin(tenant) as tx:
        steps.succeed(tx, claims[1], {})
    assert read(database, tenant, stopping).state is JobState.CANCELED


@pytest.mark.parametrize("document", [FAN_IN, CHAIN])
def test_workers_that_ask_for_the_same_steps_at_once_get_each_only_once(
    database: Database, tenant: TenantId, document: dict[str, object]
) -> None:
    group = [one for _ in range(20) for one in asked(tenant, put_in(database, tenant, document))]
    with ThreadPoolExecutor(4) as pool:
        orders = [group, group[::-1], group[1::2] + group[::2], group[::2][::-1]]
        found = list(pool.map(lambda n: claimed(database, orders[n], worker=f"w{n}"), range(4)))
        taken = [claim for claims in found for claim in claims]
        assert len({claim.step_id for claim in taken}) == len(taken) == (40 if document is FAN_IN else 20)
        mixed = [taken[n::4] for n in range(4)]  # steps of one job are ended by several at once
        list(pool.map(lambda claims: succeeded(database, claims), mixed))
    readied = claimed(database, group)
    assert len(readied) == 20, "each job has one step that waited for these"
    assert {claim.attempt for claim in readied} == {1}
