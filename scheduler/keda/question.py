"""A question about one trigger: which pool and rule it means, and what the autoscaler is to be told.

The autoscaler reckons ceil(metric / target) of an AverageValue, and ceil(replicas * metric / target) of a Value
(Kubernetes 1.35, "Horizontal Pod Autoscaling"). So `depth` gives the runnable steps against steps per replica, `drain`
and `ahead` the replicas that are needed against 1, all three as AverageValue. `age` gives the age of the oldest
runnable step against seconds: its trigger must say `metricType: Value`, which a question does not carry.
"""

import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import assert_never

from scheduler import triggers
from scheduler.errors import NumbersUnavailable, SchedulerError
from scheduler.hpa import Reading
from scheduler.keda.errors import Unknown
from scheduler.pools import Pool
from scheduler.scaledobject import Trigger
from scheduler.triggers import Age, Ahead, Cron, Depth, Drain, Numbers, Rule
from storage.errors import StorageError
from tasks.flaws import nearest

NumbersOf = Callable[[Pool], Numbers]
"""Reads a pool's numbers; raises NumbersUnavailable, or an error of storage, when they cannot be known now."""

MAX_INT64 = 2**63 - 1
_TARGETS = frozenset({"value", "seconds"})  # every scale has one of them, and must
_NOT_IN_A_METRIC = re.compile(r"[^a-z0-9-]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """`metric` is the name under which the autoscaler knows the rule's value."""

    pool: Pool
    rule: Rule
    metric: str


def understand(pools: Mapping[str, Pool], name: str, metadata: Mapping[str, str]) -> Question:
    """Read a trigger's metadata; `name` is the ScaledObject's, and the pool's where the metadata names none.

    A trigger that sets no target of its own (`scale: drain` and nothing else) takes what the pool's file says of this
    scale: then the file can be changed without touching the cluster. Raises Unknown, InvalidPool.
    """
    pool = find(pools, metadata.get("pool", name))
    scale = metadata.get("scale", "")
    given = dict(metadata)
    if not _TARGETS & given.keys():
        given = {**_of_file(pool, scale), **given}
    kind = "Value" if scale == "age" else "AverageValue"
    rule = triggers.parse(Trigger(type="external", metadata=given, metricType=kind), pool.name, at="")
    return Question(pool=pool, rule=rule, metric=_NOT_IN_A_METRIC.sub("-", f"millrace-{pool.name}-{scale}".lower()))


def find(pools: Mapping[str, Pool], name: str) -> Pool:
    """Raises Unknown."""
    if name in pools:
        return pools[name]
    raise Unknown(f"there is no pool {name!r}{nearest(name, pools) or '; there are: ' + ', '.join(pools)}")


def ask(numbers_of: NumbersOf, pool: Pool) -> Numbers:
    """The pool's numbers. Raises NumbersUnavailable, for whatever reason they cannot be known now."""
    try:
        return numbers_of(pool)
    except (StorageError, SchedulerError) as exc:
        raise NumbersUnavailable(f"the numbers of the pool {pool.name!r} cannot be read now: {exc}") from exc


def read(rule: Rule, numbers: Numbers, replicas: int | None = None) -> Reading:
    """What the rule says now, to so many replicas (default: the workers that live). Raises NumbersUnavailable if that
    is no number.
    """
    try:
        reading = rule.read(numbers, _replicas(numbers) if replicas is None else replicas, time.time())
    except (ValueError, OverflowError) as exc:  # of what is not a number, or infinite
        raise NumbersUnavailable(f"the trigger {rule.name!r} gives no number: {exc}") from exc
    if not math.isfinite(reading.value):
        raise NumbersUnavailable(f"the trigger {reading.trigger!r} gives no number but {reading.value}")
    return reading


def _replicas(numbers: Numbers) -> int:
    """The workers that live, and no fewer than it takes for what runs: those of an older version do not tell."""
    return max(numbers.workers, -(-numbers.running // numbers.slots))


def target(rule: Rule) -> float:
    """What the rule's value is held against; needs no numbers, and is what its readings say."""
    match rule:
        case Depth():
            return rule.value
        case Age():
            return rule.seconds
        case Drain() | Ahead() | Cron():
            return 1.0
        case _:
            assert_never(rule)


def whole(value: float) -> int:
    """For versions of KEDA that know no fractions: rounded up, and within an int64."""
    return min(math.ceil(value), MAX_INT64)


def _of_file(pool: Pool, scale: str) -> Mapping[str, str]:
    """Empty unless the pool's file has just one trigger of this scale."""
    found = [trigger.metadata for trigger in pool.scaled.spec.triggers if trigger.metadata.get("scale") == scale]
    return found[0] if len(found) == 1 else {}
