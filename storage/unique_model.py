"""The key that a job must not share with others, and for how long. Pure."""

from dataclasses import dataclass
from enum import StrEnum


class UniqueMode(StrEnum):
    """For how long a job keeps others with its key away."""

    WHILE_QUEUED = "while_queued"  # until its first step starts
    WHILE_ACTIVE = "while_active"  # until it ends
    TTL = "ttl_seconds"  # from its acceptance on, however it goes


@dataclass(frozen=True, kw_only=True, slots=True)
class Unique:
    """The key that a job must not share; `ttl_seconds` for that mode only."""

    key: str
    mode: UniqueMode
    ttl_seconds: float | None = None
