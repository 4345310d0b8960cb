"""The one birthplace of a job: HTTP, schedules and batches all come through here."""

from dataclasses import dataclass

from storage import jobs, removals, unique
from storage.database import Tx
from storage.errors import ObjectMissing
from storage.model import Job, JobId, JobInput, NewJob, NewStep, new_step_id
from tasks.errors import Flaw, InvalidDocument
from tasks.spec import JobSpec
from tasks.values import escape


@dataclass(frozen=True, kw_only=True, slots=True)
class Submitted:
    """The job as it stands; `created` is false when it is another one, which holds the unique key."""

    job: Job
    created: bool


def submit(tx: Tx, spec: JobSpec, *, job_id: JobId, file: JobInput | None) -> Submitted:
    """Write the job, its steps and its first event in the caller's transaction; the relay is woken at the commit.

    Nothing is written if another job holds the document's unique key. Raises InvalidDocument if a step works on the
    job's file and there is none, ObjectMissing if the file has been swept away meanwhile.
    """
    if file is None and spec.file_step is not None:
        detail = "this step works on a file: send one as multipart/form-data (fields 'file' and 'job')"
        raise InvalidDocument([Flaw(pointer=f"/steps/{escape(spec.file_step)}", detail=detail)])
    if spec.unique is not None and (holder := unique.take(tx, spec.unique, job_id)) is not None:
        standing = jobs.find(tx, holder)
        assert standing is not None, "its row was seen in this transaction, and deleting it waits for the key"
        return Submitted(job=standing, created=False)
    if file is not None and not removals.withdraw(tx, job_id):
        raise ObjectMissing(file.key)
    new = NewJob(
        id=job_id,
        priority=spec.priority.rank,
        input=file,
        metadata=dict(spec.metadata),
        steps=_steps(spec),
        deadline_seconds=spec.deadline_seconds,
        unique=spec.unique,
    )
    return Submitted(job=jobs.insert(tx, new), created=True)


def _steps(spec: JobSpec) -> list[NewStep]:
    return [
        NewStep(
            id=new_step_id(),
            name=step.name,
            kind=step.kind.name,
            queue=step.kind.queue.value,
            params=dict(step.params),
            uses=step.use,
            max_attempts=step.kind.retry.max_attempts,
            max_losses=step.kind.max_losses,
            file_from=step.file_from,
            stop_when=step.stop_when,
        )
        for step in spec.steps
    ]
