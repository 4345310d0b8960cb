"""The API's numbers as frozen dataclasses: what queues have to do, and what the scaler made of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from api.client.answers import Document, understood


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """Per second, over the last minute and over the last five."""

    one_minute: float
    five_minutes: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceSeconds:
    """How long attempts take a slot, in seconds, and of how many that is known."""

    mean: float
    p95: float
    stddev: float
    samples: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What there is to do: what may run now, what does, and what waits for other steps or for its time.

    `oldest_runnable_seconds` is None where nothing is runnable, `service_seconds` where nothing ended in the last hour.
    """

    runnable: int
    running: int
    waiting: int
    scheduled: int
    retrying: int
    oldest_runnable_seconds: float | None
    arrivals_per_second: Rates
    completions_per_second: Rates
    service_seconds: ServiceSeconds | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Trigger:
    """What a trigger said: `value` against `target`; or, if it `failed`, only why it could not be read."""

    name: str
    value: float | None
    target: float | None
    active: bool | None
    why: str | None
    failed: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Pool:
    """A pool of workers, and the scaler's last decision about it: from `replicas` to `wanted`, `age_seconds` ago.

    It is `stale` when no scaler runs, or none reaches the database. `numbers` are what the triggers were read with, as
    the API's document has them; None where they could not be read. With `dry_run` the scaler decides and does nothing.
    """

    name: str
    replicas: int
    wanted: int
    min_replicas: int
    max_replicas: int
    reason: str
    decided_at: datetime
    age_seconds: float
    stale: bool
    trouble: str | None
    dry_run: bool
    triggers: tuple[Trigger, ...]
    numbers: Document | None
    raw: Document = field(repr=False, default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """A decision of the scaler's that changed something: from `replicas` to `wanted`."""

    id: str
    at: datetime
    replicas: int
    wanted: int
    reason: str
    triggers: tuple[Trigger, ...]
    dry_run: bool
    raw: Document = field(repr=False, default_factory=dict)


def pools(document: Any) -> list[Pool]:
    """Read a listing of pools. Raises MillraceError where it is none."""
    return understood(lambda it: [_pool(one) for one in it["data"]], document)


def pool(document: Any) -> Pool:
    """Read a pool's document. Raises MillraceError where it is none."""
    return understood(_pool, document)


def decisions(document: Any) -> tuple[list[Decision], str | None]:
    """Read a page of decisions and the cursor of the next one. Raises MillraceError where it is none."""
    return understood(lambda it: ([_decision(one) for one in it["data"]], it["next_cursor"]), document)


def load(it: Document | None) -> Load | None:
    """Read a load, or none: the key may not see it."""
    if it is None:
        return None
    return Load(
        runnable=it["runnable"],
        running=it["running"],
        waiting=it["waiting"],
        scheduled=it["scheduled"],
        retrying=it["retrying"],
        oldest_runnable_seconds=it["oldest_runnable_seconds"],
        arrivals_per_second=_rates(it["arrivals_per_second"]),
        completions_per_second=_rates(it["completions_per_second"]),
        service_seconds=_service(it["service_seconds"]),
    )


def loads(it: Mapping[str, Document] | None) -> Mapping[str, Load]:
    """Read loads by priority; none at all where the key may not see them."""
    return {priority: found for priority, one in (it or {}).items() if (found := load(one)) is not None}


def _rates(it: Document) -> Rates:
    return Rates(one_minute=it["1m"], five_minutes=it["5m"])


def _service(it: Document | None) -> ServiceSeconds | None:
    if it is None:
        return None
    return ServiceSeconds(mean=it["mean"], p95=it["p95"], stddev=it["stddev"], samples=it["samples"])


def _trigger(it: Document) -> Trigger:
    return Trigger(
        name=it["trigger"],
        value=it.get("value"),
        target=it.get("target"),
        active=it.get("active"),
        why=it.get("why"),
        failed=it.get("failed"),
    )


def _pool(it: Document) -> Pool:
    return Pool(
        name=it["name"],
        replicas=it["replicas"],
        wanted=it["wanted"],
        min_replicas=it["min_replicas"],
        max_replicas=it["max_replicas"],
        reason=it["reason"],
        decided_at=datetime.fromisoformat(it["decided_at"]),
        age_seconds=float(it["age_seconds"]),
        stale=bool(it["stale"]),
        trouble=it.get("trouble"),
        dry_run=bool(it["dry_run"]),
        triggers=tuple(_trigger(one) for one in it["triggers"]),
        numbers=it["numbers"],
        raw=it,
    )


def _decision(it: Document) -> Decision:
    return Decision(
        id=it["id"],
        at=datetime.fromisoformat(it["at"]),
        replicas=it["replicas"],
        wanted=it["wanted"],
        reason=it["reason"],
        triggers=tuple(_trigger(one) for one in it["triggers"]),
        dry_run=bool(it["dry_run"]),
        raw=it,
    )
