"""Tells Sentry of errors, where SENTRY_DSN is set."""

from collections.abc import Mapping

from storage.telemetry.settings import TelemetrySettings


def set_up(settings: TelemetrySettings, env: Mapping[str, str]) -> None:
    """Begin to tell, if SENTRY_DSN is set."""


def close() -> None:
    """Send what still waits."""
