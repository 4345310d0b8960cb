"""The documents about schedules, and how rows become them."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from storage.model import JobState
from storage.schedule_model import CatchUp, Firing, Origin, Outcome, Overlap, Schedule, ScheduleState
from tasks import schedule_document as asking
from tasks.job_document import Document
from tasks.schedule_document import Moment
from tasks.schedules import terms_if_any

MAX_REASON = 200
MAX_PREVIEW = 100
RUNS_CURSOR_PATTERN = "^-?[0-9]{1,17}$"

# Not the enum by its name: attempts of steps have an Outcome, too.
RunOutcome = Annotated[Outcome, WithJsonSchema({"type": "string", "enum": [one.value for one in Outcome]})]


class ScheduleLinks(Document):
    """Where to go on from here."""

    self: str
    runs: str


class ScheduleDocument(Document):
    """A schedule as it stands: what its owner has asked for, with every default, and how far it has come.

    `version`, which is its ETag, is raised by every change of what its owner decides; firings do not raise it.
    """

    id: str
    name: str | None
    state: ScheduleState
    cron: str | None
    every: int | None
    anchor: datetime | None
    at: datetime | None
    timezone: str
    words: Annotated[str, Field(description="when it fires, in words")]
    job: dict[str, Any]
    jitter_seconds: float
    start_at: datetime | None
    end_at: datetime | None
    exclude: list[str]
    overlap: Overlap
    catch_up: CatchUp
    catch_up_seconds: float
    pause_on_failure: bool
    max_runs: int | None
    next_fire_at: Annotated[datetime | None, Field(description="its next nominal time; null unless it is active")]
    runs: Annotated[int, Field(ge=0, description="its own firings, which count towards max_runs")]
    paused_at: datetime | None
    paused_reason: str | None
    source: Annotated[str | None, Field(description="what applies it again and again; null: it was made over HTTP")]
    version: Annotated[int, Field(ge=1)]
    created_at: datetime
    updated_at: datetime
    links: ScheduleLinks


class SchedulePage(Document):
    """Schedules, newest first; `next_cursor` is null on the last page."""

    data: list[ScheduleDocument]
    next_cursor: str | None


class RunJob(Document):
    """The job that a firing has started; `state` and `href` are null once it is deleted."""

    id: str
    state: JobState | None
    href: str | None


class RunDocument(Document):
    """What became of one firing; with `until_at`, of all nominal times from `nominal_at` to there."""

    nominal_at: Annotated[datetime, Field(description="when it was meant to be")]
    until_at: datetime | None
    origin: Origin
    outcome: RunOutcome
    reason: str | None
    job: RunJob | None
    late_seconds: Annotated[float | None, Field(description="after it was due; null for what nobody waited for")]
    fired_at: Annotated[datetime, Field(description="when this was decided")]


class RunPage(Document):
    """Firings, the latest nominal time first; `next_cursor` is null on the last page."""

    data: list[RunDocument]
    next_cursor: str | None


class PauseRequest(Document):
    """Why the schedule is paused, for those who find it so."""

    reason: Annotated[str | None, Field(min_length=1, max_length=MAX_REASON)] = None


class TriggerRequest(Document):
    """How the schedule is fired now; an empty object, or no body, means: by its own rule of overlap."""

    overlap: Annotated[Overlap | None, Field(description="instead of the schedule's own")] = None


class BackfillRequest(Document):
    """The nominal times that are to be fired, both ends included; times without an offset are the schedule's zone's."""

    first: Annotated[Moment, Field(alias="from")]
    to: Annotated[Moment, Field(description="not in the future")]
    overlap: Annotated[
        Literal["buffer_all", "allow"], Field(description="one after the other, oldest first; or all at once")
    ] = "buffer_all"


class BackfillDocument(Document):
    """What a backfill does: `nominal_times` there are, of which so many as are `accepted` had no job and get one."""

    accepted: int
    nominal_times: int


class PreviewOptions(Document):
    """What a preview takes beside the fields of a schedule."""

    count: Annotated[int, Field(ge=1, le=MAX_PREVIEW, description="how many firings are told")] = 5
    after: Annotated[Moment | None, Field(description="only firings after this time; default: now")] = None


class FireTime(Document):
    """A firing to come, in UTC and as the zone's clocks show it."""

    at: datetime
    local: Annotated[str, Field(description="with its offset, such as 2026-03-29T03:00:00+02:00")]


class PreviewDocument(Document):
    """When a schedule would fire: in words, and its next firings."""

    words: str
    timezone: str
    fire_times: list[FireTime]


def _words(schedule: Schedule) -> str:
    said = terms_if_any(schedule.document)
    if said is None:
        return f"cannot be told: {schedule.document['timezone']!r} is no known time zone any more"
    return said.calendar.words


def schedule_document(schedule: Schedule, public_url: str) -> ScheduleDocument:
    """The schedule as it stands; links begin with `public_url`."""
    at = f"{public_url}/v1/schedules/{schedule.id}"
    # One that is applied as code may have fields of the operator's own, which are not shown.
    asked = {
        field: value for field, value in schedule.document.items() if field in asking.ScheduleDocument.model_fields
    }
    return ScheduleDocument(
        **(asked | {"name": schedule.name}),
        id=schedule.id,
        state=schedule.state,
        words=_words(schedule),
        next_fire_at=schedule.next_at if schedule.state is ScheduleState.ACTIVE else None,
        runs=schedule.runs,
        paused_at=schedule.paused_at,
        paused_reason=schedule.paused_reason,
        source=schedule.source,
        version=schedule.version,
        created_at=schedule.created_at,
        updated_at=schedule.updated_at,
        links=ScheduleLinks(self=at, runs=f"{at}/runs"),
    )


def run_document(firing: Firing, public_url: str) -> RunDocument:
    """The firing with its job, if it has started one."""
    job = None
    if firing.job_id is not None:
        href = None if firing.job_state is None else f"{public_url}/v1/jobs/{firing.job_id}"
        job = RunJob(id=firing.job_id, state=firing.job_state, href=href)
    return RunDocument(
        nominal_at=firing.nominal_at,
        until_at=firing.until_at,
        origin=firing.origin,
        outcome=firing.outcome,
        reason=firing.reason,
        job=job,
        late_seconds=None if firing.late_seconds is None else round(firing.late_seconds, 6),
        fired_at=firing.fired_at,
    )


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def runs_cursor(nominal_at: datetime) -> str:
    """Where a page of runs ends: microseconds since 1970."""
    since = nominal_at - _EPOCH
    return str((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)


def before_cursor(cursor: str) -> datetime | None:
    """The nominal time that `runs_cursor` has written; None for what it has not."""
    if not re.fullmatch(RUNS_CURSOR_PATTERN, cursor, re.ASCII):
        return None
    try:
        return _EPOCH + datetime.resolution * int(cursor)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)  # before all times: the page is empty
