"""HTTP as the client needs it: one address, one key, errors as ours, and another try where that is safe."""

import contextlib
import itertools
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from ipaddress import ip_address
from typing import Any, TypeVar

import httpx2

from api.client.access import Access
from api.client.failures import ApiError, ConnectionFailed, MillraceError, from_answer
from api.client.sending import Body, EarlyAnswer

TRY_AGAIN_AFTER = (0.5, 2.0)  # seconds, where the server does not say: three tries in all, over a short restart
LONGEST_PAUSE = 30.0  # a server that asks us to wait longer is not waited for
SILENCE_SECONDS = 45.0  # three missed signs of life of an event stream

_TIMEOUT = httpx2.Timeout(60.0, connect=5.0, pool=None)
_UPLOAD_TIMEOUT = httpx2.Timeout(300.0, connect=5.0, pool=None)  # the answer comes when the file is safely stored
_STREAM_TIMEOUT = httpx2.Timeout(SILENCE_SECONDS, connect=5.0, pool=None)
_UNLIMITED = httpx2.Limits(max_connections=None, max_keepalive_connections=20)
# A new connection for each upload: only of a new one do we know the socket (see EarlyAnswer).
_NEVER_KEPT = httpx2.Limits(max_connections=None, max_keepalive_connections=0)

T = TypeVar("T")


class Connection:
    """Holds the connections to one platform."""

    def __init__(self, access: Access) -> None:
        """Nothing is sent yet. Raises MillraceError where the address is none."""
        self.url = access.url
        self._http = _session(access, _UNLIMITED)
        self._uploads = _session(access, _NEVER_KEPT)

    def close(self) -> None:
        self._http.close()
        self._uploads.close()

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """The JSON at a path. Raises ApiError, ConnectionFailed, MillraceError."""
        return retried(lambda: self._json(self._http.build_request("GET", path, params=params)))

    def post(self, path: str, content: bytes = b"{}", headers: Mapping[str, str] | None = None) -> Any:
        """Post JSON that does nothing more when it is sent again: twice is as once, or the headers say it is one."""
        return retried(lambda: self.post_once(path, content, headers))

    def post_once(self, path: str, content: bytes, headers: Mapping[str, str] | None = None) -> Any:
        """The same, with one try."""
        headers = {"Content-Type": "application/json", **(headers or {})}
        return self._json(self._http.build_request("POST", path, content=content, headers=headers))

    def put(self, path: str, content: bytes) -> Any:
        """Put JSON in the place of what stands at a path; sent again it does nothing more."""
        headers = {"Content-Type": "application/json"}
        return retried(lambda: self._json(self._http.build_request("PUT", path, content=content, headers=headers)))

    def patch(self, path: str, content: bytes, headers: Mapping[str, str]) -> Any:
        """Change what stands at a path, in a way that does nothing more when it is sent again."""
        return retried(lambda: self.patch_once(path, content, headers))

    def patch_once(self, path: str, content: bytes, headers: Mapping[str, str]) -> Any:
        """The same, with one try."""
        return self._json(self._http.build_request("PATCH", path, content=content, headers=headers))

    def delete(self, path: str, headers: Mapping[str, str] | None = None) -> None:
        """Delete what stands at a path; that a further try finds nothing there says that an earlier one did it."""
        tries = itertools.count()

        def act() -> None:
            first = next(tries) == 0
            try:
                self._answer(self._http.build_request("DELETE", path, headers=headers))
            except ApiError as exc:
                if first or exc.status != 404:
                    raise

        retried(act)

    def upload(self, path: str, body: Body, headers: Mapping[str, str]) -> Any:
        """Post a body as it is read, as `post` does; sent again only if it can be rewound."""
        return retried(lambda: self._upload(path, body, headers), may_repeat=body.rewind)

    @contextlib.contextmanager
    def stream(self, href: str, headers: Mapping[str, str]) -> Iterator[httpx2.Response]:
        """An answer whose body the caller reads, from a path or a link; one try.

        The key is not shown to another address. Raises ApiError and ConnectionFailed, for what fails in the block too.
        """
        request = self._http.build_request("GET", href, headers=headers, timeout=_STREAM_TIMEOUT)
        if _origin(request.url) != _origin(httpx2.URL(self.url)):
            del request.headers["Authorization"]
        with _readable(self.url), contextlib.closing(self._http.send(request, stream=True)) as response:
            if not response.is_success:
                response.read()
                raise _refusal(response)
            yield response

    def _upload(self, path: str, body: Body, headers: Mapping[str, str]) -> Any:
        headers = {**headers, "Content-Type": body.content_type}
        if body.length is not None:
            headers["Content-Length"] = str(body.length)
        early = EarlyAnswer()
        if self.url.startswith("http://"):
            body.answered_early = early
        request = self._uploads.build_request(
            "POST", path, content=body, headers=headers, timeout=_UPLOAD_TIMEOUT, extensions={"trace": early.trace}
        )
        return self._json(request, self._uploads)

    def _answer(self, request: httpx2.Request, http: httpx2.Client | None = None) -> httpx2.Response:
        with _readable(self.url):
            response = (http or self._http).send(request)
        if not response.is_success:
            raise _refusal(response)
        return response

    def _json(self, request: httpx2.Request, http: httpx2.Client | None = None) -> Any:
        response = self._answer(request, http)
        try:
            return response.json()
        except ValueError as exc:
            raise MillraceError(f"{self.url} does not answer as Millrace does; is the URL right?") from exc


def retried(act: Callable[[], T], *, may_repeat: Callable[[], bool] = lambda: True) -> T:
    """Do it up to three times, with a pause before each further try; what does not pass by itself is raised at once."""
    for delay in TRY_AGAIN_AFTER:
        try:
            return act()
        except (ApiError, ConnectionFailed) as exc:
            pause = max(delay, asked_pause(exc))
            if not exc.passes or pause > LONGEST_PAUSE or not may_repeat():
                raise
        time.sleep(pause)
    return act()


def asked_pause(exc: ApiError | ConnectionFailed) -> float:
    """Seconds that the server asks us to wait; 0 where it does not say."""
    return exc.retry_after or 0.0 if isinstance(exc, ApiError) else 0.0


def _session(access: Access, limits: httpx2.Limits) -> httpx2.Client:
    try:
        address = httpx2.URL(access.url)
        looks_outside = not _is_loopback(address.host)  # a proxy of the workplace does not lead to this machine
        return httpx2.Client(
            base_url=address,
            headers={"Authorization": f"Bearer {access.key}", "User-Agent": "millrace-python"},
            timeout=_TIMEOUT,
            limits=limits,
            event_hooks={"request": [_acting_for(access.tenant, _origin(address))] if access.tenant else []},
            trust_env=looks_outside,
            verify=_authorities(looks_outside),
        )
    except (httpx2.InvalidURL, ValueError) as exc:
        raise MillraceError(f"{access.url!r} is not an address that can be used: {exc}") from exc


@cache
def _authorities(looks_outside: bool) -> ssl.SSLContext:
    """Whose certificates are believed: read once, since that takes tens of milliseconds."""
    return httpx2.create_ssl_context(trust_env=looks_outside)


def _acting_for(tenant: str, origin: tuple[str, str, int | None]) -> Callable[[httpx2.Request], None]:
    """What adds the tenant to each request to the platform: a link, too, and with a query of its own."""

    def add(request: httpx2.Request) -> None:
        if _origin(request.url) == origin:
            request.url = request.url.copy_set_param("tenant", tenant)

    return add


@contextlib.contextmanager
def _readable(url: str) -> Iterator[None]:
    """What goes wrong on the network, as ours."""
    try:
        yield
    except (httpx2.ConnectError, httpx2.ConnectTimeout) as exc:
        hint = "is the platform running there? `make up` starts one on this machine"
        raise ConnectionFailed(f"{url} does not answer ({_reason(exc)}); {hint}") from exc
    except (httpx2.NetworkError, httpx2.RemoteProtocolError) as exc:
        raise ConnectionFailed(f"the connection to {url} broke ({_reason(exc)}); try again") from exc
    except httpx2.TimeoutException as exc:
        raise ConnectionFailed(f"{url} did not answer in time; try again later", passes=False) from exc
    except (httpx2.RequestError, httpx2.InvalidURL) as exc:
        raise MillraceError(f"{url} cannot be asked: {_reason(exc)}") from exc


def _reason(exc: Exception) -> str:
    text = str(exc).strip().rstrip(".")
    return text.partition("] ")[2] if text.startswith("[Errno") else text or type(exc).__name__


def _refusal(response: httpx2.Response) -> ApiError:
    try:
        problem = response.json()
    except ValueError:
        problem = None
    return from_answer(response.status_code, response.headers, problem)


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
