"""The API's documents about dead letters and queues as frozen dataclasses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from api.client import numbers
from api.client.answers import Document, time, understood
from api.client.numbers import Load


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetters:
    """Steps of one kind that failed for one reason; `message` and `newest_job` are examples."""

    kind: str
    fingerprint: str
    code: str
    message: str
    count: int
    oldest: datetime
    newest: datetime
    newest_job: str
    raw: Document = field(repr=False, default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Replayed:
    """What a replay did: `jobs` run again, `matching` there were in all, `skipped` of the chosen could not."""

    matching: int
    skipped: int
    jobs: tuple[str, ...]
    raw: Document = field(repr=False, default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Queue:
    """A queue; `paused_at` is since when nothing new starts from it.

    The numbers are the whole platform's: None, and none by priority, where the key lacks the scope `operate:read`.
    """

    name: str
    paused: bool
    paused_at: datetime | None
    workers: int | None
    slots: int | None
    load: Load | None
    by_priority: Mapping[str, Load]
    raw: Document = field(repr=False, default_factory=dict)


def dead_letters(document: Any) -> list[DeadLetters]:
    """Read a listing of dead letters. Raises MillraceError where it is none."""
    return understood(lambda it: [_dead_letters(one) for one in it["data"]], document)


def replayed(document: Any) -> Replayed:
    """Read what a replay did. Raises MillraceError where it does not say."""
    return understood(
        lambda it: Replayed(matching=it["matching"], skipped=it["skipped"], jobs=tuple(it["jobs"]), raw=it), document
    )


def queues(document: Any) -> list[Queue]:
    """Read a listing of queues. Raises MillraceError where it is none."""
    return understood(lambda it: [_queue(one) for one in it["data"]], document)


def queue(document: Any) -> Queue:
    """Read a queue's document. Raises MillraceError where it is none."""
    return understood(_queue, document)


def wish(
    percent: float,
    limit: int,
    failed_after: datetime | None,
    failed_before: datetime | None,
    **words: str | None,
) -> Mapping[str, Any]:
    """The document that asks for a replay; what is None is left out."""
    times = {"failed_after": failed_after, "failed_before": failed_before}
    chosen = {**words, **{name: when.isoformat() for name, when in times.items() if when is not None}}
    given = {name: value for name, value in chosen.items() if value is not None}
    return {"filter": given, "percent": percent, "limit": limit}


def _dead_letters(it: Document) -> DeadLetters:
    return DeadLetters(
        kind=it["kind"],
        fingerprint=it["fingerprint"],
        code=it["code"],
        message=it["message"],
        count=it["count"],
        oldest=datetime.fromisoformat(it["oldest"]),
        newest=datetime.fromisoformat(it["newest"]),
        newest_job=it["newest_job"],
        raw=it,
    )


def _queue(it: Document) -> Queue:
    return Queue(
        name=it["name"],
        paused=bool(it["paused"]),
        paused_at=time(it["paused_at"]),
        workers=it.get("workers"),
        slots=it.get("slots"),
        load=numbers.load(it.get("load")),
        by_priority=numbers.loads(it.get("by_priority")),
        raw=it,
    )
