"""Who calls, and what they may do: `Authorization: Bearer mk_…`, or the cookie of who has signed in with a key."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Query, Request, Security
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from api import session_cookie
from api.errors import Refused
from api.service import Service, Serving
from storage import tenants
from storage.model import KeyId, Principal, TenantId
from storage.sessions import Session
from storage.tenants import KEY_PREFIX, Key

OPERATE = "operate"
OPERATE_READ = "operate:read"
MAX_TENANT_NAME = 200

bearer = HTTPBearer(auto_error=False, scheme_name="key", description="An API key, mk_…, with the scopes it needs.")
_cookie = APIKeyCookie(
    name=session_cookie.COOKIE,
    auto_error=False,
    scheme_name="session",
    description="A sign-in, see POST /v1/session. What changes something needs the header X-CSRF-Token, too.",
)
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="millrace"'}
_ACTING = {"jobs:read": OPERATE_READ, "jobs:write": OPERATE}  # what one needs to do the same for another tenant


async def identified(
    request: Request,
    service: Serving,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
    cookie: Annotated[str | None, Depends(_cookie)],
) -> Principal:
    """The caller, by a valid key or, where none is sent, by a session; 401 otherwise."""
    if credentials is not None:
        found = await holder(service, credentials.credentials)
    elif service.sessions and session_cookie.token_in(request, service.settings.public_url):
        session, key = await signed_in(request, service)
        session_cookie.check_intended(request, session, service.settings.public_url)
        found = dataclasses.replace(key.principal, via="session")
    else:
        raise Refused(401, "key_missing", "send your API key as 'Authorization: Bearer mk_…'", headers=_CHALLENGE)
    return seen(request, found)


async def principal(scopes: SecurityScopes, caller: Annotated[Principal, Depends(identified)]) -> Principal:
    """The caller, if they have the scopes that the route asks for; 403 otherwise."""
    missing = sorted(set(scopes.scopes) - caller.scopes)
    if missing:
        raise Refused(403, "scope_missing", f"this API key lacks the scope {', '.join(missing)}")
    return caller


async def themselves(
    scopes: SecurityScopes, request: Request, caller: Annotated[Principal, Depends(identified)]
) -> Principal:
    """As `principal`, where nobody acts for another tenant: 403 for who tries."""
    if "tenant" in request.query_params:
        raise Refused(403, "tenant_alone", "only the tenant itself does this: leave 'tenant' out")
    return await principal(scopes, caller)


async def whoever(
    scopes: SecurityScopes,
    service: Serving,
    caller: Annotated[Principal, Depends(identified)],
    tenant: Annotated[
        str | None,
        Query(
            max_length=MAX_TENANT_NAME,
            description="for operators: the name of the tenant for whom this is done; reading needs `operate:read`, "
            "changing needs `operate`",
        ),
    ] = None,
) -> Principal:
    """As `principal`; an operator may be another tenant's. 404 where there is no such tenant."""
    if tenant is None:
        return await principal(scopes, caller)
    needed = sorted({_ACTING[scope] for scope in scopes.scopes} - caller.scopes)
    if needed:
        raise Refused(403, "scope_missing", f"to act for a tenant this API key lacks the scope {', '.join(needed)}")
    found = await service.blocking(_tenant, service, tenant)
    if found is None:
        raise Refused(404, "not_found", "there is no such tenant")
    acting = None if found == caller.tenant_id else caller.tenant_id
    return dataclasses.replace(caller, tenant_id=found, acting=acting)


def may_operate(caller: Principal) -> bool:
    """Whether the caller may do what concerns all tenants."""
    return OPERATE in caller.scopes


def may_watch(caller: Principal) -> bool:
    """Whether the caller may see what concerns all tenants."""
    return OPERATE_READ in caller.scopes


async def holder(service: Service, key: str) -> Principal:
    """Whom the key belongs to. Raises Refused (401)."""
    known, changes = service.keys.find(key), service.keys.changes
    if known is not None:
        return known
    found = await service.together(_who_have, key) if key.startswith(KEY_PREFIX) and key.isascii() else None
    if found is None:
        raise Refused(401, "key_invalid", "this API key is unknown or revoked", headers=_CHALLENGE)
    service.keys.note(key, found, changes=changes)
    return found


async def signed_in(request: Request, service: Service) -> tuple[Session, Key]:
    """The session that the request's cookie stands for, with its key as it is now. Raises Refused (401, 503)."""
    session_cookie.used(request)
    if service.sessions is None:  # nobody ever has
        raise session_cookie.ended()
    sessions = service.sessions
    session = await sessions.find(session_cookie.token_in(request, service.settings.public_url) or "")
    key = None if session is None else await service.blocking(key_of, service, session.key_id)
    if session is not None and key is None:  # revoked
        await sessions.end_all(session.key_id)
        service.streams.end_sessions(session.key_id)
    if session is None or key is None:
        raise session_cookie.ended()
    return session, key


def seen(request: Request, caller: Principal) -> Principal:
    """The caller with what is known of the request, for the audit."""
    request_id = request.scope.get("state", {}).get("request_id")
    return dataclasses.replace(caller, request_id=request_id, address=request.client.host if request.client else None)


def key_of(service: Service, key_id: KeyId) -> Key | None:
    with service.database.platform_read() as tx:
        return tenants.key_of(tx, key_id)


async def _who_have(service: Service, keys: Sequence[str]) -> list[Principal | None]:
    return await tenants.who_have(service.asked, keys)


def _tenant(service: Service, name: str) -> TenantId | None:
    with service.database.platform_read() as tx:
        return tenants.find(tx, name.replace("\0", "\ufffd"))  # which no row can hold


Reader = Annotated[Principal, Security(whoever, scopes=["jobs:read"])]
Writer = Annotated[Principal, Security(whoever, scopes=["jobs:write"])]
OwnReader = Annotated[Principal, Security(themselves, scopes=["jobs:read"])]
OwnWriter = Annotated[Principal, Security(themselves, scopes=["jobs:write"])]
AnyReader = Annotated[Principal, Security(principal, scopes=["jobs:read"])]
Watcher = Annotated[Principal, Security(principal, scopes=[OPERATE_READ])]
Operator = Annotated[Principal, Security(principal, scopes=[OPERATE])]
