"""`/v1/dead-letters`: steps that failed for good, by reason, and their replay."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api import openapi
from api.auth import Reader, Writer
from api.documents import read_document
from api.operating import DeadLettersDocument, DeadLettersPage, ReplayDocument, ReplayRequest
from api.service import Service, Serving
from storage import audit, replays
from storage.errors import JobNotEnded, NothingToRetry, UniqueKeyTaken
from storage.model import JobId, Principal
from storage.replays import DeadLetterFilter, DeadLetters

router = APIRouter(prefix="/v1/dead-letters", tags=["dead letters"])


@router.get(
    "", summary="List dead letters", response_model=DeadLettersPage, responses=openapi.problems(401, 403, 422, 503)
)
async def index(
    service: Serving,
    caller: Reader,
    kind: Annotated[str | None, Query(description="only steps of this kind", max_length=200)] = None,
    fingerprint: Annotated[
        str | None, Query(description="only those that failed for this reason", max_length=64)
    ] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> Response:
    """Your steps that failed for good, grouped by kind and reason, the largest groups first.

    They keep their input, parameters and attempts until they are replayed, or until retention removes their job.
    """
    chosen = DeadLetterFilter(kind=_storable(kind), fingerprint=_storable(fingerprint))
    found = await service.blocking(_groups, service, caller, chosen, limit)
    page = DeadLettersPage(data=[DeadLettersDocument(**asdict(group)) for group in found])
    return Response(page.model_dump_json(), media_type="application/json")


@router.post(
    "/replay",
    summary="Replay dead letters",
    response_model=ReplayDocument,
    responses=openapi.problems(401, 403, 408, 413, 422, 503),
    openapi_extra=openapi.body("ReplayRequest", required=False),
)
async def replay(request: Request, service: Serving, caller: Writer) -> Response:
    """Run the jobs of matching dead letters again, their failed steps only; with `percent`, a share as a canary.

    The share is spread evenly over all that match. What fails again is there again, and what is left can follow.
    """
    wish = await read_document(request, ReplayRequest, service.settings.max_job_bytes)
    done = await service.blocking(_replay, service, caller, wish)
    return Response(done.model_dump_json(), media_type="application/json")


def _groups(service: Service, caller: Principal, chosen: DeadLetterFilter, limit: int) -> list[DeadLetters]:
    with service.database.read(caller.tenant_id) as tx:
        return replays.dead_letters(tx, chosen, limit=limit)


def _replay(service: Service, caller: Principal, wish: ReplayRequest) -> ReplayDocument:
    chosen = DeadLetterFilter(**wish.filter.model_dump())
    with service.database.read(caller.tenant_id) as tx:
        matching = replays.matching_jobs(tx, chosen)
    share = replays.share(matching, wish.percent, limit=wish.limit)
    asked = {"filter": wish.filter.model_dump(mode="json", exclude_none=True), "percent": wish.percent}
    if share:  # before the first runs again: it may not come to the last
        told = {**asked, "matching": len(matching), "jobs": len(share)}
        with service.database.begin(caller.tenant_id) as tx:
            audit.note(tx, caller, "dead_letters.replay", None, told)
    done: list[JobId] = []
    skipped = 0
    for job_id in (*share, *replays.substitutes(matching, share)):
        if len(done) == len(share):
            break
        if _is_replayed(service, caller, job_id):
            done.append(job_id)
        else:
            skipped += 1
    return ReplayDocument(matching=len(matching), skipped=skipped, jobs=list(done))


def _is_replayed(service: Service, caller: Principal, job_id: JobId) -> bool:
    """In a transaction of its own, so that a large replay holds nothing up."""
    try:
        with service.database.begin(caller.tenant_id) as tx:
            return replays.retry(tx, job_id)
    except (JobNotEnded, NothingToRetry, UniqueKeyTaken):
        return False


def _storable(word: str | None) -> str | None:
    """A query may hold what no row does: it then matches nothing."""
    return None if word is None else word.replace("\0", "\ufffd")
