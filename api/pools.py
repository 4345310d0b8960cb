"""`/v1/pools`: what the scaler decided, and why."""

import re
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from api import openapi
from api.auth import Watcher
from api.errors import Refused, not_found
from api.numbers import DecisionPage, PoolDocument, PoolPage, decision_document, pool_document
from api.service import Service, Serving
from storage import scaling
from storage.database import PlatformTx
from storage.scaling import ScaleDecision

router = APIRouter(prefix="/v1/pools", tags=["pools"])


@router.get("", summary="List pools", response_model=PoolPage, responses=openapi.problems(401, 403, 503))
async def index(service: Serving, caller: Watcher) -> Response:
    """All pools of workers that a scaler has decided about, each with its last decision; none if none ever ran."""
    found = await service.blocking(_pools, service)
    return Response(PoolPage(data=found).model_dump_json(), media_type="application/json")


@router.get(
    "/{name}",
    summary="Read a pool",
    response_model=PoolDocument,
    responses=openapi.problems(401, 403, 404, 422, 503),
)
async def show(name: str, service: Serving, caller: Watcher) -> Response:
    """The scaler's last decision about the pool, with all that it stood on."""
    found = await service.blocking(_pools, service)
    pool = next((pool for pool in found if pool.name == name), None)
    if pool is None:
        raise _no_such_pool([pool.name for pool in found])
    return Response(pool.model_dump_json(), media_type="application/json")


@router.get(
    "/{name}/decisions",
    summary="List a pool's decisions",
    response_model=DecisionPage,
    responses=openapi.problems(401, 403, 404, 422, 503),
)
async def decisions(
    name: str,
    service: Serving,
    caller: Watcher,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[
        str | None,
        Query(description="`next_cursor` of the page before", json_schema_extra={"pattern": openapi.DECISION_PATTERN}),
    ] = None,
) -> Response:
    """The decisions that changed something, newest first; they are kept for 30 days."""
    if cursor is not None and not re.fullmatch(openapi.DECISION_PATTERN, cursor):
        raise Refused(422, "cursor_invalid", "'cursor' must be the next_cursor of an earlier page")
    found = await service.blocking(_decisions, service, name, None if cursor is None else int(cursor), limit + 1)
    shown = [decision_document(decision) for decision in found[:limit]]
    page = DecisionPage(data=shown, next_cursor=shown[-1].id if len(found) > limit else None)
    return Response(page.model_dump_json(), media_type="application/json")


def _pools(service: Service) -> list[PoolDocument]:
    with service.database.platform_snapshot() as tx:
        ages = scaling.ages(tx)
        return [pool_document(pool, ages[pool.name]) for pool in scaling.standing(tx)]


def _decisions(service: Service, name: str, before: int | None, limit: int) -> Sequence[ScaleDecision]:
    with service.database.platform_snapshot() as tx:
        _check_there(tx, name)
        return scaling.decisions(tx, name, before=before, limit=limit)


def _check_there(tx: PlatformTx, name: str) -> None:
    """Raise Refused (404) unless there is such a pool."""
    names = [pool.name for pool in scaling.standing(tx)]
    if name not in names:
        raise _no_such_pool(names)


def _no_such_pool(names: Sequence[str]) -> Refused:
    return not_found(f"pool; there are: {', '.join(names)}" if names else "pool; no scaler has decided about any yet")
