"""What the third party saw, and what the rows say: every effect had, none of them twice."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from tests.faults.stack import Stack


@dataclass(frozen=True, kw_only=True, slots=True)
class Effects:
    """Of the calls that accepted jobs wanted: an effect is one distinct Idempotency-Key.

    `missing` are steps that succeeded without their effect, `doubled` those with another key than their own or more
    than one success in the attempts. `repeated` counts requests with a key that the third party had before: allowed,
    it removes such duplicates itself.
    """

    had: int
    missing: tuple[str, ...]
    doubled: tuple[str, ...]
    repeated: int


def effects(stack: Stack, jobs: Collection[str]) -> Effects:
    """Compare the requests that the sink got with the rows of these jobs."""
    requests = {job: Counter[str]() for job in jobs}
    for _, headers, body in list(stack.sink.got):
        if isinstance(body, dict) and body.get("job") in requests:
            requests[body["job"]][headers["Idempotency-Key"]] += 1
    steps = stack.rows(
        "SELECT s.id, s.job_id, s.kind, s.state, count(a.number) FILTER (WHERE a.outcome = 'succeeded')"
        " FROM steps s LEFT JOIN attempts a ON a.tenant_id = s.tenant_id AND a.step_id = s.id"
        " WHERE s.job_id = ANY(%s) GROUP BY s.tenant_id, s.id",
        list(jobs),
    )
    calls = {step: job for step, job, kind, _, _ in steps if kind == "http.call"}
    ended = {step for step, _, _, state, _ in steps if state == "succeeded"}
    twice = {step for step, _, _, state, times in steps if times != (state == "succeeded")}
    strange = {step for step, job in calls.items() if requests[job].keys() - {step}}
    seen = {step: requests[job][step] for step, job in calls.items()}
    return Effects(
        had=sum(times > 0 for times in seen.values()),
        missing=tuple(sorted(step for step, times in seen.items() if not times and step in ended)),
        doubled=tuple(sorted(twice | strange)),
        repeated=sum(times - 1 for times in seen.values() if times > 1),
    )


def attempts(stack: Stack, jobs: Collection[str]) -> list[tuple[str, int, str, datetime]]:
    """The attempts at these jobs' steps: step, number, outcome, when it started; in the order of their start."""
    return stack.rows(
        "SELECT a.step_id, a.number, a.outcome, a.started_at"
        " FROM attempts a JOIN steps s ON s.tenant_id = a.tenant_id AND s.id = a.step_id"
        " WHERE s.job_id = ANY(%s) ORDER BY a.started_at",
        list(jobs),
    )


def running(stack: Stack, jobs: Collection[str]) -> int:
    """How many steps of these jobs a worker holds now."""
    [(count,)] = stack.rows("SELECT count(*) FROM steps WHERE job_id = ANY(%s) AND state = 'running'", list(jobs))
    return int(count)
