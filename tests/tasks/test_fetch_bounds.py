"""What a fetch does not take, and what is seen of it while it lasts."""

import socket
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from storage import events, stops
from storage.model import Job, StepState, TenantId, new_job_id
from tasks.document import parse
from tasks.process import Process
from tasks.submit import submit
from tests.sink import Answer, Sink
from tests.tasks.outbound_servers import Got, endless, raw, verbatim
from tests.tasks.test_fetch import SMALL, document, failed, fetched, found, perform
from tests.tasks.test_fetch import opened as opened
from tests.tasks.test_kinds import work_off
from tests.waiting import until


def test_a_web_page_in_a_pictures_place_fails_before_it_is_read(opened: Process, tenant: TenantId) -> None:
    page = b"HTTP/1.1 200 OK\r\nContent-Type: Text/HTML; charset=utf-8\r\nContent-Length: 1000000\r\n\r\n<html>"
    with raw(verbatim(page)) as server:
        job = work_off(opened, tenant, document(server.url, {"small": SMALL}))
    assert failed(job.steps[0]) == (
        StepState.FAILED,
        "input_type_refused",
        "127.0.0.1 answered with text/html; what is taken is anything but application/xhtml+xml, text/html",
    )


def test_a_file_of_another_type_is_refused_by_the_type_that_came(
    process: Process, tenant: TenantId, hook: Sink
) -> None:
    untyped = "a file without a type (application/octet-stream)"
    for said, came in (
        ({"Content-Type": "image/svg+xml"}, "image/svg+xml"),
        ({"Content-Type": "s3cret \x7f"}, "application/octet-stream"),
        ({}, untyped),
    ):
        hook.answers = [Answer(headers=said)]
        state, code, message = failed(fetched(process, tenant, hook.url, types=["image/png", "image/jpeg"]))
        assert (state, code) == (StepState.FAILED, "input_type_refused")
        assert message == f"127.0.0.1 answered with {came}; what is taken is image/png, image/jpeg"


def test_a_file_that_says_it_is_too_large_is_refused_before_it_comes(opened: Process, tenant: TenantId) -> None:
    with raw(verbatim(b"HTTP/1.1 200 OK\r\nContent-Length: 4001\r\n\r\n")) as server:
        state, code, message = failed(fetched(opened, tenant, server.url, max_bytes=4000))
    assert (state, code) == (StepState.FAILED, "file_too_large")
    assert "4000 bytes" in message


def test_a_file_that_does_not_say_so_is_refused_as_soon_as_it_is(opened: Process, tenant: TenantId) -> None:
    with raw(chunked_for_ever) as server:
        step = fetched(opened, tenant, server.url, max_bytes=10**6)
        assert failed(step)[:2] == (StepState.FAILED, "file_too_large")
        server.await_end()


def chunked_for_ever(connection: socket.socket, _got: Got) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")


def test_memory_does_not_grow_with_the_file(opened: Process, tenant: TenantId) -> None:
    piece = b"x" * 65_536
    with raw(endless(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", piece)) as server:
        tracemalloc.start()
        try:
            step = fetched(opened, tenant, server.url, max_bytes=64 * 1024**2)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert failed(step)[1] == "file_too_large"
    assert most < 8 * 1024**2


def test_the_operators_bound_holds_whatever_the_job_says(process: Process, tenant: TenantId, hook: Sink) -> None:
    hook.answers = [Answer(body=b"x" * 101)]
    bound = replace(process, settings=replace(process.settings, max_fetch_bytes=100))
    assert failed(fetched(bound, tenant, hook.url, max_bytes=10**9))[1] == "file_too_large"
    hook.answers = [Answer(body=b"x" * 100)]
    assert fetched(bound, tenant, hook.url).state is StepState.SUCCEEDED


def test_an_empty_file_is_none(process: Process, tenant: TenantId, hook: Sink) -> None:
    for status in (200, 204):
        hook.answers = [Answer(status=status, body=b"")]
        words = f"127.0.0.1 answered {status} with an empty file"
        assert failed(fetched(process, tenant, hook.url)) == (StepState.FAILED, "input_empty", words)


class Halves:
    """Sends half of a file, and the rest when told to."""

    def __init__(self, size: int, *, says_length: bool = True) -> None:
        self.go_on = threading.Event()
        self._size = size
        self._length = f"Content-Length: {size}" if says_length else "Connection: close"

    def __call__(self, connection: socket.socket, _got: Got) -> None:
        connection.sendall(f"HTTP/1.1 200 OK\r\n{self._length}\r\n\r\n".encode() + b"x" * (self._size // 2))
        self.go_on.wait(30)
        connection.sendall(b"x" * (self._size - self._size // 2))
        connection.shutdown(socket.SHUT_RDWR)


def begun(process: Process, tenant: TenantId, url: str) -> Job:
    with process.database.begin(tenant) as tx:
        return submit(tx, parse(document(url)), job_id=new_job_id(), file=None).job


def progress(process: Process, tenant: TenantId, job: Job) -> list[Any]:
    with process.database.read(tenant) as tx:
        return [event.data for event in events.after(tx, job.id, 0) if event.type == "step.progress"]


@pytest.mark.parametrize("says_length", [True, False])
def test_those_who_watch_see_the_bytes_come(opened: Process, tenant: TenantId, says_length: bool) -> None:
    halves = Halves(200_000, says_length=says_length)
    with raw(halves) as server, ThreadPoolExecutor(1) as pool:
        job = begun(opened, tenant, server.url)
        working = pool.submit(perform, opened, tenant, job)
        told = until(lambda: progress(opened, tenant, job))
        halves.go_on.set()
        working.result(30)
    [told] = told
    assert told["progress"] == (0.5 if says_length else 0.0)
    assert (told["bytes"], told["of"]) == (100_000, 200_000 if says_length else None)
    assert found(opened, tenant, job).steps[0].result["outputs"][0]["bytes"] == 200_000


def test_a_job_that_is_canceled_lets_go_of_the_connection(opened: Process, tenant: TenantId) -> None:
    def half(connection: socket.socket, _got: Got) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 100_000)
        connection.recv(1)  # until the other side has closed it

    with raw(half) as server, ThreadPoolExecutor(1) as pool:
        job = begun(opened, tenant, server.url)
        working = pool.submit(perform, opened, tenant, job)
        until(lambda: progress(opened, tenant, job))
        with opened.database.begin(tenant) as tx:
            stops.cancel(tx, job.id)
        working.result(30)
        server.await_end()
    assert found(opened, tenant, job).steps[0].state is StepState.CANCELED
