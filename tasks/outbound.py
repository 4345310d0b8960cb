"""Requests to third parties: only to hosts that the operator has named, bounded in time and size."""

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx2

from storage.model import Json
from tasks.values import depth

MAX_ANSWER_BYTES = 65_536
MAX_ANSWER_DEPTH = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What the third party said: `body` is JSON where it was, otherwise text; cut at 64 KiB."""

    status: int
    body: Json
    retry_after_seconds: float | None


def is_allowed(url: str, allow: frozenset[str]) -> bool:
    """Whether the URL's host, or host:port, stands on the operator's list."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return host in allow or f"{host}:{port}" in allow


def post_json(tls: ssl.SSLContext, url: str, body: Json, headers: Mapping[str, str], *, timeout: float) -> Answer:
    """Post JSON and read the answer, within `timeout` seconds in all; redirects are not followed.

    Raises httpx2.HTTPError, or TimeoutError.
    """
    return asyncio.run(_post(tls, url, body, headers, timeout))


async def _post(tls: ssl.SSLContext, url: str, body: Json, headers: Mapping[str, str], timeout: float) -> Answer:
    # An event loop for one request: nothing else can end one whose head or body comes drop by drop.
    async with (
        asyncio.timeout(timeout),
        httpx2.AsyncClient(verify=tls, trust_env=False, timeout=timeout) as client,
        client.stream("POST", url, json=body, headers=dict(headers)) as response,
    ):
        read = bytearray()
        async for chunk in response.aiter_bytes():
            read += chunk
            if len(read) > MAX_ANSWER_BYTES:
                break
    return Answer(
        status=response.status_code,
        body=_body(bytes(read[:MAX_ANSWER_BYTES]), response.headers.get("content-type", "")),
        retry_after_seconds=_seconds(response.headers.get("retry-after", ""), response.headers.get("date", "")),
    )


def _body(raw: bytes, content_type: str) -> Json:
    text = raw.decode("utf-8", "replace")
    if "json" in content_type.lower():
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return text
        return value if depth(value, MAX_ANSWER_DEPTH) <= MAX_ANSWER_DEPTH else text
    return text


def _seconds(retry_after: str, now: str) -> float | None:
    """Retry-After as seconds (RFC 9110, section 10.2.3): a number, or a date, which the server's own `now` tells."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - parsedate_to_datetime(now)).total_seconds())
    except (ValueError, TypeError):
        return None
