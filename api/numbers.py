"""The documents with numbers: what queues have to do, and what the scaler made of it."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from storage.counts import Load, ServiceTime
from storage.model import Json
from storage.scaling import PoolStanding, ScaleDecision
from tasks.job_document import Document

STALE_SECONDS = 60.0  # a scaler that lives has decided again long before


class RatesDocument(Document):
    """Per second, over the last minute and over the last five."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    one_minute: Annotated[float, Field(alias="1m")]
    five_minutes: Annotated[float, Field(alias="5m")]


class ServiceDocument(Document):
    """How long attempts take a slot, in seconds: `samples` of the last five minutes, or of the last hour."""

    mean: float
    p95: float
    stddev: float
    samples: int


class LoadDocument(Document):
    """What there is to do: what may run now, what does, and what waits for other steps or for its time.

    A step arrives when it becomes runnable; a completion is an attempt that ended, however it did.
    """

    runnable: int
    running: int
    waiting: Annotated[int, Field(description="for the steps that they use")]
    scheduled: Annotated[int, Field(description="for their time")]
    retrying: Annotated[int, Field(description="for their next attempt")]
    oldest_runnable_seconds: Annotated[float | None, Field(description="null where nothing is runnable")]
    arrivals_per_second: RatesDocument
    completions_per_second: RatesDocument
    service_seconds: Annotated[ServiceDocument | None, Field(description="null where nothing ended in the last hour")]


class TriggerDocument(Document):
    """What a trigger said: `value` against `target`; an `active` one keeps the pool from resting."""

    trigger: str
    value: float
    target: float
    active: bool
    why: str


class FailedTriggerDocument(Document):
    """A trigger that could not be read, and why."""

    trigger: str
    failed: str


class PoolServiceDocument(Document):
    """How long attempts in the pool's queues take, in seconds."""

    mean: float
    stddev: float
    samples: int


class PoolNumbersDocument(Document):
    """What the triggers were read with: sums over the pool's queues without the paused ones."""

    runnable: int
    running: int
    oldest_runnable_seconds: float | None
    arrivals_per_second: RatesDocument
    service_seconds: PoolServiceDocument | None
    slots: Annotated[int, Field(description="of one replica")]
    due: Annotated[int, Field(description="steps whose time comes within ten minutes")]
    workers: Annotated[int, Field(description="that live")]


class PoolDocument(Document):
    """A pool of workers, and the scaler's last decision about it."""

    name: str
    replicas: Annotated[int, Field(description="how many there were when it was decided")]
    wanted: int
    min_replicas: int
    max_replicas: int
    reason: str
    decided_at: datetime
    age_seconds: Annotated[float, Field(description="of the decision")]
    stale: Annotated[bool, Field(description="older than a minute: no scaler runs, or it cannot write to the database")]
    dry_run: Annotated[bool, Field(description="the scaler decides and does nothing")]
    trouble: Annotated[str | None, Field(description="in words, if replicas do not come up")]
    triggers: list[TriggerDocument | FailedTriggerDocument]
    numbers: Annotated[PoolNumbersDocument | None, Field(description="null where they could not be read")]


class PoolPage(Document):
    """All pools that a scaler has decided about, by name."""

    data: list[PoolDocument]


class DecisionDocument(Document):
    """A decision that changed something: from `replicas` to `wanted`."""

    id: str
    at: datetime
    replicas: int
    wanted: int
    reason: str
    triggers: list[TriggerDocument | FailedTriggerDocument]
    dry_run: bool


class DecisionPage(Document):
    """Decisions, newest first; `next_cursor` is null on the last page."""

    data: list[DecisionDocument]
    next_cursor: str | None


def load_document(load: Load) -> LoadDocument:
    """The load, as the API says it."""
    return LoadDocument(
        runnable=load.runnable,
        running=load.running,
        waiting=load.waiting,
        scheduled=load.scheduled,
        retrying=load.retrying,
        oldest_runnable_seconds=load.oldest_seconds and round(load.oldest_seconds, 3),
        arrivals_per_second=_rates(load.arrivals_1m, load.arrivals_5m),
        completions_per_second=_rates(load.completions_1m, load.completions_5m),
        service_seconds=load.service and _service(load.service),
    )


def pool_document(pool: PoolStanding, age_seconds: float) -> PoolDocument:
    """The pool as its last decision left it, so many seconds ago."""
    last = pool.last
    return PoolDocument(
        name=pool.name,
        replicas=last.replicas,
        wanted=last.wanted,
        min_replicas=pool.least,
        max_replicas=pool.most,
        reason=last.reason,
        decided_at=last.at,
        age_seconds=round(age_seconds, 3),
        stale=age_seconds > STALE_SECONDS,
        trouble=pool.last.inputs.get("trouble"),
        dry_run=last.dry_run,
        triggers=_triggers(last.inputs),
        numbers=_pool_numbers(last.inputs["numbers"]),
    )


def decision_document(decision: ScaleDecision) -> DecisionDocument:
    """A decision that is kept."""
    return DecisionDocument(
        id=str(decision.id),
        at=decision.at,
        replicas=decision.replicas,
        wanted=decision.wanted,
        reason=decision.reason,
        triggers=_triggers(decision.inputs),
        dry_run=decision.dry_run,
    )


def _rates(one_minute: float, five_minutes: float) -> RatesDocument:
    return RatesDocument(one_minute=round(one_minute, 6), five_minutes=round(five_minutes, 6))


def _service(service: ServiceTime) -> ServiceDocument:
    return ServiceDocument(
        mean=round(service.mean_seconds, 6),
        p95=round(service.p95_seconds, 6),
        stddev=round(service.stddev_seconds, 6),
        samples=service.attempts,
    )


def _triggers(inputs: Json) -> list[TriggerDocument | FailedTriggerDocument]:
    return [_trigger(said) for said in inputs["triggers"]]


def _trigger(said: Json) -> TriggerDocument | FailedTriggerDocument:
    if "failed" in said:
        return FailedTriggerDocument(trigger=said["trigger"], failed=said["failed"])
    return TriggerDocument(
        trigger=said["trigger"], value=said["value"], target=said["target"], active=said["active"], why=said["why"]
    )


def _pool_numbers(seen: Any) -> PoolNumbersDocument | None:
    """What scheduler.scale kept, field by field: it says 0 for what it does not know."""
    if seen is None:
        return None
    served = PoolServiceDocument(mean=seen["service_mean"], stddev=seen["service_stddev"], samples=seen["samples"])
    return PoolNumbersDocument(
        runnable=seen["runnable"],
        running=seen["running"],
        oldest_runnable_seconds=round(seen["oldest"], 3) if seen["runnable"] else None,
        arrivals_per_second=_rates(seen["arrivals"], seen["arrivals_5m"]),
        service_seconds=served if served.samples else None,
        slots=seen["slots"],
        due=seen["due"],
        workers=seen["workers"],
    )
