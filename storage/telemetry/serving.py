"""Serves a process's numbers to Prometheus, in processes that serve no HTTP otherwise."""

from storage.telemetry.settings import TelemetrySettings


def set_up(settings: TelemetrySettings) -> str | None:
    """Serve `/metrics`, if a port is set; returns the address at which others reach it."""
    return None
