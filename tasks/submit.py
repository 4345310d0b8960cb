"""The one birthplace of a job: HTTP, schedules and batches all come through here."""

from storage import jobs
from storage.database import Tx
from storage.model import Job, JobId, JobInput, NewJob, NewStep, new_step_id
from tasks.document import JobSpec, escape
from tasks.errors import Flaw, InvalidDocument


def submit(tx: Tx, spec: JobSpec, *, job_id: JobId, file: JobInput | None) -> Job:
    """Write the job, its steps and its first event in the caller's transaction; the relay is woken at the commit.

    Returns the job as it now stands. Raises InvalidDocument if a step works on the job's file and there is none.
    """
    if file is None and spec.file_step is not None:
        detail = "this step works on a file: send one as multipart/form-data (fields 'file' and 'job')"
        raise InvalidDocument([Flaw(pointer=f"/steps/{escape(spec.file_step)}", detail=detail)])
    steps = [
        NewStep(
            id=new_step_id(),
            name=step.name,
            kind=step.kind.name,
            queue=step.kind.queue.value,
            params=dict(step.params),
            uses=step.use,
            max_attempts=step.kind.max_attempts,
        )
        for step in spec.steps
    ]
    return jobs.insert(
        tx, NewJob(id=job_id, priority=spec.priority.rank, input=file, metadata=dict(spec.metadata), steps=steps)
    )
