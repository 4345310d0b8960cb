"""The one birthplace of a job: HTTP, schedules and batches all come through here."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial

from structlog.contextvars import get_contextvars

from storage import jobs, removals, unique
from storage.async_database import AsyncDatabase
from storage.batch_ids import OfBatch
from storage.database import PlatformTx, Tx
from storage.errors import ObjectMissing
from storage.model import Fired, Job, JobId, JobInput, NewJob, NewStep, TenantId, new_step_id
from storage.telemetry import traces
from storage.telemetry.metrics import JOBS_ACCEPTED
from tasks.errors import InvalidDocument
from tasks.known import Identity, end_known
from tasks.spec import JobSpec, check_needs_no_file
from tasks.uploaded import input_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Submitted:
    """The job as it stands; `created` is false when it is another one, which holds the unique key."""

    job: Job
    created: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Birth:
    """A job without a file of its own, to be written together with others; `file` is the upload that it names."""

    tenant_id: TenantId
    job_id: JobId
    spec: JobSpec
    fired: Fired | None
    file: JobInput | None = None
    batch: OfBatch | None = None


def submit(
    tx: Tx,
    spec: JobSpec,
    *,
    job_id: JobId,
    file: JobInput | None,
    fired: Fired | None = None,
    identity: Identity | None = None,
) -> Submitted:
    """Write the job, its steps and its first event in the caller's transaction; the relay is woken at the commit.

    With `identity` steps whose pictures are there already end at once. Nothing is written if another job holds the
    document's unique key. Raises InvalidDocument if a step works on the job's file and there is none, or the document
    names an upload that the tenant does not have; ObjectMissing if the file has been swept away meanwhile.
    """
    if file is None:
        check_needs_no_file(spec)
    upload = input_of(tx, spec)
    if spec.unique is not None and (holder := unique.take(tx, spec.unique, job_id)) is not None:
        # Its row was seen in this transaction, and deleting it waits for the key.
        return Submitted(job=_again(tx, holder), created=False)
    if file is not None and not removals.withdraw(tx, job_id):
        raise ObjectMissing(file.key)
    with _told(tx.tenant_id, job_id, spec, fired) as span:
        new = _new(spec, job_id, file or upload, fired, trace=span.traceparent)
        job = jobs.insert(tx, new)
    tx.after_commit(partial(JOBS_ACCEPTED.add, "http" if fired is None else "schedule"))
    tx.after_commit(partial(_log, tx.tenant_id, new))
    if identity is not None and end_known(tx, spec, new, identity):
        job = _again(tx, job_id)
    return Submitted(job=job, created=True)


def stands_alone(spec: JobSpec) -> bool:
    """Whether nothing but the document decides on the job: no file, no upload, no other job with its unique key."""
    return spec.unique is None and spec.upload is None and not spec.uploads


async def submit_together(database: AsyncDatabase, drafts: Sequence[tuple[TenantId, NewJob]]) -> list[Job]:
    """Write jobs that stand alone, of any tenants, in one statement; whoever drafted one calls `tell`."""
    return await jobs.insert_many(database, drafts)


def tell(tenant_id: TenantId, new: NewJob) -> None:
    """Count and log a job that was written by `submit_together`."""
    JOBS_ACCEPTED.add("http")
    _log(tenant_id, new)


def with_files(tx: PlatformTx, births: Sequence[Birth]) -> tuple[Sequence[Birth], Mapping[JobId, InvalidDocument]]:
    """The jobs with the uploads that they name, and those that name one which their tenant does not have (any more)."""
    found: list[Birth] = []
    refused: dict[JobId, InvalidDocument] = {}
    for birth in births:
        try:
            found.append(replace(birth, file=input_of(tx.of(birth.tenant_id), birth.spec)))
        except InvalidDocument as exc:
            refused[birth.job_id] = exc
    return found, refused


def submit_all(tx: PlatformTx, births: Sequence[Birth]) -> Mapping[JobId, JobId]:
    """Write all these jobs in one statement, but those whose unique key another job holds.

    Returns the holders, by the id of the job that was not written. The specs have passed `check_needs_no_file`, and
    the jobs `with_files`.
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
    written = [(one.tenant_id, draft(one)) for one in births if one.job_id not in held]
    jobs.insert_all(tx, written)
    tx.after_commit(partial(JOBS_ACCEPTED.add, "schedule", by=len(written)))
    for tenant_id, new in written:
        tx.after_commit(partial(_log, tenant_id, new))
    return held


def submit_drafts(tx: Tx, written: Sequence[str]) -> None:
    """Write jobs of a batch that were drafted, as `jobs.written_out` gave them, in one statement."""
    jobs.insert_written(tx, written)
    tx.after_commit(partial(JOBS_ACCEPTED.add, "batch", by=len(written)))


def _again(tx: Tx, job_id: JobId) -> Job:
    found = jobs.find(tx, job_id)
    assert found is not None
    return found


def _place(birth: Birth) -> tuple[str, str]:
    assert birth.spec.unique is not None
    return birth.tenant_id, birth.spec.unique.key


def draft(birth: Birth) -> NewJob:
    """The job as it would be written: for whoever writes it later, see `submit_drafts`."""
    with _told(birth.tenant_id, birth.job_id, birth.spec, birth.fired) as span:
        return _new(birth.spec, birth.job_id, birth.file, birth.fired, trace=span.traceparent, batch=birth.batch)


def _told(
    tenant_id: TenantId, job_id: JobId, spec: JobSpec, fired: Fired | None
) -> AbstractContextManager[traces.Told]:
    """The span below which all that is done for the job is told: in its request's trace, or in one of its own."""
    attributes: dict[str, traces.Value] = {"millrace.tenant": tenant_id, "millrace.job": job_id}
    if fired is not None:
        attributes["millrace.schedule"] = fired.schedule_id
    if spec.template is not None:
        attributes["millrace.template"] = spec.template
    return traces.span("job", kind="producer", root=True, attributes=attributes)


def _log(tenant_id: TenantId, new: NewJob) -> None:
    if new.fired is None:
        log.info("job.accepted tenant=%s job=%s steps=%s", tenant_id, new.id, len(new.steps))
    else:
        told = (tenant_id, new.id, len(new.steps), new.fired.schedule_id)
        log.info("job.accepted tenant=%s job=%s steps=%s schedule=%s", *told)


def _new(
    spec: JobSpec,
    job_id: JobId,
    file: JobInput | None,
    fired: Fired | None,
    *,
    trace: str | None,
    batch: OfBatch | None = None,
) -> NewJob:
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
        template=spec.template,
        trace=trace,
        batch=batch,
        request_id=get_contextvars().get("request"),
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
