"""What the environment says about calls to third parties."""

import ipaddress
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from tasks.addresses import Rules
from tasks.budget import Limits
from tasks.environment import whole
from tasks.errors import ConfigurationError

_REDIS = ("redis://", "rediss://", "unix://")


def rules(env: Mapping[str, str]) -> Rules:
    """Read OUTBOUND_ALLOW: hosts, host:port, addresses and networks, with commas. Raises ConfigurationError."""
    try:
        return Rules.parse(env.get("OUTBOUND_ALLOW", ""))
    except ValueError as exc:
        raise ConfigurationError(f"OUTBOUND_ALLOW: {exc}") from exc


def nameservers(env: Mapping[str, str]) -> Sequence[str]:
    """Read OUTBOUND_NAMESERVERS: address or address:port, with commas (default: the system's resolver).

    Returns "address:port". Raises ConfigurationError.
    """
    named = [part.strip() for part in env.get("OUTBOUND_NAMESERVERS", "").split(",") if part.strip()]
    return [_nameserver(part) for part in named]


def cache_url(env: Mapping[str, str]) -> str | None:
    """Read CACHE_URL (default: CELERY_BROKER_URL where that is a Redis); None: workers share nothing.

    Raises ConfigurationError.
    """
    named = env.get("CACHE_URL", "")
    if named and not named.startswith(_REDIS):
        raise ConfigurationError("CACHE_URL must look like redis://:password@host:6379/0")
    broker = env.get("CELERY_BROKER_URL", "")
    return named or (broker if broker.startswith(_REDIS) else None)


def limits(env: Mapping[str, str]) -> Limits:
    """Read CALLS_PER_HOST (20), CALLS_PER_TENANT (100), CALLS_TO_HOST (200): at a time; CALL_RATE_PER_HOST and
    CALL_RATE_PER_TENANT: per second (default: any).

    Raises ConfigurationError.
    """
    plain = Limits()
    return Limits(
        per_host=whole(env, "CALLS_PER_HOST", plain.per_host, 100_000),
        per_tenant=whole(env, "CALLS_PER_TENANT", plain.per_tenant, 100_000),
        all_to_host=whole(env, "CALLS_TO_HOST", plain.all_to_host, 100_000),
        rate_per_host=_rate(env, "CALL_RATE_PER_HOST"),
        rate_per_tenant=_rate(env, "CALL_RATE_PER_TENANT"),
    )


def _rate(env: Mapping[str, str], name: str) -> float | None:
    raw = env.get(name)
    if not raw:
        return None
    try:
        rate = float(raw)
    except ValueError:
        rate = 0.0
    if not 0.001 <= rate <= 100_000:
        raise ConfigurationError(f"{name} must be a number per second from 0.001 to 100000, not {raw[:40]!r}")
    return rate


def _nameserver(raw: str) -> str:
    try:
        parts = urlsplit(f"//{raw}" if raw.count(":") <= 1 or raw.startswith("[") else f"//[{raw}]")
        address, port = ipaddress.ip_address(parts.hostname or ""), parts.port or 53
    except ValueError as exc:
        raise ConfigurationError(f"OUTBOUND_NAMESERVERS takes addresses, such as 10.0.0.2:53, not {raw!r}") from exc
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
