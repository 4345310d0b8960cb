"""Takes a job in, all or nothing: whatever goes wrong on the way leaves no row, no object and no held key."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from contextvars import Context, copy_context
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from fastapi import Request

from api.idempotent import Held, replay
from api.service import Service
from api.settings import ApiSettings
from api.uploads import Intake
from storage import audit, jobs
from storage.errors import StorageError
from storage.model import Job, JobId, NewJob, Principal, TenantId, new_job_id
from tasks.image_identity import identity
from tasks.job_document import JobDocument, job_document
from tasks.known import Identity
from tasks.spec import JobSpec, check_needs_no_file
from tasks.submit import Birth, draft, stands_alone, submit, submit_together, tell

UNDO_SECONDS = 3600.0  # how long it is tried to undo what could not be undone at once
AGAIN_SECONDS = 5.0
DOUBT_SECONDS = 35.0  # longer than any statement may take: by then a commit that was under way has come to its end

log = logging.getLogger(__name__)

Undo = Callable[[], Awaitable[None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What is answered to a submission: 202, or 200 for a job that is there already, and its document, as JSON."""

    status: int
    job_id: str
    document: str


async def accept(request: Request, service: Service, caller: Principal, held: Held | None) -> Answer:
    """Read the request, write the job and return what is answered.

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
        return await _write_together(service, intake, spec)
    return await service.to_its_end(_write(service, caller, intake, spec, held))


async def replayed(service: Service, tenant_id: TenantId, key: str, fingerprint: bytes) -> Answer:
    """The answer of the first request with this key. Raises IdempotencyMismatch."""
    given = await replay(service, tenant_id, key, fingerprint)
    document = json.dumps(given["document"], ensure_ascii=False, separators=(",", ":"))
    return Answer(status=given["status"], job_id=given["document"]["id"], document=document)


async def _write_together(service: Service, intake: Intake, spec: JobSpec) -> Answer:
    """Write a job that stands alone, together with those of other requests; nothing is to be undone."""
    check_needs_no_file(spec)
    birth = Birth(tenant_id=intake.tenant_id, job_id=intake.job_id, spec=spec, fired=None)
    job = await service.together(_store_all, _Draft(intake.tenant_id, draft(birth), copy_context()))
    return _answer(202, job_document(job, service.settings.public_url))


class _Draft(NamedTuple):
    """A job to be written, and what is bound to its request, for the log."""

    tenant_id: TenantId
    new: NewJob
    context: Context


async def _store_all(service: Service, drafts: Sequence[_Draft]) -> list[Job]:
    written = await submit_together(service.asked, [(one.tenant_id, one.new) for one in drafts])
    for one in drafts:
        one.context.run(tell, one.tenant_id, one.new)
    return written


def _answer(status: int, document: JobDocument) -> Answer:
    return Answer(status=status, job_id=document.id, document=document.model_dump_json())


async def _write(service: Service, caller: Principal, intake: Intake, spec: JobSpec, held: Held | None) -> Answer:
    try:
        answer = await service.blocking(_store, service, caller, intake, spec, held)
    except Exception:
        await _undo(service, intake, held)
        raise
    if answer.status == 200:  # another job holds the unique key: this one's file is not needed
        await _undo(service, intake, None)
    return answer


def _store(service: Service, caller: Principal, intake: Intake, spec: JobSpec, held: Held | None) -> Answer:
    with service.database.begin(intake.tenant_id) as tx:
        submitted = submit(tx, spec, job_id=intake.job_id, file=intake.file, identity=_identity(service.settings))
        document = job_document(submitted.job, service.settings.public_url)
        answer = _answer(202 if submitted.created else 200, document)
        if held is not None:
            kept = {"status": answer.status, "document": document.model_dump(mode="json")}
            held.answer(tx, intake.fingerprint, kept)
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
