"""Exchanges from threads: one event loop for all of them, that can be interrupted, closed and forked."""

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from tasks.addresses import Rules
from tasks.errors import OutboundFailed, OutboundRefused
from tasks.outbound import Asked, Waiting
from tests.tasks.outbound_servers import LOOPBACK, Got, Raw, asked, plain, raw, silent
from tests.tasks.outbound_zone import names


@pytest.fixture
def waiting() -> Iterator[Waiting]:
    waiting = Waiting(LOOPBACK)
    yield waiting
    waiting.close()


def _body(waiting: Waiting, request: Asked) -> bytes:
    body = bytearray()
    waiting.exchange(request, lambda _head: body.extend, most_bytes=1000)
    return bytes(body)


def test_threads_share_one_loop(waiting: Waiting) -> None:
    together = threading.Barrier(21)

    def say(connection: object, got: Got) -> None:
        together.wait(10)
        plain(b"ok")(connection, got)  # type: ignore[arg-type]

    with raw(say) as server, ThreadPoolExecutor(20) as threads:
        asking = [threads.submit(_body, waiting, asked(server.url)) for _ in range(20)]
        together.wait(10)
        assert sum(thread.name == "outbound" for thread in threading.enumerate()) == 1
        assert [each.result() for each in asking] == [b"ok"] * 20


def test_errors_arrive_in_the_thread(waiting: Waiting) -> None:
    with pytest.raises(OutboundRefused):
        _body(waiting, asked("http://10.0.0.1/"))


def test_name_servers_of_choice_are_asked() -> None:
    with raw(plain(b"here")) as server, names({"a.test": [["127.0.0.1"]]}) as zone:
        waiting = Waiting(LOOPBACK, nameservers=[zone.server])
        assert _body(waiting, asked(f"http://a.test:{server.port}/")) == b"here"
        waiting.close()
        assert zone.asked


def test_what_happens_meanwhile_happens_in_the_callers_thread(waiting: Waiting) -> None:
    go_on, seen = threading.Event(), []

    def meanwhile() -> None:
        seen.append(threading.current_thread())
        if len(seen) == 3:
            go_on.set()

    def say(connection: object, got: Got) -> None:
        go_on.wait(10)
        plain(b"ok")(connection, got)  # type: ignore[arg-type]

    with raw(say) as server:
        answer = waiting.exchange(
            asked(server.url), lambda _head: None, most_bytes=10, meanwhile=meanwhile, every_seconds=0.01
        )
    assert answer.status == 200
    assert len(seen) >= 3
    assert set(seen) == {threading.current_thread()}


def test_what_it_raises_ends_the_exchange(waiting: Waiting) -> None:
    class Unwanted(Exception):
        pass

    with raw(silent) as server:

        def meanwhile() -> None:
            if server.got:
                raise Unwanted

        with pytest.raises(Unwanted):
            waiting.exchange(
                asked(server.url), lambda _head: None, most_bytes=10, meanwhile=meanwhile, every_seconds=0.01
            )
        server.await_end()


def test_a_soft_time_limit_ends_the_exchange(waiting: Waiting) -> None:
    def limit(*_: object) -> None:
        raise SoftTimeLimitExceeded

    before = signal.signal(signal.SIGUSR1, limit)
    try:
        with raw(lambda _connection, _got: os.kill(os.getpid(), signal.SIGUSR1)) as server:
            with pytest.raises(SoftTimeLimitExceeded):
                _body(waiting, asked(server.url))
            server.await_end()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_nothing_is_written_after_the_end(waiting: Waiting) -> None:
    """A caller that was interrupted may close its file at once."""
    writing, ended, late = threading.Event(), threading.Event(), []

    def write(_chunk: bytes) -> None:
        writing.set()
        if ended.is_set():
            late.append(1)

    def meanwhile() -> None:
        if writing.is_set():
            raise KeyboardInterrupt

    def say(connection: object, _got: Got) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")  # type: ignore[attr-defined]
        while True:
            connection.sendall(b"x" * 1000)  # type: ignore[attr-defined]

    with raw(say) as server:
        with pytest.raises(KeyboardInterrupt):
            waiting.exchange(
                asked(server.url), lambda _head: write, most_bytes=10**12, meanwhile=meanwhile, every_seconds=0.01
            )
        ended.set()
        server.await_end()
    assert late == []


def test_closing_ends_what_is_under_way_and_a_later_exchange_starts_anew(waiting: Waiting) -> None:
    with raw(silent) as server, ThreadPoolExecutor(1) as thread:
        going = thread.submit(_body, waiting, asked(server.url))
        server.await_got()
        waiting.close()
        with pytest.raises(OutboundFailed, match="stopped"):
            going.result(10)
        server.await_end()
        server.say = plain(b"again")
        assert _body(waiting, asked(server.url)) == b"again"


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_has_a_loop_of_its_own(waiting: Waiting) -> None:
    with raw(plain(b"ok")) as server:
        assert _body(waiting, asked(server.url)) == b"ok"
        assert _of_child(waiting, server) == b"ok"
        assert _body(waiting, asked(server.url)) == b"ok"
        # the parent's connection stayed the parent's
        assert [got.connection for got in server.got] == [1, 2, 1]


def _of_child(waiting: Waiting, server: Raw) -> bytes:
    """What a child that is forked now hears."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            os.write(writing, _body(waiting, asked(server.url)))
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        heard = file.read()
    os.waitpid(child, 0)
    return heard


def test_nothing_is_open_by_itself() -> None:
    waiting = Waiting(Rules())
    with raw(plain()) as server, pytest.raises(OutboundRefused):
        _body(waiting, asked(server.url))
    waiting.close()
    assert server.accepted == 0
