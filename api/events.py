"""`/v1/jobs/{id}/events`: what happens to a job, as it happens (Server-Sent Events)."""

import asyncio
import logging
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi.responses import Response

from api import openapi
from api.auth import Reader
from api.errors import RETRY_AFTER_SECONDS, Refused, not_found
from api.event_stream import STILL_HERE, EventStream
from api.jobs import checked_id
from api.schemas import event_document
from api.service import Service, Serving
from api.streams import Reading, right_of
from storage import events, jobs
from storage.errors import DatabaseUnavailable
from storage.events import Event
from storage.model import TERMINAL_JOB_STATES, JobId, Principal

PAGE = 1000  # events read at once
_LAST = frozenset(f"job.{state}" for state in TERMINAL_JOB_STATES)

log = logging.getLogger(__name__)

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@router.get(
    "/{job_id}/events",
    summary="Follow a job's events",
    response_class=Response,
    responses=openapi.problems(400, 401, 403, 404, 422, 503) | openapi.EVENT_STREAM,
)
async def stream(
    job_id: str,
    request: Request,
    service: Serving,
    caller: Reader,
    last_event_id: Annotated[
        str | None,
        Header(description="go on after this event's number", json_schema_extra={"pattern": openapi.EVENT_ID_PATTERN}),
    ] = None,
) -> Response:
    """All events of the job from the first, or after `Last-Event-ID`; the stream ends with the job.

    Each has `id` (its number), `event` (its type) and `data` (EventDocument as JSON). A client that has seen the last
    event gets 204, which stops browsers from asking again.
    """
    seen = _number(last_event_id)
    job = checked_id(job_id)
    if not await service.blocking(_is_there, service, caller, job):
        raise not_found("job")
    found, ended = await service.blocking(_news, service, caller, job, seen)
    if ended and not found:
        return Response(status_code=204)
    opened = service.streams.open(right_of(request, caller, service.settings.public_url))
    return EventStream(opened, partial(_lines, service, caller, job, seen))


async def _lines(service: Service, caller: Principal, job_id: JobId, seen: int, reading: Reading) -> AsyncIterator[str]:
    with service.hub.telling(job_id, reading):
        while not reading.is_over:
            try:
                found, ended = await service.blocking(_news, service, caller, job_id, seen)
            except DatabaseUnavailable as exc:
                log.warning("events.interrupted job=%s reason=%s", job_id, exc)
                yield STILL_HERE
                await asyncio.sleep(RETRY_AFTER_SECONDS)
                continue
            for event in found:
                seen = event.seq
                yield _line(event)
            if ended:
                return
            if len(found) == PAGE:
                continue
            while not await reading.news():
                yield STILL_HERE


def _line(event: Event) -> str:
    return f"id: {event.seq}\nevent: {event.type}\ndata: {event_document(event).model_dump_json()}\n\n"


def _number(last_event_id: str | None) -> int:
    raw = "0" if last_event_id is None else last_event_id
    if not raw.isascii() or not raw.isdigit() or len(raw) > 9:
        raise Refused(400, "last_event_id_invalid", "Last-Event-ID must be the id of an event of this stream, a number")
    return int(raw)


def _is_there(service: Service, caller: Principal, job_id: JobId) -> bool:
    with service.database.read(caller.tenant_id) as tx:
        return jobs.is_terminal(tx, job_id) is not None


def _news(service: Service, caller: Principal, job_id: JobId, seq: int) -> tuple[list[Event], bool]:
    """At most PAGE events after `seq`, and whether no other can follow them."""
    with service.database.read(caller.tenant_id) as tx:
        found = events.after(tx, job_id, seq, limit=PAGE)
        if not found and jobs.is_terminal(tx, job_id) is not False:  # nothing follows from a deleted job either
            found = events.after(tx, job_id, seq, limit=PAGE)  # what was written between the two looks
            return found, not found or _is_end(found)
        return found, bool(found) and _is_end(found)


def _is_end(found: list[Event]) -> bool:
    """A final event is the last one, unless the job was told to run again: then others follow, on the next page too."""
    return len(found) < PAGE and found[-1].type in _LAST
