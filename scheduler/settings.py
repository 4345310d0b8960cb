"""What the scheduler process needs to know, from the environment."""

from collections.abc import Mapping
from dataclasses import dataclass

from scheduler.errors import ConfigurationError
from storage import settings as storage_settings


@dataclass(frozen=True, kw_only=True, slots=True)
class SchedulerSettings:
    """Where the rows are; the broker's address is for Celery, which reads CELERY_BROKER_URL by itself."""

    database: storage_settings.DatabaseSettings
    log_level: str


def from_env(env: Mapping[str, str]) -> SchedulerSettings:
    """Read DATABASE_URL, CELERY_BROKER_URL, LOG_LEVEL (default INFO).

    Raises ConfigurationError, of this package or of storage, with one line that names the variable.
    """
    if not env.get("CELERY_BROKER_URL"):
        raise ConfigurationError("CELERY_BROKER_URL is not set; it looks like redis://:password@host:6379/0")
    level = env.get("LOG_LEVEL", "INFO").upper()
    if level not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise ConfigurationError(f"LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR, not {level!r}")
    return SchedulerSettings(database=storage_settings.from_env(env), log_level=level)
