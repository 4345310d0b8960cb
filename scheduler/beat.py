"""Celery beat, on our rows: `celery -A tasks.app beat -S scheduler.beat:Scheduler`; see docs/beat.md.

It makes schedules of the app's beat_schedule at its start, and then fires what is due as scheduler.fire does, whoever
made it. It sends nothing to the broker. Any number of these and of our own loops may run at once.
"""

import importlib
import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from celery import Celery
from celery.app.utils import find_app as find_celery_app
from celery.beat import ScheduleEntry, SchedulingError
from celery.beat import Scheduler as CeleryScheduler
from celery.schedules import BaseSchedule, schedstate

from scheduler import beat_import
from scheduler.checkins import CheckIns
from scheduler.errors import ConfigurationError, SchedulerError
from scheduler.fire import GATHER_SECONDS, turn
from storage import firings, schedule_sources, schedules, tenants
from storage import settings as storage_settings
from storage.database import Database, Tx
from storage.errors import ConfigurationError as StorageConfigurationError
from storage.errors import StorageError
from storage.schedule_model import Outcome, Schedule
from storage.telemetry.failure_settings import from_env as sentry_from_env
from tasks.applying import PLATFORM
from tasks.errors import TasksError
from tasks.schedules import terms

log = logging.getLogger(__name__)

MAX_INTERVAL_SECONDS = 1  # what is made over HTTP meanwhile is seen as soon


def find_app(app: str | None, config: str | None) -> Celery:
    """The app `module:app`, or one with a module as its configuration (default celeryconfig).

    Raises ConfigurationError.
    """
    if app and config:
        raise ConfigurationError("give either --app or --config")
    name = app or config or "celeryconfig"
    try:
        if app:
            found: Celery = find_celery_app(app)
        else:
            importlib.import_module(name)
            found = Celery("beat_import", set_as_current=False)
            found.config_from_object(name)
        found.finalize()
        _ = found.conf["beat_schedule"]  # reading a setting is what loads the configuration
    except Exception as exc:
        reason = " ".join(str(exc).split())
        raise ConfigurationError(f"{name} cannot be loaded: {type(exc).__name__}: {reason}") from exc
    return found


class RowSchedule(BaseSchedule):
    """When a row fires next, as Celery asks for it: the row decides, not when it ran last."""

    def __init__(self, row: Schedule, app: Celery) -> None:
        super().__init__(nowfun=lambda: datetime.now(UTC), app=app)
        self.row = row

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        """Until the next nominal time; for one that is paused or has ended the longest time there is."""
        due_at = self.row.due_at
        return timedelta.max if due_at is None else due_at - self.now()

    def is_due(self, last_run_at: datetime) -> schedstate:
        seconds = self.remaining_estimate(last_run_at).total_seconds()
        return schedstate(is_due=seconds <= 0, next=max(seconds, 0.0))

    def __repr__(self) -> str:
        return f"<{terms(self.row.document).calendar.words}>"


class Scheduler(CeleryScheduler):
    """What `celery beat -S` takes: a subclass of Celery's, since tools look for one. It is that process's composition
    root, so it reads the environment: DATABASE_URL and its kin, BEAT_TENANT (whose schedules the entries become).
    """

    max_interval = MAX_INTERVAL_SECONDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._tenant = os.environ.get("BEAT_TENANT") or PLATFORM
        self._database: Database | None = None
        self._found: beat_import.Imported | None = None  # while it is still to be written
        self._checkins: CheckIns | None = None
        self._is_closed = False
        super().__init__(*args, **kwargs)  # calls setup_schedule, but for the banner

    def setup_schedule(self) -> None:
        """Read the app's entries and make schedules of them; a database that is away has them at a later tick.

        Raises SystemExit with EX_CONFIG, after one line in the log for each flaw.
        """
        try:
            self._database = Database(storage_settings.from_env(os.environ))
            if (sentry := sentry_from_env(os.environ)) is not None:
                self._checkins = CheckIns(sentry, self._database)
            self._found = beat_import.read(self.app, self._tenant)
            for notice in self._found.notices:
                log.warning("beat.notice %s", notice)
            self._import(self._database)
        except (SchedulerError, TasksError, StorageConfigurationError) as exc:
            log.critical("error: %s", exc)
            raise SystemExit(os.EX_CONFIG) from exc
        except StorageError as exc:
            log.warning("beat.not_imported reason=%s", exc)

    def tick(self, *_: Any, **__: Any) -> float:
        """Fire what is due, whatever its tenant; returns the seconds until it is to be called again."""
        if self._is_closed or self._database is None:  # a signal's SystemExit was lost on its way out of the driver
            raise SystemExit
        try:
            self._import(self._database)
            if self._turn(self._database):
                return 0.0
            with self._database.platform_read() as tx:
                seconds = schedules.seconds_to_next(tx)
        except StorageError as exc:
            log.warning("beat.interrupted reason=%s", exc)
            seconds = None
        longest = float(self.max_interval or MAX_INTERVAL_SECONDS)
        return longest if seconds is None else min(longest, max(seconds, GATHER_SECONDS))

    def get_schedule(self) -> Mapping[str, ScheduleEntry]:  # type: ignore[override] # nothing is to be written into it
        """What was imported from beat_schedule, as it stands, by name. Raises DatabaseUnavailable."""
        if self._database is None:
            return MappingProxyType({})
        with self._database.platform() as platform:
            tx = platform.of(tenants.ensure(platform, self._tenant))
            rows = schedule_sources.of_source(tx, beat_import.SOURCE)
            return MappingProxyType({str(row.name): self._entry(tx, row) for row in rows})

    def set_schedule(self, schedule: Any) -> None:
        """Raises SchedulingError: rows are written by the import, and over HTTP."""
        raise SchedulingError("schedules are rows: change beat_schedule and start again, or use /v1/schedules")

    schedule = property(get_schedule, set_schedule)

    def apply_async(self, entry: ScheduleEntry, *_: Any, **__: Any) -> Any:
        """Raises SchedulingError: a message without a job's row would do nothing."""
        raise SchedulingError(f"{entry.name}: POST /v1/schedules/…/trigger starts a job of a schedule")

    def close(self) -> None:
        """Let go of the database; twice is as once."""
        self._is_closed = True
        super().close()
        if self._checkins is not None:
            self._checkins.close()
        if self._database is not None:
            self._database.close()

    @property
    def info(self) -> str:
        """A line of the banner."""
        return f"    . schedules -> PostgreSQL, entries of beat_schedule as those of tenant {self._tenant}"

    def _turn(self, database: Database) -> bool:
        if self._checkins is None:
            return turn(database)
        return turn(database, tell=self._checkins.tell, tell_ends=self._checkins.tell_ends)

    def _import(self, database: Database) -> None:
        """Write the entries, if that is still to be done."""
        if self._found is not None:
            # An app without entries has them elsewhere, or was loaded from the wrong place: that deletes nothing.
            done = beat_import.apply(database, self._found, prune=bool(self._found.wanted))
            self._found = None
            log.info("beat.imported %s", "; ".join(done.lines))
            for tenant, name in done.deleted:
                log.warning(
                    "beat.deleted schedule=%s tenant=%s reason=it is not in beat_schedule any more", name, tenant
                )

    def _entry(self, tx: Tx, row: Schedule) -> ScheduleEntry:
        step = dict(next(iter(row.document["job"].get("steps", {}).values()), {}))
        ran = firings.page(tx, row.id, outcome=Outcome.STARTED, before=None, limit=1)
        return ScheduleEntry(
            name=row.name,
            task=step.pop("kind", None),
            kwargs=step,
            schedule=RowSchedule(row, self.app),
            last_run_at=ran[0].nominal_at if ran else row.created_at,
            total_run_count=row.runs,
            app=self.app,
        )
