"""What puts a number of replicas into effect; processes on this machine and Kubernetes do, and both pass one suite."""

from collections.abc import Mapping
from typing import Protocol

from scheduler.pools import Pool


class Actuator(Protocol):
    """Counts and changes the replicas of pools. Raises ActuatorFailed where that cannot be done now.

    `is_local` says that nobody else can have a say in them.
    """

    is_local: bool

    def begin(self) -> None:
        """Look after the replicas from now on: this scaler leads. Before that it may only count them."""

    def rest(self) -> None:
        """Look after them no more; they stay."""

    def replicas(self, pool: Pool) -> int:
        """How many replicas the pool is told to have, whether they are ready or not."""

    def scale(self, pool: Pool, replicas: int, busy: Mapping[str, int]) -> None:
        """Have so many from now on; returns before they are.

        `busy` is how many steps each replica works on, by its name (one that is missing works on none): the least busy
        go first, and finish what they work on before they end.
        """

    def trouble(self, pool: str) -> str | None:
        """In words, if the pool's replicas do not come up; None if that is not so, or not known."""

    def close(self) -> None:
        """Let go of what this object holds; the replicas stay."""
