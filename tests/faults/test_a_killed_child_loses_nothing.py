"""A process of a prefork pool that is killed costs an attempt, not a job."""

from tests.faults.effects import attempts, running
from tests.faults.load import backlog, chain, nothing_is_lost
from tests.faults.stack import LEASE_SECONDS, Stack
from tests.waiting import until


def test_what_a_killed_child_held_is_done_again(stack: Stack) -> None:
    jobs = backlog(stack, [chain(stack, 1.5)] * 4)  # long enough that both slots are still busy when one is killed
    until(lambda: running(stack, jobs) == 2)
    assert stack.kill_child("worker-default")
    nothing_is_lost(stack, jobs, within=LEASE_SECONDS + 10)
    assert [outcome for _, _, outcome, _ in attempts(stack, jobs) if outcome != "succeeded"] == ["lost"]
