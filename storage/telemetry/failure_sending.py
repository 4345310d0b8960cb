"""Errors on their way to Sentry, by its own client; loaded only where SENTRY_DSN is set, since it is large."""

import logging
import socket
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from sentry_sdk import Client
from sentry_sdk.transport import HttpTransport
from sentry_sdk.types import Event
from sentry_sdk.utils import event_from_exception

from storage.fingerprints import fingerprint
from storage.telemetry.failure_limits import Limits
from storage.telemetry.failure_settings import SentrySettings
from storage.telemetry.scrubbing import HIDDEN, scrubbed
from storage.telemetry.settings import TelemetrySettings

log = logging.getLogger(__name__)

QUEUE = 100  # errors that wait to be sent; more are dropped
CLOSE_SECONDS = 0.9  # for those that still wait when the process stops
TAGS = ("tenant", "job", "step", "attempt", "kind", "request", "trace")


class Telling:
    """Sends errors from a thread of its own; whoever tells it something never waits."""

    def __init__(self, sentry: SentrySettings, telemetry: TelemetrySettings) -> None:
        self._role = telemetry.role
        self._limits = Limits()
        # Not sentry_sdk.init, which hooks into every library it knows: nothing is sent but what is told here.
        self._client = Client(
            dsn=sentry.dsn,
            environment=sentry.environment,
            release=f"millrace@{telemetry.version}",
            server_name=socket.gethostname(),
            transport=_Transport,
            transport_queue_size=QUEUE,
            default_integrations=False,
            auto_enabling_integrations=False,
            auto_session_tracking=False,
            send_client_reports=False,
            include_local_variables=False,
        )

    def tell(
        self, exc: BaseException, *, group: Sequence[str], hidden: Iterable[Any] | None, about: Mapping[str, Any]
    ) -> bool:
        """Tell of an error, unless the same was told of a moment ago; returns whether it is on its way."""
        known = None if hidden is None else list(hidden)
        return self._send(lambda: _of(exc, self._client.options, known), (*group, place(exc)), about)

    def say(self, message: str, *, group: Sequence[str], about: Mapping[str, Any]) -> bool:
        """Tell of what went wrong without an exception."""
        return self._send(lambda: {"level": "error", "message": scrubbed(message)}, group, about)

    def close(self) -> None:
        self._client.close(CLOSE_SECONDS)

    def _send(self, make: Callable[[], Event], group: Sequence[str], about: Mapping[str, Any]) -> bool:
        untold = self._limits.admit("\0".join(group))
        if untold is None:
            return False
        event = make()
        event["fingerprint"] = list(group)
        event["tags"] = {
            "role": self._role,
            "thread": threading.current_thread().name,  # a loop of the scheduler is named so
            **{name: str(about[name]) for name in TAGS if name in about},
        }
        event["extra"] = {"not_told_before": untold}
        if "tenant" in about:
            event["user"] = {"id": str(about["tenant"])}  # so that Sentry counts how many are concerned
        if "trace" in about:
            event["contexts"] = {"trace": {"trace_id": str(about["trace"]), "span_id": "0" * 16}}
        if "kind" in about:
            event["transaction"] = str(about["kind"])
        return self._client.capture_event(event) is not None


class _Transport(HttpTransport):
    """Sentry's own transport, which tells of what it loses through this method only."""

    def on_dropped_event(self, reason: str) -> None:
        log.warning("failures.lost reason=%s", reason)


def place(exc: BaseException) -> str:
    """The same for errors of one type from one function, as in the rows of steps that failed so."""
    frames = traceback.extract_tb(exc.__traceback__)
    where = (PurePath(frames[-1].filename).name, frames[-1].name) if frames else ()
    return fingerprint("internal_error", type(exc).__name__, *where)


def _of(exc: BaseException, options: dict[str, Any], hidden: Sequence[Any] | None) -> Event:
    """The event: stacks with the source beside them, but no variables, and messages without what is others' business.

    With `hidden` None no message is told at all.
    """
    event, _ = event_from_exception(exc, options, mechanism={"type": "millrace", "handled": True})
    for one in event["exception"]["values"]:
        one["value"] = HIDDEN if hidden is None else scrubbed(str(one.get("value") or ""), hidden)
        for frame in (one.get("stacktrace") or {}).get("frames", ()):
            frame.pop("vars", None)
        (one.get("mechanism") or {}).pop("data", None)
    return event
