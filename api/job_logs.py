"""`/v1/jobs/{id}/logs`: what all processes logged about a job."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import Field

from api import openapi
from api.auth import Reader, may_watch
from api.errors import not_found
from api.jobs import checked_id
from api.service import Service, Serving
from storage import job_logs, jobs
from storage.job_logs import KeptLine
from storage.model import JobId, Json, Principal
from tasks.job_document import Document

MOST_AFTER = 2**63 - 1

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


class Level(StrEnum):
    """How grave a line is, and all that is graver."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class LineErrorDocument(Document):
    """An error of the platform's own code."""

    type: str
    message: str
    stack: str


class JobLineDocument(Document):
    """A line about the job. `message` says the same as `event` and `fields`, in one text."""

    id: Annotated[int, Field(description="grows from line to line")]
    at: datetime
    level: Level
    process: Annotated[str, Field(description="which logged it: its role, its host, its number there")]
    step: Annotated[str | None, Field(description="the step's name")]
    attempt: int | None
    event: str
    fields: dict[str, Json]
    message: str
    error: Annotated[LineErrorDocument | None, Field(description="for keys with the scope `operate:read`")] = None


class JobLogPage(Document):
    """Lines in the order of their times; whoever asks again with `next_after` gets what has come since."""

    data: list[JobLineDocument]
    next_after: int


@router.get(
    "/{job_id}/logs",
    summary="Read a job's log",
    response_model=JobLogPage,
    responses=openapi.problems(401, 403, 404, 422, 503),
)
async def show(
    job_id: str,
    service: Serving,
    caller: Reader,
    after: Annotated[int, Query(ge=0, le=MOST_AFTER, description="`next_after` of the page before")] = 0,
    limit: Annotated[int, Query(ge=1, le=job_logs.MOST_LINES)] = 200,
    level: Annotated[Level, Query(description="only lines that are at least as grave")] = Level.INFO,
) -> Response:
    """What the API, the scheduler and the workers logged about the job, at most 1,000 lines.

    A line is there within a second. What only concerns the platform, such as the words of its
    errors, is for operators.
    """
    found = await service.blocking(_page, service, caller, checked_id(job_id), after, limit, level)
    if found is None:
        raise not_found("job")
    shown = [_document(line, whole=may_watch(caller)) for line in sorted(found, key=lambda line: (line.at, line.id))]
    page = JobLogPage(data=shown, next_after=max((line.id for line in found), default=after))
    return Response(page.model_dump_json(), media_type="application/json")


def _page(
    service: Service, caller: Principal, job_id: JobId, after: int, limit: int, level: Level
) -> list[KeptLine] | None:
    """None if the caller has no such job."""
    with service.database.read(caller.tenant_id) as tx:
        if jobs.is_terminal(tx, job_id) is None:
            return None
        return list(job_logs.page(tx, job_id, after, limit, least=level.value))


def _document(line: KeptLine, *, whole: bool) -> JobLineDocument:
    fields = {name: value for name, value in line.fields.items() if whole or name not in line.private}
    said = [line.event, line.text, *(f"{name}={value}" for name, value in fields.items())]
    return JobLineDocument(
        id=line.id,
        at=line.at,
        level=Level(line.level),
        process=line.process,
        step=line.step,
        attempt=line.attempt,
        event=line.event,
        fields=fields,
        message=" ".join(word for word in said if word),
        error=LineErrorDocument(**line.error) if whole and line.error else None,
    )
