"""Tells Sentry of the operator's own schedules: a check-in when a firing starts its job, and one when that has ended.

Which ones, their `sentry_monitor` says, a field that no schedule made over HTTP has. See docs/sentry-crons.md.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib.metadata import version
from uuid import UUID, uuid5

from sentry_sdk import Client
from sentry_sdk.transport import HttpTransport
from sentry_sdk.types import Event
from typeid import TypeID

from storage import firings, jobs
from storage.database import Database
from storage.firings import Ended
from storage.model import JobState, Json
from storage.schedule_model import NewFiring, Origin, Outcome, Schedule
from storage.telemetry.failure_settings import SentrySettings
from tasks.firing import Pass

log = logging.getLogger(__name__)

QUEUE = 1000  # check-ins that wait to be sent; more are dropped
CLOSE_SECONDS = 2.0  # for those that still wait when the process stops
MARGIN_MINUTES = 2  # how late a check-in may be beside its jitter: Sentry counts whole minutes, one of them begun
MAX_RUNTIME_MINUTES = 7 * 1440  # Sentry refuses more
RUNTIME_MINUTES = 1440  # of a job without a deadline: as long as kinds try again by default

_UNITS = (("day", 86_400), ("hour", 3600), ("minute", 60))


class CheckIns:
    """Sends check-ins from a thread of its own: whoever tells it something never waits, and hears of no trouble."""

    def __init__(self, sentry: SentrySettings, database: Database) -> None:
        self._database = database
        self._told = ThreadPoolExecutor(1, thread_name_prefix="check-ins")
        # Not sentry_sdk.init: that would report every error that this process logs, too.
        self._client = Client(
            dsn=sentry.dsn,
            environment=sentry.environment,
            release=f"millrace@{version('millrace')}",
            transport=_Telling,
            transport_queue_size=QUEUE,
            default_integrations=False,
            auto_enabling_integrations=False,
            auto_session_tracking=False,
            send_client_reports=False,
        )

    def tell(self, done: Pass) -> None:
        """Check in for what a pass has started, missed, or failed to start."""
        if any(_slug(schedule.document) for schedule, _ in done.firings):
            self._told.submit(self._send, lambda: of_pass(done))

    def tell_ends(self, ended: Sequence[Ended]) -> None:
        """Check in for jobs that have ended."""
        found = [one for one in ended if _slug(one.document)]
        if found:
            self._told.submit(self._send, lambda: [of_end(one) for one in found if self._is_own(one)])

    def close(self) -> None:
        """Send what still waits, for CLOSE_SECONDS at most."""
        self._told.shutdown()
        self._client.close(CLOSE_SECONDS)

    def _send(self, events: Callable[[], Sequence[Event]]) -> None:
        try:
            for event in events():
                self._client.capture_event(event)
        except Exception:  # the edge: what goes wrong here must not reach the loop, which has nobody else to tell
            log.exception("checkins.failed")

    def _is_own(self, ended: Ended) -> bool:
        """Whether the schedule itself started the job: Sentry waits for no trigger and no backfill.

        Of a job or a firing that is deleted by now nobody knows: it counts.
        """
        with self._database.read(ended.tenant_id) as tx:
            job = jobs.find(tx, ended.job_id)
            if job is None or job.fired is None:
                return True
            at_most = job.fired.fire_time + timedelta.resolution
            runs = firings.page(tx, ended.schedule_id, outcome=None, before=at_most, limit=1)
        return not any(run.job_id == ended.job_id and run.origin is not Origin.SCHEDULE for run in runs)


class _Telling(HttpTransport):
    """Sentry's own transport, which tells of what it loses through this method only."""

    def on_dropped_event(self, reason: str) -> None:
        log.warning("checkins.lost reason=%s", reason)


def of_pass(done: Pass) -> list[Event]:
    """The check-ins of a pass.

    Of many missed or failed firings of a schedule the last one: Sentry takes six check-ins a minute of a monitor.
    """
    failed: dict[str, Event] = {}
    started: list[Event] = []
    for schedule, firing in done.firings:
        if not _slug(schedule.document) or firing.origin is not Origin.SCHEDULE:
            continue
        if firing.job_id is not None:
            started.append(_event(schedule.document, id_of_job(firing.job_id), "in_progress"))
        elif firing.outcome in (Outcome.MISSED, Outcome.FAILED):
            failed[schedule.id] = _event(schedule.document, _id_of_firing(schedule, firing), "error")
    return [*failed.values(), *started]


def of_end(ended: Ended) -> Event:
    """The check-in of an ended job; a canceled one is no error, as it is none for pause_on_failure."""
    failed = ended.state in (JobState.FAILED, JobState.EXPIRED)
    return _event(ended.document, id_of_job(ended.job_id), "error" if failed else "ok")


def id_of_job(job_id: str) -> str:
    """The check-in's id: the job's own UUID in 32 hex digits, since another process may see the job's end."""
    return TypeID.from_string(job_id).uuid.hex


def monitor_config(document: Mapping[str, Json]) -> dict[str, Json] | None:
    """What Sentry needs to know to miss a check-in, so that nobody has to set up the monitor there.

    None where Sentry has no words for the schedule: a firing for once, seconds.
    """
    schedule = _interval(document["every"]) or _crontab(document["cron"])
    if schedule is None:
        return None
    deadline = document["job"].get("deadline_seconds")
    runtime = RUNTIME_MINUTES if deadline is None else 1 + math.ceil(deadline / 60)
    return {
        "schedule": schedule,
        # Intervals follow real time, whatever the clocks of a zone do.
        "timezone": "UTC" if schedule["type"] == "interval" else document["timezone"],
        "checkin_margin": MARGIN_MINUTES + math.ceil(document["jitter_seconds"] / 60),
        "max_runtime": min(runtime, MAX_RUNTIME_MINUTES),
    }


def _interval(seconds: int | None) -> dict[str, Json] | None:
    for unit, size in _UNITS:
        if seconds is not None and seconds % size == 0:
            return {"type": "interval", "value": seconds // size, "unit": unit}
    return None


def _crontab(pattern: str | None) -> dict[str, Json] | None:
    """The pattern in five fields; a fixed second is left out, since Sentry counts in minutes."""
    fields = (pattern or "").split()
    if len(fields) == 6 and fields[0].isdigit():
        fields = fields[1:]
    return {"type": "crontab", "value": " ".join(fields)} if len(fields) == 5 else None


def _slug(document: Mapping[str, Json]) -> str | None:
    slug: str | None = document.get("sentry_monitor")
    return slug


def _id_of_firing(schedule: Schedule, firing: NewFiring) -> str:
    """Of a firing without a job."""
    return uuid5(UUID(id_of_job(schedule.id)), str(firing.nominal_at.timestamp())).hex


def _event(document: Mapping[str, Json], check_in_id: str, status: str) -> Event:
    event: Event = {
        "type": "check_in",
        "monitor_slug": _slug(document),
        "check_in_id": check_in_id,
        "status": status,
    }
    config = monitor_config(document)
    return event if config is None else {**event, "monitor_config": config}
