"""The process of relay and reaper may die at any moment: what was ready to run is sent when it is back."""

from tests.faults.load import backlog, chain, load, nothing_is_lost
from tests.faults.stack import Stack
from tests.waiting import until


def test_jobs_accepted_around_its_death_are_all_done(stack: Stack) -> None:
    with load(stack) as sent:
        for _ in range(2):
            enough = len(sent.accepted) + 5
            until(lambda enough=enough: len(sent.accepted) >= enough)  # type: ignore[misc]
            burst = backlog(stack, [chain(stack, 0)] * 10)
            stack.kill("scheduler")
            sent.accepted += burst
    assert set(sent.statuses) == {"202"}
    nothing_is_lost(stack, sent.accepted, within=20)
