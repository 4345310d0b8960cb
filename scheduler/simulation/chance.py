"""The dice, compiled: arrivals of a Poisson process and service times, the same for every policy.

Each stream is a splitmix64 generator (G. L. Steele, D. Lea, C. H. Flood, OOPSLA 2014) in one cell of an array: job i
has the i-th draw of each stream, whatever becomes of it.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from scheduler.simulation.trace import Floats, Ints, Trace
from scheduler.simulation.world import World

Words = NDArray[np.uint64]
Compiled = TypeVar("Compiled", bound=Callable[..., Any])

HEAD, TAIL, SERVICE, STARTUP = range(4)  # streams: when jobs come, the same again, how long they take, replicas

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S11, _S27, _S30, _S31 = np.uint64(11), np.uint64(27), np.uint64(30), np.uint64(31)
_STAMP = tuple((file.name, file.stat().st_mtime_ns) for file in sorted(Path(__file__).parent.glob("*.py")))
_TO_UNIT = 1.0 / 9007199254740992.0


def compiled(function: Compiled) -> Compiled:
    """Numba's njit, kept on disk until a file of this package changes.

    By itself Numba looks at the function's own file only, and would go on using what was compiled into it of others.
    """
    made: Any = njit(cache=True, error_model="numpy")(function)
    made._cache._cache_file._source_stamp = _STAMP
    return cast(Compiled, made)


class Source(NamedTuple):
    """Where jobs come from: the trace's rows, the dice, and two places in the same row of arrivals.

    The place HEAD is at the next job to arrive, TAIL at the next to start, so that those between need no memory.
    `places` are the row and its scheduled jobs still to come, `times` when the job arrives.
    """

    begins: Floats
    ends: Floats
    rates: Floats
    scheduled: Ints
    dice: Words
    places: Ints
    times: Floats


def source(trace: Trace, world: World) -> Source:
    """At the first arrival."""
    arrivals, service, startup = np.random.SeedSequence(world.seed).generate_state(3, np.uint64)
    made = Source(
        begins=trace.begins,
        ends=trace.ends,
        rates=trace.spread / (trace.ends - trace.begins),
        scheduled=trace.scheduled,
        dice=np.array([arrivals, arrivals, service, startup]),
        places=np.array([[0, trace.scheduled[0]]] * 2),
        times=np.zeros(2),
    )
    advance(made, HEAD)
    advance(made, TAIL)
    return made


def draws(trace: Trace, world: World) -> tuple[Floats, Floats]:
    """All jobs: when they arrive, and how long they take; 16 bytes a job."""
    made = source(trace, world)
    total = count(made)
    arrivals, services = np.empty(total), np.empty(total)
    fill(source(trace, world), world.service, world.spread, arrivals, services)
    return arrivals, services


@compiled
def uniform(dice: Words, stream: int) -> float:
    """Above 0, up to 1."""
    dice[stream] += _GOLDEN
    mixed = dice[stream]
    mixed = (mixed ^ (mixed >> _S30)) * _FIRST
    mixed = (mixed ^ (mixed >> _S27)) * _SECOND
    return (np.float64((mixed ^ (mixed >> _S31)) >> _S11) + 1.0) * _TO_UNIT


@compiled
def advance(src: Source, who: int) -> None:
    """Go on to the next arrival; its time is infinite when there are no more."""
    row, time = src.places[who, 0], src.times[who]
    missing = -1.0
    while row < len(src.begins):
        if src.places[who, 1] > 0:
            src.places[who, 0], src.times[who] = row, src.begins[row]
            src.places[who, 1] -= 1
            return
        time = max(time, src.begins[row])
        if missing < 0.0:
            missing = -math.log(uniform(src.dice, who))
        comes = (src.ends[row] - time) * src.rates[row]
        if missing < comes:
            src.places[who, 0], src.times[who] = row, time + missing / src.rates[row]
            return
        missing -= comes
        row += 1
        if row < len(src.begins):
            src.places[who, 1] = src.scheduled[row]
            if src.scheduled[row] > 0:
                missing = -1.0  # it would be lost beside these; the process has no memory
    src.places[who, 0], src.times[who] = row, np.inf


@compiled
def service_time(dice: Words, mean: float, spread: float) -> float:
    """Constant, exponential, or gamma with the coefficient of variation `spread`.

    Gamma: G. Marsaglia, W. W. Tsang, ACM Transactions on Mathematical Software 26(3), 2000.
    """
    if spread == 0.0:
        return mean
    if spread == 1.0:
        return -mean * math.log(uniform(dice, SERVICE))
    shape = 1.0 / (spread * spread)
    boost = 1.0
    if shape < 1.0:
        boost = uniform(dice, SERVICE) ** (1.0 / shape)
    d = (shape + 1.0 if shape < 1.0 else shape) - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        radius = math.sqrt(-2.0 * math.log(uniform(dice, SERVICE)))
        normal = radius * math.cos(2.0 * math.pi * uniform(dice, SERVICE))
        v = (1.0 + c * normal) ** 3
        if v > 0.0:
            limit = 0.5 * normal * normal + d - d * v + d * math.log(v)
            if math.log(uniform(dice, SERVICE)) < limit:
                return d * v * boost * mean * spread * spread


@compiled
def count(src: Source) -> int:
    """How many jobs come from here on."""
    jobs = 0
    while src.times[HEAD] < np.inf:
        jobs += 1
        advance(src, HEAD)
    return jobs


@compiled
def fill(src: Source, mean: float, spread: float, arrivals: Floats, services: Floats) -> None:
    """Write the next jobs down, as many as there is room for."""
    for job in range(len(arrivals)):
        arrivals[job] = src.times[HEAD]
        services[job] = service_time(src.dice, mean, spread)
        advance(src, HEAD)
