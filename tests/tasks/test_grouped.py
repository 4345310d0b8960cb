"""A hint that names many steps, in this process, and in a real worker whose slot is killed."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from scheduler.hints import Hints
from storage import counts, jobs, losses, step_groups, stops
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.model import Claim, Job, JobState, Outcome, StepId, StepState, TenantId, new_job_id
from storage.publishing import Runnable
from storage.step_groups import Asked, Success
from tasks import grouped
from tasks.document import parse
from tasks.names import KINDS
from tasks.process import Process
from tasks.submit import submit
from tests.documents import put_in
from tests.tasks.grouped_work import SMALL, hurry
from tests.tasks.working import Relaying, Worker
from tests.waiting import until


@pytest.fixture(autouse=True)
def _unhurried() -> Iterator[None]:
    hurry.clear()
    yield
    hurry.set()


def small(process: Process, tenant: TenantId, do: str = "well", seconds: float = 0.0) -> Job:
    spec = parse({"steps": {"it": {"kind": "small", "do": do, "seconds": seconds}}}, kinds={**KINDS, SMALL.name: SMALL})
    with process.database.begin(tenant) as tx:
        return submit(tx, spec, job_id=new_job_id(), file=None).job


def asked(tenant: TenantId, *of: Job) -> list[Asked]:
    return [(tenant, job.id, job.steps[0].id) for job in of]


def now(process: Process, tenant: TenantId, job: Job) -> Job:
    with process.database.read(tenant) as tx:
        found = jobs.find(tx, job.id)
    assert found is not None
    return found


def sent(process: Process) -> None:
    with process.database.platform() as tx:
        tx.sql("UPDATE steps SET published_at = now()")


def unsent(process: Process) -> set[str]:
    with process.database.platform_read() as tx:
        return {row.id for row in tx.sql("SELECT id FROM steps WHERE state = 'queued' AND published_at IS NULL")}


def test_each_step_of_a_hint_ends_in_its_own_way(
    process: Process, tenant: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grouped, "SLOW_SECONDS", 60.0)  # however busy this machine is
    monkeypatch.setattr(grouped, "LONG_SECONDS", 60.0)
    ways = ["well"] * 30 + ["fail", "crash"] + ["well"] * 30
    made = [small(process, tenant, do) for do in ways]
    with process.database.begin(tenant) as tx:
        stops.cancel(tx, made[3].id)
    grouped.perform(process, SMALL, asked(tenant, *made))
    states = [now(process, tenant, job).steps[0].state for job in made]
    expected = {"well": StepState.SUCCEEDED, "fail": StepState.FAILED, "crash": StepState.RETRYING}
    assert states == [StepState.CANCELED if n == 3 else expected[do] for n, do in enumerate(ways)]
    last = now(process, tenant, made[-1])
    assert (last.state, last.steps[0].result) == (JobState.SUCCEEDED, {"did": "well", "attempt": 1})
    assert [(tried.outcome, tried.worker) for tried in last.steps[0].attempts] == [(Outcome.SUCCEEDED, "w1")]


def test_what_is_told_of_a_step_is_what_it_took_its_slot_and_not_its_wait_for_the_others(
    process: Process, tenant: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grouped, "_pace", {SMALL.name: 1e-4})
    monkeypatch.setattr(grouped, "SLOW_SECONDS", 60.0)  # however busy this machine is
    ways = ["well"] * 30 + ["fail", "crash"] + ["well"] * 30
    made = [small(process, tenant, seconds=0.4), *(small(process, tenant, do) for do in ways)]
    began = time.monotonic()
    grouped.perform(process, SMALL, asked(tenant, *made))
    took = time.monotonic() - began
    tries = [now(process, tenant, job).steps[0].attempts[0] for job in made]
    assert {tried.outcome for tried in tries} == {Outcome.SUCCEEDED, Outcome.FAILED, Outcome.RETRIED}
    ran = [(tried.finished_at - tried.started_at).total_seconds() for tried in tries]
    assert ran[0] >= 0.4
    assert min(ran) > 0
    assert sum(ran) < 2 * took, "with the waits it would be thirty times as much"
    service = served(process)
    assert service.attempts == len(made)
    assert service.mean_seconds == pytest.approx(sum(ran) / len(ran), rel=0.05)


def test_each_step_of_a_group_bears_its_share_of_the_claim_and_the_end(
    process: Process, tenant: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Success] = []

    def claim(*args: Any, **how: Any) -> list[Claim]:
        time.sleep(0.2)
        return step_groups.claim(*args, **how)

    def succeed(tx: Any, ended: Sequence[Success]) -> frozenset[StepId]:
        told.extend(ended)
        return step_groups.succeed(tx, ended)

    monkeypatch.setattr(grouped, "step_groups", SimpleNamespace(claim=claim, succeed=succeed))
    monkeypatch.setattr(grouped, "_pace", {SMALL.name: 1e-4})
    monkeypatch.setattr(grouped, "SLOW_SECONDS", 60.0)
    grouped.perform(process, SMALL, asked(tenant, *(small(process, tenant) for _ in range(50))))
    assert len(told) == 50
    assert min(one.ran_seconds or 0.0 for one in told) > 2 * 0.2 / 50


def served(process: Process) -> counts.ServiceTime:
    with process.database.platform_read() as tx:
        service = counts.read(tx, [SMALL.queue])[SMALL.queue].load.service
    assert service is not None
    return service


def test_a_job_that_is_canceled_while_its_step_waits_to_be_written_ends_as_it_would_alone(
    process: Process, tenant: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grouped, "SLOW_SECONDS", 60.0)  # however busy this machine is
    monkeypatch.setattr(grouped, "LONG_SECONDS", 60.0)
    monkeypatch.setattr(grouped, "_pace", {SMALL.name: 1e-4})  # all are claimed together
    first, second, third = small(process, tenant), small(process, tenant, seconds=60), small(process, tenant)
    given = asked(tenant, second, third, first)
    done = threading.Thread(target=grouped.perform, args=(process, SMALL, given), daemon=True)
    done.start()
    until(lambda: now(process, tenant, second).state is JobState.RUNNING)
    with process.database.begin(tenant) as tx:
        stops.cancel(tx, second.id)
        stops.cancel(tx, third.id)
    hurry.set()
    done.join()
    assert now(process, tenant, second).state is JobState.CANCELED
    assert now(process, tenant, third).state is JobState.CANCELED
    assert now(process, tenant, first).state is JobState.SUCCEEDED
    with process.database.platform_read() as tx:
        late = "SELECT s.id FROM steps s JOIN jobs j ON j.id = s.job_id WHERE s.started_at > j.stop_at"
        assert tx.sql(late).all() == [], "nothing of a job begins after it was canceled"


def test_nothing_waits_for_a_step_that_takes_long(
    process: Process, tenant: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grouped, "_pace", {SMALL.name: grouped.GATHER_SECONDS / 8})
    before, slow = small(process, tenant), small(process, tenant, seconds=60)
    behind = [small(process, tenant) for _ in range(20)]
    sent(process)
    everything = asked(tenant, before, slow, *behind)
    thread = threading.Thread(target=grouped.perform, args=(process, SMALL, everything), daemon=True)
    thread.start()
    until(lambda: now(process, tenant, before).state is JobState.SUCCEEDED)
    assert now(process, tenant, slow).state is JobState.RUNNING
    until(lambda: unsent(process) == {job.steps[0].id for job in behind})
    assert now(process, tenant, slow).state is JobState.RUNNING
    outcomes = [[tried.outcome for tried in now(process, tenant, job).steps[0].attempts] for job in behind]
    assert outcomes == [[Outcome.RETURNED]] * 6 + [[]] * 14, "eight were claimed at first"
    [tried] = now(process, tenant, behind[0]).steps[0].attempts
    assert (tried.finished_at - tried.started_at).total_seconds() < grouped.SLOW_SECONDS, "it has only waited"
    grouped.perform(process, SMALL, asked(tenant, *behind))
    assert {now(process, tenant, job).state for job in behind} == {JobState.SUCCEEDED}
    hurry.set()
    thread.join()
    assert now(process, tenant, slow).state is JobState.SUCCEEDED


def test_steps_that_were_claimed_together_and_take_long_together_are_let_go_too(
    process: Process, tenant: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grouped, "_pace", {SMALL.name: 1e-4})
    made = [small(process, tenant, seconds=0.3) for _ in range(20)]
    sent(process)
    grouped.perform(process, SMALL, asked(tenant, *made))
    outcomes = [[tried.outcome for tried in now(process, tenant, job).steps[0].attempts] for job in made]
    done = outcomes.count([Outcome.SUCCEEDED])
    assert outcomes == [[Outcome.SUCCEEDED]] * done + [[Outcome.RETURNED]] * (20 - done)
    assert 1 <= done <= 10
    assert unsent(process) == {job.steps[0].id for job in made[done:]}


def test_a_hint_that_takes_long_lets_go_what_is_not_claimed(
    process: Process, tenant: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grouped, "_pace", {SMALL.name: 0.2})  # one is claimed at a time
    made = [small(process, tenant, seconds=0.2) for _ in range(20)]
    sent(process)
    grouped.perform(process, SMALL, asked(tenant, *made))
    outcomes = [[tried.outcome for tried in now(process, tenant, job).steps[0].attempts] for job in made]
    done = outcomes.count([Outcome.SUCCEEDED])
    assert outcomes == [[Outcome.SUCCEEDED]] * done + [[]] * (20 - done)
    assert 1 <= done <= 10
    assert unsent(process) == {job.steps[0].id for job in made[done:]}


def test_what_cannot_be_let_go_is_tried_again(
    process: Process, tenant: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grouped, "_pace", {SMALL.name: grouped.GATHER_SECONDS / 3})
    refusals = [DatabaseUnavailable("it is away")]

    def back(*given: Any) -> None:
        if refusals:
            raise refusals.pop()
        losses.hand_back(*given)

    monkeypatch.setattr(grouped, "losses", SimpleNamespace(hand_back=back))
    made = [small(process, tenant, seconds=60), *(small(process, tenant) for _ in range(6))]
    sent(process)
    thread = threading.Thread(target=grouped.perform, args=(process, SMALL, asked(tenant, *made)), daemon=True)
    thread.start()
    until(lambda: unsent(process) == {job.steps[0].id for job in made[1:]})
    assert now(process, tenant, made[0]).state is JobState.RUNNING
    assert not refusals
    outcomes = [[tried.outcome for tried in now(process, tenant, job).steps[0].attempts] for job in made[1:]]
    assert outcomes == [[Outcome.RETURNED]] * 2 + [[]] * 4
    hurry.set()
    thread.join()


def test_a_slot_that_is_killed_costs_no_step_of_its_hint(
    worker: Worker, database: Database, tenant: TenantId, read: Callable[[Job], Job], relaying: Relaying
) -> None:
    with worker("-c", "1") as process:
        quick = [put_in(database, tenant) for _ in range(60)]  # after these it claims many at once
        until(lambda: {read(job).state for job in quick} == {JobState.SUCCEEDED})
        relaying.stop()
        slow = put_in(database, tenant, {"steps": {"say": {"kind": "echo", "sleep_seconds": 3}}})
        others = [put_in(database, tenant) for _ in range(20)]
        hints = Hints()
        hints.send([runnable(tenant, job) for job in (slow, *others)])
        hints.close()
        until(lambda: read(slow).state is JobState.RUNNING)
        [child] = psutil.Process(process.pid).children()
        child.kill()
        until(lambda: [tried.outcome for tried in read(slow).steps[0].attempts] == [Outcome.LOST])
        relaying.start()
        until(lambda: {read(job).state for job in (slow, *others)} == {JobState.SUCCEEDED})
        tried = [[one.outcome for one in read(job).steps[0].attempts] for job in others]
    assert {outcomes[-1] for outcomes in tried} == {Outcome.SUCCEEDED}
    # Those that were claimed with the slow one come first; on a busy machine they may be let go before the kill.
    before = [outcome for outcomes in tried for outcome in outcomes[:-1]]
    assert [len(outcomes) for outcomes in tried] == [2] * len(before) + [1] * (20 - len(before))
    assert set(before) <= {Outcome.LOST, Outcome.RETURNED}


def test_before_it_is_known_how_long_they_take_one_is_claimed_at_a_time(
    process: Process, tenant: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grouped, "_pace", {})
    slow, behind = small(process, tenant, seconds=60), small(process, tenant)
    sent(process)
    thread = threading.Thread(target=grouped.perform, args=(process, SMALL, asked(tenant, slow, behind)), daemon=True)
    thread.start()
    until(lambda: now(process, tenant, slow).state is JobState.RUNNING)
    until(lambda: unsent(process) == {behind.steps[0].id})
    assert now(process, tenant, behind).state is JobState.QUEUED
    assert now(process, tenant, behind).steps[0].attempts == ()
    hurry.set()
    thread.join()


def runnable(tenant: TenantId, job: Job) -> Runnable:
    step = job.steps[0]
    return Runnable(
        tenant_id=tenant, job_id=job.id, step_id=step.id, kind=step.kind, queue=step.queue, priority=job.priority
    )
