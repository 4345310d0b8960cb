"""A step that kills whatever works on it is given up; everything else is done."""

from typing import Any

from tests.faults.load import all_ended, backlog, load
from tests.faults.stack import Stack
from tests.waiting import until

POISON = {"steps": {"it": {"kind": "test.die"}, "behind": {"kind": "echo", "use": ["it"]}}}
GREEDY = {"steps": {"it": {"kind": "test.eat", "mib": 512}}}


def job(stack: Stack, job_id: str) -> dict[str, Any]:
    document: dict[str, Any] = stack.http.get(f"/v1/jobs/{job_id}").json()
    return document


def test_poison_among_good_jobs_fails_alone_and_says_so(stack: Stack) -> None:
    with load(stack) as sent:
        [poison] = backlog(stack, [POISON])
        until(lambda: job(stack, poison)["state"] == "failed", seconds=60)
    table = all_ended(stack, sent.accepted, within=40)
    assert table.is_right, table
    ended = job(stack, poison)
    step, behind = ended["steps"]["it"], ended["steps"]["behind"]
    assert (step["error"]["code"], step["losses"], behind["state"]) == ("poison", 3, "canceled")
    assert [attempt["outcome"] for attempt in step["attempts"]] == ["lost"] * 3
    listed = stack.http.get("/v1/dead-letters", params={"kind": "test.die"}).json()["data"]
    assert [(group["code"], group["newest_job"]) for group in listed] == [("poison", poison)]


def test_a_step_that_takes_too_much_memory_dies_with_its_process_and_the_worker_goes_on(stack: Stack) -> None:
    worker = stack.pid("worker-default")
    [greedy] = backlog(stack, [GREEDY])
    until(lambda: job(stack, greedy)["state"] == "failed", seconds=60)
    step = job(stack, greedy)["steps"]["it"]
    assert [attempt["error"]["code"] for attempt in step["attempts"]] == ["memory", "memory", "poison"]
    assert stack.pid("worker-default") == worker
