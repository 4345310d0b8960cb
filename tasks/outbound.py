"""Requests to third parties: only to hosts that the operator has named, bounded in time and size."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx2

from storage.model import Json

MAX_ANSWER_BYTES = 65_536


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


def post_json(client: httpx2.Client, url: str, body: Json, headers: Mapping[str, str], *, timeout: float) -> Answer:
    """Post JSON and read the answer within `timeout` seconds in all; no redirects. Raises httpx2.HTTPError."""
    deadline = time.monotonic() + timeout
    with client.stream("POST", url, json=body, headers=dict(headers), timeout=timeout) as response:
        read = bytearray()
        for chunk in response.iter_bytes():
            read += chunk
            if len(read) > MAX_ANSWER_BYTES:
                break
            if time.monotonic() > deadline:
                raise httpx2.ReadTimeout("the answer came too slowly", request=response.request)
        return Answer(
            status=response.status_code,
            body=_body(bytes(read[:MAX_ANSWER_BYTES]), response.headers.get("content-type", "")),
            retry_after_seconds=_seconds(response.headers.get("retry-after", "")),
        )


def _body(raw: bytes, content_type: str) -> Json:
    text = raw.decode("utf-8", "replace")
    if "json" in content_type.lower():
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text


def _seconds(retry_after: str) -> float | None:
    return float(retry_after) if retry_after.isascii() and retry_after.isdigit() else None
