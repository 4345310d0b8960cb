"""What the environment says about sign-ins."""

from collections.abc import Mapping
from dataclasses import dataclass

from api.errors import ConfigurationError
from storage.sessions import IDLE_SECONDS, LIFE_SECONDS
from tasks.errors import ConfigurationError as TasksConfigurationError
from tasks.outbound_settings import cache_url


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionSettings:
    """`url` of the Redis that keeps sign-ins, None: nobody can sign in; they end when unused, and at the latest."""

    url: str | None = None
    idle_seconds: int = IDLE_SECONDS
    life_seconds: int = LIFE_SECONDS


def from_env(env: Mapping[str, str]) -> SessionSettings:
    """Read CACHE_URL (default: CELERY_BROKER_URL where that is a Redis), SESSION_IDLE_SECONDS, SESSION_LIFE_SECONDS.

    Raises ConfigurationError.
    """
    try:
        url = cache_url(env)
    except TasksConfigurationError as exc:
        raise ConfigurationError(str(exc)) from exc
    return SessionSettings(
        url=url,
        idle_seconds=_seconds(env, "SESSION_IDLE_SECONDS", IDLE_SECONDS),
        life_seconds=_seconds(env, "SESSION_LIFE_SECONDS", LIFE_SECONDS),
    )


def _seconds(env: Mapping[str, str], name: str, most: int) -> int:
    raw = env.get(name, "") or str(most)
    if not raw.isascii() or not raw.isdigit() or not 1 <= int(raw[:20]) <= most:
        raise ConfigurationError(f"{name} must be a whole number from 1 to {most}, not {raw[:40]!r}")
    return int(raw)
