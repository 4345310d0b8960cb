"""What schedules and their firings look like to the rest of the code. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from storage.ids import is_id, new_id
from storage.model import JobId, JobState, Json, ScheduleId, TenantId

BEHIND = timedelta(microseconds=1)
MAX_WAITING = 100  # firings that wait, as many as one pass is shown


def new_schedule_id() -> ScheduleId:
    return ScheduleId(new_id("sch"))


def is_schedule_id(text: str) -> bool:
    """Whether the text is the canonical spelling of a schedule's id."""
    return is_id(text, "sch")


class ScheduleState(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"
    ENDED = "ended"  # it has no firing any more: it was for once, or reached its end_at or max_runs


class Overlap(StrEnum):
    """What becomes of a firing while a job of an earlier one has not ended."""

    SKIP = "skip"
    BUFFER_ONE = "buffer_one"  # it waits for that job's end, if no other waits
    BUFFER_ALL = "buffer_all"  # it waits for its turn
    CANCEL_RUNNING = "cancel_running"  # that job is canceled; it starts when that has stopped
    ALLOW = "allow"


class CatchUp(StrEnum):
    """Which of the firings that were missed are made up for."""

    NONE = "none"
    LAST = "last"
    ALL = "all"


class Origin(StrEnum):
    SCHEDULE = "schedule"
    TRIGGER = "trigger"
    BACKFILL = "backfill"


class Outcome(StrEnum):
    """What became of a firing."""

    STARTED = "started"
    BUFFERED = "buffered"  # it starts when the job before it has ended
    SKIPPED = "skipped"  # by a rule of the schedule's own
    MISSED = "missed"  # nobody was there in time
    FAILED = "failed"  # its job could not be written


@dataclass(frozen=True, kw_only=True, slots=True)
class NewSchedule:
    """A schedule to be written: `document` as it was checked, with every default.

    `starts` says how many steps of each queue may run as soon as it fires; `source` what applies it again and again
    (None: nothing, it was made over HTTP).
    """

    id: ScheduleId
    name: str | None
    document: Json
    starts: Mapping[str, int]
    next_at: datetime | None
    due_at: datetime | None
    source: str | None = None
    paused_reason: str | None = None  # it is written paused


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """A schedule as it stands: `next_at` is its next nominal time, `due_at` when a firing loop looks at it next.

    `version` is raised by every change of what its owner decides; `runs` counts its own firings towards max_runs;
    `latest_due` is the latest time at which one that has been decided was due.
    """

    tenant_id: TenantId
    id: ScheduleId
    name: str | None
    document: Json
    version: int
    source: str | None
    next_at: datetime | None
    due_at: datetime | None
    latest_due: datetime | None
    runs: int
    paused_at: datetime | None
    paused_reason: str | None
    created_at: datetime
    updated_at: datetime

    @property
    def state(self) -> ScheduleState:
        if self.paused_at is not None:
            return ScheduleState.PAUSED
        return ScheduleState.ENDED if self.next_at is None else ScheduleState.ACTIVE


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A buffered firing; `overlap` is its own rule, None for its schedule's."""

    nominal_at: datetime
    origin: Origin
    overlap: Overlap | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Locked:
    """A schedule whose row is ours until the commit: `now` by the database's clock, the jobs of it that have not ended
    (ten of them at most), and the firings that wait, oldest first, but for those that a pause holds.
    """

    schedule: Schedule
    now: datetime
    running: Sequence[JobId]
    waiting: Sequence[Waiting]


@dataclass(frozen=True, kw_only=True, slots=True)
class NewFiring:
    """What became of one nominal time, or of all from `nominal_at` to `until_at`.

    `late_seconds` after it was due; None for what nobody waited for, such as a trigger. `overlap` as in Waiting.
    """

    nominal_at: datetime
    outcome: Outcome
    origin: Origin = Origin.SCHEDULE
    until_at: datetime | None = None
    reason: str | None = None
    job_id: JobId | None = None
    late_seconds: float | None = None
    overlap: Overlap | None = None

    @property
    def place(self) -> datetime:
        """Where its row stands: one for many times stands behind the row that its first may have, or get."""
        return self.nominal_at if self.until_at is None else self.nominal_at + BEHIND


@dataclass(frozen=True, kw_only=True, slots=True)
class Firing:
    """A firing as it is told; `place` as in NewFiring.

    `job_state` is None if it started no job, or the job is deleted.
    """

    nominal_at: datetime
    until_at: datetime | None
    origin: Origin
    outcome: Outcome
    reason: str | None
    job_id: JobId | None
    job_state: JobState | None
    late_seconds: float | None
    fired_at: datetime
    place: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Moved:
    """Where a schedule stands after a pass of the firing loop: `runs` are added, a `latest_due` of None is left out."""

    tenant_id: TenantId
    schedule_id: ScheduleId
    next_at: datetime | None
    due_at: datetime | None
    latest_due: datetime | None
    runs: int
