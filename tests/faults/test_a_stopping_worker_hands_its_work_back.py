"""SIGTERM to a worker: what has not ended when its grace is over runs elsewhere at once, not after a lease."""

import psutil

from tests.faults.effects import attempts, running
from tests.faults.load import backlog, echo, load, nothing_is_lost
from tests.faults.stack import Stack
from tests.waiting import until

LONGER_THAN_THE_GRACE = 10.0  # by more than the jobs begin one after the other


def test_what_outlasts_the_grace_is_handed_back_and_counts_as_nothing(stack: Stack) -> None:
    jobs = backlog(stack, [echo(LONGER_THAN_THE_GRACE)] * 2)
    until(lambda: running(stack, jobs) == 2)
    worker = psutil.Process(stack.pid("worker-default"))
    worker.terminate()
    until(lambda: not worker.is_running() or worker.status() == "zombie", seconds=10)
    nothing_is_lost(stack, jobs, within=30)
    assert sorted(outcome for _, _, outcome, _ in attempts(stack, jobs)) == ["returned"] * 2 + ["succeeded"] * 2
    assert stack.rows("SELECT DISTINCT losses, failures FROM steps WHERE job_id = ANY(%s)", jobs) == [(0, 0)]


def test_workers_that_are_told_to_stop_under_load_lose_nothing(stack: Stack) -> None:
    with load(stack) as sent:
        for part in ("worker-default", "worker-calls", "worker-images"):
            enough = len(sent.accepted) + 6
            until(lambda enough=enough: len(sent.accepted) >= enough)  # type: ignore[misc]
            psutil.Process(stack.pid(part)).terminate()
    nothing_is_lost(stack, sent.accepted, within=30)
    assert "lost" not in {outcome for _, _, outcome, _ in attempts(stack, sent.accepted)}
