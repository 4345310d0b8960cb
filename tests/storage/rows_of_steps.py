"""Jobs and steps as they stand, in one form for the database and for the model, and what must hold of any of them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from storage.database import Tx
from storage.model import JobId, JobState, Json, Outcome, StepState
from tests.storage.model_of_jobs import ENDED, ModelJob, ModelStep, Told, World

FINAL = frozenset({"succeeded", "failed", "canceled", "expired"})

_ALL = """
SELECT json_build_object(
  'jobs', (SELECT coalesce(json_agg(j), '[]') FROM (
    SELECT id, state, steps_total, steps_open, steps_unmet, stop_as, error ->> 'code' AS error, event_seq,
           finished_at IS NOT NULL AS finished
    FROM jobs WHERE tenant_id = %(tenant)s) j),
  'steps', (SELECT coalesce(json_agg(s), '[]') FROM (
    SELECT id, job_id, name, queue, state, attempt, failures, losses, progress, result, error ->> 'code' AS error,
           CASE WHEN state = 'waiting' THEN waiting_on ELSE 0 END AS waiting_on,
           CASE WHEN state = 'queued' THEN published_at IS NOT NULL END AS sent,
           CASE WHEN state = 'running' THEN worker END AS worker, lease_until IS NOT NULL AS leased,
           finished_at IS NOT NULL AS finished
    FROM steps WHERE tenant_id = %(tenant)s ORDER BY job_id, position) s),
  'attempts', (SELECT coalesce(json_agg(a), '[]') FROM (
    SELECT step_id, number, outcome, error ->> 'code' AS error
    FROM attempts WHERE tenant_id = %(tenant)s ORDER BY step_id, number) a),
  'events', (SELECT coalesce(json_agg(e), '[]') FROM (
    SELECT job_id, seq, type, data ->> 'step' AS step, (data ->> 'attempt')::int AS attempt
    FROM events WHERE tenant_id = %(tenant)s ORDER BY job_id, seq) e),
  'removals', (SELECT coalesce(json_agg(r), '[]') FROM (
    SELECT job_id, outputs_only FROM removals WHERE tenant_id = %(tenant)s) r),
  'keys', (SELECT coalesce(json_agg(k), '[]') FROM (
    SELECT key, job_id FROM unique_keys WHERE tenant_id = %(tenant)s) k))
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRow:
    """A step; `sent` only while it is queued, `worker` only while it runs."""

    queue: str
    state: StepState
    attempt: int
    failures: int
    losses: int
    waiting_on: int
    progress: float
    error: str | None
    result: Json
    sent: bool | None
    worker: str | None
    outcomes: Sequence[tuple[int, Outcome, str | None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRow:
    """A job with its steps and the events that were told of it."""

    state: JobState
    open: int
    unmet: int
    stopping: str | None
    error: str | None
    steps: Mapping[str, StepRow]
    told: Sequence[Told]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """All that a tenant has."""

    jobs: Mapping[JobId, JobRow]
    keys: Mapping[str, JobId]
    removals: frozenset[tuple[JobId, bool]]


def rows_of(world: World) -> Rows:
    """What the model says."""
    jobs = {job.id: _job_of(job) for job in world.jobs.values()}
    return Rows(jobs=jobs, keys=dict(world.keys), removals=frozenset(world.removals))


def rows_in(tx: Tx) -> Rows:
    """What the database says, read in one statement; no event is missing, and what has ended has a time, no lease."""
    found = tx.sql(_ALL).scalar_one()
    for step in found["steps"]:
        assert step["finished"] == (step["state"] in FINAL), step
        assert step["leased"] == (step["state"] == "running"), step
    return Rows(
        jobs={JobId(job["id"]): _job_in(job, found) for job in found["jobs"]},
        keys={row["key"]: JobId(row["job_id"]) for row in found["keys"]},
        removals=frozenset((JobId(row["job_id"]), row["outputs_only"]) for row in found["removals"]),
    )


def check_rows(rows: Rows, begun_after: Mapping[tuple[JobId, str], int]) -> None:
    """What holds at every moment; `begun_after`: each step's last attempt before its job was last told to run."""
    for job_id, job in rows.jobs.items():
        ended = [step.state in ENDED for step in job.steps.values()]
        assert (job.state in FINAL) == all(ended), "a job has ended if and only if all its steps have"
        for name, step in job.steps.items():
            numbers = [number for number, _, _ in step.outcomes]
            running = step.state is StepState.RUNNING
            assert [*numbers, *[step.attempt] * running] == list(range(1, step.attempt + 1)), "one attempt at a time"
            first = begun_after.get((job_id, name), 0) + 1
            done = [number for number, how, _ in step.outcomes if number >= first and how is Outcome.SUCCEEDED]
            assert len(done) == (step.state is StepState.SUCCEEDED), "one success at most, and none is forgotten"


def check_change(before: Rows, after: Rows, *, retried: JobId | None, paused: frozenset[str]) -> None:
    """What holds of any change; only the job `retried` was told to run again."""
    for job_id, was in before.jobs.items():
        now = after.jobs.get(job_id)
        if now is None:
            assert was.state in FINAL, "only ended jobs go"
            continue
        assert not Counter(was.told) - Counter(now.told), "what was told stands"
        if job_id != retried and was.state in FINAL:
            assert now == was, "an ended job stays as it is"
        for name, step in was.steps.items():
            later = now.steps[name]
            assert [*later.outcomes[: len(step.outcomes)]] == [*step.outcomes], "how an attempt ended stands"
            if job_id != retried and step.state in ENDED:
                assert (later.state, later.attempt) == (step.state, step.attempt), "an ended step stays ended"
            if was.stopping or step.queue in paused:
                assert later.attempt == step.attempt, "nothing of a job that is being stopped starts, or of its queue"


def told_since(before: Rows, after: Rows) -> Iterator[str]:
    """What happened between the two: types of events, outcomes of attempts with their error."""
    for job_id, job in after.jobs.items():
        was = before.jobs.get(job_id)
        yield from (kind for kind, _, _ in job.told[len(was.told) if was else 0 :])
        for name, step in job.steps.items():
            new = step.outcomes[len(was.steps[name].outcomes) if was else 0 :]
            yield from (f"{outcome}: {error}" for _, outcome, error in new)


def _job_of(job: ModelJob) -> JobRow:
    ended = [step for step in job.steps.values() if step.state in ENDED]
    return JobRow(
        state=job.state,
        open=len(job.steps) - len(ended),
        unmet=sum(step.state is not StepState.SUCCEEDED for step in ended),
        stopping=job.stopping,
        error=job.error,
        steps={step.name: _step_of(job, step) for step in job.steps.values()},
        told=_in_order(job.told),
    )


def _step_of(job: ModelJob, step: ModelStep) -> StepRow:
    return StepRow(
        queue=step.queue,
        state=step.state,
        attempt=step.attempt,
        failures=step.failures,
        losses=step.losses,
        waiting_on=job.lacking(step) if step.state is StepState.WAITING else 0,
        progress=step.progress,
        error=step.error,
        result=step.result,
        sent=step.sent if step.state is StepState.QUEUED else None,
        worker=step.worker if step.state is StepState.RUNNING else None,
        outcomes=tuple(step.outcomes),
    )


def _job_in(job: Any, found: Any) -> JobRow:
    told = [event for event in found["events"] if event["job_id"] == job["id"]]
    assert [event["seq"] for event in told] == list(range(1, job["event_seq"] + 1))
    assert job["finished"] == (job["state"] in FINAL)
    its_steps = [step for step in found["steps"] if step["job_id"] == job["id"]]
    assert len(its_steps) == job["steps_total"]
    return JobRow(
        state=JobState(job["state"]),
        open=job["steps_open"],
        unmet=job["steps_unmet"],
        stopping=job["stop_as"],
        error=job["error"],
        steps={step["name"]: _step_in(step, found) for step in its_steps},
        told=_in_order([(event["type"], event["step"], event["attempt"]) for event in told]),
    )


def _step_in(step: Any, found: Any) -> StepRow:
    tried = [attempt for attempt in found["attempts"] if attempt["step_id"] == step["id"]]
    return StepRow(
        state=StepState(step["state"]),
        outcomes=tuple((attempt["number"], Outcome(attempt["outcome"]), attempt["error"]) for attempt in tried),
        **{
            name: step[name]
            for name in (
                "queue",
                "attempt",
                "failures",
                "losses",
                "waiting_on",
                "progress",
                "error",
                "result",
                "sent",
                "worker",
            )
        },
    )


def _in_order(told: Sequence[Told]) -> tuple[Told, ...]:
    """Steps that end together without having been started are told of in any order: here, in that of their names."""
    ordered: list[Told] = []
    for kind, same in groupby(told, key=lambda event: event[0]):
        together = list(same)
        ordered += sorted(together, key=str) if kind in ("step.canceled", "step.expired") else together
    return tuple(ordered)
