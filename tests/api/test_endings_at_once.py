"""Cancels, retries, deletions, replays, deadlines and workers that meet: whoever comes first, one consistent state."""

import contextlib
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from scheduler.reap import expire_once
from storage.errors import LeaseLost
from storage.model import Claim, Job
from tests.api.conftest import Api
from tests.api.refusing import eventually
from tests.api.working import fail, failed, retry, shown, start, states, succeed, types
from tests.documents import ECHO, put_in, take

DIAMOND = {
    "steps": {
        "left": {"kind": "echo"},
        "right": {"kind": "echo"},
        "behind": {"kind": "echo", "use": ["left"]},
        "last": {"kind": "echo", "use": ["left", "right"]},
    }
}
FINAL = {"succeeded", "failed", "canceled", "expired"}
ENDS = {"job.succeeded", "job.failed", "job.canceled", "job.expired"}
ROUNDS = 30

T = TypeVar("T")

# One statement sees one moment: what is open is counted right, and the job has ended if and only if nothing is open.
_MOMENT = """
SELECT finished_at IS NOT NULL AS ended, steps_open, (
  SELECT count(*) FROM steps s WHERE s.tenant_id = jobs.tenant_id AND s.job_id = jobs.id AND s.finished_at IS NULL
) AS open
FROM jobs WHERE tenant_id = %(tenant)s AND id = %(job)s
"""
_ACTIVE = """
SELECT count(*) FROM jobs
WHERE tenant_id = %(tenant)s AND unique_key ->> 'key' = 'k' AND finished_at IS NULL
"""


def at_once(*acts: Callable[[], T]) -> list[T]:
    """Do them all, each in a thread, beginning together."""
    ready = threading.Barrier(len(acts))

    def act(do: Callable[[], T]) -> T:
        ready.wait()
        return do()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(act, acts))


@contextlib.contextmanager
def holding(what: Callable[[], None]) -> Iterator[None]:
    """It holds at every moment at which we look while the body runs, and at least once."""
    done, looked = threading.Event(), threading.Event()

    def look() -> None:
        while True:
            what()
            looked.set()
            if done.is_set():
                return

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        try:
            eventually(lambda: looked.is_set() or looking.done(), "it is being looked at")
            yield
        finally:
            done.set()
        looking.result()


def assert_moment(api: Api, job: Job) -> None:
    with api.database.read(api.acme.tenant) as tx:
        row = tx.sql(_MOMENT, job=job.id).one_or_none()
    assert row is None or (row.open, row.ended) == (row.steps_open, row.open == 0), row


def ask(api: Api, job: Job, what: str, **how: Any) -> int:
    return int(api.acme.ask("POST", f"/v1/jobs/{job.id}/{what}", **how).status_code)


def delete(api: Api, job: Job) -> int:
    return int(api.acme.ask("DELETE", f"/v1/jobs/{job.id}").status_code)


def end_one(api: Api, claim: Claim, how: Sequence[Callable[[Api, Claim], None]]) -> None:
    """End it in one of these ways; a worker that has lost its step to another does nothing."""
    with contextlib.suppress(LeaseLost):
        random.Random(claim.step_id).choice(how)(api, claim)


def work(api: Api, job: Job, how: Sequence[Callable[[Api, Claim], None]], turns: int = 3) -> int:
    """Claim what is to be had of the job and end it; returns 0, which is no status."""
    for _ in range(turns):
        for step in job.steps:
            if (claim := take(api.database, api.acme.tenant, job, step.name)) is not None:
                end_one(api, claim, how)
    return 0


def assert_ended(api: Api, job: Job) -> None:
    document, told = shown(api, job), types(api, job)
    assert document["state"] in FINAL
    assert document["stopping"] is None
    assert set(states(api, job).values()) <= FINAL
    assert [event for event in told if event in ENDS] == told[-1:] == [f"job.{document['state']}"]
    stopped = told.index("job.stopping") if "job.stopping" in told else len(told)
    assert "step.running" not in told[stopped:], told
    for step in job.steps:
        assert take(api.database, api.acme.tenant, job, step.name) is None


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_a_job_that_is_canceled_amid_its_workers_ends_with_its_last_step_and_starts_none(api: Api, turn: int) -> None:
    job = put_in(api.database, api.acme.tenant, DIAMOND)
    how = [succeed, succeed, fail, retry] if turn % 2 else [succeed]
    running = start(api, job, "left") if turn % 3 == 0 else None
    with holding(lambda: assert_moment(api, job)):
        first, second, *_ = at_once(
            lambda: ask(api, job, "cancel"),
            lambda: ask(api, job, "cancel"),
            lambda: work(api, job, how),
            lambda: work(api, job, how),
        )
        assert {first, second} <= {200, 202, 409}
        if running:
            end_one(api, running, how)
    assert_ended(api, job)
    if 409 not in (first, second):
        assert shown(api, job)["state"] == "canceled"
        assert shown(api, job)["error"]["code"] == "job_canceled"


@pytest.mark.parametrize("turn", range(10))
def test_of_a_deadline_a_cancel_and_the_last_step_one_ends_the_job(api: Api, turn: int) -> None:
    job = put_in(api.database, api.acme.tenant, {**ECHO, "deadline_seconds": 3600})
    claim = start(api, job)
    with api.database.begin(api.acme.tenant) as tx:
        tx.sql("UPDATE jobs SET deadline_at = now() WHERE tenant_id = %(tenant)s AND id = %(job)s", job=job.id)
    with holding(lambda: assert_moment(api, job)):
        at_once(
            lambda: expire_once(api.database),
            lambda: ask(api, job, "cancel"),
            lambda: end_one(api, claim, [succeed, fail]),
        )
    assert_ended(api, job)
    told = types(api, job)
    assert told.count("job.stopping") <= 1


@pytest.mark.parametrize("turn", range(10))
def test_whatever_is_decided_of_a_job_at_once_it_is_whole_or_gone(api: Api, turn: int) -> None:
    job = failed(api, DIAMOND)
    with holding(lambda: assert_moment(api, job)):
        answers = at_once(
            lambda: ask(api, job, "retry"),
            lambda: ask(api, job, "retry", json={"only": "all"}),
            lambda: ask(api, job, "cancel"),
            lambda: delete(api, job),
            lambda: work(api, job, [succeed, fail], 1),
        )
    assert set(answers) <= {0, 200, 202, 204, 404, 409}, answers
    gone = 204 in answers
    assert api.acme.get(f"/v1/jobs/{job.id}").status_code == (404 if gone else 200)
    if not gone:
        assert ask(api, job, "cancel") in {200, 409}  # nothing of it runs any more
        assert shown(api, job)["state"] in FINAL
        assert delete(api, job) == 204


def test_of_many_deletions_at_once_one_is_done(api: Api) -> None:
    job = failed(api)
    assert sorted(at_once(*[lambda: delete(api, job)] * 8)) == [204] + [404] * 7


def test_replays_at_once_run_each_job_once(api: Api) -> None:
    jobs = [failed(api) for _ in range(6)]
    answers = at_once(*[lambda: api.acme.ask("POST", "/v1/dead-letters/replay")] * 6)
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(job for answer in answers for job in answer.json()["jobs"]) == [job.id for job in jobs]
    assert [types(api, job).count("job.queued") for job in jobs] == [2] * 6
    assert all(one["matching"] == len(one["jobs"]) + one["skipped"] for one in (answer.json() for answer in answers))


def test_twelve_submits_of_one_key_at_once_are_told_of_one_job(api: Api) -> None:
    answers = at_once(*[lambda: api.acme.post(json={**ECHO, "unique_key": "k"})] * 12)
    assert sorted(answer.status_code for answer in answers) == [200] * 11 + [202]
    (job_id,) = {answer.json()["id"] for answer in answers}
    assert {answer.headers["location"] for answer in answers} == {f"/v1/jobs/{job_id}"}


def test_a_key_that_changes_hands_again_and_again_never_has_two_jobs(api: Api) -> None:
    def assert_at_most_one() -> None:
        with api.database.read(api.acme.tenant) as tx:
            assert tx.sql(_ACTIVE).scalar_one() <= 1

    def come_and_go() -> set[int]:
        told: set[int] = set()
        for _ in range(10):
            answer = api.acme.post(json={**ECHO, "unique_key": "k"})
            path = f"/v1/jobs/{answer.json()['id']}"
            for method, what in (("POST", "/cancel"), ("POST", "/retry"), ("POST", "/cancel"), ("DELETE", "")):
                told.add(api.acme.ask(method, path + what).status_code)
            told.add(answer.status_code)
        return told

    with holding(assert_at_most_one):
        told = set[int]().union(*at_once(*[come_and_go] * 6))
    assert told <= {200, 202, 204, 404, 409}
