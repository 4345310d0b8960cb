"""A broker that forgets everything costs seconds: the rows know what has to run."""

from tasks.names import Queue
from tests.faults.load import backlog, echo, nothing_is_lost
from tests.faults.stack import Stack
from tests.waiting import until


def test_a_wiped_backlog_has_run_ten_seconds_later(stack: Stack) -> None:
    jobs = backlog(stack, [echo(0.15)] * 40)
    unsent = "SELECT count(*) FROM steps WHERE state = 'queued' AND published_at IS NULL"
    until(lambda: stack.rows(unsent) == [(0,)])  # what the relay sends after the wipe would not be gone
    assert stack.broker.waiting(Queue.DEFAULT) > 0
    stack.broker.wipe()
    assert stack.broker.waiting(Queue.DEFAULT) == 0
    nothing_is_lost(stack, jobs, within=10)
