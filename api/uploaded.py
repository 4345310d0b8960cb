"""`/v1/uploads`: files that are kept by themselves, sent once for any number of jobs and pictures."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from api import idempotent, image_openapi, openapi
from api.auth import Reader, Writer
from api.errors import Refused, not_found
from api.idempotent import KeyHeader
from api.image_schemas import UploadDocument, UploadPage, upload_document
from api.outputs import SIGNED_FOR
from api.safe_files import SAFE, safe_type
from api.service import Service, Serving
from api.upload_intake import UploadIntake, accept
from storage import audit, uploads
from storage.errors import ObjectMissing
from storage.image_model import Upload, UploadId, is_upload_id
from storage.model import Principal

LONGEST_SECONDS = 10 * 366 * 86_400

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])


@router.post(
    "",
    summary="Upload a file",
    status_code=201,
    response_model=UploadDocument,
    responses=openapi.problems(400, 401, 403, 408, 409, 413, 422, 503) | image_openapi.UPLOADED,
    openapi_extra=image_openapi.file_body(),
)
async def create(
    request: Request,
    service: Serving,
    caller: Writer,
    expires_in: Annotated[
        int | None, Query(ge=1, le=LONGEST_SECONDS, description="seconds until it is deleted; default: it is kept")
    ] = None,
    idempotency_key: KeyHeader = None,
) -> Response:
    """Keep a file for any number of jobs, `{"input": {"upload": "upl_…"}}`, and pictures, /i/…. See docs/uploads.md.

    Send multipart/form-data with the part `file`, or the bare file. The answer comes when the file is safely stored.
    """
    key = idempotent.checked(idempotency_key)
    held = await idempotent.hold(service, caller.tenant_id, key) if key else None
    again = key is not None and held is None
    intake = UploadIntake(service=service, caller=caller, expires_in=expires_in, keep=not again)
    if key and again:
        await intake.read(request)
        made = await idempotent.replay(service, caller.tenant_id, key, intake.fingerprint)
    else:
        made = await accept(request, intake, held)
    return JSONResponse(made, status_code=201, headers={"Location": f"/v1/uploads/{made['id']}"})


@router.get("", summary="List uploads", response_model=UploadPage, responses=openapi.problems(401, 403, 422, 503))
async def index(
    service: Serving,
    caller: Reader,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[
        str | None,
        Query(
            description="`next_cursor` of the page before",
            json_schema_extra={"pattern": image_openapi.UPLOAD_ID_PATTERN},
        ),
    ] = None,
) -> Response:
    """Your uploads, newest first."""
    if cursor is not None and not is_upload_id(cursor):
        raise Refused(422, "cursor_invalid", "'cursor' must be the next_cursor of an earlier page")
    before = None if cursor is None else UploadId(cursor)
    found = await service.blocking(_page, service, caller, before, limit + 1)
    shown = found[:limit]
    page = UploadPage(
        data=[upload_document(one, service.settings.public_url) for one in shown],
        next_cursor=shown[-1].id if len(found) > limit else None,
    )
    return Response(page.model_dump_json(), media_type="application/json")


@router.get(
    "/{upload_id}",
    summary="Read an upload",
    response_model=UploadDocument,
    responses=openapi.problems(401, 403, 404, 422, 503),
)
async def show(upload_id: str, service: Serving, caller: Reader) -> Response:
    """What is known of the file."""
    found = await service.blocking(_find, service, caller, _checked(upload_id))
    return Response(
        upload_document(found, service.settings.public_url).model_dump_json(), media_type="application/json"
    )


@router.get(
    "/{upload_id}/content",
    summary="Fetch an upload",
    response_class=Response,
    responses=openapi.problems(401, 403, 404, 422, 503) | image_openapi.CONTENT,
)
async def fetch(
    upload_id: str,
    service: Serving,
    caller: Reader,
    redirect: Annotated[
        bool, Query(description="answer with a signed URL of the object store, good for ten minutes")
    ] = False,
) -> Response:
    """The bytes as they were sent, or a redirect to them."""
    found = await service.blocking(_find, service, caller, _checked(upload_id))
    if redirect:
        return RedirectResponse(await service.objects.signed_get(found.key, expires=SIGNED_FOR), status_code=307)
    try:
        opened = await service.objects.open(found.key)
    except ObjectMissing as exc:  # deleted in this moment
        raise not_found("upload") from exc
    headers = {"Content-Length": str(opened.end - opened.start), "ETag": f'"{found.sha256}"', **SAFE}
    return StreamingResponse(opened.chunks, media_type=safe_type(found.content_type), headers=headers)


@router.delete(
    "/{upload_id}",
    summary="Delete an upload",
    status_code=204,
    response_class=Response,
    responses=openapi.problems(401, 403, 404, 422, 503),
)
async def delete(upload_id: str, service: Serving, caller: Writer) -> Response:
    """It is gone at once, its file soon after; jobs that have not read it yet fail, and its links find nothing."""
    await service.blocking(_delete, service, caller, _checked(upload_id))
    return Response(status_code=204)


def _checked(text: str) -> UploadId:
    if not is_upload_id(text):
        raise not_found("upload")
    return UploadId(text)


def _page(service: Service, caller: Principal, before: UploadId | None, limit: int) -> list[Upload]:
    with service.database.read(caller.tenant_id) as tx:
        return uploads.page(tx, before=before, limit=limit)


def _find(service: Service, caller: Principal, upload_id: UploadId) -> Upload:
    with service.database.read(caller.tenant_id) as tx:
        found = uploads.find(tx, upload_id)
    if found is None:
        raise not_found("upload")
    return found


def _delete(service: Service, caller: Principal, upload_id: UploadId) -> None:
    with service.database.begin(caller.tenant_id) as tx:
        if not uploads.delete(tx, upload_id):
            raise not_found("upload")
        audit.note(tx, caller, "upload.delete", upload_id)
