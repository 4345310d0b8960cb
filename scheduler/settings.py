"""What the scheduler process needs to know, from the environment."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scheduler import pools
from scheduler.errors import ConfigurationError
from storage import settings as storage_settings
from storage.objects import settings as objects_settings
from storage.sealing import Keyring, keyring_from_env
from storage.telemetry import failure_settings
from storage.telemetry.failure_settings import SentrySettings
from tasks import outbound_settings
from tasks.addresses import Rules


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookSettings:
    """How webhooks are delivered: links in them begin with `public_url`, and without a keyring none is delivered.

    `rules` opens what is forbidden otherwise; `nameservers` ("address:port") are asked instead of the system's.
    """

    keyring: Keyring | None
    public_url: str
    rules: Rules
    nameservers: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class SchedulerSettings:
    """Where rows and objects are; the broker's address is for Celery, which reads CELERY_BROKER_URL by itself.

    `lease_seconds` as the workers have it. `pools` is the folder with a file for each pool; `schedules` your own file
    of schedules that are applied at start, if any. `sentry` is None where nothing checks in.
    """

    database: storage_settings.DatabaseSettings
    objects: objects_settings.ObjectSettings
    log_level: str
    lease_seconds: float
    pools: Path
    schedules: Path | None
    sentry: SentrySettings | None
    webhooks: WebhookSettings


def from_env(env: Mapping[str, str]) -> SchedulerSettings:
    """Read DATABASE_URL, STORAGE_URL and AWS_*, CELERY_BROKER_URL, LOG_LEVEL (default INFO), LEASE_SECONDS (30),
    POOLS_DIR (deploy/k8s/pools), SCHEDULES_FILE (none),
    SENTRY_DSN (none), SENTRY_ENVIRONMENT (production), SECRET_KEY and SECRET_KEY_FALLBACKS (none), PUBLIC_URL (none),
    OUTBOUND_ALLOW (none), OUTBOUND_NAMESERVERS (the system's).

    Raises ConfigurationError, of this package, of storage or of tasks, with one line that names the variable.
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
        pools=_pools(env.get("POOLS_DIR")),
        schedules=schedules_file(env),
        sentry=failure_settings.from_env(env),
        webhooks=webhooks_from_env(env),
    )


def webhooks_from_env(env: Mapping[str, str]) -> WebhookSettings:
    """Read what deliveries need. Raises ConfigurationError, of this package, of storage or of tasks."""
    public_url = env.get("PUBLIC_URL", "").rstrip("/")
    if public_url and not public_url.startswith(("http://", "https://")):
        raise ConfigurationError(f"PUBLIC_URL must begin with http:// or https://, not {public_url!r}")
    return WebhookSettings(
        keyring=keyring_from_env(env),
        public_url=public_url,
        rules=outbound_settings.rules(env),
        nameservers=outbound_settings.nameservers(env),
    )


def schedules_file(env: Mapping[str, str]) -> Path | None:
    """Read SCHEDULES_FILE alone; None if no file is to be applied. Raises ConfigurationError."""
    raw = env.get("SCHEDULES_FILE")
    if raw and not Path(raw).is_file():
        raise ConfigurationError(f"SCHEDULES_FILE must be a .toml file with schedules, and {raw} is no file")
    return Path(raw) if raw else None


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


def _number(raw: str) -> float | None:
    try:
        number = float(raw)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
