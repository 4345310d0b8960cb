"""Tuning the rivals: the fewest replica-hours with which enough jobs wait no longer than the target."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from scheduler.simulation.pilot import Policy
from scheduler.simulation.rivals import ACTIVATIONS, COOLDOWNS, POINTS, POLLS, WINDOWS, Bounds, Setting, depth
from scheduler.simulation.run import Result
from scheduler.simulation.world import World

Run = Callable[[Sequence[Policy]], Sequence[Result]]


@dataclass(slots=True)
class Sweep:
    """All settings that were tried, with what came of them."""

    run: Run
    bounds: Bounds
    tried: dict[Setting, Result] = field(default_factory=dict)

    def try_all(self, settings: Iterable[Setting]) -> None:
        """Run those that have not been yet."""
        new = [setting for setting in dict.fromkeys(settings) if setting not in self.tried]
        self.tried.update(zip(new, self.run([depth(setting, self.bounds) for setting in new]), strict=True))

    def best(self, settings: Iterable[Setting]) -> Setting:
        """The cheapest of the good ones, or else the one with the lowest p95."""
        self.try_all(wanted := list(settings))
        return min(wanted, key=lambda setting: _rank(self.tried[setting]))


def tuned(sweep: Sweep, world: World) -> Setting:
    """The best target on a logarithmic grid, then between its neighbours, then the best activation value."""
    grid = targets(world)
    best = sweep.best(Setting(target=target) for target in grid)
    best = sweep.best([best, *_between(best, grid)])
    return sweep.best([best, *(replace(best, activation=value) for value in ACTIVATIONS)])


def patiently_tuned(sweep: Sweep, best: Setting, world: World) -> Setting:
    """From the tuned one on: cooldown and polling together, the window, the target, until nothing gets better."""
    grid = targets(world)
    for _ in range(4):
        before = best
        best = sweep.best([best, *(replace(best, cooldown=c, poll=p) for c in COOLDOWNS for p in POLLS)])
        best = sweep.best([best, *(replace(best, window=value) for value in WINDOWS)])
        best = sweep.best([best, *(replace(best, target=target) for target in _neighbours(best.target, grid))])
        if best == before:
            break
    return best


def targets(world: World) -> list[float]:
    """From one job a replica to what one replica gets done in four times the wait target."""
    most = max(20.0, 4 * world.target * world.slots / world.service)
    return sorted({_rounded(value) for value in np.geomspace(1, most, POINTS).tolist()})


def _between(best: Setting, grid: list[float]) -> list[Setting]:
    near = [target for target in _neighbours(best.target, grid) if target in grid]
    middles = {_rounded((best.target * target) ** 0.5) for target in near}
    return [replace(best, target=target) for target in sorted(middles - {best.target})]


def _neighbours(target: float, grid: list[float]) -> list[float]:
    below, above = [t for t in grid if t < target], [t for t in grid if t > target]
    return below[-1:] + above[:1]


def _rounded(value: float) -> float:
    """Two digits: what a person would write."""
    return float(f"{value:.2g}") if value >= 10 else float(round(value))


def _rank(result: Result) -> tuple[bool, float, float]:
    if result.is_good:
        return False, result.replica_hours, result.p95
    return True, result.p95, result.replica_hours
