"""`/v1/webhooks`: make, read, list, change, delete, try, give another secret."""

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from api import idempotent, openapi, webhook_openapi
from api.auth import OwnWriter, Reader, Writer
from api.documents import read_document, read_json
from api.errors import Refused, not_found
from api.idempotent import KeyHeader
from api.service import Service, Serving
from api.webhook_documents import checked, fields_of, once_sealed, patched
from api.webhook_schemas import (
    DeliveryDocument,
    MadeWebhook,
    RotatedDocument,
    RotateRequest,
    SigningSecretDocument,
    WebhookDocument,
    WebhookPage,
    delivery_document,
    webhook_document,
)
from storage import audit, deliveries, webhooks
from storage.database import Tx
from storage.model import Json, Principal
from storage.sealing import Keyring
from storage.webhook_model import (
    Endpoint,
    EndpointId,
    EventType,
    NewEndpoint,
    SigningSecret,
    SigningSecrets,
    is_endpoint_id,
    new_endpoint_id,
)
from tasks import signatures

MAX_WEBHOOKS = 50  # of one tenant: every event is written once for each that wants it
BY_OWNER = "disabled by its owner"
PATCH_TYPES = ("application/merge-patch+json", "application/json")

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])


@router.post(
    "",
    summary="Make a webhook",
    status_code=201,
    response_model=MadeWebhook,
    responses=openapi.problems(400, 401, 403, 408, 409, 413, 422, 503) | webhook_openapi.MADE,
    openapi_extra=openapi.body("WebhookRequest", required=True),
)
async def create(request: Request, service: Serving, caller: OwnWriter, idempotency_key: KeyHeader = None) -> Response:
    """From now on events are posted to the URL, signed as Standard Webhooks says. See docs/webhooks.md.

    The secret is in this answer, and in the same answer to the same Idempotency-Key; it is not shown again.
    """
    idempotent.checked(idempotency_key)
    keyring = service.keyring()
    given = await read_json(request, service.settings.max_job_bytes)
    wish = checked(given, service.settings.outbound)
    secret = signatures.new_secret() if wish.secret is None else wish.secret
    signing = SigningSecrets(
        secrets=[SigningSecret(secret=secret, until=None)],
        key=signatures.new_signing_key() if wish.ed25519 else None,
    )

    def act(tx: Tx) -> Json:
        if webhooks.count(tx) >= MAX_WEBHOOKS:  # two at once may go past it: it is no exact quota
            raise Refused(409, "too_many_webhooks", f"you have {MAX_WEBHOOKS} webhooks, the limit; delete one")
        new = NewEndpoint(
            id=(endpoint_id := new_endpoint_id()),
            url=wish.url,
            types=[EventType(one) for one in wish.events],
            description=wish.description,
            ed25519=wish.ed25519,
            sealed=webhooks.seal(keyring, caller.tenant_id, endpoint_id, signing),
            disabled_reason=None if wish.enabled else BY_OWNER,
        )
        document = _document(service, keyring, webhooks.insert(tx, new))
        audit.note(tx, caller, "webhook.create", endpoint_id)
        return MadeWebhook(**document.model_dump(), secret=secret).model_dump(mode="json")

    made = await once_sealed(service, keyring, caller.tenant_id, idempotency_key, ["webhooks", given], act)
    return JSONResponse(made, status_code=201, headers={"Location": f"/v1/webhooks/{made['id']}"})


@router.get("", summary="List webhooks", response_model=WebhookPage, responses=openapi.problems(401, 403, 503))
async def index(service: Serving, caller: Reader) -> Response:
    """All your webhooks, newest first, without their secrets."""
    keyring = service.keyring()
    found = await service.blocking(_all, service, caller)
    page = WebhookPage(data=[_document(service, keyring, one) for one in found])
    return Response(page.model_dump_json(), media_type="application/json")


@router.get(
    "/signing-secret",
    summary="Read what signs your other messages",
    response_model=SigningSecretDocument,
    responses=openapi.problems(401, 403, 503),
)
async def signing_secret(service: Serving, caller: OwnWriter) -> Response:
    """What signs the messages to a job's own `notify`, and those of `millrace listen`.

    The newest first; there are several while the operator changes the platform's key. It needs the scope jobs:write,
    since whoever knows it can sign.
    """
    signing = signatures.tenant_signing(service.keyring(), caller.tenant_id)
    told = SigningSecretDocument(secrets=list(signing.secrets))
    return Response(told.model_dump_json(), media_type="application/json", headers={"Cache-Control": "no-store"})


@router.get(
    "/{webhook_id}",
    summary="Read a webhook",
    response_model=WebhookDocument,
    responses=openapi.problems(401, 403, 404, 422, 503),
)
async def show(webhook_id: str, service: Serving, caller: Reader) -> Response:
    """The webhook as it stands, without its secret."""
    found = await service.blocking(_find, service, caller, checked_id(webhook_id))
    return _answer(service, found)


@router.patch(
    "/{webhook_id}",
    summary="Change a webhook",
    response_model=WebhookDocument,
    responses=openapi.problems(401, 403, 404, 408, 413, 415, 422, 503),
    openapi_extra=openapi.body("WebhookPatch", required=False, types=PATCH_TYPES),
)
async def change(webhook_id: str, request: Request, service: Serving, caller: Writer) -> Response:
    """A JSON merge patch (RFC 7396): null sets a field back to its default.

    What still waits goes to the new URL. `enabled: false` cancels it; `enabled: true` lets a webhook go on that was
    disabled, with what happens from now on: POST …/redeliver sends what it has missed.
    """
    wanted = checked_id(webhook_id)
    kind = request.headers.get("content-type", PATCH_TYPES[0]).partition(";")[0].strip().lower()
    if kind not in PATCH_TYPES:
        detail = f"a change is sent as {' or '.join(PATCH_TYPES)}, not as {kind[:100]!r}"
        raise Refused(415, "content_type_unsupported", detail, headers={"Accept-Patch": ", ".join(PATCH_TYPES)})
    patch = await read_json(request, service.settings.max_job_bytes)
    return _answer(service, await service.blocking(_change, service, caller, wanted, patch))


@router.delete(
    "/{webhook_id}",
    summary="Delete a webhook",
    status_code=204,
    response_class=Response,
    responses=openapi.problems(401, 403, 404, 422, 503),
)
async def delete(webhook_id: str, service: Serving, caller: Writer) -> Response:
    """Nothing is sent to it any more, and what was delivered to it is forgotten."""
    await service.blocking(_delete, service, caller, checked_id(webhook_id))
    return Response(status_code=204)


@router.post(
    "/{webhook_id}/rotate-secret",
    summary="Give a webhook another secret",
    response_model=RotatedDocument,
    responses=openapi.problems(400, 401, 403, 404, 408, 409, 413, 422, 503),
    openapi_extra=openapi.body("RotateRequest", required=False),
)
async def rotate(
    webhook_id: str, request: Request, service: Serving, caller: OwnWriter, idempotency_key: KeyHeader = None
) -> Response:
    """Every message is signed with the new secret and, for a day or as long as you say, with the one before.

    The secret is in this answer, and in the same answer to the same Idempotency-Key; it is not shown again. A key
    pair (`ed25519`) stays.
    """
    wanted = checked_id(webhook_id)
    idempotent.checked(idempotency_key)
    keyring = service.keyring()
    wish = await read_document(request, RotateRequest, service.settings.max_job_bytes)

    def act(tx: Tx) -> Json:
        found_or_refused(tx, wanted)
        secret, now = signatures.new_secret(), datetime.now(UTC)
        old_until = now + timedelta(seconds=wish.expire_old_after_seconds)
        if webhooks.rotate(tx, keyring, wanted, secret, now=now, old_until=old_until) is None:
            raise not_found("webhook")
        audit.note(tx, caller, "webhook.rotate_secret", wanted)
        told = RotatedDocument(secret=secret, old_until=old_until if old_until > now else None)
        return told.model_dump(mode="json")

    payload = ["rotate", wanted, wish.model_dump(mode="json")]
    return JSONResponse(await once_sealed(service, keyring, caller.tenant_id, idempotency_key, payload, act))


@router.post(
    "/{webhook_id}/test",
    summary="Try a webhook",
    status_code=202,
    response_model=DeliveryDocument,
    responses=openapi.problems(400, 401, 403, 404, 409, 422, 503) | webhook_openapi.SENT,
)
async def send_test(webhook_id: str, service: Serving, caller: Writer, idempotency_key: KeyHeader = None) -> Response:
    """Send it a message of type webhook.test, whatever it asked for; its delivery says what it answered."""
    wanted = checked_id(webhook_id)

    def act(tx: Tx) -> Json:
        enabled_or_refused(found_or_refused(tx, wanted))
        sent = deliveries.insert_test(tx, wanted)
        if sent is None:
            raise not_found("webhook")
        audit.note(tx, caller, "webhook.test", wanted)
        return delivery_document(sent).model_dump(mode="json")

    sent = await idempotent.once(service, caller.tenant_id, idempotency_key, ["test", wanted], act)
    headers = {"Location": f"/v1/webhooks/{wanted}/deliveries/{sent['id']}"}
    return JSONResponse(sent, status_code=202, headers=headers)


def checked_id(text: str) -> EndpointId:
    """The text as a webhook's id. Raises Refused (404)."""
    if not is_endpoint_id(text):
        raise not_found("webhook")
    return EndpointId(text)


def found_or_refused(tx: Tx, endpoint_id: EndpointId) -> Endpoint:
    """The caller's webhook; who listens is none. Raises Refused (404)."""
    return _webhook(webhooks.find(tx, endpoint_id))


def enabled_or_refused(endpoint: Endpoint) -> None:
    """Raise Refused (409) if nothing is sent to it."""
    if endpoint.disabled_at is not None:
        detail = f"nothing is sent to this webhook: {endpoint.disabled_reason}; PATCH it with 'enabled': true first"
        raise Refused(409, "webhook_disabled", detail)


def _webhook(found: Endpoint | None) -> Endpoint:
    if found is None or found.url is None:
        raise not_found("webhook")
    return found


def _answer(service: Service, endpoint: Endpoint) -> Response:
    document = _document(service, service.keyring(), endpoint)
    return Response(document.model_dump_json(), media_type="application/json")


def _document(service: Service, keyring: Keyring, endpoint: Endpoint) -> WebhookDocument:
    key = webhooks.opened(keyring, endpoint, now=datetime.now(UTC)).key if endpoint.ed25519 else None
    public_key = None if key is None else signatures.public_key(key)
    return webhook_document(endpoint, public_key, service.settings.public_url)


def _all(service: Service, caller: Principal) -> list[Endpoint]:
    with service.database.read(caller.tenant_id) as tx:
        return webhooks.page(tx, before=None, limit=2 * MAX_WEBHOOKS)


def _find(service: Service, caller: Principal, endpoint_id: EndpointId) -> Endpoint:
    with service.database.read(caller.tenant_id) as tx:
        return found_or_refused(tx, endpoint_id)


def _change(service: Service, caller: Principal, endpoint_id: EndpointId, patch: Json) -> Endpoint:
    with service.database.begin(caller.tenant_id) as tx:
        before = _webhook(webhooks.lock(tx, endpoint_id))
        wish = patched(fields_of(before), patch, service.settings.outbound)
        types = [EventType(one) for one in wish.events]
        changed = webhooks.change(tx, endpoint_id, url=wish.url, description=wish.description, types=types)
        if wish.enabled and before.disabled_at is not None:
            changed = webhooks.enable(tx, endpoint_id)
        elif not wish.enabled and before.disabled_at is None:
            changed = webhooks.disable(tx, endpoint_id, BY_OWNER)
        audit.note(tx, caller, "webhook.change", endpoint_id, {"changed": sorted(patch)})
        return _webhook(changed)


def _delete(service: Service, caller: Principal, endpoint_id: EndpointId) -> None:
    with service.database.begin(caller.tenant_id) as tx:
        found_or_refused(tx, endpoint_id)
        if not webhooks.delete(tx, endpoint_id):
            raise not_found("webhook")
        audit.note(tx, caller, "webhook.delete", endpoint_id)
