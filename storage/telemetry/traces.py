"""Spans over OTLP, where the extra `otel` is installed and an endpoint is set; nothing otherwise."""

from collections.abc import Mapping

from storage.telemetry.settings import TelemetrySettings


def set_up(settings: TelemetrySettings, env: Mapping[str, str]) -> None:
    """Begin to send spans, if OTEL_EXPORTER_OTLP_ENDPOINT is set."""


def close() -> None:
    """Send what still waits."""
