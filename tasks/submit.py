"""The one birthplace of a job: HTTP, schedules and batches all come through here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from storage import jobs, removals, unique
from storage.database import PlatformTx, Tx
from storage.errors import ObjectMissing
from storage.model import Fired, Job, JobId, JobInput, NewJob, NewStep, TenantId, new_step_id
from tasks.spec import JobSpec, check_needs_no_file


@dataclass(frozen=True, kw_only=True, slots=True)
class Submitted:
    """The job as it stands; `created` is false when it is another one, which holds the unique key."""

    job: Job
    created: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Birth:
    """A job without a file, to be written together with others."""

    tenant_id: TenantId
    job_id: JobId
    spec: JobSpec
    fired: Fired


def submit(tx: Tx, spec: JobSpec, *, job_id: JobId, file: JobInput | None, fired: Fired | None = None) -> Submitted:
    """Write the job, its steps and its first event in the caller's transaction; the relay is woken at the commit.

    Nothing is written if another job holds the document's unique key. Raises InvalidDocument if a step works on the
    job's file and there is none, ObjectMissing if the file has been swept away meanwhile.
    """
    if file is None:
        check_needs_no_file(spec)
    if spec.unique is not None and (holder := unique.take(tx, spec.unique, job_id)) is not None:
        standing = jobs.find(tx, holder)
        assert standing is not None, "its row was seen in this transaction, and deleting it waits for the key"
        return Submitted(job=standing, created=False)
    if file is not None and not removals.withdraw(tx, job_id):
        raise ObjectMissing(file.key)
    return Submitted(job=jobs.insert(tx, _new(spec, job_id, file, fired)), created=True)


def submit_all(tx: PlatformTx, births: Sequence[Birth]) -> Mapping[JobId, JobId]:
    """Write all these jobs in one statement, but those whose unique key another job holds.

    Returns the holders, by the id of the job that was not written. The specs have passed `check_needs_no_file`.
    """
    held: dict[JobId, JobId] = {}
    taken: dict[tuple[str, str], JobId] = {}
    # In one order everywhere: two transactions that take several keys must not wait for each other.
    for birth in sorted((one for one in births if one.spec.unique), key=_place):
        assert birth.spec.unique is not None
        # One of this batch has no row yet by which it could be seen to hold its key.
        holder = taken.get(_place(birth)) or unique.take(tx.of(birth.tenant_id), birth.spec.unique, birth.job_id)
        if holder is None:
            taken[_place(birth)] = birth.job_id
        else:
            held[birth.job_id] = holder
    written = [(one.tenant_id, _new(one.spec, one.job_id, None, one.fired)) for one in births if one.job_id not in held]
    jobs.insert_all(tx, written)
    return held


def _place(birth: Birth) -> tuple[str, str]:
    assert birth.spec.unique is not None
    return birth.tenant_id, birth.spec.unique.key


def _new(spec: JobSpec, job_id: JobId, file: JobInput | None, fired: Fired | None) -> NewJob:
    return NewJob(
        id=job_id,
        priority=spec.priority.rank,
        input=file,
        metadata=dict(spec.metadata),
        steps=_steps(spec),
        deadline_seconds=spec.deadline_seconds,
        unique=spec.unique,
        fired=fired,
        notify=spec.notify,
    )


def _steps(spec: JobSpec) -> list[NewStep]:
    return [
        NewStep(
            id=new_step_id(),
            name=step.name,
            kind=step.kind.name,
            queue=step.kind.queue.value,
            params=dict(step.params),
            uses=step.use,
            max_attempts=step.kind.policy(step.checked).max_attempts,
            max_losses=step.kind.max_losses,
            file_from=step.file_from,
            stop_when=step.stop_when,
        )
        for step in spec.steps
    ]
