"""The least that any policy can do with, even one that knows everything in advance."""

from dataclasses import dataclass

import numpy as np

from scheduler.simulation import chance
from scheduler.simulation.chance import compiled
from scheduler.simulation.run import GOOD_SHARE
from scheduler.simulation.trace import Floats, Trace
from scheduler.simulation.world import World

MOST_JOBS = 20_000_000  # beyond that only the work is counted
LOADS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, np.inf)  # which hours count as light: up to so many busy replicas
PRICES = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 4.0)  # of a job left out, to what a start-up costs
BLOCK = 600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Optimum:
    """Replica-hours: `work` is the jobs' own time, `proved` a bound that no policy that is good can stay under."""

    work: float
    proved: float


def find(trace: Trace, world: World) -> Optimum:
    """The bounds for this trace, over the same arrivals and service times as the runs have."""
    if trace.jobs > MOST_JOBS:
        work = trace.jobs * world.service / world.slots / 3600
        return Optimum(work=work, proved=0.0)
    arrivals, services = chance.draws(trace, world)
    work = float(services.sum()) / world.slots
    return Optimum(work=work / 3600, proved=work / 3600)
