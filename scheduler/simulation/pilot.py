"""The policy at the wheel: what it sees at a tick goes through the real triggers and the real policy code.

Most ticks change nothing, and many of them can be left out without a difference. A tick is left out only while (1) no
replica is added or taken away, (2) the readings ask for the same number of replicas as at the last tick that was
worked out, and (3) neither a cooldown nor a recommendation in the stabilization window ends. Then all that the policy
would remember of the ticks left out is the last of them, and that is made up for before the next one is worked out.
(Numbers beyond the pool's bounds count as the bound: the HPA cuts them before they have an effect.) A test compares
runs with and without.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import floor, gcd
from typing import Literal

from scheduler import hpa, policy
from scheduler.hpa import Reading
from scheduler.policy import Memory
from scheduler.scaledobject import ScaledObject, Spec
from scheduler.simulation.queue import Stops
from scheduler.triggers import Cron, Depth, Numbers, Rule

SYNC_SECONDS = 15.0  # of the HPA's controller
FOREVER = 1 << 60
NEXT, SLEEP = Stops(0), Stops(FOREVER, 0, 0, idle=True)
_EMPTY = Numbers(0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """A pool's rules under a name.

    `as_in` says who runs them: "kubernetes" polls every pollingInterval and syncs the HPA every 15 s; "local" does both
    every pollingInterval.
    """

    name: str
    scaled: ScaledObject
    rules: tuple[Rule, ...]
    as_in: Literal["local", "kubernetes"] = "local"


@dataclass(frozen=True, kw_only=True, slots=True)
class Beat:
    """Seconds of a tick, and which ticks poll and sync."""

    tick: float
    polls: int
    syncs: int


@dataclass(slots=True)
class Pilot:
    """What a policy remembers, and which ticks were left out; changes as the run goes on.

    `sleeps`: without replicas and without work nothing has to be looked at. `depth` is the only rule, or None.
    Ticks up to `until` may be left out while `asked` replicas are asked for. `active` is the last active poll.
    """

    policy: Policy
    spec: Spec
    beat: Beat
    memory: Memory
    lazy: bool
    sleeps: bool
    depth: Depth | None
    replicas: int = 0
    asked: int = -1
    until: float = -1.0
    worked_out: int = 0
    left_out: int = 0
    active: int = -1
    readings: Sequence[Reading] = ()
    ranges: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)


def pilot(steered: Policy, *, lazy: bool = True) -> Pilot:
    """At the wheel of a pool that has no replicas yet."""
    scaled, spec, rules = steered.scaled, steered.scaled.spec, steered.rules
    lazy = lazy and not (scaled.is_paused or scaled.is_forced) and spec.idle_replica_count is None
    return Pilot(
        policy=steered,
        spec=spec,
        beat=beat_of(steered),
        memory=policy.first_memory(0, 0.0),
        lazy=lazy,
        sleeps=lazy and spec.min_replica_count == 0 and not any(isinstance(rule, Cron) for rule in rules),
        depth=rules[0] if len(rules) == 1 and isinstance(rules[0], Depth) else None,
    )


def beat_of(steered: Policy) -> Beat:
    """The shortest clock that both of its intervals fit into, to the millisecond."""
    interval = steered.scaled.spec.polling_interval
    if steered.as_in == "local":
        return Beat(tick=interval, polls=1, syncs=1)
    poll, sync = round(interval * 1000), round(SYNC_SECONDS * 1000)
    common = gcd(poll, sync)
    return Beat(tick=common / 1000, polls=poll // common, syncs=sync // common)


def steer(p: Pilot, numbers: Numbers, tick: int) -> int:
    """How many replicas there shall be from this tick on."""
    replicas, now = p.replicas, tick * p.beat.tick
    readings, active = [], False
    for rule in p.policy.rules:
        reading = rule.read(numbers, replicas, now)
        readings.append(reading)
        active = active or reading.active
    if replicas == 0 and not active and p.sleeps:
        return 0
    polls = tick % p.beat.polls == 0
    if _may_be_left_out(p, readings, tick) and (active or not polls or not _is_over(p, tick)):
        p.left_out = tick
    else:
        _make_up(p)
        wanted = _decide(p, readings, tick, now)
        p.worked_out = p.left_out = tick
        p.readings, p.asked = readings, -1
        if p.lazy and wanted == replicas and replicas:
            _rest(p, readings)
        p.replicas = wanted
    if active and polls:
        p.active = tick
    return p.replicas


def stops(p: Pilot, numbers: Numbers, tick: int) -> Stops:
    """How far the queue may run on before the policy has to look again; one tick, if nothing better is known."""
    if p.depth is not None:
        return _stops_of_depth(p, p.depth, tick)
    if p.replicas or not p.sleeps or numbers.runnable or numbers.running or numbers.arrivals_5m or numbers.due:
        return NEXT
    return SLEEP


def _stops_of_depth(p: Pilot, depth: Depth, tick: int) -> Stops:
    """Only the number of runnable steps counts, and for it the queue can look itself."""
    stops = Stops(0, exact=depth.exact, activation=floor(depth.activation), every=p.beat.polls)
    if p.replicas == 0 and p.sleeps:
        return stops._replace(until=FOREVER, low=0, high=stops.activation, idle=depth.exact)
    if p.replicas == 0 or p.asked < 0:
        return stops
    low, high = _range(p, depth)
    patience = FOREVER if p.spec.min_replica_count else floor(p.spec.cooldown_period / p.beat.tick)
    return stops._replace(until=max(tick + 1, int(p.until)), low=low, high=high, patience=patience)


def skipped(p: Pilot, last: int, active: int) -> None:
    """The queue ran on over ticks up to `last` without a look; at `active` a look would have been active."""
    if p.replicas and last > p.worked_out:
        p.left_out = max(p.left_out, last)
        p.active = max(p.active, active)


def _may_be_left_out(p: Pilot, readings: Sequence[Reading], tick: int) -> bool:
    """Whether a sync now would change nothing."""
    if p.asked < 0 or tick > p.until or p.replicas == 0:
        return False
    return tick % p.beat.syncs != 0 or _asked(p, readings) == p.asked


def _decide(p: Pilot, readings: Sequence[Reading], tick: int, now: float) -> int:
    """The real thing."""
    scaled, wanted = p.policy.scaled, p.replicas
    if p.policy.as_in == "local":
        decision = policy.decide(scaled, p.memory, readings, wanted, now)
        p.memory = decision.memory
        return decision.wanted
    if tick % p.beat.polls == 0:
        wanted, p.memory, _ = policy.poll(scaled, p.memory, readings, wanted, now)
    if tick % p.beat.syncs == 0 and wanted > 0 and not scaled.is_paused and not policy.is_idle(scaled.spec, wanted):
        wanted, p.memory, _ = policy.sync(scaled, p.memory, readings, wanted, now)
    return wanted


def _rest(p: Pilot, readings: Sequence[Reading]) -> None:
    """Nothing has changed: find out for how long the same readings would change nothing either."""
    spec, asked, highs = p.spec, _asked(p, readings), p.memory.history.highs
    if asked > p.replicas or not highs or highs[0].number < p.replicas:
        return
    if spec.behavior is None and highs[0].number > p.replicas != spec.max_replica_count:
        return  # without a behavior the HPA goes up to the highest recommendation of the window
    ends = highs[0].at + spec.scale_down.stabilization_window_seconds
    p.asked, p.until = asked, FOREVER if asked == p.replicas else (ends - 1e-6) / p.beat.tick


def _make_up(p: Pilot) -> None:
    """Let the policy remember the ticks that were left out."""
    if p.left_out <= p.worked_out:
        return
    if p.active > p.worked_out:
        p.memory = replace(p.memory, active_at=p.active * p.beat.tick)
    synced = p.left_out - p.left_out % p.beat.syncs
    if synced > p.worked_out:
        at = synced * p.beat.tick
        _, p.memory, _ = policy.sync(p.policy.scaled, p.memory, p.readings, p.replicas, at)
    p.worked_out = p.left_out


def _is_over(p: Pilot, tick: int) -> bool:
    """Whether the cooldown may be: it counts from the last tick that was active."""
    if p.spec.min_replica_count > 0:
        return False
    return p.active < 0 or (tick - p.active) * p.beat.tick > p.spec.cooldown_period - 1e-6


def _asked(p: Pilot, readings: Sequence[Reading]) -> int:
    asked = max(1, p.spec.min_replica_count)
    for reading in readings:
        wanted = hpa.desired(reading, p.spec, p.replicas)
        asked = max(wanted, asked)
    return min(asked, p.spec.max_replica_count)


def _range(p: Pilot, depth: Depth) -> tuple[int, int]:
    """Between which numbers of runnable steps the same number of replicas is asked for; it grows with them."""
    found = p.ranges.get((p.replicas, p.asked))
    if found is None:
        low = _first(p, depth, p.asked)
        found = p.ranges[p.replicas, p.asked] = (low, _first(p, depth, p.asked + 1) - 1)
    return found


def _first(p: Pilot, depth: Depth, asked: int) -> int:
    """The least number of runnable steps for which that many replicas, or more, are asked for."""
    if asked <= max(1, p.spec.min_replica_count):
        return 0
    if asked > p.spec.max_replica_count:
        return FOREVER
    low, high = 0, 1
    while _asked_at(p, depth, high) < asked:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _asked_at(p, depth, middle) < asked else (low, middle)
    return high


def _asked_at(p: Pilot, depth: Depth, runnable: int) -> int:
    numbers = _EMPTY._replace(runnable=runnable)
    return _asked(p, [depth.read(numbers, p.replicas, 0.0)])
