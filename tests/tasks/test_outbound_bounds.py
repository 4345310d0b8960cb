"""Answers that are too long, too slow, or no HTTP: each ends, with a word for it."""

import asyncio
import gzip
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator

import pytest

from tasks.errors import OutboundFailed, OutboundTooLarge
from tasks.outbound import Outbound, Timeouts
from tests.tasks.outbound_servers import LOOPBACK, Got, Say, asked, call, endless, plain, raw, said, silent, verbatim

MIB = 1024 * 1024
OK = b"HTTP/1.1 200 OK\r\n"


def _chunked(*pieces: bytes, headers: bytes = b"") -> Say:
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))
    return verbatim(OK + headers + b"Transfer-Encoding: chunked\r\n\r\n" + body)


def _zipped(body: bytes) -> Say:
    return plain(body, headers={"Content-Encoding": "gzip"})


@pytest.mark.parametrize("most_bytes", [1000, 1001])
def test_a_body_may_have_as_many_bytes_as_are_taken(most_bytes: int) -> None:
    with raw(plain(b"x" * 1000)) as server:
        assert call(asked(server.url), most_bytes=most_bytes).answer.bytes == 1000


@pytest.mark.parametrize(
    "say",
    [
        pytest.param(plain(b"x" * 1001), id="by its length"),
        pytest.param(_chunked(b"x" * 1000, b"x"), id="chunked"),
        pytest.param(verbatim(OK + b"\r\n" + b"x" * 1001, then_close=True), id="until the end"),
        pytest.param(endless(OK + b"\r\n", b"x" * 1000), id="endless"),
        pytest.param(
            endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"3e8\r\n" + b"x" * 1000 + b"\r\n"), id="chunks"
        ),
        pytest.param(_zipped(gzip.compress(b"x" * 1001)), id="unpacked"),
        pytest.param(_zipped(gzip.compress(b"", 0) * 100), id="packed"),
    ],
)
def test_a_longer_body_is_cut_off(say: Say) -> None:
    with raw(say) as server:
        with pytest.raises(OutboundTooLarge, match="more than 1000 bytes"):
            call(asked(server.url), most_bytes=1000)
        server.await_end()


def test_a_body_is_not_begun_that_says_it_is_too_long() -> None:
    with raw(verbatim(OK + b"Content-Length: 5000000000\r\n\r\n")) as server, pytest.raises(OutboundTooLarge):
        call(asked(server.url), most_bytes=1000)


def test_no_body_is_missed_where_there_can_be_none() -> None:
    with raw(verbatim(OK + b"Content-Length: 5000000000\r\nContent-Encoding: gzip\r\n\r\n")) as server:
        assert call(asked(server.url, method="HEAD"), most_bytes=0).body == b""
    with raw(verbatim(b"HTTP/1.1 204 No Content\r\nContent-Encoding: gzip\r\n\r\n")) as server:
        assert call(asked(server.url), most_bytes=0).answer.status == 204


@pytest.mark.parametrize(
    "packed",
    [
        pytest.param(gzip.compress(b"abc" * MIB), id="one member"),
        pytest.param(
            gzip.compress(b"abc" * 1000) + gzip.compress(b"") + gzip.compress(b"abc" * 500), id="three members"
        ),
    ],
)
def test_gzip_is_unpacked(packed: bytes) -> None:
    with raw(_zipped(packed)) as server:
        heard = call(asked(server.url), most_bytes=3 * MIB)
    assert heard.body == gzip.decompress(packed)
    assert heard.answer.bytes == len(heard.body)


def test_gzip_in_small_pieces_is_unpacked() -> None:
    packed = gzip.compress(bytes(range(256)) * 100)
    with raw(
        _chunked(*(packed[at : at + 1] for at in range(len(packed))), headers=b"Content-Encoding: x-gzip\r\n")
    ) as server:
        assert call(asked(server.url)).body == bytes(range(256)) * 100


def test_a_gzip_bomb_never_unpacks_at_once(peak: Callable[[], int]) -> None:
    """96 MiB in 96 KiB: that it is one is seen after a few pieces."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    bomb = b"".join(squeeze.compress(bytes(16 * MIB)) for _ in range(6)) + squeeze.flush()
    assert len(bomb) < MIB // 8
    with raw(_zipped(bomb)) as server:
        before = peak()
        with pytest.raises(OutboundTooLarge):
            call(asked(server.url), most_bytes=4 * MIB)
        assert peak() - before < 24 * MIB


@pytest.fixture
def peak() -> Iterator[Callable[[], int]]:
    """The most bytes that Python's objects have taken."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


@pytest.mark.parametrize(
    "say",
    [
        pytest.param(_zipped(b"no gzip at all"), id="no gzip"),
        pytest.param(_zipped(gzip.compress(b"x" * 100)[:-1]), id="cut off"),
        pytest.param(_zipped(gzip.compress(b"x") + b"rest"), id="rest"),
        pytest.param(plain(b"x", headers={"Content-Encoding": "br"}), id="another encoding"),
        pytest.param(plain(b"x", headers={"Content-Encoding": "gzip, gzip"}), id="twice"),
        pytest.param(verbatim(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"), id="no HTTP"),
        pytest.param(verbatim(b"HTTP/1.1 999999 OK\r\n\r\n"), id="odd status"),
        pytest.param(
            verbatim(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), id="101"
        ),
        pytest.param(verbatim(OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx"), id="two lengths"),
        pytest.param(verbatim(OK + b"Content-Length: -1\r\n\r\n"), id="odd length"),
        pytest.param(verbatim(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"), id="odd chunk"),
    ],
)
def test_an_answer_that_makes_no_sense_is_a_failure(say: Say) -> None:
    with raw(say) as server:
        with pytest.raises(OutboundFailed) as caught:
            call(asked(server.url))
        server.await_end()
    assert caught.value.code == "protocol_error"


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200", OK + b"Content-Length: 5\r\n\r\nab", OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"],
)
def test_an_answer_without_its_end_is_a_failure(answer: bytes) -> None:
    with raw(verbatim(answer, then_close=True)) as server, pytest.raises(OutboundFailed) as caught:
        call(asked(server.url))
    assert caught.value.code == "connection_lost"


@pytest.mark.parametrize(
    "say",
    [
        pytest.param(plain(headers={"X-Long": "x" * 70_000}), id="one long header"),
        pytest.param(plain(headers={f"X-{number}": "x" * 100 for number in range(700)}), id="many headers"),
        pytest.param(endless(OK, b"X-More: and more\r\n"), id="endless headers"),
        pytest.param(endless(OK + b"X-Long: ", b"x" * 1000), id="endless header"),
        pytest.param(endless(b"HTTP/1.1 200 O", b"K" * 1000), id="endless status"),
        pytest.param(endless(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-More: 1\r\n"), id="endless trailers"),
        pytest.param(endless(OK + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x" * 1000), id="endless extension"),
    ],
)
def test_headers_without_an_end_are_cut_off(say: Say) -> None:
    with raw(say) as server:
        with pytest.raises(OutboundTooLarge, match="headers of more than 64 KiB"):
            call(asked(server.url))
        server.await_end()


def test_60_kib_of_headers_are_taken() -> None:
    with raw(plain(headers={"X-Long": "x" * 60 * 1024})) as server:
        assert len(call(asked(server.url)).answer.headers["x-long"]) == 60 * 1024


def _dripping(start: bytes, piece: bytes) -> Say:
    """A piece now and then: never so slow that it is silent."""

    def say(connection: socket.socket, _got: Got) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(piece)
            time.sleep(0.02)

    return say


@pytest.mark.parametrize(
    "say",
    [
        pytest.param(_dripping(OK + b"Content-Length: 100000\r\n\r\n", b"x"), id="body"),
        pytest.param(_dripping(OK, b"X: y\r\n"), id="headers"),
        pytest.param(_dripping(b"", b"HTTP/1.1 102 Processing\r\n\r\n"), id="interim answers"),
    ],
)
def test_a_drip_is_bounded_by_the_total_time(say: Say) -> None:
    with raw(say) as server:
        with pytest.raises(OutboundFailed, match=r"took longer than 0\.3 s") as caught:
            call(asked(server.url, timeouts=Timeouts(connect=5, read=5, total=0.3)))
        server.await_end()
    assert caught.value.code == "timed_out"


@pytest.mark.parametrize("say", [silent, verbatim(OK + b"Content-Length: 5\r\n\r\nab")], ids=["head", "body"])
def test_silence_is_bounded_by_the_read_time(say: Say) -> None:
    with raw(say) as server:
        with pytest.raises(OutboundFailed, match="silent for too long") as caught:
            call(asked(server.url, timeouts=Timeouts(connect=5, read=0.2, total=20)))
        server.await_end()
    assert caught.value.code == "timed_out"


def test_a_server_that_reads_nothing_is_bounded_by_the_read_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        request = asked(url, method="POST", body=bytes(32 * MIB), timeouts=Timeouts(connect=5, read=0.2, total=20))
        with pytest.raises(OutboundFailed) as caught:
            call(request)
    assert caught.value.code == "timed_out"


def test_a_connection_that_is_not_taken_is_bounded_by_the_connect_time() -> None:
    """A full backlog: the kernel answers no further SYN."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        full = [socket.socket() for _ in range(3)]
        for waiting in full:
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(OutboundFailed) as caught:
            call(asked(url, timeouts=Timeouts(connect=0.3, read=5, total=20)))
        for waiting in full:
            waiting.close()
    assert caught.value.code == "timed_out"


def test_an_early_refusal_is_heard_while_the_body_is_sent() -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def refuse() -> None:
        connection, _ = listener.accept()
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65_536):
            pass
        connection.close()

    thread = threading.Thread(target=refuse)
    thread.start()
    with listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        assert call(asked(url, method="POST", body=bytes(4 * MIB))).answer.status == 413
        thread.join()


def test_bodies_in_small_pieces_leave_the_others_their_turns() -> None:
    pieces = endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 20_000)

    async def run(hostile: str, other: str) -> bytes:
        outbound = Outbound(LOOPBACK)
        endless_ones = [asyncio.ensure_future(said(outbound, asked(hostile), most_bytes=10**9)) for _ in range(20)]
        async with asyncio.timeout(10):
            answers = [await said(outbound, asked(other)) for _ in range(20)]
        for one in endless_ones:
            one.cancel()
        await asyncio.wait(endless_ones)
        await outbound.close()
        return answers[-1].body

    with raw(pieces) as hostile, raw(plain(b"here")) as other:
        assert asyncio.run(run(hostile.url, other.url)) == b"here"
