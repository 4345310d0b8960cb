"""Exchanges that go well, and the connections that they leave."""

import asyncio
from pathlib import Path

import pytest

from tasks.errors import OutboundFailed, OutboundRefused
from tasks.outbound import FileBody, Head, Outbound, resolver_for, retry_after
from tests.tasks.outbound_servers import LOOPBACK, Raw, asked, call, first, plain, raw, said, silent, verbatim
from tests.tasks.outbound_zone import names
from tests.waiting import until


def test_a_request_arrives_as_it_was_asked_and_the_answer_comes_back() -> None:
    with raw(plain(b'{"ok": 1}', headers={"X-A": "1", "x-a": "2", "Content-Type": "application/json"})) as server:
        heard = call(asked(f"{server.url}a/b?q=%20#part", method="POST", headers={"X-Key": " k \t"}, body=b'{"in": 1}'))
    assert (heard.answer.status, heard.body, heard.answer.bytes) == (200, b'{"ok": 1}', 9)
    assert heard.answer.headers == {"content-length": "9", "x-a": "1, 2", "content-type": "application/json"}
    assert heard.answer.url == f"{server.url}a/b?q=%20"
    assert 0 < heard.answer.seconds < 20
    (got,) = server.got
    assert (got.line, got.body) == ("POST /a/b?q=%20 HTTP/1.1", b'{"in": 1}')
    assert got.headers == {
        "host": server.place,
        "content-length": "9",
        "user-agent": "Millrace",
        "accept": "*/*",
        "accept-encoding": "gzip",
        "x-key": "k",
    }


def test_a_file_arrives_byte_for_byte_with_its_length(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 4099)
    with raw(plain()) as server:
        call(asked(server.url, method="PUT", body=FileBody(before=b"<<", path=path, after=b">>")))
    (got,) = server.got
    assert got.body == b"<<" + path.read_bytes() + b">>"
    assert got.headers["content-length"] == str(256 * 4099 + 4)
    assert "transfer-encoding" not in got.headers


def test_a_file_that_is_not_there_is_the_callers_own_error(tmp_path: Path) -> None:
    with raw(plain()) as server, pytest.raises(FileNotFoundError):
        call(asked(server.url, method="PUT", body=FileBody(before=b"", path=tmp_path / "none", after=b"")))


@pytest.mark.parametrize(("method", "length"), [("POST", "0"), ("GET", None), ("DELETE", None)])
def test_a_request_without_a_body_says_so_where_one_is_expected(method: str, length: str | None) -> None:
    with raw(plain()) as server:
        call(asked(server.url, method=method))
    assert server.got[0].headers.get("content-length") == length


def test_the_callers_own_user_agent_and_accept_go_first() -> None:
    with raw(plain()) as server:
        call(asked(server.url, headers={"User-Agent": "Mine", "ACCEPT": "text/plain", "accept-encoding": "identity"}))
    sent = server.got[0].headers
    assert (sent["user-agent"], sent["accept"], sent["accept-encoding"]) == ("Mine", "text/plain", "identity")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, "x") for name in ("Host", "content-length", "Transfer-Encoding", "Connection", "Upgrade", "TE")),
        *((name, "x") for name in ("Trailer", "Proxy-Authorization", "proxy-x", "Keep-Alive", "Expect")),
        *((name, "x") for name in ("", "a b", "a:", "a\r\nb", "ä", "a\x00")),
        *(("X-A", value) for value in ("a\r\nHost: b", "a\nb", "a\rb", "a\x00b", "a\x7f", "ä", "a\u2028b")),
    ],
    ids=ascii,
)
def test_a_header_that_could_change_the_request_is_refused(name: str, value: str) -> None:
    with raw(plain()) as server, pytest.raises(OutboundRefused) as caught:
        call(asked(server.url, headers={name: value}))
    assert (caught.value.code, server.accepted) == ("header_forbidden", 0)


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "get", "GET /x HTTP/1.1\r\nA: b\r\n\r\nGET", ""])
def test_a_method_that_is_none_is_refused(method: str) -> None:
    with raw(plain()) as server, pytest.raises(OutboundRefused) as caught:
        call(asked(server.url, method=method))
    assert (caught.value.code, server.accepted) == ("method_forbidden", 0)


def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with raw(plain(b"direct")) as server, raw(plain(b"proxy")) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert call(asked(server.url)).body == b"direct"
    assert proxy.accepted == 0


def _twice(first: str, second: str) -> list[bytes]:
    async def run() -> list[bytes]:
        outbound = Outbound(LOOPBACK)
        try:
            return [(await said(outbound, asked(url))).body for url in (first, second)]
        finally:
            await outbound.close()

    return asyncio.run(run())


def test_a_connection_is_used_again_for_its_origin() -> None:
    with raw(plain()) as server:
        _twice(server.url, f"{server.url}other")
        server.await_end()
    assert (server.accepted, [got.connection for got in server.got]) == (1, [1, 1])


@pytest.mark.parametrize(
    ("method", "begins"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ],
)
def test_what_nobody_asked_for_answers_nobody(method: str, begins: bytes) -> None:
    forged = verbatim(begins + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")

    async def both(url: str) -> bytes:
        outbound = Outbound(LOOPBACK)
        await said(outbound, asked(url, method=method))
        second = await said(outbound, asked(url))
        await outbound.close()
        return second.body

    with raw(first(forged, plain(b"true"))) as server:
        assert asyncio.run(both(server.url)) == b"true"
    assert server.accepted == 2


def test_two_origins_do_not_share_a_connection() -> None:
    with raw(plain(b"a")) as one, raw(plain(b"b")) as other:
        assert _twice(one.url, other.url) == [b"a", b"b"]
        assert _twice(one.url, one.url.replace("127.0.0.1", "localhost")) == [b"a", b"a"]
    assert (one.accepted, other.accepted) == (3, 1)


def test_no_cookie_is_kept() -> None:
    with raw(plain(headers={"Set-Cookie": "a=b; Path=/"})) as server:
        _twice(server.url, server.url)
    assert "cookie" not in server.got[1].headers


def test_a_connection_that_the_server_closed_is_not_used_again() -> None:
    with raw(verbatim(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", then_close=True)) as server:

        async def run() -> None:
            outbound = Outbound(LOOPBACK)
            for _ in range(2):
                assert (await said(outbound, asked(server.url))).body == b"a"
                await asyncio.to_thread(server.await_end, server.accepted)
            await outbound.close()

        asyncio.run(run())
    assert server.accepted == 2


def test_idle_connections_are_few() -> None:
    with raw(plain()) as server:

        async def run() -> int:
            outbound = Outbound(LOOPBACK)
            await asyncio.gather(*(said(outbound, asked(server.url)) for _ in range(30)))
            await asyncio.to_thread(until, lambda: server.ended >= server.accepted - 8)
            left = server.accepted - server.ended
            await outbound.close()
            return left

        assert 1 <= asyncio.run(run()) <= 8


def test_a_body_that_nobody_wants_is_not_waited_for() -> None:
    with raw(verbatim(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\nbegin")) as server:

        async def run() -> Head:
            outbound = Outbound(LOOPBACK)
            heads: list[Head] = []
            answer = await outbound.exchange(asked(server.url), heads.append, most_bytes=10)
            assert answer.bytes == 0
            await outbound.close()
            return heads[0]

        assert asyncio.run(run()).status == 200
        server.await_end()


@pytest.mark.parametrize("error", [ValueError("mine"), TimeoutError("mine")], ids=["value", "timeout"])
def test_what_the_receiver_raises_comes_back_as_it_is(error: Exception) -> None:
    def write(_chunk: bytes) -> None:
        raise error

    with raw(plain()) as server:

        async def run() -> None:
            outbound = Outbound(LOOPBACK)
            await outbound.exchange(asked(server.url), lambda _head: write, most_bytes=10)

        with pytest.raises(type(error)) as caught:
            asyncio.run(run())
        server.await_end()
    assert caught.value is error


def test_an_exchange_that_is_canceled_closes_its_connection() -> None:
    with raw(silent) as server:

        async def run() -> None:
            exchange = asyncio.ensure_future(said(Outbound(LOOPBACK), asked(server.url)))
            await asyncio.to_thread(until, lambda: server.got)
            exchange.cancel()
            with pytest.raises(asyncio.CancelledError):
                await exchange
            await asyncio.to_thread(server.await_end)

        asyncio.run(run())


def test_a_name_is_looked_up_once_and_the_connection_goes_to_that_address() -> None:
    with (
        raw(plain(b"first")) as first,
        raw(plain(b"second"), host="::1", port=first.port) as second,
        names({"moves.test": [["127.0.0.1"], ["::1"]]}) as server,
    ):
        heard = call(asked(f"http://moves.test:{first.port}/"), resolver=resolver_for([server.server]))
        assert heard.body == b"first"
        assert sorted(server.asked) == [("moves.test", "A"), ("moves.test", "AAAA")]
    assert first.got[0].headers["host"] == f"moves.test:{first.port}"
    assert second.accepted == 0


@pytest.mark.allow_hosts(["127.0.0.1", "127.0.0.2", "::1"])
def test_a_name_that_moves_inside_after_the_check_is_followed_nowhere() -> None:
    """DNS rebinding: the second answer, which nobody asks for within the exchange, is forbidden."""
    with (
        raw(plain(b"outside"), host="127.0.0.2") as outside,
        raw(plain(b"inside"), port=outside.port) as inside,
        names({"evil.test": [["127.0.0.2"], ["127.0.0.1"]]}) as server,
    ):
        _rebound(f"http://evil.test:{outside.port}/", outside, server.server)
        assert sorted(server.asked) == [("evil.test", "A")] * 2 + [("evil.test", "AAAA")] * 2
    assert (outside.accepted, inside.accepted) == (1, 0)


def _rebound(url: str, outside: Raw, nameserver: str) -> None:
    """The first exchange connects, the second uses the connection, the third one needs a new one."""

    async def run() -> None:
        outbound = Outbound(LOOPBACK.parse("127.0.0.2"), resolver=resolver_for([nameserver]))
        assert [(await said(outbound, asked(url))).body for _ in range(2)] == [b"outside", b"outside"]
        await outbound.close()
        await asyncio.to_thread(outside.await_end)
        with pytest.raises(OutboundRefused):
            await said(outbound, asked(url))

    asyncio.run(run())


def test_the_next_address_is_tried_where_the_first_takes_no_connection() -> None:
    with raw(plain(b"six"), host="::1") as server, names({"both.test": [["127.0.0.1", "::1"]]}) as zone:
        resolver = resolver_for([zone.server])
        assert call(asked(f"http://both.test:{server.port}/"), resolver=resolver).body == b"six"


def test_nobody_at_home_is_a_failure_that_may_pass() -> None:
    with raw(plain()) as server:
        url = server.url
    with pytest.raises(OutboundFailed) as caught:
        call(asked(url))
    assert caught.value.code == "connect_failed"
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "120"}, 120.0),
        ({"retry-after": " 0 "}, 0.0),
        ({"retry-after": "9" * 30}, 999_999_999.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "1.5"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT"}, None),
        ({"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT", "date": "Fri, 31 Dec 1999 23:59:29 GMT"}, 30.0),
        ({"retry-after": "Fri, 31 Dec 1999 23:59:29 GMT", "date": "Fri, 31 Dec 1999 23:59:59 GMT"}, 0.0),
        ({"retry-after": "Fri, 31 Dec 1999 23:59:59", "date": "Fri, 31 Dec 1999 23:59:29 GMT"}, None),
    ],
)
def test_retry_after_is_told_in_seconds(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds
