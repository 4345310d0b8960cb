"""A broker that cannot be reached, in each of the ways that networks have, stops no one from submitting."""

import pytest

from tests.faults.load import backlog, echo, load, nothing_is_lost
from tests.faults.stack import Stack
from tests.waiting import until

AGAIN_SECONDS = 10
"""From when the way is free again to the first step."""


@pytest.mark.parametrize("fault", ["cut", "stall", "half_open"])
def test_jobs_are_accepted_meanwhile_and_start_soon_after(stack: Stack, fault: str) -> None:
    with load(stack, pause_seconds=0.5) as sent:
        until(lambda: len(sent.accepted) >= 4)
        {"cut": stack.proxy.cut, "stall": stack.proxy.stall, "half_open": stack.proxy.half_open}[fault]()
        enough = len(sent.accepted) + {"cut": 12, "stall": 24, "half_open": 2}[fault]
        until(lambda: len(sent.accepted) >= enough)
        late = backlog(stack, [echo(0)] * 3)
    assert set(sent.statuses) == {"202"}
    assert fault == "half_open" or not begun(stack, late)
    stack.proxy.mend()
    # What is half open stays so: clients have to notice by themselves.
    notices = stack.broker.notices_seconds if fault == "half_open" else 0
    until(lambda: begun(stack, late), seconds=notices + AGAIN_SECONDS)
    nothing_is_lost(stack, [*sent.accepted, *late], within=20)


def begun(stack: Stack, jobs: list[str]) -> bool:
    return bool(stack.rows("SELECT 1 FROM steps WHERE job_id = ANY(%s) AND started_at IS NOT NULL", jobs))
