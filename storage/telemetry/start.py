"""Begins all that a process tells of itself; called once by each composition root, before anything is logged."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from storage.telemetry import failures, logs, serving, traces
from storage.telemetry.settings import TelemetrySettings, from_env

END_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Telemetry:
    """What was begun; `metrics_url` is where this process's numbers are served, None: nowhere."""

    settings: TelemetrySettings
    metrics_url: str | None

    def close(self) -> None:
        """Send what still waits to be sent, for a moment at most."""
        send_rest()
        logs.end()


def send_rest() -> None:
    """Send the spans and errors that still wait, for END_SECONDS at most; log lines come last, see `logs.end`."""
    threads = [threading.Thread(target=part.close, daemon=True) for part in (traces, failures) if part.is_on()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(END_SECONDS)


def start(role: str, env: Mapping[str, str]) -> Telemetry:
    """Begin. Raises ConfigurationError."""
    settings = from_env(env, role)
    logs.set_up(settings)
    traces.set_up(settings, env)
    failures.set_up(settings, env)
    return Telemetry(settings=settings, metrics_url=serving.set_up(settings))
