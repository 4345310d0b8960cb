"""The comparison: every policy on the same trace in the same world."""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import ceil

from scheduler.pools import Pool
from scheduler.simulation import optimum, rivals
from scheduler.simulation.optimum import Optimum
from scheduler.simulation.pilot import Policy
from scheduler.simulation.rivals import AHEAD, DRAIN, Bounds, Setting, depth
from scheduler.simulation.run import Result, run
from scheduler.simulation.sweep import Run, Sweep, patiently_tuned, targets, tuned
from scheduler.simulation.trace import Trace
from scheduler.simulation.world import World

HEADROOM = 1.5  # replicas to what the peak needs, where the pool's maximum is too low
DEFAULT_MOST = 10

DEFAULTS, TUNED, PATIENT = "keda defaults", "depth, tuned", "depth, patient"

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A policy of the comparison; `words` say what was chosen for it."""

    label: str
    words: str
    result: Result


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """Everything that was found out. `swept` are all the depth settings that were tried; `notes` are for the reader."""

    trace: Trace
    world: World
    bounds: Bounds
    rows: tuple[Row, ...]
    swept: tuple[Result, ...]
    optimum: Optimum
    notes: tuple[str, ...]


def compare(trace: Trace, world: World, pool: Pool | None, bounds: Bounds, runs: Run, tell: Tell) -> Study:
    """Run the rivals, tuned ones after a sweep, and ours."""
    tell("ours, and the depth target")
    mine = rivals.ours(pool, world, bounds)
    distinct = [steered for steered in mine if trace.scheduled.any() or steered.name != AHEAD]
    grid = [Setting(), *(Setting(target=target) for target in targets(world))]
    distinct.reverse()  # what takes longest first, so that no processor is left with it at the end
    results = runs([*distinct, *(depth(setting, bounds) for setting in grid)])
    by_name = {result.policy.name: result for result in results[: len(distinct)]}
    sweep = Sweep(runs, bounds, dict(zip(grid, results[len(distinct) :], strict=True)))
    tell("the depth target, closer")
    best = tuned(sweep, world)
    tell("cooldown, windows and polling too")
    patient = patiently_tuned(sweep, best, world)
    tell("the clairvoyant bound")
    chosen = {DEFAULTS: Setting(), TUNED: best, PATIENT: patient}
    made = [Row(label=name, words=s.words, result=sweep.tried[s]) for name, s in chosen.items()]
    for steered in mine:
        result = by_name.get(steered.name, by_name[DRAIN])
        made.append(Row(label=steered.name, words=_words(result), result=result))
    return Study(
        trace=trace,
        world=world,
        bounds=bounds,
        rows=tuple(made),
        swept=tuple(sweep.tried.values()),
        optimum=optimum.find(trace, world),
        notes=tuple(_notes(trace)),
    )


def bounds_of(trace: Trace, world: World, pool: Pool | None, least: int | None, most: int | None) -> tuple[Bounds, str]:
    """How few and how many replicas there may be, and a line if the pool's own maximum cannot carry the peak."""
    spec = pool.scaled.spec if pool else None
    least = least or 0
    if most is not None:
        return Bounds(least=min(least, most), most=most), ""
    stands = spec.max_replica_count if spec else DEFAULT_MOST
    need = trace.peak * world.service / world.slots
    if need <= stands:
        return Bounds(least=least, most=stands), ""
    most = ceil(HEADROOM * need)
    line = f"the peak needs {need:.1f} replicas, more than the pool's maximum of {stands}: simulated with {most}"
    return Bounds(least=least, most=most), line


@contextmanager
def runner(trace: Trace, world: World, done: Tell, workers: int | None = None) -> Iterator[Run]:
    """Runs policies side by side on all processors; in this process if `workers` is 1."""
    workers = workers or os.cpu_count() or 1
    one = partial(_run, trace=trace, world=world)
    if workers == 1:
        yield lambda policies: [_told(one(steered), done) for steered in policies]
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield lambda policies: [_told(result, done) for result in pool.map(one, policies)]


def _run(steered: Policy, *, trace: Trace, world: World) -> Result:
    return run(trace, steered, world)


def _told(result: Result, done: Tell) -> Result:
    done(result.policy.name)
    return result


def _words(result: Result) -> str:
    spec = result.policy.scaled.spec
    window = spec.scale_down.stabilization_window_seconds
    return f"polling {spec.polling_interval:g}, cooldown {spec.cooldown_period:g}, window {window}"


def _notes(trace: Trace) -> Iterator[str]:
    if not trace.scheduled.any():
        yield "the trace has no column 'scheduled': nothing is known in advance, and 'drain + ahead' equals 'drain'"
