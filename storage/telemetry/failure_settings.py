"""Where errors and check-ins are told, from the environment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from storage.errors import ConfigurationError

# What Sentry takes as a name of an environment: its server refuses others.
_ENVIRONMENT = re.compile(r"(?!None$)[^\s/]{1,64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class SentrySettings:
    """A Sentry project's DSN, and the environment to be told."""

    dsn: str
    environment: str


def from_env(env: Mapping[str, str]) -> SentrySettings | None:
    """Read SENTRY_DSN (none) and SENTRY_ENVIRONMENT (production). Raises ConfigurationError."""
    dsn, environment = env.get("SENTRY_DSN"), env.get("SENTRY_ENVIRONMENT") or "production"
    if not dsn:
        return None
    try:
        parts = urlsplit(dsn)
        project = parts.path.rpartition("/")[2]
        is_whole = parts.scheme in ("http", "https") and parts.hostname and parts.username and parts.port != 0
    except ValueError:  # the port
        is_whole = False
    if not is_whole or not (project.isascii() and project.isdigit()):
        raise ConfigurationError("SENTRY_DSN must be a project's DSN, such as https://key@sentry.example.com/1")
    if not _ENVIRONMENT.fullmatch(environment):
        raise ConfigurationError(
            f"SENTRY_ENVIRONMENT must be 1 to 64 characters without spaces and slashes, not {environment!r}"
        )
    return SentrySettings(dsn=dsn, environment=environment)
