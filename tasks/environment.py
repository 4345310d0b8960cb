"""Values of the environment, read and refused in one way. Pure."""

from collections.abc import Mapping

from tasks.errors import ConfigurationError


def whole(env: Mapping[str, str], name: str, default: int, most: int) -> int:
    """Read a whole number from 1 on. Raises ConfigurationError."""
    raw = env.get(name) or str(default)
    if not raw.isascii() or not raw.isdigit() or not 1 <= int(raw[:20]) <= most:
        raise ConfigurationError(f"{name} must be a whole number from 1 to {most}, not {raw[:40]!r}")
    return int(raw)


def seconds(env: Mapping[str, str], name: str, default: float, least: float) -> float:
    """Read a number of seconds, at most an hour. Raises ConfigurationError."""
    raw = env.get(name) or str(default)
    try:
        value = float(raw)
    except ValueError:
        value = -1.0
    if not least <= value <= 3600:
        raise ConfigurationError(f"{name} must be a number of seconds from {least:g} to 3600, not {raw!r}")
    return value


def one_of(env: Mapping[str, str], name: str, values: tuple[str, str]) -> str:
    """Read one of two words, of which the first is the default. Raises ConfigurationError."""
    raw = env.get(name) or values[0]
    if raw not in values:
        raise ConfigurationError(f"{name} must be {values[0]} or {values[1]}, not {raw[:40]!r}")
    return raw
