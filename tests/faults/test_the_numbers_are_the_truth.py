"""What `GET /v1/queues` says is what there is, in the situations in which a broker's own counters are wrong."""

from collections import Counter
from typing import Any

from tasks.names import Queue
from tests.faults.load import backlog, echo, nothing_is_lost
from tests.faults.stack import Stack
from tests.sink import Answer
from tests.waiting import until

LATER = Answer(status=500, headers={"Retry-After": "3600"})  # a 503 would keep the others from trying
STATES = ("runnable", "running", "retrying", "scheduled", "waiting")

_TRUTH = """
SELECT CASE WHEN state = 'queued' THEN 'runnable' ELSE state END, count(*) FROM steps
WHERE queue = %s AND finished_at IS NULL GROUP BY 1
"""

_PUT_OFF = """
WITH put_off AS (
  UPDATE steps SET state = 'retrying', run_at = now() + interval '1 hour'
  WHERE id IN (SELECT id FROM steps WHERE state = 'queued' AND queue = 'default' AND priority = 6 LIMIT 5) RETURNING id
)
SELECT count(*) FROM put_off
"""


def load_of(stack: Stack, queue: str) -> dict[str, Any]:
    document: dict[str, Any] = stack.http.get(f"/v1/queues/{queue}").raise_for_status().json()
    return document


def told(stack: Stack, queue: str) -> Counter[str]:
    load = load_of(stack, queue)["load"]
    return Counter({state: load[state] for state in STATES if load[state]})


def truth(stack: Stack, queue: str) -> Counter[str]:
    return Counter(dict(stack.rows(_TRUTH, queue)))


def agree(stack: Stack, queue: str, **expected: int) -> None:
    """Wait for what is to be seen; meanwhile both sides move, and then they are the same."""
    until(lambda: told(stack, queue) == truth(stack, queue) == Counter(expected), seconds=10)


def test_what_runs_what_is_held_back_and_every_priority_count(stack: Stack) -> None:
    long = backlog(stack, [echo(6.0)] * 2)
    agree(stack, "default", running=2)
    jobs = backlog(stack, [{**echo(0), "priority": p} for p in [*["normal"] * 10, *["low"] * 30, "high"]])
    agree(stack, "default", running=2, runnable=41)
    document = load_of(stack, "default")
    by_priority = {name: load["runnable"] for name, load in document["by_priority"].items()}
    assert by_priority == {"high": 1, "normal": 10, "low": 30}
    assert (document["workers"], document["slots"]) == (1, 2)
    assert stack.broker.waiting(Queue.DEFAULT) < 41  # what those see who count messages
    assert stack.rows(_PUT_OFF) == [(5,)]
    agree(stack, "default", running=2, runnable=36, retrying=5)
    stack.rows("UPDATE steps SET run_at = now() WHERE state = 'retrying' AND queue = 'default' RETURNING id")
    nothing_is_lost(stack, [*long, *jobs], within=40)
    agree(stack, "default")


def test_what_is_due_in_an_hour_is_not_there_to_be_done(stack: Stack) -> None:
    stack.sink.answers = [LATER]
    jobs = backlog(stack, [{"steps": {"tell": {"kind": "http.call", "url": stack.sink.url}}}] * 5)
    agree(stack, "calls", retrying=5)
    assert load_of(stack, "calls")["load"]["oldest_runnable_seconds"] is None
    stack.sink.answers = [Answer()]
    stack.rows("UPDATE steps SET run_at = now() WHERE state = 'retrying' AND kind = 'http.call' RETURNING id")
    nothing_is_lost(stack, jobs, within=30)
    agree(stack, "calls")
