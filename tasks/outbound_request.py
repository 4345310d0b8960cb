"""What is sent: the caller's headers, checked, and what becomes of a request that is sent on to another address."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urljoin

from tasks.addresses import Target, parse_url
from tasks.errors import OutboundRefused
from tasks.outbound_model import Asked, FileBody, Head

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
DEFAULTS: Mapping[str, str] = {"user-agent": "Millrace", "accept": "*/*", "accept-encoding": "gzip"}
OURS = frozenset(
    {
        *("host", "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer"),
        *("expect", "http2-settings"),
    }
)
FOR_ANYBODY = frozenset({"accept", "accept-encoding", "user-agent"})
REDIRECTS = frozenset({301, 302, 303, 307, 308})

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
_VALUE = re.compile(r"[\t\x20-\x7e]*", re.ASCII)
_ODD = re.compile(r'[^\x21-\x7e]|["<>^`{|}]')


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request that may be sent; names of headers are in lower case."""

    method: str
    target: Target
    headers: Mapping[str, str]
    body: bytes | FileBody | None


def request_for(asked: Asked) -> Request:
    """Check what is asked. Raises OutboundRefused (url_invalid, method_forbidden, header_forbidden)."""
    try:
        target = parse_url(asked.url)
    except ValueError as exc:
        raise OutboundRefused("url_invalid", f"the URL {exc}") from exc
    if asked.method not in METHODS:
        raise OutboundRefused("method_forbidden", f"the method must be one of {', '.join(sorted(METHODS))}")
    for name, value in asked.headers.items():
        if why := _refusal(name, value):
            raise OutboundRefused("header_forbidden", f"the header {name[:60]!a} {why}")
    headers = {name.lower(): value.strip(" \t") for name, value in asked.headers.items()}
    return Request(method=asked.method, target=target, headers=headers, body=asked.body)


def redirected(request: Request, head: Head) -> Request | None:
    """The request that an answer sends us to (RFC 9110, section 15.4); None if it is an answer like others.

    Raises OutboundRefused (redirect_forbidden).
    """
    location = head.headers.get("location")
    if head.status not in REDIRECTS or not location:
        return None
    target = _target(request.target, location)
    if request.target.scheme == "https" and target.scheme == "http":
        raise _no_redirect(request, "from https:// to http://")
    moved = replace(request, target=target)
    if target.origin != request.target.origin:
        moved = replace(moved, headers={name: moved.headers[name] for name in moved.headers if name in FOR_ANYBODY})
    becomes_get = (head.status == 303 and request.method != "HEAD") or (
        head.status in (301, 302) and request.method == "POST"
    )
    return _as_get(moved) if becomes_get else moved


def wire_headers(request: Request, size: int | None) -> list[tuple[bytes, bytes]]:
    """The headers as they are sent, with the Host and the Content-Length."""
    ours = {"host": request.target.place}
    if size is not None or request.method in WITH_BODY:
        ours["content-length"] = str(size or 0)
    return [
        (name.title().encode("ascii"), value.encode("ascii"))
        for name, value in {**ours, **DEFAULTS, **request.headers}.items()
    ]


def _refusal(name: str, value: str) -> str | None:
    """Why a caller may not send this header."""
    if not _TOKEN.fullmatch(name):
        return "has a name that is none"
    if name.lower() in OURS or name.lower().startswith("proxy-"):
        return "is not for callers to set"
    if not _VALUE.fullmatch(value):
        return "has a value with line breaks, control characters or characters beyond ASCII"
    return None


def _as_get(request: Request) -> Request:
    headers = {name: value for name, value in request.headers.items() if not name.startswith("content-")}
    return replace(request, method="GET", headers=headers, body=None)


def _target(base: Target, location: str) -> Target:
    # Servers write characters that must be encoded. Where they would change what the host is, parsing fails after all.
    encoded = _ODD.sub(lambda odd: "".join(f"%{byte:02X}" for byte in odd[0].encode("latin-1", "replace")), location)
    try:
        return parse_url(urljoin(base.url, encoded))
    except ValueError as exc:
        message = f"{base.host} redirects to a URL that cannot be used: it {exc}"
        raise OutboundRefused("redirect_forbidden", message) from exc


def _no_redirect(request: Request, how: str) -> OutboundRefused:
    return OutboundRefused("redirect_forbidden", f"{request.target.host} redirects {how}, which is not followed")
