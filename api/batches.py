"""`/v1/batches`: many jobs in one request, with one progress, one end, and one message when it has come."""

import asyncio
import logging
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import JSONResponse, Response

from api import batch_openapi, idempotent, openapi
from api.auth import Reader, Writer
from api.batch_documents import FIRST_ERRORS, BatchDocument, BatchPage, LinePage, batch_document, line_document
from api.batch_intake import BatchIntake, Wish, accept
from api.errors import Refused, not_found
from api.idempotent import KeyHeader
from api.jobs import MAX_WAIT_SECONDS, preferred_wait
from api.service import Service, Serving
from storage import audit, batches
from storage.batch_ids import BatchId, is_batch_id
from storage.batch_model import Batch, LineError
from storage.model import Principal
from tasks.batch_document import MAX_NAME, batch_summary
from tasks.templates import REFERENCE_PATTERN

log = logging.getLogger(__name__)

router = APIRouter(prefix="/v1/batches", tags=["batches"])


@router.post(
    "",
    summary="Submit many jobs",
    status_code=202,
    response_model=BatchDocument,
    responses=openapi.problems(400, 401, 403, 408, 409, 413, 415, 422, 503) | batch_openapi.ACCEPTED,
    openapi_extra=batch_openapi.submission(),
)
async def create(
    request: Request,
    service: Serving,
    caller: Writer,
    atomic: Annotated[bool | None, Query(description="accept all of the jobs, or none")] = None,
    name: Annotated[str | None, Query(max_length=MAX_NAME, description="yours")] = None,
    template: Annotated[
        str | None,
        Query(
            description="the template of every job that says no other",
            json_schema_extra={"pattern": REFERENCE_PATTERN},
        ),
    ] = None,
    idempotency_key: KeyHeader = None,
) -> Response:
    """Submit up to 10,000 jobs at once, each as in POST /v1/jobs but without a file of its own. See docs/batches.md.

    Send a job's document on each line (application/x-ndjson), or JSON with `jobs`. Lines with flaws are left out, and
    named in `errors`, while the others are accepted; with `atomic` none is. The answer comes when all of it is stored.
    """
    key = idempotent.checked(idempotency_key)
    held = await idempotent.hold(service, caller.tenant_id, key) if key else None
    again = key is not None and held is None
    wish = Wish(atomic=atomic, name=None if name is None else name.replace("\0", "\ufffd"), template=template)
    intake = BatchIntake(service=service, caller=caller, wish=wish, keep=not again)
    if key and again:
        await intake.read(request)
        made = await idempotent.replay(service, caller.tenant_id, key, intake.fingerprint)
    else:
        made = await accept(request, intake, held)
    return JSONResponse(made, status_code=202, headers={"Location": f"/v1/batches/{made['id']}"})


@router.get("", summary="List batches", response_model=BatchPage, responses=openapi.problems(401, 403, 422, 503))
async def index(
    service: Serving,
    caller: Reader,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[
        str | None,
        Query(
            description="`next_cursor` of the page before",
            json_schema_extra={"pattern": batch_openapi.BATCH_ID_PATTERN},
        ),
    ] = None,
) -> Response:
    """Your batches, newest first."""
    if cursor is not None and not is_batch_id(cursor):
        raise Refused(422, "cursor_invalid", "'cursor' must be the next_cursor of an earlier page")
    before = None if cursor is None else BatchId(cursor)
    found = await service.blocking(_page, service, caller, before, limit + 1)
    shown = found[:limit]
    page = BatchPage(
        data=[batch_summary(one, service.settings.public_url) for one in shown],
        next_cursor=shown[-1].id if len(found) > limit else None,
    )
    return Response(page.model_dump_json(), media_type="application/json")


@router.get(
    "/{batch_id}",
    summary="Read a batch, or wait for its end",
    response_model=BatchDocument,
    responses=openapi.problems(401, 403, 404, 422, 503),
)
async def show(
    batch_id: str,
    service: Serving,
    caller: Reader,
    wait: Annotated[
        float | None,
        Query(
            ge=0,
            le=MAX_WAIT_SECONDS,
            allow_inf_nan=False,
            description="answer when the batch is finished, or after this many seconds",
        ),
    ] = None,
    prefer: Annotated[str | None, Header(description="`wait=30` does the same (RFC 7240)")] = None,
) -> Response:
    """The batch as it stands, or, with `wait`, as soon as its last job has ended."""
    checked = checked_id(batch_id)
    seconds, headers = wait or 0.0, {}
    if wait is None and (preferred := preferred_wait(prefer)):
        seconds, headers = preferred, {"Preference-Applied": f"wait={preferred:g}"}
    if seconds:
        await _finished(service, caller, checked, seconds)
    answer = await _shown(service, caller, checked, 200)
    answer.headers.update(headers)
    return answer


@router.get(
    "/{batch_id}/errors",
    summary="List lines that became no jobs",
    response_model=LinePage,
    responses=openapi.problems(401, 403, 404, 422, 503),
)
async def errors(
    batch_id: str,
    service: Serving,
    caller: Reader,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[
        str | None,
        Query(
            description="`next_cursor` of the page before", json_schema_extra={"pattern": batch_openapi.LINE_PATTERN}
        ),
    ] = None,
) -> Response:
    """The lines with flaws, and those whose unique_key another job had, by their number."""
    if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
        raise Refused(422, "cursor_invalid", "'cursor' must be the next_cursor of an earlier page")
    found = await service.blocking(_errors, service, caller, checked_id(batch_id), int(cursor or 0), limit + 1)
    shown = found[:limit]
    page = LinePage(
        data=[line_document(one) for one in shown],
        next_cursor=str(shown[-1].line) if len(found) > limit else None,
    )
    return Response(page.model_dump_json(), media_type="application/json")


@router.post(
    "/{batch_id}/cancel",
    summary="Cancel a batch",
    response_model=BatchDocument,
    responses=openapi.problems(401, 403, 404, 409, 422, 503)
    | {202: {"description": "Its jobs are being canceled.", "model": BatchDocument}},
)
async def cancel(batch_id: str, service: Serving, caller: Writer) -> Response:
    """All jobs of the batch that have not ended are canceled, as POST /v1/jobs/{id}/cancel does with one.

    202 while that is being done, 200 when it has been; twice is as once.
    """
    checked = checked_id(batch_id)
    is_going = await service.blocking(_cancel, service, caller, checked)
    log.info("batch.cancel_asked tenant=%s batch=%s", caller.tenant_id, checked)
    return await _shown(service, caller, checked, 202 if is_going else 200)


def checked_id(text: str) -> BatchId:
    """The text as a batch's id. Raises Refused (404)."""
    if not is_batch_id(text):
        raise not_found("batch")
    return BatchId(text)


async def _shown(service: Service, caller: Principal, batch_id: BatchId, status: int) -> Response:
    batch, first = await service.blocking(_find, service, caller, batch_id)
    document = batch_document(batch, first, service.settings.public_url)
    return Response(document.model_dump_json(), status_code=status, media_type="application/json")


async def _finished(service: Service, caller: Principal, batch_id: BatchId, seconds: float) -> None:
    """Return when the batch is finished or is not there, or after so many seconds."""
    with service.hub.subscribe(batch_id) as woken, suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while await service.blocking(_is_open, service, caller, batch_id):
                await woken.wait()
                woken.clear()


def _is_open(service: Service, caller: Principal, batch_id: BatchId) -> bool:
    with service.database.read(caller.tenant_id) as tx:
        return batches.is_finished(tx, batch_id) is False


def _find(service: Service, caller: Principal, batch_id: BatchId) -> tuple[Batch, list[LineError]]:
    with service.database.snapshot(caller.tenant_id) as tx:
        found = batches.find(tx, batch_id)
        if found is None:
            raise not_found("batch")
        return found, batches.errors(tx, batch_id, after=0, limit=FIRST_ERRORS)


def _page(service: Service, caller: Principal, before: BatchId | None, limit: int) -> list[Batch]:
    with service.database.snapshot(caller.tenant_id) as tx:
        return batches.page(tx, before=before, limit=limit)


def _errors(service: Service, caller: Principal, batch_id: BatchId, after: int, limit: int) -> list[LineError]:
    with service.database.read(caller.tenant_id) as tx:
        if batches.is_finished(tx, batch_id) is None:
            raise not_found("batch")
        return batches.errors(tx, batch_id, after=after, limit=limit)


def _cancel(service: Service, caller: Principal, batch_id: BatchId) -> bool:
    """Have its jobs canceled; False if that has been done. Raises Refused."""
    with service.database.begin(caller.tenant_id) as tx:
        if batches.cancel(tx, batch_id):
            audit.note(tx, caller, "batch.cancel", batch_id)
            return True
        found = batches.find(tx, batch_id)
    if found is None:
        raise not_found("batch")
    if found.canceled_at is None:
        raise Refused(409, "batch_finished", "the batch has finished already; it cannot be canceled any more")
    return False
