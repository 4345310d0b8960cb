"""Tells Sentry of errors that nobody expected, where SENTRY_DSN is set; nothing otherwise. See docs/sentry.md."""

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from structlog.contextvars import get_contextvars

from storage.errors import DatabaseUnavailable, ObjectStoreUnavailable
from storage.telemetry import failure_settings
from storage.telemetry.failure_settings import SentrySettings
from storage.telemetry.settings import TelemetrySettings

if TYPE_CHECKING:
    from storage.telemetry.failure_sending import Telling

log = logging.getLogger(__name__)

OURS = ("api", "deploy", "scheduler", "storage", "tasks", "__main__")  # whose logged exceptions are told
PASSING = (DatabaseUnavailable, ObjectStoreUnavailable)  # an outage is not a defect: metrics and alerts tell of it
_TOLD = "__told_by_millrace__"


class _Here:
    """This process's state: where errors go, and what sends them, made with the first one, so after a fork."""

    make: "type[Telling] | None" = None
    sentry: SentrySettings | None = None
    telemetry: TelemetrySettings | None = None
    telling: "Telling | None" = None


class _Listening(logging.Handler):
    """Tells of every exception that code of ours logs as an error."""

    def emit(self, record: logging.LogRecord) -> None:
        exc = record.exc_info[1] if record.exc_info else None
        if exc is None or isinstance(exc, PASSING):
            return
        # Where a tenant is being served, an error's words may bear what is the tenant's.
        of_tenant = not get_contextvars().keys().isdisjoint(("tenant", "request"))
        tell(exc, group=(str(record.msg).partition(" ")[0],), hidden=None if of_tenant else ())


_listening = _Listening(level=logging.ERROR)


def set_up(settings: TelemetrySettings, env: Mapping[str, str]) -> None:
    """Begin to tell, if SENTRY_DSN is set. Raises ConfigurationError."""
    sentry = failure_settings.from_env(env)
    if sentry is None:
        return
    # Loaded now: what is imported while another thread forks is half imported in the child, for ever.
    _Here.make = import_module("storage.telemetry.failure_sending").Telling
    _Here.sentry, _Here.telemetry = sentry, settings
    # At our own loggers, not at the root: its handlers are others', and libraries log what is no error of ours.
    for name in OURS:
        logging.getLogger(name).addHandler(_listening)


def is_on() -> bool:
    """Whether errors are told."""
    return _Here.sentry is not None


def close() -> None:
    """Send what still waits, for a second at most."""
    for name in OURS:
        logging.getLogger(name).removeHandler(_listening)
    telling, _Here.telling, _Here.sentry = _Here.telling, None, None
    if telling is not None:
        telling.close()


def tell(exc: BaseException, *, group: Sequence[str] = (), hidden: Iterable[Any] | None = ()) -> None:
    """Tell of an error, once; what is being worked on is known from the log's context variables.

    Errors of one `group`, type and function are one issue. Values in `hidden`, which are JSON, are taken out of its
    words; None: it has none. Never raises.
    """
    if _Here.sentry is None or getattr(exc, _TOLD, False):
        return
    try:
        exc.__dict__[_TOLD] = True
        if (telling := _telling()) is not None:
            telling.tell(exc, group=group, hidden=hidden, about=get_contextvars())
    except Exception:  # the edge: whoever has an error to tell has trouble enough
        log.warning("failures.not_told", exc_info=True)


def say(message: str, *, group: Sequence[str], **about: str) -> None:
    """Tell of what went wrong without an exception; `about` names what it concerns. Never raises."""
    if _Here.sentry is None:
        return
    try:
        if (telling := _telling()) is not None:
            telling.say(message, group=group, about={**get_contextvars(), **about})
    except Exception:  # the edge, as above
        log.warning("failures.not_told", exc_info=True)


def _telling() -> "Telling | None":
    if _Here.telling is None and _Here.make is not None and _Here.sentry is not None and _Here.telemetry is not None:
        _Here.telling = _Here.make(_Here.sentry, _Here.telemetry)
    return _Here.telling


def _after_fork() -> None:
    _Here.telling = None


os.register_at_fork(after_in_child=_after_fork)
