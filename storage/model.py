"""What the platform's rows look like to the rest of the code: ids, states and frozen dataclasses. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NewType

from storage.batch_ids import OfBatch
from storage.fingerprints import fingerprint, without_ids
from storage.ids import is_id, new_id
from storage.unique_model import Unique

TenantId = NewType("TenantId", str)
KeyId = NewType("KeyId", str)
JobId = NewType("JobId", str)
StepId = NewType("StepId", str)
ScheduleId = NewType("ScheduleId", str)

Json = Any  # a JSON value: object, array, string, number, boolean or null


def new_tenant_id() -> TenantId:
    return TenantId(new_id("ten"))


def new_key_id() -> KeyId:
    return KeyId(new_id("key"))


def new_job_id() -> JobId:
    return JobId(new_id("job"))


def new_step_id() -> StepId:
    return StepId(new_id("stp"))


def is_job_id(text: str) -> bool:
    """Whether the text is the canonical spelling of a job's id."""
    return is_id(text, "job")


class JobState(StrEnum):
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"


class StepState(StrEnum):
    WAITING = "waiting"  # for the steps that it uses
    SCHEDULED = "scheduled"  # for its run_at
    QUEUED = "queued"  # may run now
    RUNNING = "running"
    RETRYING = "retrying"  # failed, and will run again at its run_at
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"  # a step that it uses did not succeed, or the job was canceled
    EXPIRED = "expired"


TERMINAL_JOB_STATES = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED, JobState.EXPIRED})


class Outcome(StrEnum):
    """How an attempt at a step ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"  # for good
    RETRIED = "retried"  # failed, and the step waits for its next attempt
    LOST = "lost"  # its worker died, stopped renewing the lease, or was stopped at a hard limit
    RETURNED = "returned"  # handed back by a worker that was told to stop; counts as nothing
    CANCELED = "canceled"  # stopped, since its job was canceled or its deadline passed


@dataclass(frozen=True, kw_only=True, slots=True)
class PublicError:
    """What went wrong, in words that the tenant may read; `code` is stable, `message` says what to do.

    `fingerprint` is the same for errors that have the same reason: by default it stands for the code and the message
    without ids and long numbers.
    """

    code: str
    message: str
    fingerprint: str = ""

    def __post_init__(self) -> None:
        if not self.fingerprint:
            object.__setattr__(self, "fingerprint", fingerprint(self.code, without_ids(self.message)))


@dataclass(frozen=True, kw_only=True, slots=True)
class JobInput:
    """The file of a job: its key, what the client said of it, and its SHA-256 in hexadecimal digits, if known."""

    key: str
    filename: str
    content_type: str
    bytes: int
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NewStep:
    """A step to be written: `uses` names steps of the same job.

    It fails for good at its `max_attempts`th failure, or when it has lost its worker `max_losses` times. `file_from` is
    the step of `uses` whose output it works on; None: the job's own file.
    """

    id: StepId
    name: str
    kind: str
    queue: str
    params: Json
    uses: Sequence[str]
    max_attempts: int
    max_losses: int
    file_from: str | None = None
    stop_when: "StopWhen | None" = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StopWhen:
    """A condition on a step's result (tasks.conditions) that ends the job as failed, and what is told of it."""

    condition: str
    code: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Fired:
    """The firing that a job comes from: its schedule and its nominal time, which is not when it started."""

    schedule_id: ScheduleId
    fire_time: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Notify:
    """Where a job tells of its events, besides its tenant's webhooks; `host` is the URL's, with its port if any."""

    url: str
    host: str
    events: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class NewJob:
    """A job to be written; `priority` is its rank: the lower, the sooner. `deadline_seconds` count from now."""

    id: JobId
    priority: int
    input: JobInput | None
    metadata: Json
    steps: Sequence[NewStep]
    deadline_seconds: float | None = None
    unique: Unique | None = None
    fired: Fired | None = None
    notify: Notify | None = None
    template: str | None = None  # NAME@VERSION of the one that its steps come from
    trace: str | None = None  # the traceparent of the span below which all of its work is told
    request_id: str | None = None  # of the request that makes it
    batch: OfBatch | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One finished attempt at a step."""

    number: int
    outcome: Outcome
    started_at: datetime
    finished_at: datetime
    error: PublicError | None
    worker: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A step as it stands; `progress` is 0..1, `result` is what its kind returned.

    `failures` and `losses` count since the job was last told to run. `held_for`: why it may not start before its
    `run_at`, although its time had come.
    """

    id: StepId
    name: str
    kind: str
    queue: str
    state: StepState
    uses: Sequence[str]
    attempt: int
    failures: int
    losses: int
    progress: float
    result: Json
    error: PublicError | None
    created_at: datetime
    run_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    held_for: str | None = None
    worker: str | None = None  # who works on it now
    attempts: Sequence[Attempt] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A job as it stands; `steps` in the order of the document, empty in listings.

    `stopping` is how it will end once its running steps have stopped: canceled, expired or failed. `withheld` says
    that a step's result met its `stop_when`: nobody gets the job's outputs any more.
    """

    id: JobId
    state: JobState
    priority: int
    input: JobInput | None
    error: PublicError | None
    metadata: Json
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    deadline_at: datetime | None
    stopping: JobState | None
    progress: float
    withheld: bool = False
    fired: Fired | None = None
    notify: Notify | None = None
    template: str | None = None
    batch: OfBatch | None = None
    steps: Sequence[Step] = field(default_factory=tuple)


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """The right to work on a step: the fence is `attempt`, and only the newest attempt may write.

    `tried_seconds` have passed since its first attempt began; `kept` is what earlier attempts have done of the work.
    `waited_seconds` since it could have run; `trace` is the job's (traceparent), if it has one.
    """

    tenant_id: TenantId
    job_id: JobId
    step_id: StepId
    name: str
    kind: str
    attempt: int
    failures: int
    max_attempts: int
    losses: int
    max_losses: int
    tried_seconds: float
    params: Json
    input: JobInput | None
    uses: Sequence["Used"]
    file_from: str | None = None
    stop_when: StopWhen | None = None
    kept: Json = None
    waited_seconds: float = 0.0
    trace: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Used:
    """A finished step whose result the claimed step may use; `attempt` is the one that succeeded.

    `file_from`: the step whose output it worked on; None: the job's own file.
    """

    step_id: StepId
    name: str
    kind: str
    attempt: int
    result: Json
    file_from: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Principal:
    """Who calls: the tenant that a valid key belongs to, and what the key may do.

    An operator who acts for another tenant is that tenant's, and `acting` is whose the key is. `via` is key or session.
    """

    tenant_id: TenantId
    key_id: KeyId
    scopes: frozenset[str]
    acting: TenantId | None = None
    via: str = "key"
    request_id: str | None = None
    address: str | None = None
