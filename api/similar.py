"""`/v1/similar`: pictures of the tenant that look like that of a job, or are the same again."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Annotated, cast
from weakref import WeakValueDictionary

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import Field

from api import openapi
from api.auth import Reader
from api.errors import Refused, not_found
from api.jobs import checked_id
from api.service import Service, Serving
from storage import jobs, likenesses
from storage.database import Database, Tx
from storage.likenesses import Look, Match, Nearest
from storage.model import JobId, Principal, TenantId
from tasks.errors import Flaw
from tasks.job_document import Document, Links
from tasks.params import NAME_PATTERN

AT_ONCE = 2  # searches in a process: other requests need its threads and connections, too
DEFAULT_DISTANCE = 6

router = APIRouter(prefix="/v1/similar", tags=["similar"])


class SimilarPicture(Document):
    """A picture that was found, by the step that looked at it.

    `score` is the cosine of the two embeddings, cut to 0..1; for duplicates the share of the hash's 64 bits that are
    the same, and `distance` the number of those that are not.
    """

    job: str
    step: str
    filename: Annotated[str | None, Field(description="of the job's file, as it was sent")]
    score: Annotated[float, Field(ge=0, le=1)]
    distance: Annotated[int | None, Field(ge=0, le=64)]
    links: Links


class SimilarPage(Document):
    """What was found, most similar first; `model` made the embeddings, and is null where hashes were compared."""

    data: list[SimilarPicture]
    model: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What is asked for: pictures at least `least` (0..1) alike, or hashes that differ in at most `most` bits."""

    job_id: JobId
    step: str | None
    limit: int
    least: float | None = None
    most: int | None = None


@dataclass(kw_only=True, slots=True)
class Searches:
    """The search of this process: by pgvector if the server has it, which is asked once; else by a cache in `folder`.

    Without pgvector, tenants with more than `most` pictures are refused.

    A tenant's searches come one after the other, so that no tenant takes all turns.
    """

    database: Database
    folder: Path
    most: int
    turns: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(AT_ONCE))
    queues: WeakValueDictionary[TenantId, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    nearest: Nearest | None = None

    async def find(self, tenant_id: TenantId, wish: Wish) -> tuple[Look, list[Match]]:
        """What is wished for, and what it was compared to. Raises Refused."""
        queue = self.queues.setdefault(tenant_id, asyncio.Lock())
        async with queue:
            return await to_thread.run_sync(lambda: self._find(tenant_id, wish), limiter=self.turns)

    def _find(self, tenant_id: TenantId, wish: Wish) -> tuple[Look, list[Match]]:
        with self.database.snapshot(tenant_id) as tx:
            look = _look(tx, wish)
            if wish.most is not None:
                return look, likenesses.duplicates(tx, look, limit=wish.limit, max_distance=wish.most)
            if self.nearest is None:
                self.nearest = likenesses.nearest if likenesses.has_pgvector(tx) else self._cache()
            return look, self.nearest(tx, look, limit=wish.limit, least=wish.least or 0.0)

    def _cache(self) -> Nearest:
        # NumPy is loaded by those who need it only: it costs a process 12 MB and a tenth of a second.
        made: Nearest = import_module("api.likeness_cache").LikenessCache(self.folder, self.most)
        return made


async def _searches(request: Request) -> Searches:
    return cast(Searches, request.app.state.searches)


@router.get(
    "",
    summary="Find similar pictures",
    response_model=SimilarPage,
    responses=openapi.problems(401, 403, 404, 422, 503),
)
async def index(
    service: Serving,
    caller: Reader,
    searches: Annotated[Searches, Depends(_searches)],
    job: Annotated[
        str | None,
        Query(
            description="the job whose picture the others are to be like, by their embeddings",
            json_schema_extra={"pattern": openapi.JOB_ID_PATTERN},
        ),
    ] = None,
    duplicates_of: Annotated[
        str | None,
        Query(
            description="the job whose picture the others are to equal, or nearly, by their hashes",
            json_schema_extra={"pattern": openapi.JOB_ID_PATTERN},
        ),
    ] = None,
    step: Annotated[
        str | None, Query(pattern=NAME_PATTERN, description="which of the job's analyses; default: the first that fits")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    min_score: Annotated[
        float | None,
        Query(ge=0, le=1, allow_inf_nan=False, description="with `job`: only pictures at least this alike"),
    ] = None,
    max_distance: Annotated[
        int | None,
        Query(
            ge=0, le=64, description=f"with `duplicates_of`: bits of 64 that may differ (default: {DEFAULT_DISTANCE})"
        ),
    ] = None,
) -> Response:
    """Your pictures that look like that of a job, most similar first; give either `job` or `duplicates_of`.

    They are found from the moment on at which the step succeeds that was asked for the feature `embedding`, or `phash`,
    until their job is deleted. The job's own picture is not among them.
    """
    _check(job, duplicates_of, min_score, max_distance)
    wish = Wish(
        job_id=checked_id(job or duplicates_of or ""),
        step=step,
        limit=limit,
        least=min_score,
        most=None if job else DEFAULT_DISTANCE if max_distance is None else max_distance,
    )
    look, found = await searches.find(caller.tenant_id, wish)
    names = await service.blocking(_filenames, service, caller, found)
    data = [_picture(service, match, names.get(match.job_id)) for match in found]
    page = SimilarPage(data=data, model=look.model if job else None)
    return Response(page.model_dump_json(), media_type="application/json")


def _check(job: str | None, duplicates_of: str | None, min_score: float | None, max_distance: int | None) -> None:
    if (job is None) == (duplicates_of is None):
        raise _wrong("job", "give exactly one of 'job' and 'duplicates_of'")
    if job is None and min_score is not None:
        raise _wrong("min_score", "'min_score' goes with 'job'; give 'max_distance' with 'duplicates_of'")
    if job is not None and max_distance is not None:
        raise _wrong("max_distance", "'max_distance' goes with 'duplicates_of'; give 'min_score' with 'job'")


def _wrong(parameter: str, detail: str) -> Refused:
    return Refused(422, "invalid_parameter", detail, flaws=[Flaw(pointer=f"/query/{parameter}", detail=detail)])


def _look(tx: Tx, wish: Wish) -> Look:
    """The likeness of the job to which others are compared. Raises Refused."""
    by_hash = wish.most is not None
    seen = [
        look for look in likenesses.of_job(tx, wish.job_id) if (look.phash is not None if by_hash else look.embedded)
    ]
    found = next((look for look in seen if wish.step in (None, look.step)), None)
    if found is not None:
        return found
    if jobs.find(tx, wish.job_id) is None:
        raise not_found("job")
    feature = "phash" if by_hash else "embedding"
    ask = f'submit the picture with a step of kind image.analyze and "features": ["{feature}"]'
    there = f"; it has one of: {', '.join(look.step for look in seen)}" if seen else f"; {ask}"
    whose = "the job" if wish.step is None else f"step {wish.step!r} of the job"
    raise Refused(404, f"no_{feature}", f"{whose} has no {feature}, or not yet{there}")


def _filenames(service: Service, caller: Principal, found: Sequence[Match]) -> dict[JobId, str]:
    with service.database.read(caller.tenant_id) as tx:
        return jobs.filenames(tx, [match.job_id for match in found])


def _picture(service: Service, match: Match, filename: str | None) -> SimilarPicture:
    at = f"{service.settings.public_url}/v1/jobs/{match.job_id}"
    return SimilarPicture(
        job=match.job_id,
        step=match.step,
        filename=filename,
        score=round(match.score, 6),
        distance=match.distance,
        links=Links(self=at, events=f"{at}/events"),
    )
