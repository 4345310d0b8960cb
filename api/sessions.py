"""`/v1/session`: people sign in with an API key and get a cookie for it."""

import dataclasses
import ipaddress
import logging
from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api import openapi, session_cookie
from api.auth import Identified, holder, key_in, key_of, may_watch, seen, signed_in
from api.documents import read_document
from api.errors import Refused
from api.service import Service, Serving
from api.session_cookie import UNSTORED
from api.session_documents import SessionDocument, SessionRequest, session_document
from storage import audit
from storage.model import Json, Principal
from storage.sessions import Session
from storage.tenants import Key

MAX_BYTES = 4096

log = logging.getLogger(__name__)

router = APIRouter(prefix="/v1", tags=["sign-in"])


@router.post(
    "/session",
    summary="Sign in",
    response_model=SessionDocument,
    responses=openapi.problems(401, 403, 408, 413, 415, 422, 429, 503) | openapi.SIGNED_IN,
    openapi_extra=openapi.body("SessionRequest", required=True),
)
async def begin(request: Request, service: Serving) -> Response:
    """Exchange an API key for a cookie, which pages need not keep secret from their own scripts as they would a key.

    The cookie is for this browser alone; it ends when it is not used for some hours, when its key is revoked, and after
    a week. Whoever was signed in before is signed out.
    """
    public_url = service.settings.public_url
    _check_own_page(request, public_url)
    sessions = service.signing_in()
    address = _network(request)
    if seconds := await sessions.attempt(address):
        detail = "too many sign-ins with wrong keys from this address; wait a moment"
        raise Refused(429, "too_many_attempts", detail, headers={"Retry-After": str(seconds)})
    asked = await read_document(request, SessionRequest, MAX_BYTES)
    key = await _key(request, service, asked.key.strip())
    await sessions.forgive(address)
    if before := session_cookie.token_in(request, public_url):
        await sessions.end(before)
        service.streams.end_session(before)
    token, session = await sessions.begin(key.principal.key_id)
    await service.blocking(_note, service, seen(request, key.principal), "session.begin")
    answer = _answer(service, key, session)
    session_cookie.give(answer, token, public_url)
    return answer


@router.get(
    "/session",
    summary="See who is signed in",
    response_model=SessionDocument,
    responses=openapi.problems(401, 422, 503) | openapi.NOT_SIGNED_IN,
)
async def show(
    request: Request,
    service: Serving,
    optional: Annotated[
        bool, Query(description="answer 204 instead of 401, which browsers log as an error, if nobody is signed in")
    ] = False,
) -> Response:
    """Whose the cookie is, or the key: also the way to find out what a key may do."""
    try:
        key, session = await _who(request, service)
    except Refused as exc:
        if exc.status != 401 or not optional:
            raise
        answer = Response(status_code=204, headers=UNSTORED)
        session_cookie.take(answer, service.settings.public_url)
        return answer
    return _answer(service, key, session)


@router.delete("/session", summary="Sign out", status_code=204, responses=openapi.problems(403, 503))
async def end(request: Request, service: Serving) -> Response:
    """End this sign-in and have the browser forget its cookie; nothing happens if there is none."""
    public_url = service.settings.public_url
    if token := session_cookie.token_in(request, public_url):
        session_cookie.used(request)
        sessions = service.signing_in()
        if session := await sessions.find(token):
            session_cookie.check_intended(request, session, public_url)
            await sessions.end(token)
            service.streams.end_session(token)
            if key := await service.blocking(key_of, service, session.key_id):
                who = dataclasses.replace(seen(request, key.principal), via="session")
                await service.blocking(_note, service, who, "session.end")
    answer = Response(status_code=204, headers=UNSTORED)
    session_cookie.take(answer, public_url)
    return answer


@router.delete("/sessions", summary="Sign out everywhere", status_code=204, responses=openapi.problems(401, 403, 503))
async def end_all(service: Serving, caller: Identified) -> Response:
    """End all sign-ins with this key, in whatever browser: after a laptop was lost, say. The key itself stays good."""
    ended = await service.signing_in().end_all(caller.key_id)
    service.streams.end_sessions(caller.key_id)
    await service.blocking(_note, service, caller, "session.end_all", {"ended": ended})
    answer = Response(status_code=204, headers=UNSTORED)
    session_cookie.take(answer, service.settings.public_url)
    return answer


async def _who(request: Request, service: Service) -> tuple[Key, Session | None]:
    """By a key, if one is sent, and otherwise by the cookie. Raises Refused (401, 503)."""
    key_sent = key_in(request)
    if key_sent is None:
        session, key = await signed_in(request, service)
        return key, session
    return await _key(request, service, key_sent), None


async def _key(request: Request, service: Service, key: str) -> Key:
    try:
        who = await holder(service, key)
        found = await service.blocking(key_of, service, who.key_id)
    except Refused:
        log.warning("sign_in.refused address=%s", request.client.host if request.client else None)
        raise
    if found is None:  # revoked between the two questions
        raise session_cookie.ended()
    return found


def _answer(service: Service, key: Key, session: Session | None) -> Response:
    flower = service.settings.flower_url if may_watch(key.principal) else None
    document = session_document(key, session, flower)
    return Response(document.model_dump_json(), media_type="application/json", headers=UNSTORED)


def _note(service: Service, who: Principal, action: str, detail: Mapping[str, Json] | None = None) -> None:
    with service.database.begin(who.tenant_id) as tx:
        audit.note(tx, who, action, None, detail)


def _check_own_page(request: Request, public_url: str) -> None:
    """Raise Refused unless our own page may have sent this: a form of another could otherwise sign people in.

    They would then work as somebody else without noticing. A form can send a JSON text, but not as application/json.
    """
    session_cookie.check_origin(request, public_url)
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused(415, "content_type_unsupported", 'send {"key": "mk_…"} as application/json')


def _network(request: Request) -> str:
    """The address that sign-ins are counted by: of IPv6 the network, since who has one address has 2^64."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return "unknown"
    if address.version == 4:
        return str(address)
    return str(address.ipv4_mapped or ipaddress.ip_network((address, 64), strict=False))
