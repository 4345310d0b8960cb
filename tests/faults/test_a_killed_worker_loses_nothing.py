"""A worker that is killed with all its processes costs its steps an attempt and their lease."""

from datetime import timedelta

from tests.faults.effects import attempts, running
from tests.faults.load import backlog, chain, load, nothing_is_lost
from tests.faults.stack import LEASE_SECONDS, Stack
from tests.waiting import until


def test_what_a_killed_worker_held_runs_elsewhere_when_its_lease_is_over(stack: Stack) -> None:
    jobs = backlog(stack, [chain(stack, 1.0)] * 2)
    until(lambda: running(stack, jobs) == 2)
    killed = stack.now()
    stack.kill("worker-default")
    nothing_is_lost(stack, jobs, within=LEASE_SECONDS + 10)
    tried = attempts(stack, jobs)
    again = [started for _, number, _, started in tried if number == 2]
    assert [outcome for _, _, outcome, _ in tried if outcome != "succeeded"] == ["lost"] * 2
    assert max(again) - killed < timedelta(seconds=LEASE_SECONDS + 10)


def test_workers_of_every_pool_are_killed_under_load(stack: Stack) -> None:
    with load(stack) as sent:
        for part in ("worker-calls", "worker-images", "worker-default"):
            enough = len(sent.accepted) + 8
            until(lambda enough=enough: len(sent.accepted) >= enough)  # type: ignore[misc]
            stack.kill(part)
    nothing_is_lost(stack, sent.accepted, within=LEASE_SECONDS + 20)
