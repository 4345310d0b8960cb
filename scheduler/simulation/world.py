"""What is the same for every policy that is compared: how long jobs take, how replicas start, and the dice."""

from dataclasses import dataclass

from scheduler.simulation.errors import InvalidWorld


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """`service` is the mean time of a job in seconds, `spread` its coefficient of variation.

    A spread of 0 means that all are alike, 1 an exponential distribution, anything else a gamma distribution.
    A replica works on `slots` jobs at a time, and is ready `startup` seconds after it was asked for, give or take the
    part `jitter` of it. Waits up to `target` seconds are good. `seed` decides all that is random.
    """

    slots: int = 2
    service: float = 2.0
    spread: float = 1.0
    startup: float = 10.0
    jitter: float = 0.0
    target: float = 30.0
    seed: int = 1

    def __post_init__(self) -> None:
        if self.slots < 1 or self.service <= 0 or self.spread < 0 or self.startup < 0 or self.target < 0:
            raise InvalidWorld("slots and service must be above 0; spread, startup and target not below it")
        if not 0 <= self.jitter <= 1:
            raise InvalidWorld(f"the jitter is a part of the startup, from 0 to 1, not {self.jitter:g}")
