"""How many replicas a pool shall have: KEDA's step between none and some, then the HPA's between one and many. Pure.

Sources: KEDA 2.20, "ScaledObject specification" and pkg/scaling/executor. No I/O and no clock: `now` is passed in,
seconds of any clock that does not go back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from scheduler import hpa
from scheduler.hpa import Failed, History, Reading, Recommendation
from scheduler.scaledobject import Fallback, ScaledObject, Spec


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered of a pool between two decisions.

    `since` is when it was first seen, `active_at` when a trigger was last active (None: not yet). `failures` counts by
    trigger how often it failed in a row.
    """

    since: float
    active_at: float | None
    history: History = field(default_factory=History)
    failures: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """From `replicas` to `wanted`; `reason` is a sentence for people.

    `memory` is for the next decision once this one was carried out, `undone` if it was not.
    """

    replicas: int
    wanted: int
    reason: str
    memory: Memory
    undone: Memory


def first_memory(replicas: int, now: float) -> Memory:
    """Of a pool that is seen for the first time: what stands counts as the first recommendation."""
    return Memory(since=now, active_at=None, history=hpa.begun(replicas, now))


def decide(
    pool: ScaledObject, memory: Memory, readings: Sequence[Reading | Failed], replicas: int, now: float
) -> Decision:
    """What the pool shall have now: one poll of KEDA's, and one sync of the HPA's after it."""
    first, memory, why = poll(pool, memory, readings, replicas, now)
    if first < replicas or first == 0 or pool.is_paused or is_idle(pool.spec, first):
        return Decision(replicas, first, _change(replicas, first, why), memory, memory)
    wanted, memory, made = sync(pool, memory, readings, first, now)
    if wanted != first or first == replicas:
        why = explain(pool.spec, made, first)
    undone = replace(memory, history=made.history)
    return Decision(replicas, wanted, _change(replicas, wanted, why), memory, undone)


def poll(
    pool: ScaledObject, memory: Memory, readings: Sequence[Reading | Failed], replicas: int, now: float
) -> tuple[int, Memory, str]:
    """KEDA's part, every pollingInterval: to and from zero (or idleReplicaCount), and pauses.

    Returns the replicas, what to remember, and why.
    """
    spec = pool.spec
    if pool.is_paused:  # KEDA deletes the HPA, and with it what that remembers
        stands = _paused(pool, replicas)
        return stands, replace(memory, history=hpa.begun(stands, now)), "it is paused"
    active = next((r for r in readings if not isinstance(r, Failed) and r.active), None)
    failed = next((r for r in readings if isinstance(r, Failed)), None)
    if active is not None or pool.is_forced:
        why = active.why if active is not None else "its activation is forced"
        memory = replace(memory, active_at=now)
        rests = replicas == 0 or (spec.idle_replica_count is not None and replicas < spec.min_replica_count)
        return max(1, spec.min_replica_count) if rests and pool.may_scale_out else replicas, memory, why
    if failed is not None and (spec.fallback is None or spec.fallback.replicas):  # a fallback is the HPA's to follow
        return replicas, memory, f"{failed.trigger} cannot be read: {failed.reason}"
    floor = spec.min_replica_count if spec.idle_replica_count is None else spec.idle_replica_count
    if replicas > floor and (spec.min_replica_count == 0 or spec.idle_replica_count is not None):
        return _rest(pool, memory, replicas, floor, now)
    if replicas < floor:
        return floor, memory, f"there are at least {floor}"
    return replicas, memory, _idle(readings)


def sync(
    pool: ScaledObject, memory: Memory, readings: Sequence[Reading | Failed], replicas: int, now: float
) -> tuple[int, Memory, Recommendation]:
    """The HPA's part, for one replica and more; returns the replicas, what to remember, and how it came to that."""
    spec = pool.spec
    memory = _counted(memory, readings)
    heard = [_replaced(spec, memory, reading, replicas) for reading in readings]
    made = hpa.recommend(spec, memory.history, heard, replicas, now, up=pool.may_scale_out, down=pool.may_scale_in)
    history = hpa.changed(spec, made.history, replicas, made.replicas, now)
    return made.replicas, replace(memory, history=history), made


def explain(spec: Spec, made: Recommendation, replicas: int) -> str:
    """Say in words how the HPA's part came to its number."""
    if made.by is None:
        return "no trigger can be read" if made.held == "failed" else "its bounds have changed"
    why = made.by.why
    match made.held:
        case "failed":
            return f"{why}, but a trigger cannot be read, so none are taken away"
        case "stabilization":
            window = spec.scale_down if made.replicas >= (made.asked or 0) else spec.scale_up
            seconds = window.stabilization_window_seconds
            return f"{why}, so {made.asked} would do; the last {seconds} s are waited for"
        case "rate":
            return f"{why}, so {made.asked}; no more may change at once"
        case "bounds":
            return f"{why}, so {made.asked}; there may be {spec.min_replica_count} to {spec.max_replica_count}"
    return why


def is_idle(spec: Spec, replicas: int) -> bool:
    """Whether the pool rests at idleReplicaCount, where the HPA has nothing to say."""
    return spec.idle_replica_count is not None and replicas <= spec.idle_replica_count


def _idle(readings: Sequence[Reading | Failed]) -> str:
    """Nothing is active: what there is, which is no reason to start anything yet."""
    first = next((reading for reading in readings if not isinstance(reading, Failed)), None)
    return "no trigger is active" if first is None else f"{first.why}, which starts nothing yet"


def _change(replicas: int, wanted: int, why: str) -> str:
    return f"{replicas} → {wanted}: {why}" if wanted != replicas else f"{replicas}: {why}"


def _counted(memory: Memory, readings: Sequence[Reading | Failed]) -> Memory:
    failures = {r.trigger: memory.failures.get(r.trigger, 0) + 1 for r in readings if isinstance(r, Failed)}
    return memory if failures == memory.failures else replace(memory, failures=failures)


def _paused(pool: ScaledObject, replicas: int) -> int:
    return replicas if pool.paused_replicas is None else pool.paused_replicas


def _fallen_back(fallback: Fallback, replicas: int) -> int:
    match fallback.behavior:
        case "static":
            return fallback.replicas
        case "currentReplicas":
            return replicas
        case "currentReplicasIfHigher":
            return max(replicas, fallback.replicas)
        case "currentReplicasIfLower":
            return min(replicas, fallback.replicas)


def _replaced(spec: Spec, memory: Memory, reading: Reading | Failed, replicas: int) -> Reading | Failed:
    """A trigger that failed more than failureThreshold times in a row asks for the fallback's number."""
    fallback = spec.fallback
    if not isinstance(reading, Failed) or fallback is None:
        return reading
    times = memory.failures.get(reading.trigger, 0)
    if times <= fallback.failure_threshold:
        return reading
    asked = _fallen_back(fallback, replicas)
    template = "{0} cannot be read ({1} times now), so the fallback asks for {2}"
    return Reading(reading.trigger, asked, 1, active=True, template=template, facts=(reading.trigger, times, asked))


def _rest(pool: ScaledObject, memory: Memory, replicas: int, floor: int, now: float) -> tuple[int, Memory, str]:
    """Nothing is active: down to the floor once the cooldown is over."""
    spec = pool.spec
    began, wait = memory.active_at, spec.cooldown_period
    if began is None:
        began, wait = memory.since, spec.initial_cooldown_period
    if not pool.may_scale_in:
        return replicas, memory, "no trigger is active, but scaling in is paused"
    if now - began > wait or (wait == 0 and now >= began):
        return floor, memory, f"no trigger was active for {now - began:.0f} s"
    return replicas, memory, f"no trigger is active; it stays until {wait:g} s have passed"
