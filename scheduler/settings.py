"""What the scheduler process needs to know, from the environment."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scheduler import pools
from scheduler.errors import ConfigurationError
from storage import settings as storage_settings
from storage.model import TERMINAL_JOB_STATES, JobState
from storage.objects import settings as objects_settings

DEFAULT_DAYS = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class SchedulerSettings:
    """Where rows and objects are; the broker's address is for Celery, which reads CELERY_BROKER_URL by itself.

    `lease_seconds` as the workers have it. `kept_seconds`: how long ended jobs are kept, by state; missing: for ever.
    `pools` is the folder with a file for each pool.
    """

    database: storage_settings.DatabaseSettings
    objects: objects_settings.ObjectSettings
    log_level: str
    lease_seconds: float
    kept_seconds: Mapping[JobState, float]
    pools: Path


def from_env(env: Mapping[str, str]) -> SchedulerSettings:
    """Read DATABASE_URL, STORAGE_URL and AWS_*, CELERY_BROKER_URL, LOG_LEVEL (default INFO), LEASE_SECONDS (30),
    RETENTION_DAYS (30, or by state: "succeeded=7,failed=90"; 0 keeps for ever), POOLS_DIR (deploy/k8s/pools).

    Raises ConfigurationError, of this package or of storage, with one line that names the variable.
    """
    if not env.get("CELERY_BROKER_URL"):
        raise ConfigurationError("CELERY_BROKER_URL is not set; it looks like redis://:password@host:6379/0")
    level = env.get("LOG_LEVEL", "INFO").upper()
    if level not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise ConfigurationError(f"LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR, not {level!r}")
    return SchedulerSettings(
        database=storage_settings.from_env(env),
        objects=objects_settings.from_env(env),
        log_level=level,
        lease_seconds=_lease_seconds(env.get("LEASE_SECONDS") or "30"),
        kept_seconds=_kept_seconds(env.get("RETENTION_DAYS") or str(DEFAULT_DAYS)),
        pools=_pools(env.get("POOLS_DIR")),
    )


def _pools(raw: str | None) -> Path:
    folder = Path(raw) if raw else pools.FOLDER
    if not folder.is_dir():
        raise ConfigurationError(f"POOLS_DIR must be a folder with a .yaml file for each pool, and {folder} is none")
    return folder


def _lease_seconds(raw: str) -> float:
    seconds = _number(raw)
    if seconds is None or not 1 <= seconds <= 3600:
        raise ConfigurationError(f"LEASE_SECONDS must be a number of seconds from 1 to 3600, not {raw!r}")
    return seconds


def _kept_seconds(raw: str) -> dict[JobState, float]:
    states = sorted(TERMINAL_JOB_STATES)
    days = dict.fromkeys(states, DEFAULT_DAYS)
    for part in raw.split(","):
        name, _, value = part.rpartition("=")
        number = _number(value)
        if number is None or number < 0 or (name.strip() and name.strip() not in states):
            listed = ", ".join(states)
            raise ConfigurationError(
                f"RETENTION_DAYS must be a number of days, or state=days with commas ({listed}), not {raw!r}"
            )
        days |= {JobState(name.strip()): number} if name.strip() else dict.fromkeys(states, number)
    return {state: number * 86_400 for state, number in days.items() if number}


def _number(raw: str) -> float | None:
    try:
        number = float(raw)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
