"""Takes a job in, all or nothing: whatever goes wrong on the way leaves no row, no object and no held key."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from functools import partial

from fastapi import Request

from api.idempotent import Held
from api.service import Service
from api.settings import ApiSettings
from api.uploads import Intake
from storage import audit, jobs
from storage.errors import StorageError
from storage.model import Job, JobId, Json, NewJob, Principal, TenantId, new_job_id
from tasks.image_identity import identity
from tasks.job_document import job_document
from tasks.known import Identity
from tasks.spec import JobSpec, check_needs_no_file
from tasks.submit import Birth, draft, stands_alone, submit, submit_together, tell

UNDO_SECONDS = 3600.0  # how long it is tried to undo what could not be undone at once
AGAIN_SECONDS = 5.0
DOUBT_SECONDS = 35.0  # longer than any statement may take: by then a commit that was under way has come to its end

log = logging.getLogger(__name__)

Undo = Callable[[], Awaitable[None]]


async def accept(request: Request, service: Service, caller: Principal, held: Held | None) -> Json:
    """Read the request, write the job and return {status, document}: 202, or 200 for a job that is there already.

    Raises what Intake.read and `submit` raise.
    """
    intake = Intake(
        service=service,
        tenant_id=caller.tenant_id,
        job_id=new_job_id(),
        fingerprinted=held is not None,
    )
    try:
        async with held.renewed() if held else nullcontext():
            spec = await intake.read(request)
    except BaseException:
        await service.to_its_end(_undo(service, intake, held))
        raise
    # From here on a request that is cut off changes nothing: the job is written, or refused, to the end.
    if held is None and intake.file is None and stands_alone(spec) and not audit.is_kept(caller):
        return await service.to_its_end(_write_together(service, intake, spec))
    return await service.to_its_end(_write(service, caller, intake, spec, held))


async def _write_together(service: Service, intake: Intake, spec: JobSpec) -> Json:
    """Write a job that stands alone, together with those of other requests; nothing is to be undone."""
    check_needs_no_file(spec)
    birth = Birth(tenant_id=intake.tenant_id, job_id=intake.job_id, spec=spec, fired=None)
    new = draft(birth)
    job = await service.together(_store_all, (intake.tenant_id, new))
    tell(intake.tenant_id, new)
    return {"status": 202, "document": job_document(job, service.settings.public_url).model_dump(mode="json")}


async def _store_all(service: Service, drafts: Sequence[tuple[TenantId, NewJob]]) -> list[Job]:
    return await submit_together(service.asked, drafts)


async def _write(service: Service, caller: Principal, intake: Intake, spec: JobSpec, held: Held | None) -> Json:
    try:
        answer = await service.blocking(_store, service, caller, intake, spec, held)
    except Exception:
        await _undo(service, intake, held)
        raise
    if answer["status"] == 200:  # another job holds the unique key: this one's file is not needed
        await _undo(service, intake, None)
    return answer


def _store(service: Service, caller: Principal, intake: Intake, spec: JobSpec, held: Held | None) -> Json:
    with service.database.begin(intake.tenant_id) as tx:
        submitted = submit(tx, spec, job_id=intake.job_id, file=intake.file, identity=_identity(service.settings))
        document = job_document(submitted.job, service.settings.public_url).model_dump(mode="json")
        answer = {"status": 202 if submitted.created else 200, "document": document}
        if held is not None:
            held.answer(tx, intake.fingerprint, answer)
        if submitted.created:
            audit.note_work(tx, caller, "job.submit", intake.job_id)
        intake.committing = submitted.created
    return answer


def _identity(settings: ApiSettings) -> Identity | None:
    """What finished pictures are known by; None where they are not shared."""
    return partial(identity, settings.image_engine) if settings.rendition_days else None


async def _undo(service: Service, intake: Intake, held: Held | None) -> None:
    """Leave nothing of a request that failed; what cannot be undone now is tried again behind the answer."""
    undos: list[Undo] = [intake.discard, *([held.release] if held else [])]
    if intake.committing:

        async def unless_stored() -> None:
            if not await service.blocking(_is_stored, service, intake.tenant_id, intake.job_id):
                for undo in undos:
                    await undo()

        # The answer to the commit was lost, not always the commit: a job that stands keeps its file and its key.
        service.begin(_try_again([unless_stored], DOUBT_SECONDS))
    elif left := await _try(undos):
        service.begin(_try_again(left, AGAIN_SECONDS))


async def _try_again(undos: Sequence[Undo], seconds: float) -> None:
    for _ in range(int(UNDO_SECONDS / seconds)):
        await asyncio.sleep(seconds)
        undos = await _try(undos)
        if not undos:
            return
    log.error("request.left_behind undone=false")


async def _try(undos: Sequence[Undo]) -> list[Undo]:
    """Call each and return those that failed."""
    failed: list[Undo] = []
    for undo in undos:
        try:
            await undo()
        except StorageError as exc:
            log.warning("request.undo_failed reason=%s", exc)
            failed.append(undo)
    return failed


def _is_stored(service: Service, tenant_id: TenantId, job_id: JobId) -> bool:
    with service.database.read(tenant_id) as tx:
        return jobs.is_terminal(tx, job_id) is not None
