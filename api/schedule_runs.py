"""`/v1/schedules/{id}/trigger`, `/backfill` and `/runs`, and `/v1/schedules/preview`: firings, asked for and told."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from api import idempotent, openapi, schedule_openapi
from api.auth import Reader, Writer
from api.documents import FLAWED, read_document, read_json
from api.errors import Refused, not_found
from api.idempotent import KeyHeader
from api.schedule_documents import checked_preview
from api.schedule_schemas import (
    RUNS_CURSOR_PATTERN,
    BackfillDocument,
    BackfillRequest,
    FireTime,
    PreviewDocument,
    RunDocument,
    RunOutcome,
    RunPage,
    TriggerRequest,
    before_cursor,
    run_document,
    runs_cursor,
)
from api.schedules import checked_id, locked_or_refused
from api.service import Service, Serving
from storage import audit, firings, schedules
from storage.database import Tx
from storage.model import Json, Principal, ScheduleId
from storage.schedule_model import Firing, Locked, Outcome, Overlap
from tasks import scheduling
from tasks.calendar import Calendar, local_moment
from tasks.errors import BackfillTooLarge, Flaw
from tasks.own_templates import resolver
from tasks.schedules import terms, utc_text

router = APIRouter(prefix="/v1/schedules", tags=["schedules"])

_TICK = timedelta(microseconds=1)


@router.post(
    "/preview",
    summary="Preview a schedule",
    response_model=PreviewDocument,
    responses=openapi.problems(401, 403, 408, 413, 422, 503),
    openapi_extra=openapi.body("PreviewRequest", required=True),
)
async def preview(request: Request, service: Serving, caller: Reader) -> Response:
    """When a schedule would fire, in words and as its next firings; nothing is kept, and no job is needed.

    It is refused for what the making of a schedule is refused for.
    """
    given = await read_json(request, service.settings.max_job_bytes)
    found = await service.blocking(_previewed, service, caller, given)
    return Response(found.model_dump_json(), media_type="application/json")


@router.post(
    "/{schedule_id}/trigger",
    summary="Fire a schedule now",
    status_code=202,
    response_model=RunDocument,
    responses=openapi.problems(400, 401, 403, 404, 408, 409, 413, 422, 503) | schedule_openapi.TRIGGERED,
    openapi_extra=openapi.body("TriggerRequest", required=False),
)
async def trigger(
    schedule_id: str, request: Request, service: Serving, caller: Writer, idempotency_key: KeyHeader = None
) -> Response:
    """Fire it now, whether it is paused or has ended; its rule of overlap decides what becomes of that.

    It does not count towards `max_runs`, and does not move the next firing.
    """
    wanted = checked_id(schedule_id)
    idempotent.checked(idempotency_key)
    wish = await read_document(request, TriggerRequest, service.settings.max_job_bytes)

    def act(tx: Tx) -> Json:
        locked = locked_or_refused(tx, wanted)
        fired = scheduling.trigger(tx, locked, overlap=wish.overlap)
        audit.note(tx, caller, "schedule.trigger", wanted)
        (run,) = firings.page(tx, wanted, outcome=None, before=fired.nominal_at + _TICK, limit=1)
        return run_document(run, service.settings.public_url).model_dump(mode="json")

    payload = ["trigger", wanted, wish.model_dump(mode="json")]
    run = await idempotent.once(service, caller.tenant_id, idempotency_key, payload, act)
    headers = {} if run["job"] is None else {"Location": f"/v1/jobs/{run['job']['id']}"}
    return JSONResponse(run, status_code=202, headers=headers)


@router.post(
    "/{schedule_id}/backfill",
    summary="Fire a schedule for the past",
    status_code=202,
    response_model=BackfillDocument,
    responses=openapi.problems(400, 401, 403, 404, 408, 409, 413, 422, 503),
    openapi_extra=openapi.body("BackfillRequest", required=True),
)
async def backfill(
    schedule_id: str, request: Request, service: Serving, caller: Writer, idempotency_key: KeyHeader = None
) -> Response:
    """Start a job for each nominal time from `from` to `to`, both included, that has none.

    A nominal time has one job at most, however often this is asked for. They do not count towards `max_runs`.
    """
    wanted = checked_id(schedule_id)
    idempotent.checked(idempotency_key)
    wish = await read_document(request, BackfillRequest, service.settings.max_job_bytes)

    def act(tx: Tx) -> Json:
        locked = locked_or_refused(tx, wanted)
        first, last = _span(locked, wish)
        try:
            accepted, times = scheduling.backfill(tx, locked, first, last, overlap=Overlap(wish.overlap))
        except BackfillTooLarge as exc:
            detail = f"{exc}: with {utc_text(exc.last)} as 'to' it would be {exc.most}; ask for the rest after that"
            raise Refused(422, "backfill_too_large", detail, flaws=[Flaw(pointer="/to", detail=detail)]) from exc
        audit.note(tx, caller, "schedule.backfill", wanted, {"from": wish.first, "to": wish.to, "accepted": accepted})
        return BackfillDocument(accepted=accepted, nominal_times=times).model_dump(mode="json")

    payload = ["backfill", wanted, wish.model_dump(mode="json")]
    done = await idempotent.once(service, caller.tenant_id, idempotency_key, payload, act)
    return JSONResponse(done, status_code=202)


@router.get(
    "/{schedule_id}/runs",
    summary="List a schedule's firings",
    response_model=RunPage,
    responses=openapi.problems(401, 403, 404, 422, 503),
)
async def runs(
    schedule_id: str,
    service: Serving,
    caller: Reader,
    outcome: Annotated[RunOutcome | None, Query(description="only firings that ended like this")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[
        str | None,
        Query(description="`next_cursor` of the page before", json_schema_extra={"pattern": RUNS_CURSOR_PATTERN}),
    ] = None,
) -> Response:
    """What became of its firings, the latest nominal time first: started, buffered, skipped, missed or failed."""
    wanted = checked_id(schedule_id)
    before = None if cursor is None else before_cursor(cursor)
    if cursor is not None and before is None:
        raise Refused(422, "cursor_invalid", "'cursor' must be the next_cursor of an earlier page")
    found = await service.blocking(_page, service, caller, wanted, outcome, before, limit + 1)
    shown = found[:limit]
    page = RunPage(
        data=[run_document(one, service.settings.public_url) for one in shown],
        next_cursor=runs_cursor(shown[-1].place) if len(found) > limit else None,
    )
    return Response(page.model_dump_json(), media_type="application/json")


def _span(locked: Locked, wish: BackfillRequest) -> tuple[datetime, datetime]:
    """The first and the last moment of a backfill. Raises Refused (422)."""
    zone = terms(locked.schedule.document).calendar.zone
    moments: list[datetime] = []
    flaws: list[Flaw] = []
    for pointer, text in (("/from", wish.first), ("/to", wish.to)):
        try:
            moments.append(local_moment(text, zone))
        except ValueError as exc:
            flaws.append(Flaw(pointer=pointer, detail=str(exc)))
    if not flaws and moments[1] < moments[0]:
        flaws.append(Flaw(pointer="/to", detail="is before 'from'"))
    elif not flaws and moments[1] > locked.now:
        flaws.append(Flaw(pointer="/to", detail=f"is in the future: here it is {utc_text(locked.now)}"))
    if flaws:
        raise Refused(422, "invalid_request", FLAWED, flaws=flaws)
    return moments[0], moments[1]


def _previewed(service: Service, caller: Principal, given: Json) -> PreviewDocument:
    with service.database.read(caller.tenant_id) as tx:
        spec, after, count = checked_preview(given, schedules.clock(tx), resolver(tx))
    calendar = spec.terms.calendar
    times = [
        FireTime(at=at, local=at.astimezone(calendar.zone).isoformat()) for at in islice(_after(calendar, after), count)
    ]
    return PreviewDocument(words=calendar.words, timezone=calendar.zone.key, fire_times=times)


def _after(calendar: Calendar, moment: datetime) -> Iterator[datetime]:
    found = calendar.after(moment)
    while found is not None:
        yield found
        found = calendar.after(found)


def _page(
    service: Service,
    caller: Principal,
    schedule_id: ScheduleId,
    outcome: Outcome | None,
    before: datetime | None,
    limit: int,
) -> list[Firing]:
    with service.database.snapshot(caller.tenant_id) as tx:
        if schedules.find(tx, schedule_id) is None:
            raise not_found("schedule")
        return firings.page(tx, schedule_id, outcome=outcome, before=before, limit=limit)
