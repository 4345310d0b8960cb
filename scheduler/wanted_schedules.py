"""The schedules that there shall be once a scheduler has started: the platform's, installed kinds', those of a file."""

import logging
import threading
from pathlib import Path

from scheduler.loop import pause_seconds
from storage.database import Database
from storage.errors import DatabaseUnavailable, ScheduleNameTaken
from tasks import applying

log = logging.getLogger(__name__)


def apply_all(database: Database, file: Path | None, stop: threading.Event) -> None:
    """Apply what the platform, the installed kinds and the file want; a database that is away is waited for.

    Raises TasksError for a file that is wrong.
    """
    left = [
        (applying.PLATFORM_SOURCE, str(applying.PLATFORM_FILE), applying.read(applying.PLATFORM_FILE)),
        (applying.KINDS_SOURCE, "installed kinds", applying.of_kinds()),
    ]
    if file is not None:
        left.append((applying.FILE, str(file), applying.read(file)))
    failures = 0
    while left and not stop.is_set():
        source, where, wanted = left[0]
        try:
            # A tenant must be able to keep neither the platform from starting nor others' schedules from being applied.
            done = applying.apply(database, source, wanted, where=where, spare_taken=True)
            log.info("schedules.applied source=%s what=%s", source, "; ".join(done.lines))
            for entry, flaw in done.taken:
                log.error("schedules.left_out source=%s entry=%s reason=%s", source, entry, flaw.detail)
            del left[0]
        except (DatabaseUnavailable, ScheduleNameTaken) as exc:
            failures += 1
            log.warning("schedules.not_applied failures=%s reason=%s", failures, exc)
            stop.wait(pause_seconds(failures))
