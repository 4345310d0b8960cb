"""Connections to others: made only to addresses that have been checked, and used again for a while."""

import asyncio
import logging
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

import httpcore2

from tasks.addresses import Address, Rules, Target, forbidden_words, refusal, refusal_of
from tasks.errors import OutboundFailed, OutboundRefused
from tasks.outbound_names import Resolver

IDLE_SECONDS = 4.0  # most servers close idle connections after 5 s; to send into one that closes is to lose a request
MOST_IDLE = 64
MOST_IDLE_OF_ORIGIN = 8
MOST_SECONDS = 300.0  # however busy: a host that has moved is found again by its name
MOST_TRIED = 6  # addresses of one host

Origin = tuple[str, str, int]

logging.getLogger("httpcore2").setLevel(logging.INFO)  # at DEBUG it would log what is answered: headers, so secrets


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A connection to an origin: `until` is the event loop's time from which it is not used again."""

    origin: Origin
    connection: httpcore2.AsyncHTTP11Connection
    until: float


@dataclass(kw_only=True, slots=True)
class Connections:
    """Every connection is made here, by address: nobody else looks a name up, so nobody can look it up twice.

    If any of a host's addresses is forbidden, none is used: a public name with a private address among others is an
    attack or a mistake, and which of them a connection would take is luck. Bound to one event loop.
    """

    rules: Rules
    resolver: Resolver
    tls: ssl.SSLContext | None = None
    idle: dict[Origin, list[Line]] = field(default_factory=dict)

    async def take(self, target: Target, seconds: float, *, whose: str = "") -> Line:
        """An idle connection to the target's origin, or a new one within so many seconds, for this tenant.

        Raises OutboundRefused (address_forbidden) and OutboundFailed (name_not_resolved, connect_failed, tls_failed,
        timed_out).
        """
        await self._sweep()
        if lines := self.idle.get(target.origin):
            return lines.pop()
        deadline = asyncio.get_running_loop().time() + seconds
        addresses = await self._addresses(target, deadline, whose)
        stream = await self._stream(target, addresses, deadline)
        if target.scheme == "https":
            stream = await self._secured(target, stream, deadline)
        return Line(
            origin=target.origin,
            connection=httpcore2.AsyncHTTP11Connection(_origin(target), stream, keepalive_expiry=IDLE_SECONDS),
            until=asyncio.get_running_loop().time() + MOST_SECONDS,
        )

    async def give_back(self, line: Line, *, once: bool) -> None:
        """Keep the connection if it can be used again, and close it otherwise, or where it was for `once`."""
        lines = self.idle.setdefault(line.origin, [])
        is_full = len(lines) >= MOST_IDLE_OF_ORIGIN or sum(map(len, self.idle.values())) >= MOST_IDLE
        if once or is_full or _is_over(line):
            await line.connection.aclose()
        else:
            lines.append(line)

    async def close(self) -> None:
        """Close what is idle."""
        lines = [line for lines in self.idle.values() for line in lines]
        self.idle.clear()
        for line in lines:
            await line.connection.aclose()

    async def _sweep(self) -> None:
        over = [line for lines in self.idle.values() for line in lines if _is_over(line)]
        kept = {origin: [line for line in lines if line not in over] for origin, lines in self.idle.items()}
        self.idle = {origin: lines for origin, lines in kept.items() if lines}
        for line in over:
            await line.connection.aclose()

    async def _addresses(self, target: Target, deadline: float, whose: str) -> Sequence[Address]:
        """The target's addresses, all of which may be called."""
        self._check(target, refusal_of(target, self.rules))
        if target.address is not None:
            return [target.address]
        try:
            async with asyncio.timeout_at(deadline):
                addresses = await self.resolver.look_up(target.host, whose)
        except TimeoutError as exc:
            raise OutboundFailed("name_not_resolved", f"looking up the name {target.host} took too long") from exc
        for address in addresses:
            self._check(target, refusal(self.rules, target.host, target.port, address))
        return addresses

    async def _stream(
        self, target: Target, addresses: Sequence[Address], deadline: float
    ) -> httpcore2.AsyncNetworkStream:
        """A connection to the first address that takes one; each has its share of the time that is left."""
        tried = addresses[:MOST_TRIED]
        failure: Exception | None = None
        for number, address in enumerate(tried):
            left = deadline - asyncio.get_running_loop().time()
            try:
                stream = await httpcore2.AnyIOBackend().connect_tcp(
                    str(address), target.port, timeout=max(0.0, left / (len(tried) - number))
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as exc:
                failure = exc
                continue
            await self._check_peer(target, stream)
            return stream
        if isinstance(failure, httpcore2.ConnectTimeout):
            raise OutboundFailed("timed_out", f"{target.host} took no connection in time") from failure
        raise OutboundFailed("connect_failed", f"{target.host} takes no connections on port {target.port}") from failure

    async def _check_peer(self, target: Target, stream: httpcore2.AsyncNetworkStream) -> None:
        """Whoever is at the other end must be allowed, too: in case an address means something else to the kernel."""
        try:
            peer = ip_address(str(stream.get_extra_info("server_addr")[0]))
            self._check(target, refusal(self.rules, target.host, target.port, peer))
        except OutboundRefused:
            await stream.aclose()
            raise
        except OSError as exc:  # nobody is there any more
            await stream.aclose()
            raise OutboundFailed("connection_lost", f"{target.host} closed the connection at once") from exc

    def _check(self, target: Target, why: str | None) -> None:
        if why is not None:
            raise OutboundRefused("address_forbidden", forbidden_words(target.host, why))

    async def _secured(
        self, target: Target, stream: httpcore2.AsyncNetworkStream, deadline: float
    ) -> httpcore2.AsyncNetworkStream:
        """The same with TLS, with a certificate that is the host's."""
        if self.tls is None:
            self.tls = ssl.create_default_context()
        left = max(0.0, deadline - asyncio.get_running_loop().time())
        try:
            return await stream.start_tls(self.tls, server_hostname=target.host, timeout=left)
        except httpcore2.ConnectTimeout as exc:
            raise OutboundFailed("timed_out", f"{target.host} did not finish the TLS handshake in time") from exc
        except httpcore2.ConnectError as exc:
            cause = exc.__cause__
            why = f": {cause.verify_message}" if isinstance(cause, ssl.SSLCertVerificationError) else ""
            raise OutboundFailed("tls_failed", f"the TLS handshake with {target.host} failed{why}") from exc
        except BaseException:
            await stream.aclose()
            raise


def _origin(target: Target) -> httpcore2.Origin:
    return httpcore2.Origin(target.scheme.encode(), target.host.encode(), target.port)


def _is_over(line: Line) -> bool:
    """Whether it cannot be used again: it is in the middle of something, closed by somebody, or old.

    Or has more to say than it was asked: the next to use it, perhaps another tenant, would take that for an answer.
    """
    is_old = asyncio.get_running_loop().time() > line.until
    left, _ = line.connection._h11_state.trailing_data  # nobody else tells
    return is_old or bool(left) or not line.connection.is_idle() or line.connection.has_expired()
