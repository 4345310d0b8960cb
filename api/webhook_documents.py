"""What callers may ask of a webhook, checked, and answers that hold a secret, kept sealed."""

import base64
import binascii
import json
from collections.abc import Callable
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import to_json

from api import idempotent
from api.documents import FLAWED
from api.errors import Refused
from api.service import Service
from api.webhook_schemas import WebhookFields, WebhookRequest
from storage.database import Tx
from storage.model import Json, TenantId
from storage.sealing import Keyring, Sealed
from storage.webhook_model import Endpoint
from tasks.addresses import Rules, check_url
from tasks.errors import Flaw
from tasks.flaws import flaws_of
from tasks.values import MAX_FLAWS, merged

SECRET_BYTES = range(24, 65)
WHSEC = "whsec_"

# What a webhook's document shows and no change sets, and what to do instead.
READ_ONLY = {
    "id": "is given by the platform; leave it out",
    "secret": "is not changed like this: POST …/rotate-secret makes another",
    **dict.fromkeys(("ed25519", "public_key"), "is settled when a webhook is made; make another one"),
    **dict.fromkeys(("disabled_at", "disabled_reason"), "is not set: 'enabled' changes it"),
    **dict.fromkeys(
        ("failing_since", "delivered_at", "created_at", "updated_at", "links"), "is kept here; leave it out"
    ),
}

Fields = TypeVar("Fields", bound=WebhookFields)


def checked(given: Json, rules: Rules) -> WebhookRequest:
    """What is asked for as a webhook. Raises Refused (422)."""
    if not isinstance(given, dict):
        raise _invalid([Flaw(pointer="", detail="a webhook is a JSON object with a url")])
    return _read(given, WebhookRequest, rules)


def patched(before: Json, patch: Json, rules: Rules) -> WebhookFields:
    """The fields as a JSON merge patch leaves them, checked. Raises Refused (422)."""
    if not isinstance(patch, dict):
        raise _invalid([Flaw(pointer="", detail="a change is a JSON object with the fields that change")])
    flaws = [Flaw(pointer=f"/{field}", detail=READ_ONLY[field]) for field in READ_ONLY if field in patch]
    if flaws:
        raise _invalid(flaws)
    # To reset what no webhook has is a slip, and told as one; a merge patch alone would not notice it.
    slips = {name: None for name in patch if name not in WebhookFields.model_fields}
    # An address that was allowed once, and is not any more, is refused when something is sent, not at other changes.
    return _read(merged(before, patch) | slips, WebhookFields, rules if "url" in patch else None)


def fields_of(endpoint: Endpoint) -> Json:
    """What of a webhook can be changed, as it stands."""
    return {
        "url": endpoint.url,
        "events": list(endpoint.types),
        "description": endpoint.description,
        "enabled": endpoint.disabled_at is None,
    }


async def once_sealed(
    service: Service, keyring: Keyring, tenant_id: TenantId, key: str | None, payload: Json, act: Callable[[Tx], Json]
) -> Json:
    """As `idempotent.once`, for an answer that holds a secret: it is kept sealed. Raises SecretUnreadable, too."""
    place = f"{tenant_id}/answer/{key}"

    def sealing(tx: Tx) -> Json:
        sealed = keyring.seal(json.dumps(act(tx)).encode(), place=place)
        return {"key_id": sealed.key_id, "sealed": base64.b64encode(sealed.data).decode()}

    kept = await idempotent.once(service, tenant_id, key, payload, sealing)
    return json.loads(keyring.open(Sealed(key_id=kept["key_id"], data=base64.b64decode(kept["sealed"])), place=place))


def _read(given: Json, model: type[Fields], rules: Rules | None) -> Fields:
    flaws: list[Flaw] = []
    try:
        wish = model.model_validate_json(to_json(given), strict=True)
    except ValidationError as exc:
        flaws += flaws_of(exc, model, "")
        flaws += [] if any(flaw.pointer == "/url" for flaw in flaws) else _url_flaws(given["url"], rules)
        raise _invalid(flaws) from exc
    flaws += _url_flaws(wish.url, rules)
    if isinstance(wish, WebhookRequest) and wish.secret is not None and not _is_secret(wish.secret):
        flaws.append(Flaw(pointer="/secret", detail="must be whsec_ and base64 of 24 to 64 random bytes"))
    if flaws:
        raise _invalid(flaws)
    return wish


def _url_flaws(url: str, rules: Rules | None) -> list[Flaw]:
    why = None if rules is None else check_url(url, rules)
    return [] if why is None else [Flaw(pointer="/url", detail=why)]


def _is_secret(text: str) -> bool:
    if not text.startswith(WHSEC) or not text.isascii():
        return False
    try:
        return len(base64.b64decode(text.removeprefix(WHSEC), validate=True)) in SECRET_BYTES
    except binascii.Error:
        return False


def _invalid(flaws: list[Flaw]) -> Refused:
    return Refused(422, "invalid_request", FLAWED, flaws=flaws[:MAX_FLAWS])
