"""`/v1/webhooks/listen`: what a webhook would be sent, to a developer whose machine cannot be reached (SSE)."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response

from api import openapi
from api.auth import OwnReader
from api.errors import RETRY_AFTER_SECONDS, Refused
from api.event_stream import STILL_HERE, EventStream
from api.listen_openapi import SEEN_PATTERN, STREAM, MessageDocument, ReadyDocument
from api.service import Service, Serving
from api.streams import Reading, right_of
from api.webhook_schemas import DEFAULT_EVENTS, Wanted
from storage import delivering, jobs, listeners
from storage.database import Tx
from storage.errors import DatabaseUnavailable
from storage.model import Principal
from storage.webhook_model import (
    Claimed,
    DeliveryId,
    Endpoint,
    EndpointId,
    EventType,
    Try,
    is_delivery_id,
    is_endpoint_id,
)
from tasks import delivery, signatures
from tasks.job_document import Document
from tasks.signatures import Signing

PAGE = 20  # messages made at once
FORGOTTEN_AT_ONCE = 100
_MAX_WANTED = 20

log = logging.getLogger(__name__)

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])


@dataclass(frozen=True, kw_only=True, slots=True)
class _Open:
    """An open stream: its caller's listener, what signs, and what it had seen at first."""

    service: Service
    caller: Principal
    signing: Signing
    listener: Endpoint
    seen: str


@router.get(
    "/listen",
    summary="Listen to what webhooks are sent",
    response_class=Response,
    responses=openapi.problems(400, 401, 403, 409, 422, 503) | STREAM,
)
async def listen(
    request: Request,
    service: Serving,
    caller: OwnReader,
    events: Annotated[
        list[Wanted] | None,
        Query(min_length=1, max_length=_MAX_WANTED, description="what to hear of; default: how jobs end"),
    ] = None,
    last_event_id: Annotated[
        str | None,
        Header(description="go on after the event with this id", json_schema_extra={"pattern": SEEN_PATTERN}),
    ] = None,
) -> Response:
    """What happens from now on, as a webhook would be sent it, signed with GET /v1/webhooks/signing-secret.

    With `Last-Event-ID` within a minute nothing is lost, and a message may come twice, with the same webhook-id.
    `ready` names another listener than before if that was too late. `millrace listen` does all this.
    """
    types = [EventType(one) for one in dict.fromkeys(events or DEFAULT_EVENTS)]
    if last_event_id is not None and not is_endpoint_id(last_event_id) and not is_delivery_id(last_event_id):
        raise Refused(400, "last_event_id_invalid", "Last-Event-ID must be the id of an event of this stream")
    keyring = service.keyring()
    listener, seen = await service.blocking(_heard_by, service, caller, types, last_event_id)
    opened = _Open(
        service=service,
        caller=caller,
        signing=signatures.tenant_signing(keyring, caller.tenant_id),
        listener=listener,
        seen=seen,
    )
    reading = service.streams.open(right_of(request, caller, service.settings.public_url))
    return EventStream(reading, partial(_lines, opened))


async def _lines(opened: _Open, reading: Reading) -> AsyncIterator[str]:
    """`ready` and all messages; it ends when another stream has taken over, or we were silent for too long."""
    service = opened.service
    with service.hub.telling(opened.caller.tenant_id, reading):
        yield _event(opened.seen, "ready", ReadyDocument(listener=opened.listener.id))
        while not reading.is_over:
            try:
                messages = await service.blocking(_messages, opened)
            except DatabaseUnavailable as exc:
                log.warning("listen.interrupted listener=%s reason=%s", opened.listener.id, exc)
                yield STILL_HERE
                await asyncio.sleep(RETRY_AFTER_SECONDS)
                continue
            if messages is None:
                return
            for message in messages:
                yield message
            if len(messages) == PAGE:
                continue
            if not await reading.news():
                yield STILL_HERE


def _heard_by(
    service: Service, caller: Principal, types: Sequence[EventType], last_event_id: str | None
) -> tuple[Endpoint, str]:
    """The listener that comes back, or else a new one, and what it has seen. Raises Refused (409)."""
    with service.database.platform() as platform:
        listeners.forget_old(platform, FORGOTTEN_AT_ONCE)
        tx = platform.of(caller.tenant_id)
        listener = None if last_event_id is None else listeners.come_back(tx, _seen(last_event_id), types)
        if listener is None or last_event_id is None:
            listener = _begun(tx, types)
            return listener, listener.id
        return listener, last_event_id


def _begun(tx: Tx, types: Sequence[EventType]) -> Endpoint:
    if listeners.count(tx) >= listeners.MOST:  # two at once may go past it: it is no exact quota
        detail = f"you have {listeners.MOST} listeners, the limit; one that has gone counts for a minute"
        raise Refused(409, "too_many_listeners", detail)
    return listeners.begin(tx, types)


def _messages(opened: _Open) -> list[str] | None:
    """The next events of the stream, at most PAGE, marked as delivered; None if it is over."""
    with opened.service.database.begin(opened.caller.tenant_id) as tx:
        claimed = listeners.take(tx, opened.listener, limit=PAGE)
        return None if claimed is None else [_message(tx, opened, one) for one in claimed]


def _message(tx: Tx, opened: _Open, claimed: Claimed) -> str:
    told, now = claimed.delivery, datetime.now(UTC)
    body = told.body
    if body is None:  # one that is sent again says the same
        job = None if told.job_id is None else jobs.find_to_tell(tx, told.job_id)
        body = delivery.body_of(told, job, opened.service.settings.public_url)
        delivering.keep_body(tx, claimed, body)
    delivering.delivered(tx, claimed, Try(at=now, status=None, error=None, seconds=0.0))
    signed = signatures.headers(opened.signing, told.message_id, now, body.encode())
    headers = {"content-type": "application/json", **signed}
    document = MessageDocument(type=told.type, job=told.job_id, headers=headers, body=body)
    return _event(told.id, "webhook", document)


def _event(seen: str, event: str, document: Document) -> str:
    data = json.dumps(document.model_dump(mode="json"))  # ASCII alone: some readers take U+2028 for the end of a line
    return f"id: {seen}\nevent: {event}\ndata: {data}\n\n"


def _seen(last_event_id: str) -> EndpointId | DeliveryId:
    return EndpointId(last_event_id) if is_endpoint_id(last_event_id) else DeliveryId(last_event_id)
