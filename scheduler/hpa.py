"""What the Horizontal Pod Autoscaler makes of its metrics: ratio, tolerance, stabilization, rates. Pure.

Source: Kubernetes 1.35, "Horizontal Pod Autoscaling", and pkg/controller/podautoscaler, whose arithmetic is followed to
the rounding: its numbers are whole thousandths, its percentages are floating point. Times are seconds of any clock that
does not go back.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from scheduler.scaledobject import Limit, Rules, Spec

_WINDOW = 300  # seconds; the controller's own, where there is no behavior


class Point(NamedTuple):
    """A number of replicas, or of added or removed ones, at a time."""

    at: float
    number: int


class Reading(NamedTuple):
    """What a trigger says now: `value` against `target`, per replica or (`is_average` false) of the whole pool.

    `active` is what lifts a pool from zero. `template` and `facts` make the sentence.
    """

    trigger: str
    value: float
    target: float
    active: bool
    is_average: bool = True
    template: str = "{0:g} against a target of {1:g}"
    facts: tuple[object, ...] = ()

    @property
    def why(self) -> str:
        return self.template.format(*(self.facts or (self.value, self.target)))


@dataclass(frozen=True, slots=True)
class Failed:
    """A trigger that could not be read; never the same as zero."""

    trigger: str
    reason: str


@dataclass(frozen=True, slots=True)
class History:
    """What is remembered between two calls.

    `highs` and `lows` are the recommendations that a stabilization window may still choose: those that no later one
    outdoes. `ups` and `downs` are changes that were made.
    """

    highs: tuple[Point, ...] = ()
    lows: tuple[Point, ...] = ()
    ups: tuple[Point, ...] = ()
    downs: tuple[Point, ...] = ()


@dataclass(frozen=True, slots=True)
class Recommendation:
    """How many replicas, what the winning reading asked for (None: nobody could), and which rule held that back."""

    replicas: int
    asked: int | None
    by: Reading | None
    held: str
    history: History


def begun(replicas: int, now: float) -> History:
    """Of a pool that is seen for the first time: what stands counts as the first recommendation."""
    first = (Point(now, replicas),)
    return History(highs=first, lows=first)


def desired(reading: Reading, spec: Spec, replicas: int) -> int:
    """Replicas that one reading asks for: ceil(replicas * value / target), or ceil(value / target) of an average.

    Within the tolerance of the direction in which it points they stay as they are. As on the wire between KEDA and the
    HPA, numbers are whole thousandths.
    """
    usage, target = round(reading.value * 1000), round(reading.target * 1000) or 1
    ratio = usage / (target * replicas if reading.is_average else target)
    if 1.0 - spec.scale_down.tolerance <= ratio <= 1.0 + spec.scale_up.tolerance:
        return replicas
    return math.ceil(usage / target if reading.is_average else ratio * replicas)


def recommend(
    spec: Spec,
    history: History,
    readings: Sequence[Reading | Failed],
    replicas: int,
    now: float,
    *,
    up: bool = True,
    down: bool = True,
) -> Recommendation:
    """What the HPA would set now for a pool of at least one replica; `up` and `down` say which way it may go.

    The highest of all readings wins. One that failed blocks scaling in; if all have, nothing changes.
    """
    least = max(1, spec.min_replica_count)
    if replicas > spec.max_replica_count or replicas < least:
        return Recommendation(min(max(replicas, least), spec.max_replica_count), None, None, "bounds", history)
    asked, by, failed = 0, None, False
    for reading in readings:
        if isinstance(reading, Failed):
            failed = True
        elif (wanted := desired(reading, spec, replicas)) > asked or by is None:
            asked, by = wanted, reading
    if by is None or (failed and asked < replicas):
        return Recommendation(replicas, None if by is None else asked, by, "failed", history)
    if spec.behavior is None and up and down:  # KEDA writes one into its HPA where a direction is paused
        history, stable = _highest(history, asked, now)
        limited = max(least, min(stable, spec.max_replica_count, max(2 * replicas, 4)))
    else:
        history, stable = _stabilized(spec, history, asked, replicas, now)
        limited = _limited(spec, history, stable, replicas, now, up=up, down=down)
    held = "" if stable == asked else "stabilization"
    if limited != stable:
        held = "rate" if least < limited < spec.max_replica_count else "bounds"
    return Recommendation(limited, asked, by, held, history)


def changed(spec: Spec, history: History, before: int, after: int, now: float) -> History:
    """Note a change that was made.

    It takes the place of the last one that no policy of its direction asks for any more, as storeScaleEvent does: a
    longer policy of the other direction sees the difference.
    """
    if after == before:
        return history
    grew = after > before
    kept = history.ups if grew else history.downs
    since = now - max(limit.period_seconds for limit in (spec.scale_up if grew else spec.scale_down).policies)
    outdated = [place for place, event in enumerate(kept) if event.at < since]
    place = outdated[-1] if outdated else len(kept)
    events = (*kept[:place], Point(now, abs(after - before)), *kept[place + 1 :])
    return History(
        highs=history.highs,
        lows=history.lows,
        ups=events if grew else history.ups,
        downs=history.downs if grew else events,
    )


def _stabilized(spec: Spec, history: History, asked: int, replicas: int, now: float) -> tuple[History, int]:
    """Of all recommendations in the window: out to the lowest, in to the highest."""
    up, down = spec.scale_up.stabilization_window_seconds, spec.scale_down.stabilization_window_seconds
    highs = (*(p for p in history.highs if p.at > now - down and p.number > asked), Point(now, asked))
    lows = (*(p for p in history.lows if p.at > now - up and p.number < asked), Point(now, asked))
    lowest, highest = lows[0].number, highs[0].number
    stable = max(replicas, lowest)
    return History(highs=highs, lows=lows, ups=history.ups, downs=history.downs), min(stable, highest)


def _highest(history: History, asked: int, now: float) -> tuple[History, int]:
    """Without a behavior: the highest recommendation of the window, even above what stands."""
    highs = (*(p for p in history.highs if p.at >= now - _WINDOW and p.number > asked), Point(now, asked))
    return History(highs=highs, lows=history.lows, ups=history.ups, downs=history.downs), highs[0].number


def _limited(spec: Spec, history: History, wanted: int, replicas: int, now: float, *, up: bool, down: bool) -> int:
    if wanted > replicas:
        limit = max(replicas, _limit_up(spec.scale_up, history, replicas, now)) if up else replicas
        return min(wanted, limit, spec.max_replica_count)
    if wanted < replicas:
        limit = min(replicas, _limit_down(spec.scale_down, history, replicas, now)) if down else replicas
        return max(wanted, limit, spec.min_replica_count, 1)
    return wanted


def _limit_up(rules: Rules, history: History, replicas: int, now: float) -> int:
    if rules.select_policy == "Disabled":
        return replicas
    ends = [_up(limit, _began_with(limit, history, replicas, now)) for limit in rules.policies]
    return min(ends) if rules.select_policy == "Min" else max(ends)


def _limit_down(rules: Rules, history: History, replicas: int, now: float) -> int:
    if rules.select_policy == "Disabled":
        return replicas
    ends = [_down(limit, _began_with(limit, history, replicas, now)) for limit in rules.policies]
    return max(ends) if rules.select_policy == "Min" else min(ends)


def _up(limit: Limit, began_with: int) -> int:
    if limit.type == "Pods":
        return began_with + limit.value
    return math.ceil(began_with * (1 + limit.value / 100))


def _down(limit: Limit, began_with: int) -> int:
    if limit.type == "Pods":
        return began_with - limit.value
    return int(began_with * (1 - limit.value / 100))


def _began_with(limit: Limit, history: History, replicas: int, now: float) -> int:
    """Replicas at the beginning of the policy's period."""
    since = now - limit.period_seconds
    added = sum(event.number for event in history.ups if event.at > since)
    return replicas - added + sum(event.number for event in history.downs if event.at > since)
