"""What a process is to tell, and to whom, from the environment."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from storage.errors import ConfigurationError

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
FORMATS = ("auto", "json", "console")


@dataclass(frozen=True, kw_only=True, slots=True)
class TelemetrySettings:
    """`role`: api, worker, scheduler, scaler, keda; `name` is this process's own, on all machines.

    `log_format` auto: colours on a terminal, JSON elsewhere. `metrics_port`: where numbers are served, 0: on any free
    port, None: nowhere; the HTTP process serves its own.
    """

    role: str
    name: str
    version: str
    log_level: str = "INFO"
    log_format: str = "auto"
    job_logs: bool = True  # whether lines about a job are kept with it
    metrics_port: int | None = None
    metrics_host: str = "127.0.0.1"
    metrics_url: str | None = None  # where others reach it; by default http://METRICS_HOST:port
    metrics_dir: Path | None = None  # which HTTP processes of one address share, to tell each other's numbers


def from_env(env: Mapping[str, str], role: str) -> TelemetrySettings:
    """Read LOG_LEVEL (INFO), LOG_FORMAT (auto), JOB_LOGS (on), METRICS_PORT (none), METRICS_HOST (127.0.0.1),
    METRICS_URL (none), METRICS_DIR (none).

    Raises ConfigurationError with one line that names the variable.
    """
    return TelemetrySettings(
        role=role,
        name=f"{role}@{socket.gethostname()}/{os.getpid()}",
        version=version("millrace"),
        log_level=_one_of(env, "LOG_LEVEL", "INFO", LEVELS),
        log_format=_one_of(env, "LOG_FORMAT", "auto", FORMATS),
        job_logs=_one_of(env, "JOB_LOGS", "on", ("on", "off")) == "on",
        metrics_port=_port(env.get("METRICS_PORT")),
        metrics_host=env.get("METRICS_HOST") or "127.0.0.1",
        metrics_url=env.get("METRICS_URL") or None,
        metrics_dir=_folder(env.get("METRICS_DIR")),
    )


def _one_of(env: Mapping[str, str], name: str, default: str, known: tuple[str, ...]) -> str:
    raw = env.get(name) or default
    found = raw.upper() if known is LEVELS else raw.lower()
    if found not in known:
        raise ConfigurationError(f"{name} must be {', '.join(known[:-1])} or {known[-1]}, not {raw!r}")
    return found


def _folder(raw: str | None) -> Path | None:
    if not raw:
        return None
    if not Path(raw).is_dir():
        raise ConfigurationError(f"METRICS_DIR must be a folder that is there, not {raw[:200]!r}")
    return Path(raw)


def _port(raw: str | None) -> int | None:
    if not raw or raw == "off":
        return None
    if not raw.isascii() or not raw.isdigit() or int(raw) > 65_535:
        raise ConfigurationError(f"METRICS_PORT must be off or a port from 0 (any free one) to 65535, not {raw!r}")
    return int(raw)
