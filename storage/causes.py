"""What is stuck, and why: causes in words, each with what to do, from what was seen. Pure.

Every cause has a code that docs/stuck.md explains under an anchor of the same name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from storage.model import Json


class Severity(StrEnum):
    """Whether work is late or lost because of it (critical), or somebody should have a look (warning)."""

    WARNING = "warning"
    CRITICAL = "critical"


class CauseCode(StrEnum):
    """What may be the cause, in the order in which causes are told: what others follow from comes first."""

    DATABASE_DOWN = "database_down"
    BROKER_DOWN = "broker_down"
    OBJECTS_DOWN = "objects_down"
    DATABASE_SLOW = "database_slow"
    RELAY_SILENT = "relay_silent"
    LOOP_SILENT = "loop_silent"
    RELAY_LAG = "relay_lag"
    SCALER_SILENT = "scaler_silent"
    QUEUE_WITHOUT_WORKER = "queue_without_worker"
    WORKERS_LOSING_LEASES = "workers_losing_leases"
    POISON_FILES = "poison_files"
    BREAKER_OPEN = "breaker_open"
    SCALER_AT_MAXIMUM = "scaler_at_maximum"
    QUEUE_OLD = "queue_old"
    SCHEDULE_LATE = "schedule_late"
    WEBHOOK_LATE = "webhook_late"
    WEBHOOK_FAILING = "webhook_failing"
    QUEUE_PAUSED = "queue_paused"


class State(StrEnum):
    """How all of it stands."""

    OK = "ok"
    DEGRADED = "degraded"  # there are warnings
    STUCK = "stuck"  # something is critical


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """`subject` is what has it (a queue, a host, a kind of step); `sentence` says what is, `hint` what to do.

    `since` is None where nobody knows; `facts` are the numbers behind it, with their units in their names.
    """

    code: CauseCode
    severity: Severity
    subject: str
    sentence: str
    hint: str
    since: datetime | None = None
    facts: Mapping[str, Json] = field(default_factory=dict)


def state_of(causes: Sequence[Cause]) -> State:
    """How it stands with these causes."""
    if any(cause.severity is Severity.CRITICAL for cause in causes):
        return State.STUCK
    return State.DEGRADED if causes else State.OK


def ordered(causes: Sequence[Cause]) -> list[Cause]:
    """The critical ones first, of each severity what others follow from before these."""
    places = {code: place for place, code in enumerate(CauseCode)}
    return sorted(causes, key=lambda cause: (cause.severity is not Severity.CRITICAL, places[cause.code]))


def lasting(seconds: float) -> str:
    """So many seconds in words: `40 s`, `3 min`, `5 h`, `2 days`."""
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"


def steps(count: int) -> str:
    """So many steps in words."""
    return "1 step" if count == 1 else f"{count} steps"
