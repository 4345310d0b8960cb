"""How long what has served its time is kept, from the environment."""

import math
from collections.abc import Mapping

from storage.errors import ConfigurationError
from storage.model import TERMINAL_JOB_STATES, JobState

DEFAULT_DAYS = 30.0
DEFAULT_RENDITION_DAYS = 7.0
MAX_RENDITION_DAYS = 3650.0


def from_env(env: Mapping[str, str]) -> Mapping[JobState, float]:
    """Read RETENTION_DAYS: days, or by state "succeeded=7,failed=90" (default 30; 0 keeps for ever).

    Returns seconds by state; what is missing is kept for ever. Raises ConfigurationError.
    """
    raw = env.get("RETENTION_DAYS") or str(DEFAULT_DAYS)
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


def rendition_days(env: Mapping[str, str]) -> float:
    """Read RENDITION_DAYS (default 7): how long a finished picture is kept that no job has and that nobody asks for.

    0: pictures are not shared. Raises ConfigurationError.
    """
    raw = env.get("RENDITION_DAYS") or str(DEFAULT_RENDITION_DAYS)
    days = _number(raw)
    if days is None or not 0 <= days <= MAX_RENDITION_DAYS:
        raise ConfigurationError(f"RENDITION_DAYS must be a number of days from 0 to 3650, not {raw[:40]!r}")
    return days


def _number(raw: str) -> float | None:
    try:
        number = float(raw)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
