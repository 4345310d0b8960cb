"""The cookie of a sign-in, and what keeps other sites from using it.

A browser sends a cookie with whatever it is made to send. So SameSite keeps it from other sites' requests, whatever
changes something has to bear a token that only our own page can read, and a request that says that it comes from
elsewhere is refused.
"""

import secrets
from collections.abc import Mapping
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.responses import Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.caller_openapi import COOKIE
from api.errors import Refused
from storage.sessions import Session

CSRF = "X-CSRF-Token"
UNSTORED: Mapping[str, str] = {"Cache-Control": "no-store"}

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_FROM_HERE = frozenset({"same-origin", "none"})  # none: a person's own doing, such as a bookmark
_BY_COOKIE = "by_cookie"


def token_in(request: Request, public_url: str) -> str | None:
    """The token that the browser sent, if any."""
    return request.cookies.get(_name(public_url))


def give(answer: Response, token: str, public_url: str) -> None:
    """Have the browser keep the token until it is closed, and show it to no script and no other site."""
    secure = _is_secure(public_url)
    answer.set_cookie(_name(public_url), token, path="/", httponly=True, samesite="strict", secure=secure)


def take(answer: Response, public_url: str) -> None:
    """Have the browser forget the token."""
    secure = _is_secure(public_url)
    answer.delete_cookie(_name(public_url), path="/", httponly=True, samesite="strict", secure=secure)


def check_intended(request: Request, session: Session, public_url: str) -> None:
    """Raise Refused (403) unless the request changes nothing, or our own page has meant it."""
    if request.method in _SAFE:
        return
    check_origin(request, public_url)
    given = request.headers.get(CSRF, "")
    if not secrets.compare_digest(given.encode(), session.csrf.encode()):
        detail = f"send the header {CSRF} with the value of 'csrf' in GET /v1/session"
        raise Refused(403, "csrf_token_wrong", detail)


def check_origin(request: Request, public_url: str) -> None:
    """Raise Refused (403) if the browser says that another site's page has sent this."""
    origin = request.headers.get("Origin")
    ours = {request.headers.get("Host", "").lower(), urlsplit(public_url).netloc.lower()} - {""}
    is_ours = origin is None or _host_of(origin) in ours
    if not is_ours or request.headers.get("Sec-Fetch-Site", "none") not in _FROM_HERE:
        raise Refused(403, "origin_foreign", "pages of another origin may not use this platform's sign-ins")


def ended() -> Refused:
    """What is told of a sign-in that is not good any more."""
    challenge = {"WWW-Authenticate": 'Bearer realm="millrace"'}
    return Refused(401, "session_ended", "you are not signed in any more; sign in again", headers=challenge)


def used(request: Request) -> None:
    """Note that the request is answered by who is signed in: nobody may keep the answer for others."""
    request.scope.setdefault("state", {})[_BY_COOKIE] = True


def unstored(app: ASGIApp) -> ASGIApp:
    """The app, whose answers to those who are signed in no cache may keep: it would not know whose they are."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        async def answering(message: Message) -> None:
            if message["type"] == "http.response.start" and scope.get("state", {}).get(_BY_COOKIE):
                headers = MutableHeaders(scope=message)
                headers["Cache-Control"] = UNSTORED["Cache-Control"]
                headers.add_vary_header("Cookie")
            await send(message)

        await app(scope, receive, answering if _has_cookie(scope) else send)

    return serve


def _has_cookie(scope: Scope) -> bool:
    return scope["type"] == "http" and "cookie" in Headers(scope=scope)


def _name(public_url: str) -> str:
    """Behind https a name that browsers take from nobody but this very host, not from its neighbours."""
    return f"__Host-{COOKIE}" if _is_secure(public_url) else COOKIE


def _is_secure(public_url: str) -> bool:
    return public_url.startswith("https://")


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None
