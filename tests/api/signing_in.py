"""Browsers before the app: who signs in with a key, and sends the cookie and the token that pages are given."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from tests.api.conftest import Api
from tests.trust import TRUST_NOBODY


@dataclass(frozen=True, kw_only=True, slots=True)
class Browser:
    """Keeps cookies as browsers do; `csrf` of who has signed in. Each has an address of its own, told by a proxy."""

    http: httpx2.Client
    csrf: str = ""
    cookie_was: str = ""  # at the sign-in

    def ask(self, method: str, path: str, **how: Any) -> httpx2.Response:
        """As the page's own script does."""
        return self.http.request(method, path, headers={"X-CSRF-Token": self.csrf} | how.pop("headers", {}), **how)

    @property
    def cookie(self) -> str:
        return self.http.cookies["millrace_session"]


@contextmanager
def browser(api: Api) -> Iterator[Browser]:
    """One in which nobody has signed in."""
    address = ".".join(str(part) for part in (198, 18, *secrets.token_bytes(2)))
    with httpx2.Client(base_url=api.url, headers={"X-Forwarded-For": address}, timeout=30, verify=TRUST_NOBODY) as http:
        yield Browser(http=http)


@contextmanager
def signed_in(api: Api, key: str) -> Iterator[Browser]:
    """One in which somebody has signed in with the key."""
    with browser(api) as fresh:
        answer = fresh.ask("POST", "/v1/session", json={"key": key})
        assert answer.status_code == 200, answer.text
        yield Browser(http=fresh.http, csrf=answer.json()["csrf"], cookie_was=fresh.cookie)
