"""Who calls, and what they may do: `Authorization: Bearer mk_…`."""

from typing import Annotated

from fastapi import Depends, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from api.errors import Refused
from api.service import Service, Serving
from storage import tenants
from storage.model import Principal
from storage.tenants import KEY_PREFIX

_bearer = HTTPBearer(auto_error=False, scheme_name="key", description="An API key, mk_…, with the scopes it needs.")
OPERATE = "operate"
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="millrace"'}


async def principal(
    scopes: SecurityScopes,
    service: Serving,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Principal:
    """The caller, if the key is valid and has the scopes that the route asks for; 401 and 403 otherwise."""
    if credentials is None:
        raise Refused(401, "key_missing", "send your API key as 'Authorization: Bearer mk_…'", headers=_CHALLENGE)
    key = credentials.credentials
    found = await service.blocking(_who_has, service, key) if key.startswith(KEY_PREFIX) and key.isascii() else None
    if found is None:
        raise Refused(401, "key_invalid", "this API key is unknown or revoked", headers=_CHALLENGE)
    missing = sorted(set(scopes.scopes) - found.scopes)
    if missing:
        raise Refused(403, "scope_missing", f"this API key lacks the scope {', '.join(missing)}")
    return found


def may_operate(caller: Principal) -> bool:
    """Whether the caller may see and do what concerns all tenants."""
    return OPERATE in caller.scopes


def _who_has(service: Service, key: str) -> Principal | None:
    with service.database.platform_read() as tx:
        return tenants.who_has(tx, key)


Reader = Annotated[Principal, Security(principal, scopes=["jobs:read"])]
Operator = Annotated[Principal, Security(principal, scopes=[OPERATE])]
Writer = Annotated[Principal, Security(principal, scopes=["jobs:write"])]
