"""Log lines of this process, and those about a job kept with it."""

import logging

from storage.telemetry.settings import TelemetrySettings


def set_up(settings: TelemetrySettings) -> None:
    """Have this process's log lines written."""
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(threadName)s %(message)s")
