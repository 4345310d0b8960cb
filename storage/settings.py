"""Where the rows are, from the environment."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from storage.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseSettings:
    """`url` goes through the pooler if there is one; `direct_url` does not: LISTEN needs a session of its own.

    `one_plan`: PostgreSQL plans a statement once for all its parameters. That is for who asks by keys alone, again and
    again: planning the claim of a step takes longer than claiming it.
    """

    url: str
    direct_url: str
    pool_size: int = 10
    one_plan: bool = False


def from_env(env: Mapping[str, str]) -> DatabaseSettings:
    """Read DATABASE_URL, DATABASE_DIRECT_URL (default: the same) and DATABASE_POOL_SIZE (default 10).

    Raises ConfigurationError with one line that names the variable.
    """
    url = _postgres_url(env, "DATABASE_URL", required=True)
    direct = _postgres_url(env, "DATABASE_DIRECT_URL", required=False) or url
    return DatabaseSettings(url=url, direct_url=direct, pool_size=_pool_size(env.get("DATABASE_POOL_SIZE", "10")))


def _postgres_url(env: Mapping[str, str], name: str, *, required: bool) -> str:
    raw = env.get(name, "")
    if not raw:
        if required:
            raise ConfigurationError(f"{name} is not set; it looks like postgresql://user:password@host:5432/name")
        return ""
    try:
        url = make_url(raw)
    except ArgumentError as exc:
        raise ConfigurationError(
            f"{name} is not a URL; it looks like postgresql://user:password@host:5432/name"
        ) from exc
    if url.drivername.partition("+")[0] not in {"postgresql", "postgres"} or not url.database:
        raise ConfigurationError(f"{name} must look like postgresql://user:password@host:5432/name")
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def _pool_size(raw: str) -> int:
    if not raw.isascii() or not raw.isdigit() or not 1 <= int(raw) <= 1000:
        raise ConfigurationError(f"DATABASE_POOL_SIZE must be a whole number from 1 to 1000, not {raw!r}")
    return int(raw)
