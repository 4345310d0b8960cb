"""`/v1/secrets`: keep, replace, list and forget what steps send to third parties. No answer shows a value."""

import hashlib
import hmac
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse, Response

from api import idempotent, openapi, secret_openapi
from api.auth import OwnReader, OwnWriter
from api.documents import read_document
from api.errors import Refused, not_found
from api.idempotent import KeyHeader
from api.secret_schemas import (
    MAX_VALUE,
    NAME_PATTERN,
    NAME_RULE,
    SecretDocument,
    SecretPage,
    SecretRequest,
    SecretValue,
    is_name,
    secret_document,
)
from api.service import Service, Serving
from storage import audit, secrets
from storage.database import Tx
from storage.errors import SecretNameTaken
from storage.model import Json, Principal
from storage.sealing import Keyring
from storage.secrets import Secret
from tasks.errors import Flaw

MAX_SECRETS = 200  # of one tenant
MAX_BODY = 6 * MAX_VALUE + 1024  # bytes: a name and a value, each of whose characters may be escaped
PURPOSE = "idempotency of secrets"

NameInPath = Annotated[str, Path(json_schema_extra={"pattern": NAME_PATTERN})]

router = APIRouter(prefix="/v1/secrets", tags=["secrets"])


@router.post(
    "",
    summary="Make a secret",
    status_code=201,
    response_model=SecretDocument,
    responses=openapi.problems(400, 401, 403, 408, 409, 413, 422, 503) | secret_openapi.MADE,
    openapi_extra=openapi.body("SecretRequest", required=True),
)
async def create(request: Request, service: Serving, caller: OwnWriter, idempotency_key: KeyHeader = None) -> Response:
    """Steps may send it from now on, as {{secrets.name}} in their headers and queries. See docs/secrets.md."""
    idempotent.checked(idempotency_key)
    keyring = service.keyring()
    wish = await read_document(request, SecretRequest, MAX_BODY)
    value = wish.value.get_secret_value()

    def act(tx: Tx) -> Json:
        if secrets.find(tx, wish.name) is None:
            _check_room(tx)
        made = secrets.insert(tx, keyring, wish.name, value)
        if made is None:
            raise SecretNameTaken(wish.name)
        audit.note(tx, caller, "secret.create", wish.name)
        return secret_document(made).model_dump(mode="json")

    payload = ["secrets", wish.name, _fingerprint(keyring, value)]
    made = await idempotent.once(service, caller.tenant_id, idempotency_key, payload, act)
    return JSONResponse(made, status_code=201, headers={"Location": _path(made["name"])})


@router.get("", summary="List secrets", response_model=SecretPage, responses=openapi.problems(401, 403, 422, 503))
async def index(
    service: Serving,
    caller: OwnReader,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[
        str | None,
        Query(description="`next_cursor` of the page before", json_schema_extra={"pattern": NAME_PATTERN}),
    ] = None,
) -> Response:
    """Your secrets by name, without their values."""
    if cursor is not None and not is_name(cursor):
        raise Refused(422, "cursor_invalid", "'cursor' must be the next_cursor of an earlier page")
    found = await service.blocking(_page, service, caller, cursor, limit + 1)
    shown = found[:limit]
    page = SecretPage(
        data=[secret_document(one) for one in shown], next_cursor=shown[-1].name if len(found) > limit else None
    )
    return Response(page.model_dump_json(), media_type="application/json")


@router.get(
    "/{name}",
    summary="Read when a secret was changed",
    response_model=SecretDocument,
    responses=openapi.problems(401, 403, 404, 422, 503),
)
async def show(name: NameInPath, service: Serving, caller: OwnReader) -> Response:
    """The secret without its value, which is shown to nobody."""
    found = await service.blocking(_find, service, caller, _checked(name))
    return Response(secret_document(found).model_dump_json(), media_type="application/json")


@router.put(
    "/{name}",
    summary="Make or replace a secret",
    response_model=SecretDocument,
    responses=openapi.problems(401, 403, 408, 409, 413, 422, 503) | secret_openapi.PUT,
    openapi_extra=openapi.body("SecretValue", required=True),
)
async def put(name: NameInPath, request: Request, service: Serving, caller: OwnWriter) -> Response:
    """Steps that begin from now on send this value, those of jobs under way too; sent again, it is a new version."""
    if not is_name(name):
        detail = "a parameter of the request has a wrong value; 'errors' names it"
        raise Refused(422, "invalid_parameter", detail, flaws=[Flaw(pointer="/path/name", detail=NAME_RULE)])
    keyring = service.keyring()
    wish = await read_document(request, SecretValue, MAX_BODY)
    stored = await service.blocking(_put, service, caller, keyring, name, wish.value.get_secret_value())
    is_new = stored.version == 1
    return Response(
        secret_document(stored).model_dump_json(),
        status_code=201 if is_new else 200,
        headers={"Location": _path(name)} if is_new else {},
        media_type="application/json",
    )


@router.delete(
    "/{name}",
    summary="Delete a secret",
    status_code=204,
    response_class=Response,
    responses=openapi.problems(401, 403, 404, 422, 503),
)
async def delete(name: NameInPath, service: Serving, caller: OwnWriter) -> Response:
    """It is forgotten at once; steps that need it fail until there is another one of this name."""
    await service.blocking(_delete, service, caller, _checked(name))
    return Response(status_code=204)


def _checked(name: str) -> str:
    if not is_name(name):
        raise not_found("secret")
    return name


def _path(name: str) -> str:
    return f"/v1/secrets/{name}"


def _fingerprint(keyring: Keyring, value: str) -> str:
    """What stands for the value in the request's fingerprint: from a plain hash a weak value could be guessed.

    Under another SECRET_KEY it is another one, so that a key used before counts as used for something else.
    """
    return hmac.new(keyring.derived(PURPOSE)[0], value.encode(), hashlib.sha256).hexdigest()


def _check_room(tx: Tx) -> None:
    """Raise Refused (409) unless there is room for one more; two at once may go past it: it is no exact quota."""
    if secrets.count(tx) >= MAX_SECRETS:
        raise Refused(409, "too_many_secrets", f"you have {MAX_SECRETS} secrets, the limit; delete one")


def _put(service: Service, caller: Principal, keyring: Keyring, name: str, value: str) -> Secret:
    with service.database.begin(caller.tenant_id) as tx:
        if secrets.find(tx, name) is None:
            _check_room(tx)
        stored = secrets.put(tx, keyring, name, value)
        audit.note(tx, caller, "secret.create" if stored.version == 1 else "secret.replace", name)
        return stored


def _page(service: Service, caller: Principal, after: str | None, limit: int) -> list[Secret]:
    with service.database.read(caller.tenant_id) as tx:
        return secrets.page(tx, after=after, limit=limit)


def _find(service: Service, caller: Principal, name: str) -> Secret:
    with service.database.read(caller.tenant_id) as tx:
        found = secrets.find(tx, name)
    if found is None:
        raise not_found("secret")
    return found


def _delete(service: Service, caller: Principal, name: str) -> None:
    with service.database.begin(caller.tenant_id) as tx:
        if not secrets.delete(tx, name):
            raise not_found("secret")
        audit.note(tx, caller, "secret.delete", name)
