"""Log lines of this process, and those about a job kept with it.

Whoever logs uses the standard library: `log.info("relay.sent steps=%s", n)`. What becomes of it stands in docs/logs.md.
"""

import logging
import os
import socket
import sys
from collections.abc import Callable

import structlog

from storage.database import Database
from storage.telemetry import log_keeping
from storage.telemetry.log_lines import Named, console_formatter, json_formatter, line_of
from storage.telemetry.settings import TelemetrySettings

# At DEBUG they would tell what is sent: headers, so secrets.
_DISCREET = ("botocore", "boto3", "s3transfer", "urllib3", "httpcore2", "httpx2")

# What they say at INFO is no news.
_TALKATIVE = ("alembic.runtime.plugins", "tornado.access")

_WAITED_FOR = ("scheduler.ready", "scale.ready")

_process = Named(role="", name="")
_handlers: list[logging.Handler] = []  # ours: one at most


def set_up(settings: TelemetrySettings) -> None:
    """Have this process's log lines written to its standard error, by whatever library they come.

    Again in the same process: as the new settings say. Lines below LOG_LEVEL are kept with their job all the same.
    """
    _process.role, _process.name = settings.role, settings.name
    root = logging.getLogger()
    while _handlers:
        root.removeHandler(_handlers.pop())
    written = logging.getLevelNamesMapping()[settings.log_level]

    def take(record: logging.LogRecord) -> bool:
        is_written = record.levelno >= written or _is_waited_for(record)
        if is_written or settings.job_logs:
            line = line_of(record)
            if settings.job_logs:
                log_keeping.offer(line, _process.name)
        return is_written

    handler = logging.StreamHandler(sys.stderr)
    colored = console_formatter(colors=_has_colors()) if is_for_people(settings) else None
    handler.setFormatter(colored or json_formatter(_process))
    handler.addFilter(take)
    _handlers.append(handler)
    root.addHandler(handler)
    root.setLevel(min(written, logging.INFO))
    for name in _DISCREET:
        logging.getLogger(name).setLevel(max(written, logging.INFO))
    for name in _TALKATIVE if written > logging.DEBUG else ():
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    # No line says which thread, task or place in the code it comes from: to find out would cost a fifth of it.
    # See "Optimization" in the HOWTO of the standard library's logging.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    _take_structlog()


def is_for_people(settings: TelemetrySettings) -> bool:
    """Whether the lines are for a terminal rather than for machines."""
    return settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())


def keep(database: Callable[[], Database]) -> None:
    """From now on keep lines about jobs with them, through this database; after a fork, in the child as well."""
    log_keeping.begin(database)


def end() -> None:
    """Write what still waits to be kept, within a second; call it before a process ends, in whatever way."""
    log_keeping.end()


def _is_waited_for(record: logging.LogRecord) -> bool:
    """Whether it is a line that whoever starts this process waits for: it is written whatever LOG_LEVEL says."""
    return isinstance(record.msg, str) and record.msg.startswith(_WAITED_FOR)


def _has_colors() -> bool:
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")


def _take_structlog() -> None:
    """Let kinds that use structlog's own loggers be written the same way."""
    structlog.configure(
        processors=[structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _after_fork() -> None:
    if _process.name:
        _process.name = f"{_process.role}@{socket.gethostname()}/{os.getpid()}"


os.register_at_fork(after_in_child=_after_fork)
