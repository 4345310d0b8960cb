"""`/v1/jobs/{id}/logs`: what all processes logged about a job."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import Field

from api import openapi
from api.auth import Reader, may_watch
from api.errors import Refused, not_found
from api.jobs import checked_id
from api.service import Service, Serving
from storage import job_log_pages, job_logs, jobs
from storage.job_log_pages import Cursor, LogLine
from storage.model import JobId, Json, Principal
from tasks.job_document import Document

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

    id: Annotated[str, Field(description="of this line, within the job's log")]
    at: datetime
    level: Level
    process: Annotated[
        str | None,
        Field(description="which logged it: its role, host and number there; of an event the worker, for operators"),
    ]
    step: Annotated[str | None, Field(description="the step's name")]
    attempt: int | None
    event: str
    fields: dict[str, Json]
    message: str
    error: Annotated[LineErrorDocument | None, Field(description="for keys with the scope `operate:read`")] = None


class JobLogPage(Document):
    """Lines in the order of their times; whoever asks again with `next_after` gets what has come since."""

    data: list[JobLineDocument]
    next_after: str


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
    after: Annotated[
        str, Query(description="`next_after` of the page before", json_schema_extra={"pattern": job_log_pages.CURSOR})
    ] = "0.0",
    limit: Annotated[int, Query(ge=1, le=job_logs.MOST_LINES)] = 200,
    level: Annotated[Level, Query(description="only lines that are at least as grave")] = Level.INFO,
) -> Response:
    """The job's events but for progress, and at most 1,000 other lines that processes logged about it.

    A line is there within a second. What only concerns the platform, such as the words of its
    errors, is for operators.
    """
    start = job_log_pages.cursor(after)
    if start is None:
        raise Refused(422, "cursor_invalid", "'after' must be the next_after of an earlier page")
    page = await service.blocking(_page, service, caller, checked_id(job_id), start, limit, level)
    if page is None:
        raise not_found("job")
    return Response(page.model_dump_json(), media_type="application/json")


def _page(
    service: Service, caller: Principal, job_id: JobId, after: Cursor, limit: int, level: Level
) -> JobLogPage | None:
    """None if the caller has no such job."""
    with service.database.read(caller.tenant_id) as tx:
        if jobs.is_terminal(tx, job_id) is None:
            return None
        found, reached = job_log_pages.page(tx, job_id, after, limit, least=level.value)
    whole = may_watch(caller)
    return JobLogPage(data=[_document(line, whole=whole) for line in found], next_after=str(reached))


def _document(line: LogLine, *, whole: bool) -> JobLineDocument:
    fields = {name: value for name, value in line.fields.items() if whole or name not in line.private}
    said = [line.event, line.text, *(f"{name}={value}" for name, value in fields.items())]
    return JobLineDocument(
        id=line.id,
        at=line.at,
        level=Level(line.level),
        process=line.process if whole or not line.is_event else None,
        step=line.step,
        attempt=line.attempt,
        event=line.event,
        fields=fields,
        message=" ".join(word for word in said if word),
        error=LineErrorDocument(**line.error) if whole and line.error else None,
    )
