"""Looking up hosts by name: by the operating system, or by name servers that the operator chose."""

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, Protocol

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.resolver

from tasks.addresses import Address
from tasks.errors import OutboundFailed

MOST_LOOK_UPS = 128
MOST_OF_ONE = 16  # of them for one tenant
FAMILIES = ("A", "AAAA")  # in this order: where one of them leads nowhere, it is mostly IPv6

Ask = Callable[[bytes], Sequence[Address]]


class Resolver(Protocol):
    """Knows the addresses of hosts; bound to the event loop that uses it."""

    async def look_up(self, host: str, whose: str = "") -> Sequence[Address]:
        """All addresses of the host, at least one, in the order in which to try them; `whose` look-up it is.

        Takes as long as it takes: the caller bounds it. Raises OutboundFailed (name_not_resolved).
        """


def resolver_for(nameservers: Sequence[str]) -> Resolver:
    """Who looks names up: these name servers ("address:port"), or the operating system where there are none."""
    return NameServers(nameservers) if nameservers else SystemResolver()


def ask_system(host: bytes) -> Sequence[Address]:
    """Wait for the operating system's answer. Raises OSError. As bytes, a name is not prepared a second time."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(ip_address(str(sockaddr[0])) for *_, sockaddr in found))


class SystemResolver:
    """The operating system's resolver, in threads, since it can only be waited for.

    A look-up that hangs keeps its thread. So those that ask for the same host share one, and a host whose name server
    is silent holds up nobody but its callers; and those of one tenant have a few of the threads, so that many such
    hosts hold up nobody else. Threads are daemons: they do not keep a process from ending.
    """

    def __init__(self, ask: Ask = ask_system) -> None:
        self._ask = ask
        self._running: dict[str, asyncio.Future[Sequence[Address]]] = {}
        self._places = asyncio.Semaphore(MOST_LOOK_UPS)
        self._own: dict[str, asyncio.Semaphore] = {}

    async def look_up(self, host: str, whose: str = "") -> Sequence[Address]:
        running = self._running.get(host) or await self._start(host, whose)
        try:
            found = await asyncio.shield(running)
        except OSError as exc:
            raise _not_resolved(host) from exc
        if not found:
            raise _not_resolved(host)
        return found

    async def _start(self, host: str, whose: str) -> asyncio.Future[Sequence[Address]]:
        own = self._own.setdefault(whose, asyncio.Semaphore(MOST_OF_ONE))
        await own.acquire()  # both until the thread ends, whoever still waits for it
        try:
            await self._places.acquire()
        except asyncio.CancelledError:
            own.release()
            raise
        if host in self._running:
            self._places.release()
            own.release()
            return self._running[host]
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Sequence[Address]] = loop.create_future()
        self._running[host] = future
        threading.Thread(target=self._wait, args=(loop, future, host, own), name="look-up", daemon=True).start()
        return future

    def _wait(
        self,
        loop: asyncio.AbstractEventLoop,
        future: asyncio.Future[Sequence[Address]],
        host: str,
        own: asyncio.Semaphore,
    ) -> None:
        found: Sequence[Address] | Exception
        try:
            found = self._ask(host.encode("ascii"))
        except (OSError, ValueError) as exc:
            found = exc if isinstance(exc, OSError) else OSError(str(exc))
        with suppress(RuntimeError):  # nobody is there any more: the loop is closed
            loop.call_soon_threadsafe(self._end, future, host, own, found)

    def _end(
        self,
        future: asyncio.Future[Sequence[Address]],
        host: str,
        own: asyncio.Semaphore,
        found: Sequence[Address] | Exception,
    ) -> None:
        del self._running[host]
        self._places.release()
        own.release()
        if isinstance(found, Exception):
            future.set_exception(found)
            future.exception()  # all who asked may have gone: that is no error to be logged
        else:
            future.set_result(found)


class NameServers:
    """Name servers of the operator's choice: both families are asked for, of the name as it stands."""

    def __init__(self, servers: Sequence[str]) -> None:
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        self._resolver.nameservers = [_server(server) for server in servers]

    async def look_up(self, host: str, whose: str = "") -> Sequence[Address]:
        name = dns.name.from_text(f"{host}.")
        answers = await asyncio.gather(*(self._ask(name, family) for family in FAMILIES))
        found = [address for answer in answers if not isinstance(answer, Exception) for address in answer]
        if not found:
            failures = (answer for answer in answers if isinstance(answer, Exception))
            raise _not_resolved(host) from next(failures, None)
        return found

    async def _ask(self, name: dns.name.Name, family: str) -> Sequence[Address] | Exception:
        try:
            answer: Any = await self._resolver.resolve(name, family, raise_on_no_answer=False)
            return [ip_address(record.address) for record in answer.rrset or ()]
        except (dns.exception.DNSException, OSError) as exc:
            return exc


def _server(text: str) -> dns.nameserver.Do53Nameserver:
    address, _, port = text.rpartition(":")
    return dns.nameserver.Do53Nameserver(address.strip("[]"), int(port))


def _not_resolved(host: str) -> OutboundFailed:
    return OutboundFailed("name_not_resolved", f"the name {host} has no address")
