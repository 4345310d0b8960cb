"""Steady work over HTTP, and the account of it: what was accepted, what came of it, and how long it took."""

import contextlib
import itertools
import json
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx2

import deploy
from tests.faults.effects import effects
from tests.faults.stack import Stack, client

PHOTO = (Path(deploy.__file__).parent / "photos" / "rocket.jpg").read_bytes()
TERMINAL = frozenset({"succeeded", "failed", "canceled", "expired"})
PICTURE = {"steps": {"thumbs": {"kind": "image.resize", "variants": [{"name": "s", "width": 64}]}}}
PATIENCE_SECONDS = 90.0

Document = Callable[[int], tuple[Mapping[str, Any], bytes | None]]


@dataclass(kw_only=True, slots=True)
class Load:
    """What was sent so far: the jobs that were accepted, and every answer or error on the way, by its status."""

    accepted: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def statuses(self) -> Counter[str]:
        """How often each status came; errors of the connection go by their name."""
        return Counter(self.answers)


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """What came of the accepted jobs; `lost` did not end in time, or ended as they should not have.

    `failed` are those that lost their worker at every attempt, which is a right end, as `canceled` is where somebody
    canceled. `doubled` and `missing` are effects, `repeated` requests with a key that the third party had before.
    `longest_seconds` is from a job's acceptance to its end: after a fault, the longest recovery.
    """

    accepted: int
    succeeded: int
    failed: int
    canceled: int
    lost: tuple[str, ...]
    doubled: tuple[str, ...]
    missing: tuple[str, ...]
    repeated: int
    longest_seconds: float

    @property
    def is_right(self) -> bool:
        """Whether nothing was lost and nothing was done twice."""
        return not (self.lost or self.doubled or self.missing)

    def told(self) -> list[str]:
        """Each number in a line of its own, and then whatever is not right."""
        rows = {
            "accepted": self.accepted,
            "succeeded": self.succeeded,
            "failed by plan (poison), or lost at each try": self.failed,
            "canceled by plan": self.canceled,
            "lost": len(self.lost),
            "effects missing": len(self.missing),
            "doubled": len(self.doubled),
            "requests repeated with their key": self.repeated,
        }
        return [
            *(f"{name:<46}{value:>8}" for name, value in rows.items()),
            f"{'longest from acceptance to end, seconds':<46}{self.longest_seconds:>8.1f}",
            *(f"NOT RIGHT: {what}" for what in (*self.lost, *self.missing, *self.doubled)),
        ]


def photo() -> bytes:
    """A photograph that nobody has sent before, by what stands behind its end: its pictures have to be made."""
    return PHOTO + uuid.uuid4().bytes


def echo(seconds: float = 0.1) -> dict[str, Any]:
    """A document: one step that takes so long."""
    return {"steps": {"say": {"kind": "echo", "sleep_seconds": seconds}}}


def chain(stack: Stack, seconds: float = 0.1) -> dict[str, Any]:
    """A document: a step, and behind it a call of the third party."""
    tell = {"kind": "http.call", "use": ["say"], "url": stack.sink.url}
    return {"steps": {**echo(seconds)["steps"], "tell": tell}}


@contextlib.contextmanager
def load(
    stack: Stack, *, threads: int = 2, pause_seconds: float = 0.15, document: Document | None = None
) -> Iterator[Load]:
    """Send jobs of all sorts while the body runs; each is sent again until it is accepted, also after the body.

    `document` makes them, from a number: with a file or none. By default a mix.
    """
    running = Load()
    made = map(document or partial(mixed, stack), itertools.count())
    with ThreadPoolExecutor(threads) as pool:
        senders = [pool.submit(_send, stack, running, made, pause_seconds) for _ in range(threads)]
        try:
            yield running
        finally:
            running.stop.set()
            for sender in senders:
                sender.result(PATIENCE_SECONDS)


def backlog(stack: Stack, documents: Sequence[Mapping[str, Any]]) -> list[str]:
    """Have these documents accepted, as fast as it goes; returns the jobs' ids."""
    noted = Load()
    with client(stack.started) as http:
        return [accept(http, document, noted) for document in documents]


def batch(stack: Stack, documents: Sequence[Mapping[str, Any]]) -> list[str]:
    """Have these documents accepted in one request, which may bring 10,000; returns the jobs' ids."""
    lines = "\n".join(map(json.dumps, documents))
    answer = stack.http.post("/v1/batches", content=lines, headers={"Content-Type": "application/x-ndjson"})
    assert answer.status_code == 202, answer.text
    return [job for (job,) in stack.rows("SELECT id FROM jobs WHERE batch_id = %s", answer.json()["id"])]


def accept(http: httpx2.Client, document: Mapping[str, Any], noted: Load, file: bytes | None = None) -> str:
    """Send a job until it is accepted, as a careful client does, and return its id."""
    form = {"json": document} if file is None else {"data": {"job": json.dumps(document)}, "files": {"file": file}}
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        pause = 0.1
        try:
            answer = http.post("/v1/jobs", headers=headers, **form)
        except httpx2.TransportError as exc:
            noted.answers.append(type(exc).__name__)
        else:
            noted.answers.append(str(answer.status_code))
            if answer.status_code == 202:
                return str(answer.json()["id"])
            assert answer.status_code in {409, 503}, answer.text
            pause = float(answer.headers["Retry-After"])
        assert time.monotonic() < deadline, f"not accepted within {PATIENCE_SECONDS} s: {noted.statuses}"
        time.sleep(pause)


def all_ended(stack: Stack, jobs: Sequence[str], *, within: float) -> Table:
    """Wait until all these jobs have ended, at most so many seconds, and draw up the account of them."""
    deadline = time.monotonic() + within
    with client(stack.started) as http, ThreadPoolExecutor(8) as pool:
        documents = list(pool.map(lambda job: _ended(http, job, deadline), jobs))
        whole = list(pool.map(lambda document: _is_whole(http, document), documents))
    states = [_verdict(document) if fine else "lost" for document, fine in zip(documents, whole, strict=True)]
    counted = Counter(states)
    found = effects(stack, jobs)
    return Table(
        accepted=len(jobs),
        succeeded=counted["succeeded"],
        failed=counted["failed"],
        canceled=counted["canceled"],
        lost=tuple(
            f"{job} {document.get('state')}"
            for job, document, state in zip(jobs, documents, states, strict=True)
            if state == "lost"
        ),
        doubled=found.doubled,
        missing=found.missing,
        repeated=found.repeated,
        longest_seconds=max((_seconds(document) for document in documents if document.get("finished_at")), default=0.0),
    )


def nothing_is_lost(stack: Stack, jobs: Sequence[str], *, within: float) -> Table:
    """All these jobs end well in time, every effect is had and none is doubled; returns the account."""
    table = all_ended(stack, jobs, within=within)
    assert jobs
    assert table.is_right, table
    assert table.succeeded == table.accepted, table
    return table


def mixed(stack: Stack, number: int) -> tuple[Mapping[str, Any], bytes | None]:
    """A step, a step and a call in turn, and now and then a picture."""
    if number % 10 == 5:
        return PICTURE, photo()
    seconds = random.uniform(0.05, 0.2)
    return (chain(stack, seconds) if number % 2 else echo(seconds)), None


def _send(
    stack: Stack, running: Load, documents: Iterator[tuple[Mapping[str, Any], bytes | None]], pause_seconds: float
) -> None:
    with client(stack.started) as http:
        while not running.stop.is_set():
            document, file = next(documents)
            running.accepted.append(accept(http, document, running, file))
            running.stop.wait(pause_seconds)


def _ended(http: httpx2.Client, job: str, deadline: float) -> dict[str, Any]:
    """The job's document once it has ended, or as it stands when the time is over."""
    document: dict[str, Any] = {}
    while True:
        left = deadline - time.monotonic()
        with contextlib.suppress(httpx2.TransportError):
            answer = http.get(f"/v1/jobs/{job}", params={"wait": max(0.0, min(left, 10.0))})
            document = answer.json() if answer.status_code == 200 else document
        if document.get("state") in TERMINAL or left <= 0:
            return document
        if not document:
            time.sleep(0.1)


def _verdict(document: Mapping[str, Any]) -> str:
    if document.get("state") in {"succeeded", "canceled"}:
        return str(document["state"])
    failed = [step for step in document.get("steps", {}).values() if step["state"] == "failed"]
    tried = {attempt["outcome"] for step in failed for attempt in step["attempts"]}
    return "failed" if "lost" in tried and tried <= {"lost", "returned"} else "lost"


def _is_whole(http: httpx2.Client, document: Mapping[str, Any]) -> bool:
    """Whether every output of a job that succeeded is there, with as many bytes as its document says."""
    if document.get("state") != "succeeded":
        return True
    results = [step.get("result") for step in document.get("steps", {}).values()]
    outputs = [made for result in results if isinstance(result, dict) for made in result.get("outputs", [])]
    return all(len(http.get(made["href"]).content) == made["bytes"] for made in outputs)


def _seconds(document: Mapping[str, Any]) -> float:
    began, ended = (datetime.fromisoformat(document[name]) for name in ("created_at", "finished_at"))
    return (ended - began).total_seconds()
