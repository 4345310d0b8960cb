"""Cancelling at any moment leaves one consistent end, and nothing of the job is left in the store."""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.faults.load import Load, accept, all_ended, mixed, photo
from tests.faults.stack import Stack, client
from tests.waiting import until

JOBS = 40
DEAF = {"steps": {"it": {"kind": "test.stick", "seconds": 60}, "behind": {"kind": "echo", "use": ["it"]}}}


def cancel_at_any_moment(stack: Stack, number: int) -> tuple[str, int]:
    """Submit a job and cancel it a little later, before, while or after it runs; the answer to the cancellation."""
    with client(stack.started) as http:
        document, file = mixed(stack, number)
        job = accept(http, document, Load(), file)
        Load().stop.wait(random.uniform(0, 0.4))
        return job, http.post(f"/v1/jobs/{job}/cancel").status_code


def test_cancelling_in_every_race_leaves_one_end(stack: Stack) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = dict(pool.map(lambda number: cancel_at_any_moment(stack, number), range(JOBS)))
    table = all_ended(stack, list(answers), within=30)
    assert table.is_right, table
    states = dict(stack.rows("SELECT id, state FROM jobs WHERE id = ANY(%s)", list(answers)))
    assert {(answers[job], states[job]) for job in answers} <= {
        (200, "canceled"),
        (202, "canceled"),
        (409, "succeeded"),
    }
    assert Counter(answers.values())[409] < JOBS
    open_steps = "SELECT id FROM steps WHERE job_id = ANY(%s) AND finished_at IS NULL"
    assert stack.rows(open_steps, list(answers)) == []
    late = "SELECT s.id FROM steps s JOIN jobs j ON j.id = s.job_id WHERE s.started_at > j.stop_at AND j.id = ANY(%s)"
    assert stack.rows(late, list(answers)) == []


def test_a_step_that_does_not_listen_is_stopped_and_its_worker_goes_on(stack: Stack) -> None:
    worker = stack.pid("worker-default")
    job = accept(stack.http, DEAF, Load())
    until(lambda: state(stack, job)["state"] == "running")
    assert stack.http.post(f"/v1/jobs/{job}/cancel").status_code == 202
    assert state(stack, job)["stopping"] == "canceled"
    ended = until(lambda: state(stack, job) if state(stack, job)["finished_at"] else None, seconds=20)
    assert [ended["state"], *(step["state"] for step in ended["steps"].values())] == ["canceled"] * 3
    assert stack.pid("worker-default") == worker


def test_the_outputs_of_a_canceled_job_are_removed(stack: Stack) -> None:
    steps = {
        "thumbs": {"kind": "image.resize", "variants": [{"name": "s", "width": 64}]},
        "late": {"kind": "test.save", "seconds": 60, "use": []},
    }
    job = accept(stack.http, {"steps": steps}, Load(), photo())
    href = until(lambda: made(state(stack, job)))[0]["href"]
    until(lambda: state(stack, job)["steps"]["late"]["state"] == "running")
    assert stack.http.get(href).status_code == 200
    stack.http.post(f"/v1/jobs/{job}/cancel")
    until(lambda: state(stack, job)["state"] == "canceled")
    until(lambda: not stack.objects(f"/{job}/outputs/"))
    assert stack.http.get(href).status_code == 404


def state(stack: Stack, job: str) -> dict[str, Any]:
    document: dict[str, Any] = stack.http.get(f"/v1/jobs/{job}").json()
    return document


def made(document: dict[str, Any]) -> list[dict[str, Any]]:
    outputs: list[dict[str, Any]] = (document["steps"]["thumbs"]["result"] or {}).get("outputs", [])
    return outputs
