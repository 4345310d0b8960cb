"""By which address tries to sign in are counted: one's own, or what a proxy says of it that is believed."""

import contextlib
from collections.abc import Callable, Iterator

import httpx2
import pytest

from deploy.local.servers import Urls
from storage.database import Database
from storage.sessions import ATTEMPTS
from tests.api.serving import served, settings

Ask = Callable[..., int]
Serve = Callable[..., Ask]


@pytest.fixture
def serve(servers: Urls, shared_database: Database) -> Iterator[Serve]:
    """Gives what tries a wrong key, with these X-Forwarded-For, before an API that believes these proxies."""
    cache = f"{str(servers.broker).rpartition('/')[0]}/9"  # where 127.0.0.1 counts for no other test
    with contextlib.ExitStack() as stack:

        def serving(trusted: str | None = None) -> Ask:
            changes = {} if trusted is None else {"forwarded_allow_ips": trusted}
            running = stack.enter_context(
                served(settings(shared_database.settings.url, {"CACHE_URL": cache}), **changes)
            )
            http = stack.enter_context(httpx2.Client(base_url=running.url))

            def ask(*addresses: str) -> int:
                headers = [("X-Forwarded-For", address) for address in addresses]
                return http.post("/v1/session", json={"key": "mk_wrong"}, headers=headers).status_code

            return ask

        yield serving


def used_up(ask: Ask, *addresses: str) -> bool:
    """Whether all tries are counted together, each with the next of the addresses."""
    told = [ask(f"198.51.100.{number}", *addresses) for number in range(ATTEMPTS + 1)]
    assert set(told[:-1]) == {401}
    return told[-1] == 429


def test_who_is_no_trusted_proxy_cannot_say_to_come_from_elsewhere(serve: Serve) -> None:
    assert used_up(serve("192.0.2.1"))


def test_of_what_a_trusted_proxy_adds_to_counts_what_it_has_seen_itself(serve: Serve) -> None:
    ask = serve()  # by default a proxy on this machine is believed
    assert used_up(ask, "203.0.113.7")  # as one header or as two, whatever the client has put before it
    assert ask("198.51.100.1, 203.0.113.7") == 429
    assert ask("203.0.113.7:4711") == 429
    assert ask("::ffff:203.0.113.7") == 429
    assert ask("198.51.100.1, 203.0.113.8") == 401


def test_of_a_chain_of_trusted_proxies_counts_who_came_to_the_first(serve: Serve) -> None:
    ask = serve("127.0.0.1,10.0.0.0/8")
    assert used_up(ask, "203.0.113.9, 10.1.2.3")
    assert ask("203.0.113.10, 10.1.2.3") == 401
