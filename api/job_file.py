"""`/v1/jobs/{id}/input`: the file that a job works on."""

from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse

from api import openapi
from api.auth import Reader
from api.errors import not_found
from api.jobs import checked_id
from api.safe_files import SAFE, safe_type
from api.service import Service, Serving
from storage import jobs
from storage.errors import ObjectMissing
from storage.model import JobId, JobInput, Principal

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@router.get(
    "/{job_id}/input",
    summary="Fetch a job's file",
    response_class=Response,
    responses=openapi.problems(401, 403, 404, 422, 503) | openapi.JOB_FILE,
)
async def fetch(job_id: str, service: Serving, caller: Reader) -> Response:
    """The bytes of the job's file as they were sent; 404 for a job without one, or whose file is gone."""
    found = await service.blocking(_find, service, caller, checked_id(job_id))
    if found is None:
        raise not_found("file")
    try:
        opened = await service.objects.open(found.key)
    except ObjectMissing as exc:
        raise not_found("file") from exc
    headers = {"Content-Length": str(opened.end - opened.start), "ETag": f'"{opened.stored.etag.strip(chr(34))}"'}
    return StreamingResponse(opened.chunks, media_type=safe_type(found.content_type), headers={**headers, **SAFE})


def _find(service: Service, caller: Principal, job_id: JobId) -> JobInput | None:
    with service.database.read(caller.tenant_id) as tx:
        job = jobs.find(tx, job_id)
    return None if job is None else job.input
