"""The API's documents about what works now, and what is stuck, as frozen dataclasses."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from api.client.answers import Document, time, understood


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """A step that a worker works on, for `seconds` now; `progress` is 0..1."""

    tenant: str
    job: str
    step: str
    kind: str
    attempt: int
    seconds: float
    progress: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Worker:
    """A worker that lives; one that is `stopping` begins nothing new."""

    name: str
    replica: str
    pool: str | None
    queues: tuple[str, ...]
    slots: int
    started_at: datetime
    stopping: bool
    version: str | None
    running: tuple[Running, ...]
    raw: Document = field(repr=False, default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """Something that is stuck, and what to do; `severity` is warning or critical."""

    code: str
    severity: str
    subject: str
    sentence: str
    hint: str
    since: datetime | None
    raw: Document = field(repr=False, default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """`state` is ok, degraded or stuck; the worst cause comes first. Numbers are None while nobody knows them."""

    at: datetime
    state: str
    causes: tuple[Cause, ...]
    queues: int | None
    running: int | None
    runnable: int | None
    workers: int | None
    failed_last_hour: int | None
    raw: Document = field(repr=False, default_factory=dict)


def workers(document: Any) -> list[Worker]:
    """Read a listing of workers. Raises MillraceError where it is none."""
    return understood(lambda it: [_worker(one) for one in it["data"]], document)


def overview(document: Any) -> Overview:
    """Read an overview. Raises MillraceError where it is none."""
    return understood(_overview, document)


def _worker(it: Document) -> Worker:
    return Worker(
        name=it["name"],
        replica=it["replica"],
        pool=it["pool"],
        queues=tuple(it["queues"]),
        slots=it["slots"],
        started_at=datetime.fromisoformat(it["started_at"]),
        stopping=bool(it["stopping"]),
        version=it["version"],
        running=tuple(_running(one) for one in it["running"]),
        raw=it,
    )


def _running(it: Document) -> Running:
    return Running(
        tenant=it["tenant"],
        job=it["job"],
        step=it["step"],
        kind=it["kind"],
        attempt=it["attempt"],
        seconds=float(it["seconds"]),
        progress=float(it["progress"]),
    )


def _overview(it: Document) -> Overview:
    return Overview(
        at=datetime.fromisoformat(it["at"]),
        state=it["state"],
        causes=tuple(_cause(one) for one in it["causes"]),
        queues=it["queues"],
        running=it["running"],
        runnable=it["runnable"],
        workers=it["workers"],
        failed_last_hour=it["failed_last_hour"],
        raw=it,
    )


def _cause(it: Document) -> Cause:
    return Cause(
        code=it["code"],
        severity=it["severity"],
        subject=it["subject"],
        sentence=it["sentence"],
        hint=it["hint"],
        since=time(it["since"]),
        raw=it,
    )
