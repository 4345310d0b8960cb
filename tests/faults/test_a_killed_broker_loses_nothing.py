"""A broker that is killed and comes back, with whatever it still knows, costs the time that it was away."""

import contextlib

from tasks.names import Queue
from tests.faults.load import backlog, echo, load, nothing_is_lost
from tests.faults.stack import Stack
from tests.waiting import until


def test_jobs_are_accepted_while_it_is_away_and_done_when_it_is_back(stack: Stack) -> None:
    with load(stack, pause_seconds=0.3) as sent:
        sent.accepted += backlog(stack, [echo(0.1)] * 20)
        stack.kill(stack.broker.part)
        enough = len(sent.accepted) + 5
        until(lambda: len(sent.accepted) >= enough)
        until(lambda: answers(stack), seconds=30)
    assert set(sent.statuses) == {"202"}
    nothing_is_lost(stack, sent.accepted, within=15)


def answers(stack: Stack) -> bool:
    with contextlib.suppress(Exception):  # whatever a broker that is not there raises
        return stack.broker.waiting(Queue.DEFAULT) >= 0
    return False
