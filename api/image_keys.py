"""`/v1/image-keys`: what signs the addresses of pictures that are made on the fly; several hold at once, to rotate."""

import secrets
from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from api import idempotent, image_openapi, openapi
from api.auth import OwnReader, OwnWriter
from api.documents import FLAWED, read_document
from api.errors import Refused, not_found
from api.idempotent import KeyHeader
from api.image_schemas import (
    LONGEST_RETIREMENT,
    ImageKeyDocument,
    ImageKeyList,
    MadeImageKey,
    RetireRequest,
    image_key_document,
)
from api.service import Service, Serving
from api.webhook_documents import once_sealed
from storage import audit, image_keys
from storage.database import Tx
from storage.image_model import ImageKey, ImageKeyId, is_image_key_id, new_image_key_id
from storage.model import Json, Principal
from tasks.errors import Flaw

MAX_KEYS = 20  # of one tenant, those that are retired among them
KEY_BYTES = 32
MAX_BODY = 1024

router = APIRouter(prefix="/v1/image-keys", tags=["image-keys"])


@router.post(
    "",
    summary="Make an image key",
    status_code=201,
    response_model=MadeImageKey,
    responses=openapi.problems(400, 401, 403, 409, 422, 503) | image_openapi.KEY_MADE,
)
async def create(service: Serving, caller: OwnWriter, idempotency_key: KeyHeader = None) -> Response:
    """A new key beside those you have, all of which hold. See docs/on-the-fly.md for how it signs.

    The key is in this answer, and in the same answer to the same Idempotency-Key; it is not shown again.
    """
    idempotent.checked(idempotency_key)
    keyring = service.keyring()

    def act(tx: Tx) -> Json:
        if image_keys.count(tx) >= MAX_KEYS:  # two at once may go past it: it is no exact quota
            raise Refused(409, "too_many_image_keys", f"you have {MAX_KEYS} image keys, the limit; delete one")
        key_id, key = new_image_key_id(), secrets.token_urlsafe(KEY_BYTES)
        made = image_keys.create(tx, key_id, image_keys.seal(keyring, tx.tenant_id, key_id, key.encode()))
        audit.note(tx, caller, "image_key.create", key_id)
        return MadeImageKey(**image_key_document(made).model_dump(), key=key).model_dump(mode="json")

    made = await once_sealed(service, keyring, caller.tenant_id, idempotency_key, ["image-keys"], act)
    return JSONResponse(made, status_code=201, headers={"Cache-Control": "no-store"})


@router.get("", summary="List image keys", response_model=ImageKeyList, responses=openapi.problems(401, 403, 503))
async def index(service: Serving, caller: OwnReader) -> Response:
    """All your keys, newest first, without what they sign with."""
    found = await service.blocking(_all, service, caller)
    told = ImageKeyList(data=[image_key_document(one) for one in found])
    return Response(told.model_dump_json(), media_type="application/json")


@router.post(
    "/{key_id}/retire",
    summary="Retire an image key",
    response_model=ImageKeyDocument,
    responses=openapi.problems(401, 403, 404, 408, 413, 422, 503),
    openapi_extra=openapi.body("RetireRequest", required=False),
)
async def retire(key_id: str, request: Request, service: Serving, caller: OwnWriter) -> Response:
    """From now on, or from `at` on, what it signed opens nothing; until then that can be changed."""
    wanted = _checked(key_id)
    wish = await read_document(request, RetireRequest, MAX_BODY)
    now = datetime.now(UTC)
    at = now if wish.at is None else max(wish.at, now)
    if at - now > LONGEST_RETIREMENT:
        detail = f"must be at most {LONGEST_RETIREMENT // timedelta(days=365)} years ahead"
        raise Refused(422, "invalid_request", FLAWED, flaws=[Flaw(pointer="/at", detail=detail)])
    retired = await service.blocking(_retire, service, caller, wanted, at, now)
    return Response(image_key_document(retired).model_dump_json(), media_type="application/json")


@router.delete(
    "/{key_id}",
    summary="Delete an image key",
    status_code=204,
    response_class=Response,
    responses=openapi.problems(401, 403, 404, 422, 503),
)
async def delete(key_id: str, service: Serving, caller: OwnWriter) -> Response:
    """It is forgotten at once; what it signed opens nothing any more."""
    await service.blocking(_delete, service, caller, _checked(key_id))
    return Response(status_code=204)


def _checked(text: str) -> ImageKeyId:
    if not is_image_key_id(text):
        raise not_found("image key")
    return ImageKeyId(text)


def _all(service: Service, caller: Principal) -> list[ImageKey]:
    with service.database.read(caller.tenant_id) as tx:
        return list(image_keys.of_tenant(tx))


def _retire(service: Service, caller: Principal, key_id: ImageKeyId, at: datetime, now: datetime) -> ImageKey:
    """A key that is retired stays so: what it signed may be known to others."""
    with service.database.begin(caller.tenant_id) as tx:
        found = next((one for one in image_keys.of_tenant(tx) if one.id == key_id), None)
        if found is None:
            raise not_found("image key")
        if found.retired_at is not None and found.retired_at <= now:
            return found
        retired = image_keys.retire(tx, key_id, at)
        audit.note(tx, caller, "image_key.retire", key_id, {"at": at.isoformat()})
    if retired is None:  # deleted in this moment
        raise not_found("image key")
    return retired


def _delete(service: Service, caller: Principal, key_id: ImageKeyId) -> None:
    with service.database.begin(caller.tenant_id) as tx:
        if not image_keys.delete(tx, key_id):
            raise not_found("image key")
        audit.note(tx, caller, "image_key.delete", key_id)
