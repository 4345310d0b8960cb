"""A worker that stood still for longer than its lease finds its steps done by another, and leaves them so."""

import json
from typing import Any

from tasks.names import Queue
from tests.faults.effects import attempts
from tests.faults.load import PICTURE, Load, accept, backlog, echo, nothing_is_lost, photo
from tests.faults.stack import Stack
from tests.faults.worker import another, stopped
from tests.waiting import until

WORKERS = ("worker-default", "worker-images")


def test_it_says_that_it_lost_its_lease_and_writes_nothing(stack: Stack) -> None:
    stack.store.open.clear()  # the picture's variant waits here, so the step is caught in the midst of its work
    picture = accept(stack.http, PICTURE, Load(), photo())
    [saying] = backlog(stack, [echo(1.5)])
    jobs = [picture, saying]
    until(lambda: stack.store.held.is_set() and {state(stack, job) for job in jobs} == {"running"})
    with stopped(*(stack.family(part) for part in WORKERS)):
        stack.store.open.set()
        with another(stack, queues=[Queue.DEFAULT, Queue.IMAGES]) as other:
            nothing_is_lost(stack, jobs, within=45)
            before = seen(stack, jobs)
    for part, job in zip(WORKERS, [saying, picture], strict=True):
        [(step, worker)] = stack.rows("SELECT id, worker FROM steps WHERE job_id = %s", job)
        assert worker.startswith(other)
        until(lambda part=part, step=step: says_that_it_lost(stack, part, step))  # type: ignore[misc]
    assert [(number, outcome) for _, number, outcome, _ in attempts(stack, [picture])] == [
        (1, "lost"),
        (2, "succeeded"),
    ]
    assert seen(stack, jobs) == before


def says_that_it_lost(stack: Stack, part: str, step: str) -> bool:
    said = [json.loads(line) for line in stack.log(part).splitlines() if '"step.lease_lost"' in line]
    return any((line["step"], line["attempt"]) == (step, 1) for line in said)


def state(stack: Stack, job: str) -> str:
    return str(stack.http.get(f"/v1/jobs/{job}").json()["state"])


def seen(stack: Stack, jobs: list[str]) -> list[Any]:
    """All that there is to see of the jobs: documents, bytes, attempts, events."""
    documents = [stack.http.get(f"/v1/jobs/{job}").json() for job in jobs]
    output = stack.http.get(f"/v1/jobs/{jobs[0]}/outputs/thumbs/s").content
    events = stack.rows("SELECT * FROM events WHERE job_id = ANY(%s) ORDER BY job_id, seq", jobs)
    return [documents, output, attempts(stack, jobs), events]
