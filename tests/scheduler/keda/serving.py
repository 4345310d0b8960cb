"""The server in a thread of this process, its numbers in the test's hand."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from scheduler.folder import Folder
from scheduler.keda.server import Server
from scheduler.keda.service import Service
from scheduler.keda.tls import Files, credentials
from scheduler.pools import Pool
from scheduler.triggers import Due, Numbers
from tests.scheduler.keda.wire import Keda

IDLE = Numbers(
    runnable=0, running=0, oldest=0, arrivals=0, arrivals_5m=0, service_mean=0, service_stddev=0, samples=0, slots=2
)
BUSY = IDLE._replace(
    runnable=25, running=2, oldest=12.5, arrivals=3, service_mean=0.5, samples=90, due=(Due(5, 40), Due(100, 9))
)


@dataclass(slots=True)
class Source:
    """What the database would say: `numbers`, or `fault`; while `gate` is not set it says nothing."""

    numbers: Numbers = IDLE
    fault: Exception | None = None
    gate: threading.Event = field(default_factory=threading.Event)
    asked: int = 0

    def __post_init__(self) -> None:
        self.gate.set()

    def __call__(self, pool: Pool) -> Numbers:
        self.asked += 1
        self.gate.wait()
        if self.fault:
            raise self.fault
        return self.numbers


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """`stop` has the server stop gracefully, and returns at once."""

    port: int
    keda: Keda
    stop: Callable[[], None]


@contextmanager
def served(path: Path, source: Source, *, interval: float = 0.02, files: Files | None = None) -> Iterator[Running]:
    """Serve the pools of a folder while the body runs; `keda` speaks without TLS."""
    ready, told, loops, ports = threading.Event(), asyncio.Event(), [], []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        service = Service(Folder(path), source, interval)
        server = Server(service, "127.0.0.1:0", credentials(files) if files else None)
        ports.append(await server.start())
        ready.set()
        await told.wait()
        await server.stop()

    def run() -> None:
        try:
            asyncio.run(serve())
        finally:
            ready.set()

    def stop() -> None:
        loops[0].call_soon_threadsafe(told.set)

    thread = threading.Thread(target=run, name="keda")
    thread.start()
    ready.wait()
    assert ports, "the server did not start"
    with grpc.insecure_channel(f"127.0.0.1:{ports[0]}") as channel:
        try:
            yield Running(port=ports[0], keda=Keda(channel), stop=stop)
        finally:
            source.gate.set()
            if thread.is_alive():
                stop()
            thread.join()
