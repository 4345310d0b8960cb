"""Connections to a model server: used again, one process's own, and with one patience for a whole exchange."""

import os
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpcore2

IDLE_SECONDS = 4.0  # uvicorn, which KServe's servers run on, hangs up after 5
SLICE_BYTES = 65_536
MAX_ERROR_BYTES = 65_536


class Unanswered(Exception):
    """The server could not be reached, or hung up, or took too long."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """`headers` by lower-case name; `body` is cut a little above what was allowed."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connections:
    """Those of one process, `owner`. None that is in use is ever closed: its number could be given to another."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self.owner = os.getpid()
        self._pool = httpcore2.ConnectionPool(
            ssl_context=tls, max_connections=None, keepalive_expiry=IDLE_SECONDS, network_backend=_Backend()
        )
        self._lock = threading.Lock()
        self._calls = 0
        self._closed = False

    def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, *, limit: int, until: float
    ) -> Answer:
        """One request and its answer, of at most about `limit` bytes, over by `until` (monotonic).

        Raises Unanswered. Only the look-up of the host's name is bounded by the system's resolver alone.
        """
        try:
            with self._in_use() as pool:
                return _exchange(pool, method, url, headers, body, limit, until)
        except httpcore2.TimeoutException as exc:
            raise Unanswered("did not answer in time") from exc
        except (httpcore2.NetworkError, httpcore2.ProtocolError) as exc:
            raise Unanswered(f"cannot be reached: {exc}") from exc

    @contextmanager
    def _in_use(self) -> Iterator[httpcore2.ConnectionPool]:
        with self._lock:
            self._calls += 1
        try:
            yield self._pool
        finally:
            with self._lock:
                self._calls -= 1
                last = self._closed and not self._calls
            if last:
                self._pool.close()

    def close(self) -> None:
        """Hang up, or have the last of the calls under way do it."""
        with self._lock:
            self._closed = True
            idle = not self._calls
        if idle and self.owner == os.getpid():
            self._pool.close()


def _exchange(
    pool: httpcore2.ConnectionPool,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    limit: int,
    until: float,
) -> Answer:
    # Points in time, not durations: see _Backend. The pool itself never lets anyone wait, since it has no limit.
    bounds = {"timeout": {"connect": until, "read": until, "write": until}}
    read = bytearray()
    with pool.stream(method, url, headers=list(headers.items()), content=body or None, extensions=bounds) as response:
        found = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
        limit = limit if response.status == 200 else MAX_ERROR_BYTES
        for chunk in response.iter_stream():
            read += chunk
            if len(read) > limit:
                break
    return Answer(status=response.status, headers=found, body=bytes(read))


class _Backend(httpcore2.NetworkBackend):
    """Connects; here and in its streams a `timeout` is the point of the monotonic clock when patience ends.

    A timeout of the library is for one wait, so a server that sends a byte now and then would hold a caller for ever.
    """

    def __init__(self) -> None:
        self._sockets = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        try:
            addresses = [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        except OSError as exc:
            raise httpcore2.ConnectError(str(exc)) from exc
        for address in addresses[:-1]:
            try:
                return _Bounded(self._sockets.connect_tcp(address, port, _left(timeout), local_address, socket_options))
            except httpcore2.ConnectError:
                continue
        last = addresses[-1]
        return _Bounded(self._sockets.connect_tcp(last, port, _left(timeout), local_address, socket_options))


class _Bounded(httpcore2.NetworkStream):
    def __init__(self, stream: httpcore2.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        view = memoryview(buffer)
        for start in range(0, len(view), SLICE_BYTES):
            self._stream.write(view[start : start + SLICE_BYTES], _left(timeout))  # type: ignore[arg-type,unused-ignore]

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        return _Bounded(self._stream.start_tls(ssl_context, server_hostname, _left(timeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(until: float | None) -> float | None:
    if until is None:
        return None
    left = until - time.monotonic()
    if left <= 0:
        raise httpcore2.ReadTimeout("the time for the whole call is over")
    return left
