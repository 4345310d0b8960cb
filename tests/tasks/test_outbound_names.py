"""Looking names up: what every resolver does, and that one name server's silence is its own hosts' trouble."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from ipaddress import ip_address

import pytest

from tasks.addresses import Address
from tasks.errors import OutboundFailed
from tasks.outbound import Resolver, Timeouts, resolver_for
from tasks.outbound_names import MOST_LOOK_UPS, MOST_OF_ONE, SystemResolver, ask_system
from tests.tasks.outbound_servers import asked, call, plain, raw
from tests.tasks.outbound_zone import names

Known = Mapping[str, Sequence[str]]
Making = Callable[[Known], AbstractContextManager[Callable[[], Resolver]]]


@contextmanager
def _of_the_system(known: Known) -> Iterator[Callable[[], Resolver]]:
    def ask(host: bytes) -> Sequence[Address]:
        if host.decode() not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [ip_address(address) for address in known[host.decode()]]

    yield lambda: SystemResolver(ask)


@contextmanager
def _of_name_servers(known: Known) -> Iterator[Callable[[], Resolver]]:
    with names({name: [addresses] for name, addresses in known.items()}) as server:
        yield lambda: resolver_for([server.server])


@pytest.mark.parametrize("making", [_of_the_system, _of_name_servers])
class TestEveryResolver:
    def test_all_addresses_of_a_name_are_found(self, making: Making) -> None:
        with making({"a.test": ["127.0.0.1", "127.0.0.2", "::1"]}) as make:
            found = asyncio.run(_look_up(make, "a.test"))
        assert sorted(map(str, found)) == ["127.0.0.1", "127.0.0.2", "::1"]

    @pytest.mark.parametrize("name", ["none.test", "empty.test"])
    def test_a_name_without_addresses_is_not_resolved(self, making: Making, name: str) -> None:
        with making({"empty.test": []}) as make, pytest.raises(OutboundFailed, match=name) as caught:
            asyncio.run(_look_up(make, name))
        assert caught.value.code == "name_not_resolved"


async def _look_up(make: Callable[[], Resolver], name: str) -> Sequence[Address]:
    return await make().look_up(name)


def test_the_system_is_asked() -> None:
    assert ip_address("127.0.0.1") in ask_system(b"localhost")
    with raw(plain(b"here")) as server:
        assert call(asked(f"http://localhost:{server.port}/")).body == b"here"


def test_a_silent_name_server_is_bounded_by_the_connect_time() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        resolver = resolver_for([f"127.0.0.1:{silent.getsockname()[1]}"])
        with pytest.raises(OutboundFailed, match="took too long") as caught:
            call(asked("http://a.test/", timeouts=Timeouts(connect=0.2, read=5, total=20)), resolver=resolver)
    assert caught.value.code == "name_not_resolved"


def test_look_ups_that_hang_hold_up_nobody_else() -> None:
    hang, asked_for = threading.Event(), []

    def ask(host: bytes) -> Sequence[Address]:
        asked_for.append(host)
        if host == b"hangs.test":
            hang.wait(30)
        return [ip_address("127.0.0.1")]

    async def run() -> None:
        resolver = SystemResolver(ask)
        hanging = [asyncio.ensure_future(resolver.look_up("hangs.test")) for _ in range(3 * MOST_LOOK_UPS)]
        assert await asyncio.wait_for(resolver.look_up("a.test"), 10) == [ip_address("127.0.0.1")]
        for one in hanging[1:]:
            one.cancel()
        hang.set()
        assert await asyncio.wait_for(hanging[0], 10) == [ip_address("127.0.0.1")]
        await resolver.look_up("hangs.test")

    asyncio.run(run())
    assert asked_for == [b"hangs.test", b"a.test", b"hangs.test"]


def test_look_ups_of_one_tenant_that_hang_hold_up_no_other() -> None:
    hang = threading.Event()

    def ask(host: bytes) -> Sequence[Address]:
        if host.startswith(b"hangs"):
            hang.wait(30)
        return [ip_address("127.0.0.1")]

    async def run() -> None:
        resolver = SystemResolver(ask)
        names = [f"hangs{number}.test" for number in range(2 * MOST_LOOK_UPS)]
        hanging = [asyncio.ensure_future(resolver.look_up(name, "mallory")) for name in names]
        assert await asyncio.wait_for(resolver.look_up("a.test", "acme"), 10) == [ip_address("127.0.0.1")]
        for one in hanging[MOST_OF_ONE:]:
            one.cancel()
        hang.set()
        assert len(await asyncio.wait_for(asyncio.gather(*hanging[:MOST_OF_ONE]), 10)) == MOST_OF_ONE
        assert await asyncio.wait_for(resolver.look_up("b.test", "mallory"), 10) == [ip_address("127.0.0.1")]

    asyncio.run(run())


def test_a_look_up_whose_caller_is_gone_fails_unheard() -> None:
    started, go_on = threading.Event(), threading.Event()

    def ask(_host: bytes) -> Sequence[Address]:
        started.set()
        go_on.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    async def run() -> None:
        resolver = SystemResolver(ask)
        gone = asyncio.ensure_future(resolver.look_up("a.test"))
        await asyncio.to_thread(started.wait, 10)
        gone.cancel()
        go_on.set()
        with pytest.raises(OutboundFailed):
            await asyncio.wait_for(resolver.look_up("a.test"), 10)

    asyncio.run(run())
