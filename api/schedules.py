"""`/v1/schedules`: make, read, list, change, delete, pause, resume."""

from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import JSONResponse, Response

from api import idempotent, openapi, schedule_openapi
from api.auth import Reader, Writer
from api.documents import read_document, read_json
from api.errors import Refused, not_found
from api.idempotent import KeyHeader
from api.schedule_documents import checked, patched, refusing
from api.schedule_schemas import PauseRequest, ScheduleDocument, SchedulePage, schedule_document
from api.service import Service, Serving
from storage import audit, schedules
from storage.database import Tx
from storage.model import Json, Principal, ScheduleId
from storage.schedule_model import Locked, Schedule, ScheduleState, is_schedule_id
from tasks import scheduling
from tasks.own_templates import resolver
from tasks.schedules import parse

PATCH_TYPES = ("application/merge-patch+json", "application/json")
T = TypeVar("T")

router = APIRouter(prefix="/v1/schedules", tags=["schedules"])

IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", description='The ETag of the version that you know, such as `"3"`; `*`: any.'),
]


@router.post(
    "",
    summary="Make a schedule",
    status_code=201,
    response_model=ScheduleDocument,
    responses=openapi.problems(400, 401, 403, 408, 409, 413, 422, 503) | schedule_openapi.MADE,
    openapi_extra=openapi.body("ScheduleRequest", required=True),
)
async def create(request: Request, service: Serving, caller: Writer, idempotency_key: KeyHeader = None) -> Response:
    """From now on the job is submitted whenever the schedule fires. See docs/schedules.md for every field."""
    idempotent.checked(idempotency_key)
    given = await read_json(request, service.settings.max_job_bytes)

    def act(tx: Tx) -> Json:
        now = schedules.clock(tx)
        templates = resolver(tx, hold=True)
        spec = checked(given, lambda wish: parse(wish, now=now, templates=templates), service.settings)
        if schedules.count(tx) >= service.settings.max_schedules:  # two at once may go past it: it is no exact quota
            detail = f"you have {service.settings.max_schedules} schedules, the limit here; delete one"
            raise Refused(409, "too_many_schedules", detail)
        made = scheduling.create(tx, spec, now)
        audit.note(tx, caller, "schedule.create", made.id)
        return schedule_document(made, service.settings.public_url).model_dump(mode="json")

    made = await idempotent.once(service, caller.tenant_id, idempotency_key, ["schedules", given], act)
    headers = {"Location": f"/v1/schedules/{made['id']}", "ETag": _etag(made["version"])}
    return JSONResponse(made, status_code=201, headers=headers)


@router.get("", summary="List schedules", response_model=SchedulePage, responses=openapi.problems(401, 403, 422, 503))
async def index(
    service: Serving,
    caller: Reader,
    state: Annotated[ScheduleState | None, Query(description="only schedules in this state")] = None,
    name: Annotated[str | None, Query(description="only the one with exactly this name", max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[
        str | None,
        Query(
            description="`next_cursor` of the page before", json_schema_extra={"pattern": openapi.SCHEDULE_ID_PATTERN}
        ),
    ] = None,
) -> Response:
    """Your schedules, newest first."""
    if cursor is not None and not is_schedule_id(cursor):
        raise Refused(422, "cursor_invalid", "'cursor' must be the next_cursor of an earlier page")
    named = None if name is None else name.replace("\0", "\ufffd")  # which no row has
    before = None if cursor is None else ScheduleId(cursor)
    found = await service.blocking(_page, service, caller, state, named, before, limit + 1)
    shown = found[:limit]
    page = SchedulePage(
        data=[schedule_document(one, service.settings.public_url) for one in shown],
        next_cursor=shown[-1].id if len(found) > limit else None,
    )
    return Response(page.model_dump_json(), media_type="application/json")


@router.get(
    "/{schedule_id}",
    summary="Read a schedule",
    response_model=ScheduleDocument,
    responses=openapi.problems(401, 403, 404, 422, 503) | schedule_openapi.VERSIONED,
)
async def show(schedule_id: str, service: Serving, caller: Reader) -> Response:
    """The schedule as it stands; its ETag is what a change wants to see again."""
    found = await service.blocking(_find, service, caller, checked_id(schedule_id))
    return _answer(service, found)


@router.patch(
    "/{schedule_id}",
    summary="Change a schedule",
    response_model=ScheduleDocument,
    responses=openapi.problems(401, 403, 404, 408, 409, 412, 413, 415, 422, 428, 503) | schedule_openapi.VERSIONED,
    openapi_extra=openapi.body("SchedulePatch", required=True, types=PATCH_TYPES),
)
async def change(
    schedule_id: str, request: Request, service: Serving, caller: Writer, if_match: IfMatch = None
) -> Response:
    """A JSON merge patch (RFC 7396) on what was asked for: null sets a field back to its default.

    One of `cron`, `every` and `at` takes the place of the one that was there. What was due before and has not fired
    is skipped if the calendar changes; jobs that run go on.
    """
    wanted = checked_id(schedule_id)
    if if_match is None:
        detail = "send If-Match with the ETag that GET /v1/schedules/{id} answers with, or * to change any version"
        raise Refused(428, "precondition_required", detail)
    kind = request.headers.get("content-type", PATCH_TYPES[0]).partition(";")[0].strip().lower()
    if kind not in PATCH_TYPES:
        detail = f"a change is sent as {' or '.join(PATCH_TYPES)}, not as {kind[:100]!r}"
        raise Refused(415, "content_type_unsupported", detail, headers={"Accept-Patch": ", ".join(PATCH_TYPES)})
    patch = await read_json(request, service.settings.max_job_bytes)

    def act(tx: Tx, locked: Locked) -> Schedule:
        check_match(if_match, locked.schedule)
        spec = patched(locked, patch, service.settings, resolver(tx, hold=True))
        audit.note(tx, caller, "schedule.change", wanted, {"changed": sorted(patch)})
        with refusing():
            return scheduling.change(tx, locked, spec)

    return _answer(service, await service.blocking(with_locked, service, caller, wanted, act))


@router.delete(
    "/{schedule_id}",
    summary="Delete a schedule",
    status_code=204,
    response_class=Response,
    responses=openapi.problems(401, 403, 404, 412, 422, 503),
)
async def delete(schedule_id: str, service: Serving, caller: Writer, if_match: IfMatch = None) -> Response:
    """It fires no more, and what became of its firings is forgotten; jobs that it has started go on."""

    def act(tx: Tx, locked: Locked) -> None:
        if if_match is not None:
            check_match(if_match, locked.schedule)
        schedules.delete(tx, locked.schedule.id)
        audit.note(tx, caller, "schedule.delete", locked.schedule.id, {"name": locked.schedule.name})

    await service.blocking(with_locked, service, caller, checked_id(schedule_id), act)
    return Response(status_code=204)


@router.post(
    "/{schedule_id}/pause",
    summary="Pause a schedule",
    response_model=ScheduleDocument,
    responses=openapi.problems(401, 403, 404, 408, 413, 422, 503) | schedule_openapi.VERSIONED,
    openapi_extra=openapi.body("PauseRequest", required=False),
)
async def pause(schedule_id: str, request: Request, service: Serving, caller: Writer) -> Response:
    """It fires no more until it is resumed; triggers and backfills still work. Twice is as once."""
    wanted = checked_id(schedule_id)
    wish = await read_document(request, PauseRequest, service.settings.max_job_bytes)
    reason = scheduling.PAUSED if wish.reason is None else wish.reason

    def act(tx: Tx, locked: Locked) -> Schedule:
        audit.note(tx, caller, "schedule.pause", wanted)
        return scheduling.pause(tx, locked, reason=reason)

    return _answer(service, await service.blocking(with_locked, service, caller, wanted, act))


@router.post(
    "/{schedule_id}/resume",
    summary="Resume a schedule",
    response_model=ScheduleDocument,
    responses=openapi.problems(401, 403, 404, 422, 503) | schedule_openapi.VERSIONED,
)
async def resume(schedule_id: str, service: Serving, caller: Writer) -> Response:
    """It fires again from now on; what came while it was paused is one run, as skipped. Twice is as once."""

    def act(tx: Tx, locked: Locked) -> Schedule:
        audit.note(tx, caller, "schedule.resume", locked.schedule.id)
        with refusing():
            return scheduling.resume(tx, locked)

    return _answer(service, await service.blocking(with_locked, service, caller, checked_id(schedule_id), act))


def checked_id(text: str) -> ScheduleId:
    """The text as a schedule's id. Raises Refused (404)."""
    if not is_schedule_id(text):
        raise not_found("schedule")
    return ScheduleId(text)


def locked_or_refused(tx: Tx, schedule_id: ScheduleId) -> Locked:
    """The caller's schedule, locked. Raises Refused (404)."""
    locked = schedules.lock(tx, schedule_id)
    if locked is None:
        raise not_found("schedule")
    return locked


def with_locked(service: Service, caller: Principal, schedule_id: ScheduleId, act: Callable[[Tx, Locked], T]) -> T:
    """What `act` makes of the caller's schedule, which is locked until the commit. Raises Refused (404)."""
    with service.database.begin(caller.tenant_id) as tx:
        return act(tx, locked_or_refused(tx, schedule_id))


def check_match(if_match: str, schedule: Schedule) -> None:
    """Raise Refused (412) unless the header names the schedule's version, or any (RFC 9110, section 13.1.1)."""
    named = [tag.strip() for tag in if_match.split(",")]
    if "*" in named or _etag(schedule.version) in named:
        return
    detail = f"the schedule is at version {_etag(schedule.version)} by now: read it again, then send its ETag as it is"
    raise Refused(412, "precondition_failed", detail)


def _etag(version: int) -> str:
    return f'"{version}"'


def _answer(service: Service, schedule: Schedule) -> Response:
    document = schedule_document(schedule, service.settings.public_url)
    headers = {"ETag": _etag(schedule.version)}
    return Response(document.model_dump_json(), media_type="application/json", headers=headers)


def _page(
    service: Service,
    caller: Principal,
    state: ScheduleState | None,
    name: str | None,
    before: ScheduleId | None,
    limit: int,
) -> list[Schedule]:
    with service.database.read(caller.tenant_id) as tx:
        return schedules.page(tx, state=state, name=name, before=before, limit=limit)


def _find(service: Service, caller: Principal, schedule_id: ScheduleId) -> Schedule:
    with service.database.read(caller.tenant_id) as tx:
        found = schedules.find(tx, schedule_id)
    if found is None:
        raise not_found("schedule")
    return found
