"""`/v1/audit`: who did what."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import Field

from api import openapi
from api.auth import Reader, may_watch
from api.errors import Refused
from api.service import Service, Serving
from api.session_documents import KeyDocument
from storage import audit
from storage.audit import Entry
from storage.model import Principal
from tasks.job_document import Document

ACTION_PATTERN = "^[a-z_]+([.][a-z_]+)?$"
ENTRY_ID_PATTERN = "^aud_[0-7][0-9a-hjkmnp-tv-z]{25}$"

router = APIRouter(prefix="/v1/audit", tags=["audit"])


class EntryDocument(Document):
    """One action that changed something."""

    id: str
    at: datetime
    action: Annotated[str, Field(description="such as job.cancel: see docs/audit.md")]
    target: Annotated[str | None, Field(description="an id or a name")]
    via: Annotated[str, Field(description="key or session")]
    key: Annotated[KeyDocument | None, Field(description="null: an operator's, which only operators are told")]
    by: Annotated[str | None, Field(description="the operator's tenant, if an operator acted for you")]
    address: str | None
    request_id: str | None
    detail: dict[str, Any]


class AuditPage(Document):
    """Actions, newest first; `next_cursor` is null on the last page."""

    data: list[EntryDocument]
    next_cursor: str | None


@router.get("", summary="List actions", response_model=AuditPage, responses=openapi.problems(401, 403, 422, 503))
async def index(
    service: Serving,
    caller: Reader,
    action: Annotated[
        str | None,
        Query(
            description="only these: `job.cancel`, or all of a noun, `job`",
            max_length=100,
            json_schema_extra={"pattern": ACTION_PATTERN},
        ),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[
        str | None,
        Query(description="`next_cursor` of the page before", json_schema_extra={"pattern": ENTRY_ID_PATTERN}),
    ] = None,
) -> Response:
    """What was done in your name, by your keys and by operators, newest first. What reads only is not written down."""
    if cursor is not None and not audit.is_entry_id(cursor):
        raise Refused(422, "cursor_invalid", "'cursor' must be the next_cursor of an earlier page")
    named = None if action is None else action.replace("\0", "\ufffd")  # which no row has
    found = await service.blocking(_page, service, caller, named, cursor, limit + 1)
    shown = found[:limit]
    page = AuditPage(
        data=[_document(entry, whole=entry.by is None or may_watch(caller)) for entry in shown],
        next_cursor=shown[-1].id if len(found) > limit else None,
    )
    return Response(page.model_dump_json(), media_type="application/json")


def _page(service: Service, caller: Principal, action: str | None, before: str | None, limit: int) -> Sequence[Entry]:
    with service.database.read(caller.tenant_id) as tx:
        return audit.page(tx, action=action, before=before, limit=limit)


def _document(entry: Entry, *, whole: bool) -> EntryDocument:
    return EntryDocument(
        id=entry.id,
        at=entry.at,
        action=entry.action,
        target=entry.target,
        via=entry.via,
        key=KeyDocument(id=entry.key_id, hint=entry.hint or "") if whole else None,
        by=entry.by,
        address=entry.address if whole else None,
        request_id=entry.request_id,
        detail=entry.detail,
    )
