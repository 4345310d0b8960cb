"""`python -m tests.bench.sender`: carries out the orders of tests.bench.client.

Reads them from standard input and writes what it saw to standard output, both pickled. One request takes it a few tens
of microseconds; the ceiling is measured against a server that does nothing.
"""

import asyncio
import pickle
import random
import re
import sys
import time
from typing import cast
from urllib.parse import urlsplit

import uvloop

from tests.bench.client import Orders, Seen

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
JOB = re.compile(rb'"id": ?"([^"]+)"')


class Load:
    """Carries out one set of orders over its connections."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        address = urlsplit(orders.url)
        self._host, self._port = address.hostname or "127.0.0.1", address.port or 80
        self._idle: list[Connection] = []
        self._waiting: list[tuple[int, float]] = []
        self._open = self._begun = 0
        self._end = asyncio.Event()
        self.seen = Seen()

    async def run(self) -> None:
        began, cpu = time.perf_counter(), time.process_time()
        for _ in range(self._orders.clients if self._orders.rate is None else 0):
            await self._connect()
        if self._orders.rate is None:
            began, cpu = time.perf_counter(), time.process_time()  # connected
            for connection in list(self._idle):
                self._next(connection)
        else:
            await self._arrive(self._orders.rate)
        await self._end.wait()
        self.seen.seconds, self.seen.cpu_seconds = time.perf_counter() - began, time.process_time() - cpu

    async def _arrive(self, rate: float) -> None:
        chance, due = random.Random(self._orders.seed), time.time()
        for number in range(self._orders.count):
            due += chance.expovariate(rate)
            if (left := due - time.time()) > 0:
                await asyncio.sleep(left)
            if not self._idle and self._open < self._orders.clients:
                await self._connect()
            self._waiting.append((number, due))
            if self._idle:
                self._next(self._idle[-1])

    async def _connect(self) -> None:
        self._open += 1
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(lambda: Connection(self), self._host, self._port)
        self._idle.append(made)

    def _next(self, connection: "Connection") -> None:
        """Send on this idle connection what is due now, if something is."""
        if self._orders.rate is not None:
            number, due = self._waiting.pop(0) if self._waiting else (-1, 0.0)
        else:
            number, due = (self._begun, time.time()) if self._begun < self._orders.count else (-1, 0.0)
        if number < 0:
            return
        self._begun += 1
        self._idle.remove(connection)
        connection.send(number, due, self._orders.requests[number % len(self._orders.requests)])

    def answered(self, connection: "Connection", number: int, due: float, answer: bytearray) -> None:
        self.seen.took.append(time.time() - due)
        self.seen.due.append(due)
        self.seen.which.append(number % len(self._orders.requests))
        found = JOB.search(answer)
        self.seen.ids.append(found[1].decode() if found else "")
        self.seen.refused += answer[9:10] != b"2"
        if len(self.seen.took) == self._orders.count:
            self._end.set()
        self._idle.append(connection)
        self._next(connection)

    def lost(self, connection: "Connection") -> None:
        """The server has closed it: only while it is idle, or all fails."""
        assert connection in self._idle or self._end.is_set(), "a connection was closed while it waited for its answer"
        self._open -= 1
        if connection in self._idle:
            self._idle.remove(connection)


class Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._answer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own, which only looks like one

    def send(self, number: int, due: float, request: bytes) -> None:
        self._number, self._due = number, due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head = self._answer.find(b"\r\n\r\n")
        if head < 0:
            return
        length = LENGTH.search(self._answer, 0, head)
        if length is not None and len(self._answer) < head + 4 + int(length[1]):
            return
        answer, self._answer = self._answer, bytearray()
        self._load.answered(self, self._number, self._due, answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.lost(self)


async def main() -> None:
    load = Load(pickle.loads(sys.stdin.buffer.read()))
    await load.run()
    sys.stdout.buffer.write(pickle.dumps(load.seen))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
