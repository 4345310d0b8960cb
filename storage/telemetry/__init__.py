"""What every process tells of itself: log lines, numbers, traces, errors. See docs/decisions/0015-telemetry.md."""
