"""The other side of tests.bench.watchers, a process of its own: clients that keep event streams open, and some jobs.

It says on its standard output, line by line as JSON, when all streams are open and how late
events came; it goes on when it is told to by a line on its standard input.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from typing import cast
from urllib.parse import urlsplit

import click
import httpx2
import uvloop

from tests.bench.rounds import quantile

WAITING = {"steps": {"wait": {"kind": "http.call", "url": "https://nobody.example/"}}}  # its queue is paused
ECHO = {"steps": {"say": {"kind": "echo", "sleep_seconds": 0.1}}}
AT_ONCE = 16  # requests, and streams that are being opened
LONGEST = 60.0  # seconds that something may take before the bench gives up


class Watcher(asyncio.Protocol):
    """One client: the events that came over its connection, each with the time of its arrival."""

    def __init__(self, head: bytes) -> None:
        self._head = head
        self._rest = b""
        self._heard: dict[str, tuple[float, float]] = {}  # arrived and happened, by type
        self._news = asyncio.Event()
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(self._head)  # uvloop's own are no instances

    def data_received(self, data: bytes) -> None:
        now = time.time()
        if b"data: " not in data and not self._rest:  # a sign of life
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data: "):
                told = json.loads(line.removeprefix(b"data: "))
                self._heard[told["type"]] = (now, datetime.fromisoformat(told["at"]).timestamp())
                self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self._news.set()

    async def event(self, kind: str) -> tuple[float, float]:
        """When an event of this type came, and when it had happened, in seconds since the epoch."""
        async with asyncio.timeout(LONGEST):
            while kind not in self._heard:
                assert not self.is_lost, "the stream has ended too early"
                self._news.clear()
                await self._news.wait()
        return self._heard[kind]


class Clients:
    """All of them, before one API."""

    def __init__(self, url: str, key: str, http: httpx2.AsyncClient) -> None:
        self._at = urlsplit(url)
        self._key = key
        self._http = http
        self._room = asyncio.Semaphore(AT_ONCE)

    async def submit(self, document: dict[str, object]) -> str:
        async with self._room:
            answer = await self._http.post("/v1/jobs", json=document)
        return str(answer.raise_for_status().json()["id"])

    async def watch(self, job_id: str) -> Watcher:
        """A stream of the job's events, of which the first has come."""
        head = (
            f"GET /v1/jobs/{job_id}/events HTTP/1.1\r\nHost: {self._at.netloc}\r\n"
            f"Authorization: Bearer {self._key}\r\nAccept: text/event-stream\r\n\r\n"
        )
        assert self._at.hostname
        async with self._room:
            loop, port = asyncio.get_running_loop(), self._at.port or 80
            _, made = await loop.create_connection(lambda: Watcher(head.encode()), self._at.hostname, port)
            await made.event("job.queued")
        return made

    async def end(self, job_id: str, watcher: Watcher) -> tuple[float, float]:
        """Cancel an idle client's job: from the event, and from the request, until its client knows, in seconds."""
        asked = time.time()
        (await self._http.post(f"/v1/jobs/{job_id}/cancel")).raise_for_status()
        arrived, happened = await watcher.event("job.canceled")
        return arrived - happened, arrived - asked

    async def run(self) -> tuple[float, float]:
        """The same of a job that runs, from the end of its work and from the request."""
        asked = time.time()
        watcher = await self.watch(await self.submit(dict(ECHO)))
        arrived, happened = await watcher.event("job.succeeded")
        return arrived - happened, arrived - asked


async def main(url: str, key: str, count: int, jobs: int) -> None:
    async with httpx2.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=LONGEST) as http:
        clients = Clients(url, key, http)
        ids = await asyncio.gather(*(clients.submit(dict(WAITING)) for _ in range(count)))
        say({"submitted": len(ids)})
        await told_to_go_on()
        began = time.time()
        watchers = await asyncio.gather(*(clients.watch(job_id) for job_id in ids))
        say({"open": len(watchers), "seconds": time.time() - began})
        await told_to_go_on()
        lost = sum(watcher.is_lost for watcher in watchers)
        idle = list(zip(ids, watchers, strict=True))[:: max(count // jobs, 1)][:jobs]
        canceled = [await clients.end(job_id, watcher) for job_id, watcher in idle]
        ran = [await clients.run() for _ in range(jobs)]
        say({"lost": lost, **dict(figures("an idle client's job", canceled)), **dict(figures("a job that runs", ran))})
        await told_to_go_on()


def figures(whose: str, taken: list[tuple[float, float]]) -> Iterator[tuple[str, float]]:
    """Milliseconds, by what they are of."""
    for name, place in (("event to client", 0), ("request to client", 1)):
        for label, share in (("p50", 0.5), ("p99", 0.99)):
            yield f"{whose}: {name} ms {label}", 1000 * quantile([one[place] for one in taken], share)


def say(what: dict[str, float]) -> None:
    print(json.dumps(what), flush=True)


async def told_to_go_on() -> None:
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


@click.command()
@click.argument("url")
@click.argument("key")
@click.argument("count", type=int)
@click.argument("jobs", type=int)
def clients(url: str, key: str, count: int, jobs: int) -> None:
    uvloop.run(main(url, key, count, jobs))


if __name__ == "__main__":
    clients()
