"""What the policy remembers, as JSON and back: a scaler that is started again goes on where the last one was."""

from dataclasses import asdict

from scheduler.hpa import History, Point
from scheduler.policy import Memory
from storage.model import Json


def write(memory: Memory) -> Json:
    """As a JSON value."""
    return asdict(memory)


def read(kept: Json, now: float) -> Memory | None:
    """Back from `write`, nothing later than `now` (clocks go back); None if there is nothing, or another version's."""
    try:
        history = {
            name: tuple(Point(min(at, now), number) for at, number in points)
            for name, points in kept["history"].items()
        }
        active_at = None if kept["active_at"] is None else min(kept["active_at"], now)
        return Memory(
            since=min(kept["since"], now),
            active_at=active_at,
            history=History(**history),
            failures=dict(kept["failures"]),
        )
    except (TypeError, KeyError, ValueError, AttributeError):
        return None
