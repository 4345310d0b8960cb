"""Who calls, and what they may do: `Authorization: Bearer mk_…`, or the cookie of who has signed in with a key."""

import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Generic, TypeVar

from fastapi import Request, Security
from fastapi.openapi.models import HTTPBearer
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from fastapi.security.utils import get_authorization_scheme_param

from api import session_cookie
from api.caller_openapi import MAX_TENANT_NAME
from api.errors import Refused, invalid_parameter
from api.service import Service, service_at
from storage import tenants
from storage.model import KeyId, Principal, TenantId
from storage.sessions import Session
from storage.tenants import KEY_PREFIX, Key

OPERATE = "operate"
OPERATE_READ = "operate:read"

T = TypeVar("T")
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="millrace"'}
_WRITING = frozenset({"jobs:write"})
_ACTING = {"jobs:read": OPERATE_READ, "jobs:write": OPERATE}  # what one needs to do the same for another tenant


class Admission(SecurityBase, Generic[T]):
    """What a route depends on for its caller: `admit` says who it is, given the scopes that the route asks for.

    One dependency, which reads of the request what it needs: each that FastAPI solves takes 30 us of every request.
    In the document it is the scheme `key`; what FastAPI cannot know, api.caller_openapi adds: sign-ins, and the
    parameter `tenant` where one may act for another (`acts`).
    """

    def __init__(self, admit: Callable[[Request, frozenset[str]], Awaitable[T]], *, acts: bool = False) -> None:
        self.model = HTTPBearer(description="An API key, mk_…, with the scopes it needs.")
        self.scheme_name = "key"
        self.acts = acts
        self._admit = admit

    async def __call__(self, request: Request, scopes: SecurityScopes) -> T:
        return await self._admit(request, frozenset(scopes.scopes))


def key_in(request: Request) -> str | None:
    """The key that was sent, if any."""
    scheme, key = get_authorization_scheme_param(request.headers.get("Authorization"))
    return key if scheme.lower() == "bearer" and key else None


async def identified(request: Request) -> Principal:
    """The caller, by a valid key or, where none is sent, by a session; 401 otherwise."""
    service, key_sent = service_at(request), key_in(request)
    if key_sent is not None:
        found = await holder(service, key_sent)
    elif service.sessions and session_cookie.token_in(request, service.settings.public_url):
        session, key = await signed_in(request, service)
        session_cookie.check_intended(request, session, service.settings.public_url)
        found = dataclasses.replace(key.principal, via="session")
    else:
        raise Refused(401, "key_missing", "send your API key as 'Authorization: Bearer mk_…'", headers=_CHALLENGE)
    return seen(request, found)


async def principal(request: Request, scopes: frozenset[str]) -> Principal:
    """The caller, if they have the scopes that the route asks for; 403 otherwise."""
    caller = await identified(request)
    missing = sorted(scopes - caller.scopes)
    if missing:
        raise Refused(403, "scope_missing", f"this API key lacks the scope {', '.join(missing)}")
    return caller


async def themselves(request: Request, scopes: frozenset[str]) -> Principal:
    """As `principal`, where nobody acts for another tenant: 403 for who tries."""
    if "tenant" in request.query_params:
        await identified(request)
        raise Refused(403, "tenant_alone", "only the tenant itself does this: leave 'tenant' out")
    return await principal(request, scopes)


async def whoever(request: Request, scopes: frozenset[str]) -> Principal:
    """As `principal`; an operator may be another tenant's. 404 where there is no such tenant."""
    tenant = request.query_params.get("tenant")
    if tenant is None:
        return await principal(request, scopes)
    caller, service = await identified(request), service_at(request)
    if len(tenant) > MAX_TENANT_NAME:
        raise invalid_parameter({"/query/tenant": f"a tenant's name has at most {MAX_TENANT_NAME} characters"})
    needed = sorted({_ACTING[scope] for scope in scopes} - caller.scopes)
    if needed:
        raise Refused(403, "scope_missing", f"to act for a tenant this API key lacks the scope {', '.join(needed)}")
    found = await service.blocking(_tenant, service, tenant)
    if found is None:
        raise Refused(404, "not_found", "there is no such tenant")
    acting = None if found == caller.tenant_id else caller.tenant_id
    return dataclasses.replace(caller, tenant_id=found, acting=acting)


async def writer(request: Request) -> Principal:
    """Who `Writer` stands for, where it is not FastAPI that asks."""
    return await whoever(request, _WRITING)


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


_whoever, _themselves, _principal = Admission(whoever, acts=True), Admission(themselves), Admission(principal)
Reader = Annotated[Principal, Security(_whoever, scopes=["jobs:read"])]
Writer = Annotated[Principal, Security(_whoever, scopes=list(_WRITING))]
OwnReader = Annotated[Principal, Security(_themselves, scopes=["jobs:read"])]
OwnWriter = Annotated[Principal, Security(_themselves, scopes=["jobs:write"])]
Identified = Annotated[Principal, Security(_principal)]
AnyReader = Annotated[Principal, Security(_principal, scopes=["jobs:read"])]
Watcher = Annotated[Principal, Security(_principal, scopes=[OPERATE_READ])]
Operator = Annotated[Principal, Security(_principal, scopes=[OPERATE])]
