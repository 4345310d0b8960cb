"""`/v1/jobs/{id}/cancel`, `/retry` and DELETE: what a job's owner decides about its end."""

import logging
from collections.abc import Mapping, Sequence

from anyio import from_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic_core import to_json

from api import openapi
from api.auth import Writer
from api.documents import FLAWED, read_document
from api.errors import Refused, not_found
from api.jobs import checked_id, find_job
from api.schemas import RetryRequest
from api.service import Service, Serving
from storage import audit, jobs, renditions, replays, retention, stops
from storage.errors import DatabaseUnavailable, ObjectStoreUnavailable, StepsNotRetried
from storage.keys import job_prefix
from storage.model import TERMINAL_JOB_STATES, Job, JobId, Json, Principal
from tasks.document import STEP_FIELDS, params_flaws, parse
from tasks.errors import Flaw, InvalidDocument
from tasks.flaws import nearest
from tasks.job_document import JobDocument, job_document
from tasks.names import TENANT_KINDS
from tasks.values import MAX_FLAWS, escape, merged

MOST_RENDITIONS = 100  # that are deleted while somebody waits; the sweeper deletes the others

log = logging.getLogger(__name__)

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@router.post(
    "/{job_id}/cancel",
    summary="Cancel a job",
    response_model=JobDocument,
    responses=openapi.problems(401, 403, 404, 409, 422, 503)
    | {202: {"description": "Its running steps are being stopped.", "model": JobDocument}},
)
async def cancel(job_id: str, service: Serving, caller: Writer) -> Response:
    """Nothing of the job starts any more; its running steps are asked to stop and, after a grace time, made to.

    Its outputs are removed. 200 when it has ended, 202 while steps are being stopped; twice is as once.
    """
    job = await service.blocking(_cancel, service, caller, checked_id(job_id))
    log.info("job.cancel_asked tenant=%s job=%s state=%s", caller.tenant_id, job.id, job.state.value)
    return _answer(service, job, 200 if job.state in TERMINAL_JOB_STATES else 202)


@router.post(
    "/{job_id}/retry",
    summary="Run an ended job again",
    status_code=202,
    response_model=JobDocument,
    responses=openapi.problems(400, 401, 403, 404, 408, 409, 413, 422, 503),
    openapi_extra=openapi.body("RetryRequest", required=False),
)
async def retry(job_id: str, request: Request, service: Serving, caller: Writer) -> Response:
    """Run the steps again that did not succeed, or all of them, with other parameters if you like.

    All of a canceled job runs again, since its outputs are gone. Attempts are counted on; the limits for failures and
    losses, and the job's deadline, begin anew.
    """
    checked = checked_id(job_id)
    wish = await read_document(request, RetryRequest, service.settings.max_job_bytes)
    job = await service.blocking(_retry, service, caller, checked, wish)
    log.info("job.retried tenant=%s job=%s only=%s", caller.tenant_id, job.id, wish.only)
    return _answer(service, job, 202)


@router.delete(
    "/{job_id}",
    summary="Delete an ended job",
    status_code=204,
    response_class=Response,
    responses=openapi.problems(401, 403, 404, 409, 422, 503),
)
async def delete(job_id: str, service: Serving, caller: Writer) -> Response:
    """The job, its events and all its objects are gone when this is answered, but pictures that other jobs have."""
    job = checked_id(job_id)
    await service.blocking(_delete, service, caller, job)
    try:
        await service.objects.delete_prefix(job_prefix(caller.tenant_id, job))
        await service.blocking(_remove_renditions, service, caller)
    except (ObjectStoreUnavailable, DatabaseUnavailable):
        return Response(status_code=204)  # the sweeper has it on its list, and does it when they are back
    return Response(status_code=204)


def _answer(service: Service, job: Job, status: int) -> Response:
    document = job_document(job, service.settings.public_url)
    return Response(document.model_dump_json(), status_code=status, media_type="application/json")


def _cancel(service: Service, caller: Principal, job_id: JobId) -> Job:
    with service.database.begin(caller.tenant_id) as tx:
        if stops.cancel(tx, job_id) is None:
            raise not_found("job")
        audit.note(tx, caller, "job.cancel", job_id)
    return _as_it_stands(service, caller, job_id)


def _retry(service: Service, caller: Principal, job_id: JobId, wish: RetryRequest) -> Job:
    with service.database.begin(caller.tenant_id) as tx:
        steps = jobs.asked_of(tx, job_id)
        if not steps:
            raise not_found("job")
        params = _patched(steps, wish, service.settings.max_job_bytes)
        try:
            replays.retry(tx, job_id, whole=wish.only == "all", params=params)
        except StepsNotRetried as exc:
            detail = "has succeeded and does not run again; with 'only': 'all' it does"
            flaws = [Flaw(pointer=f"/steps/{escape(name)}", detail=detail) for name in exc.names]
            raise Refused(422, "invalid_request", FLAWED, flaws=flaws) from exc
        audit.note(tx, caller, "job.retry", job_id, {"only": wish.only, "changed": sorted(wish.steps)})
    return _as_it_stands(service, caller, job_id)


def _delete(service: Service, caller: Principal, job_id: JobId) -> None:
    with service.database.begin(caller.tenant_id) as tx:
        if not retention.delete(tx, job_id):
            raise not_found("job")
        audit.note(tx, caller, "job.delete", job_id)


def _remove_renditions(service: Service, caller: Principal) -> None:
    """Delete the pictures that no job has any more; what cannot be deleted now the sweeper has on its list."""

    def delete(keys: Sequence[str]) -> None:
        from_thread.run(service.objects.delete, keys)

    with service.database.platform() as tx:
        renditions.remove(tx, delete, limit=MOST_RENDITIONS, tenant_id=caller.tenant_id)


def _as_it_stands(service: Service, caller: Principal, job_id: JobId) -> Job:
    job = find_job(service, caller, job_id)
    if job is None:  # deleted in this moment
        raise not_found("job")
    return job


def _patched(steps: Mapping[str, jobs.Asked], wish: RetryRequest, most_bytes: int) -> dict[str, Json]:
    """The parameters of the steps that the wish changes, checked as at the submission, with all that stands on them."""
    made: dict[str, Json] = {}
    flaws: list[Flaw] = []
    for name, patch in wish.steps.items():
        at = f"/steps/{escape(name)}"
        if name not in steps:
            flaws.append(Flaw(pointer=at, detail=f"the job has no such step{nearest(name, steps)}"))
            continue
        kind = TENANT_KINDS.get(steps[name].kind)
        if kind is None:
            flaws.append(Flaw(pointer=at, detail=f"its kind {steps[name].kind} is not installed here any more"))
            continue
        detail = "stays as it was submitted: a retry changes parameters only"
        flaws += [Flaw(pointer=f"{at}/{field}", detail=detail) for field in sorted({*STEP_FIELDS} & {*patch})]
        changes = {field: value for field, value in patch.items() if field not in STEP_FIELDS}
        made[name] = merged(steps[name].params, changes)
        flaws += params_flaws(kind, made[name], at)
        if len(to_json(made[name])) > most_bytes:
            flaws.append(
                Flaw(pointer=at, detail=f"its parameters would be larger than {most_bytes} bytes, the limit here")
            )
    if not flaws and made:
        flaws += _relation_flaws(steps, made)
    if flaws:
        raise Refused(422, "invalid_request", FLAWED, flaws=flaws[:MAX_FLAWS])
    return made


def _relation_flaws(steps: Mapping[str, jobs.Asked], made: Mapping[str, Json]) -> Sequence[Flaw]:
    """What is wrong with the job's document as the patch leaves it."""
    document = {
        name: {
            **made.get(name, asked.params),
            "kind": asked.kind,
            "use": asked.use,
            **({"stop_when": asked.stop_when} if asked.stop_when else {}),
        }
        for name, asked in steps.items()
    }
    try:
        parse({"steps": document})
    except InvalidDocument as exc:
        return exc.flaws
    return ()
