"""A job as its owner is shown it, over HTTP and in webhooks, and how rows become that. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from storage.model import Job, JobState, Outcome, PublicError, Step, StepState
from tasks.names import Priority


class Document(BaseModel):
    """Base of all documents that are shown."""

    model_config = ConfigDict(extra="forbid")


class ErrorDocument(Document):
    """Why something did not succeed: `code` is stable, `message` is for people.

    `fingerprint` is the same for errors with the same reason.
    """

    code: str
    message: str
    fingerprint: str


class InputDocument(Document):
    """The uploaded file."""

    filename: str
    content_type: str
    bytes: int


class AttemptDocument(Document):
    """One finished attempt at a step."""

    number: int
    outcome: Outcome
    worker: Annotated[str | None, Field(description="told to operators only")]
    error: ErrorDocument | None
    started_at: datetime
    finished_at: datetime


class Timings(Document):
    """Seconds from when it could start until it did, and from there to the end; null where not yet known."""

    waited_seconds: float | None
    ran_seconds: float | None


class StepDocument(Document):
    """A step as it stands. `result.outputs` lists the files it made: {name, bytes, content_type, href, …}."""

    id: str
    kind: str
    state: StepState
    use: list[str]
    attempt: Annotated[int, Field(ge=0, description="number of its newest attempt, 0 before the first")]
    worker: Annotated[str | None, Field(description="who works on it now; told to operators only")]
    losses: Annotated[
        int, Field(ge=0, description="how often it has lost its worker; too often, and it fails as poison")
    ]
    progress: Annotated[float, Field(ge=0, le=1)]
    held_for: Annotated[
        str | None, Field(description="why it may not start before its run_at, although its time had come")
    ]
    attempts: list[AttemptDocument]
    result: Any
    error: ErrorDocument | None
    created_at: datetime
    run_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    timings: Timings


class Links(Document):
    """Where to go on from here."""

    self: str
    events: str


class FiredDocument(Document):
    """The firing that a job comes from: its schedule, and its nominal time, which is not when the job started."""

    id: str
    fire_time: datetime


class OfBatchDocument(Document):
    """The batch that a job comes from, and its line there."""

    id: str
    line: Annotated[int, Field(ge=1)]


class NotifyDocument(Document):
    """Where the job tells of its events, besides its tenant's webhooks."""

    url: str
    events: list[str]


class JobSummary(Document):
    """A job in a listing."""

    id: str
    state: JobState
    priority: Priority
    progress: Annotated[float, Field(ge=0, le=1)]
    input: InputDocument | None
    error: ErrorDocument | None
    metadata: dict[str, Any]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    deadline_at: datetime | None
    stopping: Annotated[JobState | None, Field(description="how it will end once its running steps have stopped")]
    timings: Timings
    schedule: Annotated[FiredDocument | None, Field(description="null: no schedule has submitted it")]
    batch: Annotated[OfBatchDocument | None, Field(description="null: it was submitted by itself")]
    notify: NotifyDocument | None
    template: Annotated[str | None, Field(description="the template, with its version, that its steps come from")]
    links: Links


class JobDocument(JobSummary):
    """A job with its steps, by name."""

    steps: dict[str, StepDocument]


def job_document(job: Job, public_url: str, *, workers: bool = False) -> JobDocument:
    """The job with its steps; links begin with `public_url`. `workers`: whether workers are named, for operators."""
    steps = {step.name: _step(job, step, public_url, workers=workers) for step in job.steps}
    return JobDocument(**_summary(job, public_url), steps=steps)


def job_summary(job: Job, public_url: str) -> JobSummary:
    """The job without its steps."""
    return JobSummary(**_summary(job, public_url))


def _summary(job: Job, public_url: str) -> dict[str, Any]:
    at = f"{public_url}/v1/jobs/{job.id}"
    file = job.input
    return {
        "id": job.id,
        "state": job.state,
        "priority": Priority.of_rank(job.priority),
        "progress": round(job.progress, 4),
        "input": file and InputDocument(filename=file.filename, content_type=file.content_type, bytes=file.bytes),
        "error": _error(job.error),
        "metadata": job.metadata,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "deadline_at": job.deadline_at,
        "stopping": job.stopping,
        "timings": _timings(job.created_at, job.started_at, job.finished_at),
        "schedule": job.fired and FiredDocument(id=job.fired.schedule_id, fire_time=job.fired.fire_time),
        "batch": job.batch and OfBatchDocument(id=job.batch.id, line=job.batch.line),
        "notify": job.notify and NotifyDocument(url=job.notify.url, events=list(job.notify.events)),
        "template": job.template,
        "links": Links(self=at, events=f"{at}/events"),
    }


def _step(job: Job, step: Step, public_url: str, *, workers: bool) -> StepDocument:
    return StepDocument(
        id=step.id,
        kind=step.kind,
        state=step.state,
        use=list(step.uses),
        attempt=step.attempt,
        worker=step.worker if workers else None,
        losses=step.losses,
        progress=round(step.progress, 4),
        held_for=step.held_for,
        attempts=[
            AttemptDocument(
                number=attempt.number,
                outcome=attempt.outcome,
                worker=attempt.worker if workers else None,
                error=_error(attempt.error),
                started_at=attempt.started_at,
                finished_at=attempt.finished_at,
            )
            for attempt in step.attempts
        ],
        result=_shown(job, step.result, f"{public_url}/v1/jobs/{job.id}/outputs/{step.name}"),
        error=_error(step.error),
        created_at=step.created_at,
        run_at=step.run_at,
        started_at=step.started_at,
        finished_at=step.finished_at,
        timings=_timings(step.run_at, step.started_at, step.finished_at),
    )


def outputs_of(result: Any) -> list[Mapping[str, Any]]:
    """The files that a step made, if its result lists any: kinds are open, so a result may be any JSON."""
    listed = result.get("outputs") if isinstance(result, Mapping) else None
    if not isinstance(listed, list):
        return []
    return [output for output in listed if isinstance(output, Mapping) and isinstance(output.get("name"), str)]


def _shown(job: Job, result: Any, at: str) -> Any:
    """The result with links to the outputs; without them where they are withheld."""
    if not (outputs := outputs_of(result)):
        return result
    if job.withheld:
        return {name: value for name, value in result.items() if name != "outputs"}
    return {**result, "outputs": [{**output, "href": f"{at}/{quote(output['name'], safe='')}"} for output in outputs]}


def _error(error: PublicError | None) -> ErrorDocument | None:
    if error is None:
        return None
    return ErrorDocument(code=error.code, message=error.message, fingerprint=error.fingerprint)


def _timings(created: datetime, started: datetime | None, finished: datetime | None) -> Timings:
    return Timings(
        waited_seconds=started and round((started - created).total_seconds(), 6),
        ran_seconds=started and finished and round((finished - started).total_seconds(), 6),
    )
