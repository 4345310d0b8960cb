"""`/v1/jobs`: submit, read, wait, list."""

import asyncio
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response
from pydantic import AwareDatetime

from api import idempotent, openapi
from api.acceptance import Answer, accept, replayed
from api.auth import Reader, Writer, may_watch, writer
from api.batch_openapi import BATCH_ID_PATTERN
from api.errors import Refused, not_found
from api.idempotent import KeyHeader
from api.schemas import JobListed, JobPage
from api.service import Service, Serving, service_at
from api.short_cut import ShortCut
from api.uploads import Intake
from storage import jobs, listing
from storage.batch_ids import BatchId, is_batch_id
from storage.listing import JobFilter
from storage.model import Job, JobId, JobState, Principal, TenantId, is_job_id, new_job_id
from tasks.job_document import JobDocument, job_document, job_summary

MAX_WAIT_SECONDS = 60

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


async def create(request: Request, caller: Writer, idempotency_key: KeyHeader = None) -> Response:
    """Submit a job: a file with what to do with it, or a document alone for kinds that need no file.

    Send multipart/form-data with the parts `job` (the document, as JSON; first, if you can) and `file`; or JSON alone;
    or the bare file with `?template=`. The answer comes as soon as the job is safely stored; it is 200, with the job
    that is there already, if that one has the document's `unique_key`.
    """
    service, key = service_at(request), idempotent.checked(idempotency_key)
    held = await idempotent.hold(service, caller.tenant_id, key) if key else None
    if key and held is None:
        return await _replayed(request, service, caller.tenant_id, key)
    return _accepted(await accept(request, service, caller, held))


class _Create(ShortCut):
    """The route of `create`, whose arguments are read by hand."""

    @staticmethod
    async def handler(request: Request) -> Response:
        return await create(request, await writer(request), request.headers.get(idempotent.KEY_HEADER))


router.add_api_route(
    "",
    create,
    methods=["POST"],
    summary="Submit a job",
    status_code=202,
    response_model=JobDocument,
    responses=openapi.problems(400, 401, 403, 408, 409, 413, 415, 422, 503) | openapi.ACCEPTED,
    openapi_extra=openapi.submission(),
    route_class_override=_Create,
)


@router.get("", summary="List jobs", response_model=JobPage, responses=openapi.problems(401, 403, 422, 503))
async def index(
    service: Serving,
    caller: Reader,
    state: Annotated[JobState | None, Query(description="only jobs in this state")] = None,
    batch: Annotated[
        str | None,
        Query(description="only jobs of this batch", json_schema_extra={"pattern": BATCH_ID_PATTERN}),
    ] = None,
    kind: Annotated[str | None, Query(description="only jobs with a step of this kind", max_length=200)] = None,
    created_after: Annotated[AwareDatetime | None, Query(description="only jobs accepted then or later")] = None,
    created_before: Annotated[AwareDatetime | None, Query(description="only jobs accepted before this time")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[
        str | None,
        Query(description="`next_cursor` of the page before", json_schema_extra={"pattern": openapi.JOB_ID_PATTERN}),
    ] = None,
) -> Response:
    """The tenant's jobs, newest first, without their steps.

    With `kind` or a time a page may hold fewer than `limit` jobs, or none, and not be the last: go on while there is a
    cursor.
    """
    if cursor is not None and not is_job_id(cursor):
        raise Refused(422, "cursor_invalid", "'cursor' must be the next_cursor of an earlier page")
    if batch is not None and not is_batch_id(batch):
        raise Refused(422, "batch_invalid", "'batch' must be a batch's id, bat_…")
    before = None if cursor is None else JobId(cursor)
    of_kind = None if kind is None else kind.replace("\0", "\ufffd")  # which no row can hold
    chosen = JobFilter(
        state=state,
        batch=None if batch is None else BatchId(batch),
        kind=of_kind,
        created_after=created_after,
        created_before=created_before,
    )
    found, following = await service.blocking(_page, service, caller, chosen, before, limit)
    return Response(JobPage(data=found, next_cursor=following).model_dump_json(), media_type="application/json")


@router.get(
    "/{job_id}",
    summary="Read a job, or wait for its end",
    response_model=JobDocument,
    responses=openapi.problems(401, 403, 404, 422, 503),
)
async def show(
    job_id: str,
    service: Serving,
    caller: Reader,
    wait: Annotated[
        float | None,
        Query(
            ge=0,
            le=MAX_WAIT_SECONDS,
            allow_inf_nan=False,
            description="answer when the job has ended, or after this many seconds",
        ),
    ] = None,
    prefer: Annotated[str | None, Header(description="`wait=30` does the same (RFC 7240)")] = None,
) -> Response:
    """The job with its steps as they stand, or, with `wait`, as soon as it has ended."""
    seconds, headers = wait or 0.0, {}
    if wait is None and (preferred := preferred_wait(prefer)):
        seconds, headers = preferred, {"Preference-Applied": f"wait={preferred:g}"}
    job = await _ended_or_as_it_stands(service, caller, checked_id(job_id), seconds)
    document = job_document(job, service.settings.public_url, workers=may_watch(caller))
    return Response(document.model_dump_json(), media_type="application/json", headers=headers)


def checked_id(text: str) -> JobId:
    """The text as a job's id. Raises Refused (404)."""
    if not is_job_id(text):
        raise not_found("job")
    return JobId(text)


async def _replayed(request: Request, service: Service, tenant_id: TenantId, key: str) -> Response:
    intake = Intake(service=service, tenant_id=tenant_id, job_id=new_job_id(), keep=False, fingerprinted=True)
    await intake.read(request)
    return _accepted(await replayed(service, tenant_id, key, intake.fingerprint))


def _accepted(answer: Answer) -> Response:
    """What `accept` gave, now or before."""
    headers = {"Location": f"/v1/jobs/{answer.job_id}"}
    return Response(answer.document, status_code=answer.status, media_type="application/json", headers=headers)


def _page(
    service: Service, caller: Principal, chosen: JobFilter, before: JobId | None, limit: int
) -> tuple[list[JobListed], JobId | None]:
    with service.database.snapshot(caller.tenant_id) as tx:
        ids, following = listing.listed(tx, chosen, before=before, limit=limit)
        found, kinds = jobs.those(tx, ids), listing.kinds_of(tx, ids)
    shown = [
        JobListed(**dict(job_summary(job, service.settings.public_url)), kinds=list(kinds.get(job.id, ())))
        for job in found
    ]
    return shown, following


def find_job(service: Service, caller: Principal, job_id: JobId) -> Job | None:
    """The caller's job with its steps, as of one moment."""
    with service.database.snapshot(caller.tenant_id) as tx:
        return jobs.find(tx, job_id)


async def _ended_or_as_it_stands(service: Service, caller: Principal, job_id: JobId, seconds: float) -> Job:
    if seconds:
        await _ended(service, caller, job_id, seconds)
    job = await service.blocking(find_job, service, caller, job_id)
    if job is None:
        raise not_found("job")
    return job


async def _ended(service: Service, caller: Principal, job_id: JobId, seconds: float) -> None:
    """Return when the job has ended or is not there, or after so many seconds."""
    with service.hub.subscribe(job_id) as woken, suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while await service.blocking(_is_open, service, caller, job_id):
                await woken.wait()
                woken.clear()


def _is_open(service: Service, caller: Principal, job_id: JobId) -> bool:
    with service.database.read(caller.tenant_id) as tx:
        return jobs.is_terminal(tx, job_id) is False


def preferred_wait(prefer: str | None) -> float | None:
    """Seconds that the header Prefer asks to wait (RFC 7240), at most MAX_WAIT_SECONDS; None if it does not."""
    for preference in (prefer or "").split(","):
        name, _, value = preference.partition(";")[0].strip().partition("=")
        if name.strip().lower() == "wait" and value.strip().isascii() and value.strip().isdigit():
            return float(min(int(value.strip()[:4]), MAX_WAIT_SECONDS))
    return None
