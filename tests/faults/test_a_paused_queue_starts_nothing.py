"""A paused queue: nothing new starts, everywhere, at once; jobs are accepted, and run when it goes on."""

from tests.faults.load import backlog, echo, load, nothing_is_lost
from tests.faults.stack import Stack
from tests.waiting import until


def test_nothing_starts_while_it_is_paused_even_of_what_workers_hold_already(stack: Stack) -> None:
    with load(stack) as sent:
        until(lambda: len(sent.accepted) >= 6)
        before = backlog(stack, [echo(0.3)] * 12)  # more than the slots take at once: hints are with the workers
        assert stack.http.post("/v1/queues/default/pause").status_code == 200
        paused = stack.now()
        after = backlog(stack, [echo(0)] * 5)
        enough = len(sent.accepted) + 6
        until(lambda: len(sent.accepted) >= enough)
        started = "SELECT count(*) FROM steps WHERE queue = 'default' AND started_at > %s"
        assert stack.rows(started, paused) == [(0,)]
        assert stack.http.post("/v1/queues/default/resume").status_code == 200
    nothing_is_lost(stack, [*before, *after, *sent.accepted], within=30)
