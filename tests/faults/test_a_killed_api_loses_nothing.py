"""The HTTP process may die in the midst of requests: what it accepted is done, what is sent again is one job."""

import pytest

from tests.faults.load import load, nothing_is_lost
from tests.faults.stack import Stack
from tests.waiting import until


# The API does not know the broker.
@pytest.mark.parametrize("running_stack", ["redis"], indirect=True)
def test_every_request_becomes_one_job_however_often_it_had_to_be_sent(stack: Stack) -> None:
    began = stack.now()
    with load(stack, threads=3, pause_seconds=0.05) as sent:
        for _ in range(2):
            enough = len(sent.accepted) + 10
            until(lambda enough=enough: len(sent.accepted) >= enough)  # type: ignore[misc]
            stack.kill("api")
    assert sent.statuses["202"] == len(sent.accepted) < len(sent.answers)
    nothing_is_lost(stack, sent.accepted, within=30)
    asked = (
        "SELECT count(*) FROM jobs WHERE created_at > %s AND schedule_id IS NULL"  # the platform has some of its own
    )
    assert stack.rows(asked, began) == [(len(sent.accepted),)]
