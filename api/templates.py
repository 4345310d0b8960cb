"""`/v1/templates`: the shipped ones and your own, in versions that never change."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from api import openapi, template_openapi
from api.auth import Reader, Writer
from api.documents import FLAWED, read_json
from api.errors import Refused, not_found
from api.service import Service, Serving
from api.targets import check_targets
from api.template_schemas import TemplateDocument, TemplatePage, template_document, template_summary
from storage import audit, templates
from storage.model import Principal
from tasks.errors import Flaw, InvalidDocument, TemplateUnknown
from tasks.own_templates import resolver, template_of
from tasks.template_document import TemplateSpec, check
from tasks.templates import NAME_PATTERN, REFERENCE_PATTERN, SHIPPED, Template, split

MAX_TEMPLATES = 200  # of one tenant
MOST_USERS = 5  # that a refusal names
VERSION_PATTERN = "^[1-9][0-9]{0,8}$"
NAME_RULE = "must be 1 to 64 of a-z 0-9 _ -, beginning with a letter or digit"

NameInPath = Annotated[str, Path(json_schema_extra={"pattern": NAME_PATTERN})]
ReferenceInPath = Annotated[
    str, Path(description="NAME, for the newest version, or NAME@2", json_schema_extra={"pattern": REFERENCE_PATTERN})
]
Limit = Annotated[int, Query(ge=1, le=100)]

router = APIRouter(prefix="/v1/templates", tags=["templates"])


@router.get("", summary="List templates", response_model=TemplatePage, responses=openapi.problems(401, 403, 422, 503))
async def index(
    service: Serving,
    caller: Reader,
    limit: Limit = 20,
    cursor: Annotated[
        str | None,
        Query(description="`next_cursor` of the page before", json_schema_extra={"pattern": NAME_PATTERN}),
    ] = None,
) -> Response:
    """The shipped templates and your own by name, the newest version of each, without their steps."""
    if cursor is not None and not _is_name(cursor):
        raise _wrong_cursor()
    own = await service.blocking(_page, service, caller, cursor, limit + 1)
    shipped = [versions[-1] for name, versions in SHIPPED.items() if cursor is None or name > cursor]
    found = sorted([*own, *shipped], key=lambda one: one.name)
    return _answer_page(found, limit, lambda one: one.name)


@router.get(
    "/{name}",
    summary="Read a template",
    response_model=TemplateDocument,
    responses=openapi.problems(401, 403, 404, 422, 503),
)
async def show(name: ReferenceInPath, service: Serving, caller: Reader) -> Response:
    """A version of a template: its steps, and what a job may change of them."""
    found = await service.blocking(_find, service, caller, name)
    return Response(template_document(found).model_dump_json(), media_type="application/json")


@router.get(
    "/{name}/versions",
    summary="List a template's versions",
    response_model=TemplatePage,
    responses=openapi.problems(401, 403, 404, 422, 503),
)
async def versions(
    name: NameInPath,
    service: Serving,
    caller: Reader,
    limit: Limit = 20,
    cursor: Annotated[
        str | None,
        Query(description="`next_cursor` of the page before", json_schema_extra={"pattern": VERSION_PATTERN}),
    ] = None,
) -> Response:
    """Its versions, newest first, without their steps."""
    if cursor is not None and not re.fullmatch(VERSION_PATTERN.strip("^$"), cursor):
        raise _wrong_cursor()
    before = None if cursor is None else int(cursor)
    found = await service.blocking(_versions, service, caller, _checked(name), before, limit + 1)
    return _answer_page(found, limit, lambda one: str(one.version))


@router.put(
    "/{name}",
    summary="Make a template, or a new version of it",
    response_model=TemplateDocument,
    responses=openapi.problems(401, 403, 408, 409, 413, 422, 503) | template_openapi.PUT,
    openapi_extra=openapi.body("TemplateRequest", required=True),
)
async def put(name: NameInPath, request: Request, service: Serving, caller: Writer) -> Response:
    """Checked as a job would be, with every edge of what its overrides allow. Older versions stay as they are.

    The same document again makes no new version. See docs/templates.md.
    """
    if not _is_name(name):
        detail = "a parameter of the request has a wrong value; 'errors' names it"
        raise Refused(422, "invalid_parameter", detail, flaws=[Flaw(pointer="/path/name", detail=NAME_RULE)])
    _refuse_shipped(name)
    given = await read_json(request, service.settings.max_job_bytes)
    also = partial(check_targets, settings=service.settings)
    try:
        spec = await to_thread.run_sync(partial(check, name, given, also=also))
    except InvalidDocument as exc:
        raise Refused(422, "invalid_template", FLAWED, flaws=exc.flaws) from exc
    stored, is_new = await service.blocking(_put, service, caller, name, spec)
    return Response(
        template_document(stored).model_dump_json(),
        status_code=201 if is_new else 200,
        headers={"Location": f"/v1/templates/{stored.reference}"} if is_new else {},
        media_type="application/json",
    )


@router.delete(
    "/{name}",
    summary="Delete a template",
    status_code=204,
    response_class=Response,
    responses=openapi.problems(401, 403, 404, 409, 422, 503),
)
async def delete(name: NameInPath, service: Serving, caller: Writer) -> Response:
    """All its versions; jobs that came of it stay. Refused while a schedule's job comes of it.

    If there is one of this name again, its versions are counted on.
    """
    _refuse_shipped(_checked(name))
    await service.blocking(_delete, service, caller, name)
    return Response(status_code=204)


def _is_name(text: str) -> bool:
    return "@" not in text and split(text) is not None


def _checked(name: str) -> str:
    if not _is_name(name):
        raise not_found("template")
    return name


def _refuse_shipped(name: str) -> None:
    if name in SHIPPED:
        detail = f"{name!r} comes with the platform and is not changed: choose another name for your own"
        raise Refused(409, "template_shipped", detail)


def _wrong_cursor() -> Refused:
    return Refused(422, "cursor_invalid", "'cursor' must be the next_cursor of an earlier page")


def _answer_page(found: Sequence[Template], limit: int, cursor: Callable[[Template], str]) -> Response:
    shown = found[:limit]
    page = TemplatePage(
        data=[template_summary(one) for one in shown], next_cursor=cursor(shown[-1]) if len(found) > limit else None
    )
    return Response(page.model_dump_json(), media_type="application/json")


def _page(service: Service, caller: Principal, after: str | None, limit: int) -> list[Template]:
    with service.database.read(caller.tenant_id) as tx:
        return [template_of(one) for one in templates.page(tx, after=after, limit=limit)]


def _find(service: Service, caller: Principal, reference: str) -> Template:
    with service.database.read(caller.tenant_id) as tx:
        try:
            return resolver(tx)(reference)
        except TemplateUnknown as exc:
            raise not_found("template" if exc.version is None else "version of the template") from exc


def _versions(service: Service, caller: Principal, name: str, before: int | None, limit: int) -> list[Template]:
    if name in SHIPPED:
        return [one for one in reversed(SHIPPED[name]) if before is None or one.version < before][:limit]
    with service.database.read(caller.tenant_id) as tx:
        found = [template_of(one) for one in templates.versions(tx, name, before=before, limit=limit)]
    if not found and before is None:
        raise not_found("template")
    return found


def _put(service: Service, caller: Principal, name: str, spec: TemplateSpec) -> tuple[Template, bool]:
    with service.database.begin(caller.tenant_id) as tx:
        if templates.find(tx, name) is None and len(templates.names(tx)) >= MAX_TEMPLATES:
            # Two at once may go past it: it is no exact quota.
            raise Refused(409, "too_many_templates", f"you have {MAX_TEMPLATES} templates, the limit; delete one")
        made = spec.template
        stored, is_new = templates.put(
            tx, name, description=made.description, steps=made.steps, overrides=spec.overrides
        )
        if is_new:
            audit.note(tx, caller, "template.put", name, {"version": stored.version})
    return template_of(stored), is_new


def _delete(service: Service, caller: Principal, name: str) -> None:
    with service.database.begin(caller.tenant_id) as tx:
        if not templates.delete(tx, name):
            raise not_found("template")
        audit.note(tx, caller, "template.delete", name)
        users = templates.users(tx, name, limit=MOST_USERS + 1)
        if users:  # what was deleted is not, since the transaction ends with this
            named = ", ".join(map(repr, users[:MOST_USERS])) + (" and others" if len(users) > MOST_USERS else "")
            detail = f"the jobs of your schedules {named} come of it: change or delete these first"
            raise Refused(409, "template_in_use", detail)
