"""The fields of a schedule's document, as HTTP, files and the client give them. Pure."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from storage.schedule_model import CatchUp, Overlap

MAX_INTERVAL_SECONDS = 366 * 86_400
MAX_JITTER_SECONDS = 86_400
MAX_CATCH_UP_SECONDS = 31 * 86_400
MAX_EXCLUDED = 1000
RULES = ("cron", "every", "at")
# What a job's document may ask of its firing, as {{schedule.…}}.
PLACEHOLDERS = tuple(f"schedule.{name}" for name in ("id", "name", "fire_time", "local_time", "local_date"))

Moment = Annotated[str, Field(min_length=1, max_length=64)]


class ScheduleDocument(BaseModel):
    """When to do what: exactly one of `cron`, `every` and `at`, and the `job` to submit each time."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Annotated[
        str | None,
        Field(min_length=1, max_length=100, description="Your own name for it, which no other of your schedules has."),
    ] = None
    cron: Annotated[
        str | None,
        Field(
            description="Five fields (minute, hour, day of month, month, day of week), or six with seconds first; "
            "names, ranges, lists, steps, `L`, `#`, and nicknames such as `@hourly`."
        ),
    ] = None
    every: Annotated[
        int | None,
        Field(ge=1, le=MAX_INTERVAL_SECONDS, description="An interval in seconds, counted from `anchor`."),
    ] = None
    anchor: Annotated[
        Moment | None,
        Field(description="With `every`: a moment at which it fires; default: when the schedule was made."),
    ] = None
    at: Annotated[Moment | None, Field(description="Once, at this time.")] = None
    timezone: Annotated[
        str,
        Field(
            max_length=64,
            description="IANA name, such as Europe/Berlin; the cron expression, `exclude`, and times without an offset "
            "are read in it.",
        ),
    ] = "UTC"
    job: Annotated[
        dict[str, Any],
        Field(
            description="The job's document, as for POST /v1/jobs. Its strings may hold "
            + ", ".join(f"{{{{{name}}}}}" for name in PLACEHOLDERS)
            + "."
        ),
    ]
    jitter_seconds: Annotated[
        float,
        Field(
            ge=0,
            le=MAX_JITTER_SECONDS,
            allow_inf_nan=False,
            description="Each firing waits up to so long, always the same time for the same firing.",
        ),
    ] = 0.0
    start_at: Annotated[Moment | None, Field(description="It does not fire before.")] = None
    end_at: Annotated[Moment | None, Field(description="It does not fire after.")] = None
    exclude: Annotated[
        list[Annotated[str, Field(max_length=10, pattern=r"^\d{4}-\d{2}-\d{2}$")]],
        Field(max_length=MAX_EXCLUDED, description="Dates on which it does not fire."),
    ] = []
    overlap: Annotated[
        Overlap, Field(strict=False, description="What becomes of a firing while an earlier one's job has not ended.")
    ] = Overlap.SKIP
    catch_up: Annotated[
        CatchUp, Field(strict=False, description="Which firings are made up for that nobody was there to start.")
    ] = CatchUp.LAST
    catch_up_seconds: Annotated[
        float,
        Field(
            ge=0, le=MAX_CATCH_UP_SECONDS, allow_inf_nan=False, description="How late a missed firing may still start."
        ),
    ] = 86_400.0
    pause_on_failure: Annotated[bool, Field(description="Pause it when a job of it fails or expires.")] = False
    max_runs: Annotated[
        int | None, Field(ge=1, le=2**31 - 1, description="It ends after so many firings of its own.")
    ] = None


class OperatorScheduleDocument(ScheduleDocument):
    """What the operator's own schedules, those applied as code, may say beside: nothing over HTTP has these fields."""

    sentry_monitor: Annotated[
        str | None,
        Field(
            max_length=50,
            pattern=r"^[a-z0-9_-]*[a-z_-][a-z0-9_-]*$",
            description="Slug of the Sentry cron monitor that its firings check in at.",
        ),
    ] = None
