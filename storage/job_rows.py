"""How rows become jobs, their steps and their attempts. Pure."""

from collections.abc import Sequence
from typing import Any

from storage.batch_ids import BatchId, OfBatch
from storage.model import (
    Attempt,
    Fired,
    Job,
    JobId,
    JobInput,
    JobState,
    Notify,
    Outcome,
    PublicError,
    ScheduleId,
    Step,
    StepId,
    StepState,
)


def job_of(row: Any, its_steps: Sequence[Step]) -> Job:
    """The job of a row with all its columns and `progress`."""
    return Job(
        id=JobId(row.id),
        state=JobState(row.state),
        priority=row.priority,
        input=_input(row.input),
        error=_error(row.error),
        metadata=row.metadata,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        deadline_at=row.deadline_at,
        stopping=JobState(row.stop_as) if row.stop_as and row.finished_at is None else None,
        progress=float(row.progress or 0.0),
        withheld=row.stop_as == JobState.FAILED,
        fired=None
        if row.schedule_id is None
        else Fired(schedule_id=ScheduleId(row.schedule_id), fire_time=row.fire_time),
        notify=None if row.notify is None else Notify(**row.notify),
        template=row.template,
        batch=None if row.batch_id is None else OfBatch(id=BatchId(row.batch_id), line=row.batch_line),
        steps=tuple(its_steps),
    )


def step_of(row: Any, its_attempts: Sequence[Attempt]) -> Step:
    """The step of a row with all its columns."""
    return Step(
        id=StepId(row.id),
        name=row.name,
        kind=row.kind,
        queue=row.queue,
        state=StepState(row.state),
        uses=tuple(row.uses),
        attempt=row.attempt,
        failures=row.failures,
        losses=row.losses,
        progress=row.progress,
        result=row.result,
        error=_error(row.error),
        created_at=row.created_at,
        run_at=row.run_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        held_for=row.held_for,
        worker=row.worker if row.state == StepState.RUNNING else None,
        attempts=tuple(its_attempts),
    )


def attempt_of(row: Any) -> Attempt:
    """The attempt of a row with all its columns."""
    return Attempt(
        number=row.number,
        worker=row.worker,
        outcome=Outcome(row.outcome),
        started_at=row.started_at,
        finished_at=row.finished_at,
        error=_error(row.error),
    )


def _error(value: Any) -> PublicError | None:
    """The error in a row's JSON column."""
    return None if value is None else PublicError(**value)


def _input(value: Any) -> JobInput | None:
    """The uploaded file in a row's JSON column."""
    return None if value is None else JobInput(**value)
