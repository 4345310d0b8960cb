"""`/v1/webhooks/{id}/deliveries`, `/redeliver` and `/v1/jobs/{id}/deliveries`: messages, told and sent again."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from api import idempotent, jobs, openapi, webhook_openapi
from api.auth import Reader, Writer
from api.documents import read_document
from api.errors import Refused, not_found
from api.idempotent import KeyHeader
from api.service import Service, Serving
from api.webhook_schemas import (
    AGAIN,
    DeliveryDocument,
    DeliveryPage,
    RedeliveredDocument,
    RedeliverRequest,
    WholeDelivery,
    delivery_document,
    whole_delivery,
)
from api.webhooks import checked_id, enabled_or_refused, found_or_refused
from storage import audit, deliveries
from storage import jobs as job_rows
from storage.database import Tx
from storage.model import JobId, Json, Principal
from storage.webhook_model import Delivery, DeliveryId, DeliveryState, EndpointId, is_delivery_id

MOST_AT_ONCE = 1000  # deliveries that one request sends again

router = APIRouter(tags=["webhooks"])

State = Annotated[DeliveryState | None, Query(description="only deliveries in this state")]
Limit = Annotated[int, Query(ge=1, le=100)]
Cursor = Annotated[
    str | None,
    Query(
        description="`next_cursor` of the page before",
        json_schema_extra={"pattern": webhook_openapi.DELIVERY_ID_PATTERN},
    ),
]


@router.get(
    "/v1/webhooks/{webhook_id}/deliveries",
    summary="List what is delivered to a webhook",
    response_model=DeliveryPage,
    responses=openapi.problems(401, 403, 404, 422, 503),
)
async def index(
    webhook_id: str,
    service: Serving,
    caller: Reader,
    state: State = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Response:
    """What is on its way to it and what became of the rest, newest first, without what is sent."""
    found = await service.blocking(_page, service, caller, checked_id(webhook_id), state, _before(cursor), limit + 1)
    return _paged(found, limit)


@router.get(
    "/v1/jobs/{job_id}/deliveries",
    summary="List what is delivered of a job",
    response_model=DeliveryPage,
    responses=openapi.problems(401, 403, 404, 422, 503),
)
async def of_job(
    job_id: str,
    service: Serving,
    caller: Reader,
    state: State = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Response:
    """What is told of the job, to its own `notify` and to webhooks, newest first; of one that is deleted, too."""
    wanted = jobs.checked_id(job_id)
    found = await service.blocking(_page_of_job, service, caller, wanted, state, _before(cursor), limit + 1)
    return _paged(found, limit)


@router.get(
    "/v1/jobs/{job_id}/deliveries/{delivery_id}",
    summary="Read a delivery of a job",
    response_model=WholeDelivery,
    responses=openapi.problems(401, 403, 404, 422, 503),
)
async def show_of_job(job_id: str, delivery_id: str, service: Serving, caller: Reader) -> Response:
    """The same as at its webhook, and the way to those to the job's own `notify`; of a job that is deleted, too."""
    wanted, told_of = _checked(delivery_id), jobs.checked_id(job_id)
    found = await service.blocking(_find_of_job, service, caller, told_of, wanted)
    return Response(whole_delivery(found).model_dump_json(), media_type="application/json")


@router.post(
    "/v1/jobs/{job_id}/deliveries/{delivery_id}/redeliver",
    summary="Send a message of a job again",
    status_code=202,
    response_model=DeliveryDocument,
    responses=openapi.problems(400, 401, 403, 404, 409, 422, 503) | webhook_openapi.SENT,
)
async def redeliver_of_job(
    job_id: str, delivery_id: str, service: Serving, caller: Writer, idempotency_key: KeyHeader = None
) -> Response:
    """Send it at once, to the job's own `notify` or to the webhook that it was for: see there."""
    wanted, told_of = _checked(delivery_id), jobs.checked_id(job_id)
    service.keyring()  # without one nothing is sent

    def act(tx: Tx) -> Json:
        return _sent_again(tx, caller, _of_job_or_refused(tx, told_of, wanted))

    sent = await idempotent.once(service, caller.tenant_id, idempotency_key, ["redeliver", told_of, wanted], act)
    headers = {"Location": f"/v1/jobs/{told_of}/deliveries/{wanted}"}
    return JSONResponse(sent, status_code=202, headers=headers)


@router.get(
    "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}",
    summary="Read a delivery",
    response_model=WholeDelivery,
    responses=openapi.problems(401, 403, 404, 422, 503),
)
async def show(webhook_id: str, delivery_id: str, service: Serving, caller: Reader) -> Response:
    """The delivery with its `payload`, which is written at the first try and the same at each."""
    wanted, endpoint_id = _checked(delivery_id), checked_id(webhook_id)
    found = await service.blocking(_find, service, caller, endpoint_id, wanted)
    return Response(whole_delivery(found).model_dump_json(), media_type="application/json")


@router.post(
    "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver",
    summary="Send a message again",
    status_code=202,
    response_model=DeliveryDocument,
    responses=openapi.problems(400, 401, 403, 404, 409, 422, 503) | webhook_openapi.SENT,
)
async def redeliver(
    webhook_id: str, delivery_id: str, service: Serving, caller: Writer, idempotency_key: KeyHeader = None
) -> Response:
    """Send it at once, whatever became of it, with the same webhook-id and the same body, and all its tries again."""
    wanted, endpoint_id = _checked(delivery_id), checked_id(webhook_id)

    def act(tx: Tx) -> Json:
        return _sent_again(tx, caller, _found_or_refused(tx, endpoint_id, wanted))

    sent = await idempotent.once(service, caller.tenant_id, idempotency_key, ["redeliver", endpoint_id, wanted], act)
    headers = {"Location": f"/v1/webhooks/{endpoint_id}/deliveries/{wanted}"}
    return JSONResponse(sent, status_code=202, headers=headers)


@router.post(
    "/v1/webhooks/{webhook_id}/redeliver",
    summary="Send many messages again",
    status_code=202,
    response_model=RedeliveredDocument,
    responses=openapi.problems(400, 401, 403, 404, 408, 409, 413, 422, 503),
    openapi_extra=openapi.body("RedeliverRequest", required=True),
)
async def redeliver_since(
    webhook_id: str, request: Request, service: Serving, caller: Writer, idempotency_key: KeyHeader = None
) -> Response:
    """Send what happened since a time again, oldest first: by default what failed or was canceled.

    At most 1000 at once; if `more` are left, ask again. What was delivered and is sent again counts as not sent, so
    with `delivered` or `any` ask for the rest by a later `since`.
    """
    wanted = checked_id(webhook_id)
    idempotent.checked(idempotency_key)
    wish = await read_document(request, RedeliverRequest, service.settings.max_job_bytes)

    def act(tx: Tx) -> Json:
        enabled_or_refused(found_or_refused(tx, wanted))
        done = deliveries.redeliver_since(tx, wanted, wish.since, states=AGAIN[wish.state], limit=MOST_AT_ONCE)
        told = {"since": wish.since.isoformat(), "state": wish.state, "redelivering": done.count}
        audit.note(tx, caller, "webhook.redeliver", wanted, told)
        return RedeliveredDocument(redelivering=done.count, more=done.more).model_dump(mode="json")

    payload = ["redeliver", wanted, wish.model_dump(mode="json")]
    done = await idempotent.once(service, caller.tenant_id, idempotency_key, payload, act)
    return JSONResponse(done, status_code=202)


def _checked(text: str) -> DeliveryId:
    if not is_delivery_id(text):
        raise not_found("delivery")
    return DeliveryId(text)


def _before(cursor: str | None) -> DeliveryId | None:
    if cursor is not None and not is_delivery_id(cursor):
        raise Refused(422, "cursor_invalid", "'cursor' must be the next_cursor of an earlier page")
    return None if cursor is None else DeliveryId(cursor)


def _paged(found: Sequence[Delivery], limit: int) -> Response:
    """The first `limit` of what was found, and where the next page begins if there is more."""
    shown = found[:limit]
    page = DeliveryPage(
        data=[delivery_document(one) for one in shown],
        next_cursor=shown[-1].id if len(found) > limit else None,
    )
    return Response(page.model_dump_json(), media_type="application/json")


def _page(
    service: Service,
    caller: Principal,
    endpoint_id: EndpointId,
    state: DeliveryState | None,
    before: DeliveryId | None,
    limit: int,
) -> list[Delivery]:
    with service.database.snapshot(caller.tenant_id) as tx:
        found_or_refused(tx, endpoint_id)
        return deliveries.page(tx, endpoint_id, state=state, before=before, limit=limit)


def _page_of_job(
    service: Service,
    caller: Principal,
    job_id: JobId,
    state: DeliveryState | None,
    before: DeliveryId | None,
    limit: int,
) -> list[Delivery]:
    with service.database.snapshot(caller.tenant_id) as tx:
        found = deliveries.page_of_job(tx, job_id, state=state, before=before, limit=limit)
        # A job that is deleted leaves its deliveries.
        if not found and job_rows.find(tx, job_id) is None and not _any_of_job(tx, job_id):
            raise not_found("job")
        return found


def _any_of_job(tx: Tx, job_id: JobId) -> bool:
    return bool(deliveries.page_of_job(tx, job_id, state=None, before=None, limit=1))


def _find(service: Service, caller: Principal, endpoint_id: EndpointId, delivery_id: DeliveryId) -> Delivery:
    with service.database.read(caller.tenant_id) as tx:
        found_or_refused(tx, endpoint_id)
        return _found_or_refused(tx, endpoint_id, delivery_id)


def _find_of_job(service: Service, caller: Principal, job_id: JobId, delivery_id: DeliveryId) -> Delivery:
    with service.database.read(caller.tenant_id) as tx:
        return _of_job_or_refused(tx, job_id, delivery_id)


def _sent_again(tx: Tx, caller: Principal, delivery: Delivery) -> Json:
    """Have it sent again; its document. Raises Refused (409) if its webhook is disabled."""
    if delivery.endpoint_id is not None:
        enabled_or_refused(found_or_refused(tx, delivery.endpoint_id))
    sent = deliveries.redeliver(tx, delivery.id)
    if sent is None:
        raise not_found("delivery")
    audit.note(tx, caller, "delivery.redeliver", delivery.id)
    return delivery_document(sent).model_dump(mode="json")


def _of_job_or_refused(tx: Tx, job_id: JobId, delivery_id: DeliveryId) -> Delivery:
    """The delivery that tells of the job. Raises Refused (404)."""
    found = deliveries.find(tx, delivery_id)
    if found is None or found.job_id != job_id:
        raise not_found("delivery")
    return found


def _found_or_refused(tx: Tx, endpoint_id: EndpointId, delivery_id: DeliveryId) -> Delivery:
    """The webhook's delivery. Raises Refused (404)."""
    found = deliveries.find(tx, delivery_id)
    if found is None or found.endpoint_id != endpoint_id:
        raise not_found("delivery")
    return found
