"""`/v1/jobs/{id}/outputs/{step}/{name}`: the files that steps made."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import RedirectResponse, Response, StreamingResponse

from api import openapi
from api.auth import Reader
from api.errors import Refused, not_found
from api.jobs import checked_id
from api.safe_files import SAFE, UNKNOWN, safe_type
from api.service import Service, Serving
from storage import jobs, renditions
from storage.errors import ObjectMissing
from storage.image_model import Digest, is_digest
from storage.keys import key_of_output
from storage.model import JobId, Principal
from tasks.job_document import outputs_of

SIGNED_FOR = timedelta(minutes=10)

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """Where an output is, and what; `rendition` where jobs share it."""

    key: str
    content_type: str
    rendition: Digest | None


@router.get(
    "/{job_id}/outputs/{step}/{name}",
    summary="Fetch an output",
    response_class=Response,
    responses=openapi.problems(401, 403, 404, 410, 422, 503) | openapi.FILE,
)
async def fetch(
    job_id: str,
    step: str,
    name: str,
    service: Serving,
    caller: Reader,
    redirect: Annotated[
        bool, Query(description="answer with a signed URL of the object store, good for ten minutes")
    ] = False,
) -> Response:
    """The bytes of one output, or a redirect to them; 410 for a job that a condition on a result has ended."""
    job = checked_id(job_id)
    found = await service.blocking(_find, service, caller, job, step, name)
    if found is None:
        raise not_found("output")
    if redirect:
        return RedirectResponse(await service.objects.signed_get(found.key, expires=SIGNED_FOR), status_code=307)
    try:
        opened = await service.objects.open(found.key)
    except ObjectMissing as exc:
        if found.rendition is not None:
            await service.blocking(_miss, service, caller, found.rendition)
        raise not_found("output") from exc
    headers = {"Content-Length": str(opened.end - opened.start), "ETag": f'"{opened.stored.etag.strip(chr(34))}"'}
    return StreamingResponse(opened.chunks, media_type=safe_type(found.content_type), headers={**headers, **SAFE})


def _find(service: Service, caller: Principal, job_id: JobId, step: str, name: str) -> _Found | None:
    with service.database.read(caller.tenant_id) as tx:
        job = jobs.find(tx, job_id)
    if job is not None and job.withheld:
        raise Refused(410, "outputs_withheld", "a step's result met its stop_when: this job's outputs are withheld")
    for made in job.steps if job else ():
        for output in outputs_of(made.result) if made.name == step else ():
            if output["name"] == name:
                rendition = output.get("rendition")
                return _Found(
                    key=key_of_output(caller.tenant_id, job_id, made.id, made.attempt, output),
                    content_type=str(output.get("content_type", UNKNOWN)),
                    rendition=rendition if is_digest(rendition) else None,
                )
    return None


def _miss(service: Service, caller: Principal, rendition: Digest) -> None:
    with service.database.begin(caller.tenant_id) as tx:
        renditions.miss(tx, rendition)
