"""`python -m tests.bench.waiting_calls`: the memory of exchanges that wait for an answer, each with its thread."""

import asyncio
import gc
import os
import socket
import ssl
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import click
import psutil

from tasks.addresses import Rules
from tasks.outbound import Timeouts, Waiting
from tests.tasks.outbound_servers import asked, certified

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@click.command()
@click.option("--count", default=500, show_default=True, help="Exchanges that wait at the same time.")
@click.option("--seconds", default=2.0, show_default=True, help="How long the server lets them wait.")
@click.option("--tls/--plain", default=False, help="Over TLS.")
def waiting_calls(count: int, seconds: float, tls: bool) -> None:
    """Wait in so many threads for a server in a process of its own, and print what that takes of memory."""
    with tempfile.TemporaryDirectory() as folder:
        pair = certified(Path(folder), "127.0.0.1")
        port, server = _server(count, seconds, pair.server if tls else None)
        waiting = Waiting(Rules.parse("127.0.0.1"), tls=pair.client)
        url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/"
        _ask(waiting, url)  # what every process loads once is not what one exchange takes
        gc.collect()
        before = psutil.Process().memory_info().rss
        most = _most(waiting, url, count, seconds)
        waiting.close()
        os.waitpid(server, 0)
    taken = (most - before) / 1024 / 1024
    print(f"{count} exchanges over {'TLS' if tls else 'plain HTTP'}, {seconds:g} s: {taken:.1f} MiB in all")
    print(f"{100 * taken / count:.2f} MiB per 100, threads included")


def _most(waiting: Waiting, url: str, count: int, seconds: float) -> int:
    """The most memory while all wait, in bytes."""
    failures: list[Exception] = []

    def ask() -> None:
        try:
            _ask(waiting, url)
        except Exception as exc:  # noqa: BLE001 - shown below: a figure of failed exchanges would say nothing
            failures.append(exc)

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    most, done = 0, threading.Event()
    while any(thread.is_alive() for thread in threads):
        most = max(most, psutil.Process().memory_info().rss)
        done.wait(seconds / 100)
    assert not failures, failures[0]
    return most


def _ask(waiting: Waiting, url: str) -> None:
    timeouts = Timeouts(connect=60, read=60, total=120)
    answer = waiting.exchange(asked(url, timeouts=timeouts), lambda _head: bytearray().extend, most_bytes=1000)
    assert answer.bytes == 2


def _server(count: int, seconds: float, tls: ssl.SSLContext | None) -> tuple[int, int]:
    """Fork a server that answers so many requests late, and one before them at once; returns port and process."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    child = os.fork()
    if child:
        port = listener.getsockname()[1]
        listener.close()
        return port, child
    try:
        asyncio.run(_serve(listener, count, seconds, tls))
    finally:
        os._exit(0)


async def _serve(listener: socket.socket, count: int, seconds: float, tls: ssl.SSLContext | None) -> None:
    answered = 0
    over = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal answered
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await asyncio.sleep(seconds if answered else 0)
                answered += 1
                writer.write(_ANSWER)
                await writer.drain()
                if answered > count:
                    over.set()
        writer.close()

    server = await asyncio.start_server(answer, sock=listener, ssl=tls)
    await over.wait()
    await asyncio.sleep(0.5)  # for the last answers to go out
    server.close()


if __name__ == "__main__":
    waiting_calls(prog_name="python -m tests.bench.waiting_calls")
