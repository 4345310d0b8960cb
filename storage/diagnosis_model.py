"""What is looked at to find out what is stuck: the rows as they stand, and whether the servers answer. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from storage.model import TenantId


class Part(StrEnum):
    """The servers that everything stands on."""

    DATABASE = "database"
    OBJECTS = "objects"
    BROKER = "broker"


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """Whether a server answered, and after how many seconds; `reason` says why not, `since` from when on."""

    part: Part
    seconds: float
    reason: str | None = None
    since: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueFacts:
    """A queue. `oldest_seconds` is the age of the oldest step that may run, `unsent_seconds` of the oldest that the
    relay could tell the workers of and has not; None: there is none. `ended_per_second` over the last five minutes.
    """

    name: str
    paused_at: datetime | None = None
    workers: int = 0
    slots: int = 0
    runnable: int = 0
    running: int = 0
    oldest_seconds: float | None = None
    unsent_seconds: float | None = None
    ended_per_second: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolFacts:
    """A pool as its last decision left it; `asked` is how many replicas its triggers ask for, None: unknown."""

    name: str
    replicas: int
    wanted: int
    least: int
    most: int
    asked: int | None
    age_seconds: float
    reason: str
    dry_run: bool = False
    trouble: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FailingFacts:
    """Steps that failed for good for one reason, lately; `message` is an example, `tenant` the name of one of them."""

    queue: str
    kind: str
    fingerprint: str
    code: str
    message: str
    steps: int
    tenants: int
    oldest: datetime
    newest: datetime
    tenant: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookFacts:
    """A receiver that does not take its webhooks, of which `waiting` wait; `error` is of the last try."""

    tenant_id: TenantId
    endpoint_id: str | None
    host: str
    failing_since: datetime
    seconds: float
    waiting: int
    error: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class HostFacts:
    """A third party that is left alone since calls to it failed; `waiting` steps wait for it.

    `probe_in_seconds`: until one call finds out whether it is up again.
    """

    host: str
    tenants: int
    waiting: int
    probe_in_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessFacts:
    """Which loops living schedulers keep, and how many scalers live; None: no process has ever told."""

    loops: Mapping[str, int]
    scalers: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What the rows say, at one time. Ages in seconds, None where there is nothing of that kind.

    `overdue_seconds`: of the oldest step whose time has come and that nobody has queued; `schedule_late_seconds` and
    `webhook_late_seconds`: for how long the first that is due has been. `silent_workers` have stopped to tell that they
    live within the last five minutes, without a farewell; `losing_steps` run or wait that have lost a worker.
    `held`: steps that wait for a host that is down, by host. `failed_last_hour` counts up to 10,000.
    """

    at: datetime
    queues: Sequence[QueueFacts] = ()
    pools: Sequence[PoolFacts] = ()
    failing: Sequence[FailingFacts] = ()
    webhooks: Sequence[WebhookFacts] = ()
    held: Mapping[str, int] = field(default_factory=dict)
    processes: ProcessFacts | None = None
    workers: int = 0
    silent_workers: int = 0
    losing_steps: int = 0
    overdue_seconds: float | None = None
    schedule_late_seconds: float | None = None
    webhook_late_seconds: float | None = None
    failed_last_hour: int = 0
    oldest_transaction_seconds: float | None = None
    waiting_for_locks: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """All that a diagnosis stands on; `facts` is None where the database did not tell, `hosts` where Redis did not."""

    at: datetime
    facts: Facts | None
    probes: Sequence[Probe] = ()
    hosts: Sequence[HostFacts] | None = None
