"""What the policy remembers, as JSON and back: a scaler that is started again goes on where the last one was."""

from dataclasses import asdict

from scheduler.hpa import History, Point
from scheduler.policy import Memory
from storage.model import Json


def write(memory: Memory) -> Json:
    """As a JSON value."""
    return asdict(memory)


def read(kept: Json) -> Memory:
    """Back from `write`."""
    history = {name: tuple(Point(*point) for point in points) for name, points in kept["history"].items()}
    return Memory(
        since=kept["since"], active_at=kept["active_at"], history=History(**history), failures=kept["failures"]
    )
