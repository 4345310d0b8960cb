"""While the database restarts, requests are answered 503 or succeed; what was accepted is done."""

from signal import SIGINT, SIGKILL, Signals

import psutil
import pytest

from tests.faults.load import load, nothing_is_lost
from tests.faults.stack import Stack
from tests.waiting import until

# The broker has no part in it.
pytestmark = pytest.mark.parametrize("running_stack", ["redis"], indirect=True)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("end", [SIGKILL, SIGINT])
def test_a_database_that_is_killed_or_restarted_under_load(stack: Stack, end: Signals) -> None:
    with load(stack) as sent:
        until(lambda: len(sent.accepted) >= 10)
        before = stack.pid("postgres")
        psutil.Process(before).send_signal(end)
        until(lambda: stack.processes().get("postgres", before) != before, seconds=30)
        enough = len(sent.accepted) + 10
        until(lambda: len(sent.accepted) >= enough, seconds=60)
    assert set(sent.statuses) <= {"202", "409", "503"}, sent.statuses
    nothing_is_lost(stack, sent.accepted, within=30)
