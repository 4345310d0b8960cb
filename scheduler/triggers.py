"""The triggers of a ScaledObject: what they ask of a pool's numbers. Pure.

Ours are `type: external` to Kubernetes, where scheduler.keda answers with these same readings; `cron` is KEDA's own.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from croniter import CroniterBadDateError, croniter

from scheduler.errors import InvalidPool
from scheduler.hpa import Reading
from scheduler.scaledobject import Trigger
from tasks.errors import Flaw
from tasks.flaws import nearest


@dataclass(frozen=True, slots=True)
class Due:
    """Steps that are known to become runnable, and in how many seconds."""

    in_seconds: float
    steps: int


class Numbers(NamedTuple):
    """What is known of a pool's queues; rates per second, times in seconds.

    `oldest` is the age of the oldest runnable step (0: there is none), `arrivals` the rate of the last minute and
    `arrivals_5m` of the last five, `service_*` are of attempts that ended (`samples` of them), `slots` are those of one
    replica. `due` is in the order of time. `workers` is how many live, where nobody else counts replicas.
    `held` steps could run, were their queue not paused; they do not count as runnable.
    """

    runnable: int
    running: int
    oldest: float
    arrivals: float
    arrivals_5m: float
    service_mean: float
    service_stddev: float
    samples: int
    slots: int
    due: tuple[Due, ...] = ()
    workers: int = 0
    held: int = 0


@dataclass(frozen=True, slots=True)
class Depth:
    """Runnable steps per replica; the pool is active while there are more than `activation`, or (`exact`) some run."""

    name: str
    value: float
    activation: float = 0
    exact: bool = True

    def read(self, numbers: Numbers, replicas: int, now: float) -> Reading:
        active = numbers.runnable > self.activation or (self.exact and numbers.running > 0)
        facts = (numbers.runnable, self.value)
        return Reading(self.name, numbers.runnable, self.value, active, True, "{0} runnable, {1:g} a replica", facts)


@dataclass(frozen=True, slots=True)
class Age:
    """The oldest runnable step is at most `seconds` old: replicas grow with the ratio, as of any metric of a pool."""

    name: str
    seconds: float
    activation: float = 0

    def read(self, numbers: Numbers, replicas: int, now: float) -> Reading:
        active = numbers.running > 0 or (numbers.runnable > 0 and numbers.oldest >= self.activation)
        facts = (numbers.oldest, self.seconds)
        template = "the oldest runnable step is {0:.0f} s old, target {1:g} s"
        return Reading(self.name, numbers.oldest, self.seconds, active, False, template, facts)


@dataclass(frozen=True, slots=True)
class Drain:
    """As few replicas as let every step start within `seconds`, from the backlog, the arrivals and the service time.

    By Little's law (L = λW; J. D. C. Little, Operations Research 9(3), 1961) arrivals at rate λ keep λ·s slots busy if
    each takes s: they are worth r = λ·s/k replicas of k slots. A backlog of Q is worth B = Q·s/k seconds of one;
    with n replicas the last of it waits B/n. In the time h until another decision could have an effect (`startup`,
    and `every`: how often it is asked) the backlog grows by (r - n)·h, if that is more than nothing. So n replicas are
    enough while (B + (r - n)·h)/n is within the AIM at the target, and fewer are enough once that wait would be within
    LOW of the aim with them: between the two they stay, so that chance does not start and stop them. When they are too
    few, as many are asked for as bring what will have gathered by the time they are up back to the aim.

    λ is the higher of the last minute's and the last five minutes' for what is coming, and the lower for what will be
    needed in any case. From zero it waits as long as it may: one replica that starts a little later does more at once,
    and costs less. It begins when the oldest step could not start in time otherwise, or when there is work enough for a
    whole one. `guess` stands for s before anything is known. Up to `activation` steps are not worth a start.
    """

    name: str
    seconds: float
    startup: float = 10.0
    guess: float = 1.0
    activation: float = 0
    every: float = 5.0

    def read(self, numbers: Numbers, replicas: int, now: float) -> Reading:
        service = service_time(numbers, self.guess)
        work = numbers.runnable * service / numbers.slots
        if replicas == 0:
            left = AIM * self.seconds - numbers.oldest - self.startup
            needed = work / max(left, self.every)
            active = numbers.runnable > self.activation and (left < 1.5 * self.every or needed >= 1.0)
        else:
            coming = max(numbers.arrivals, numbers.arrivals_5m) * service / numbers.slots
            needed = self._needed(work, coming, replicas)
            if numbers.oldest > self.seconds and numbers.runnable > replicas * numbers.slots:
                needed = max(
                    needed, replicas * min(2.0, numbers.oldest / self.seconds)
                )  # what was reckoned will not do
            active = numbers.running > 0 or numbers.runnable > self.activation
        steady = math.floor(min(numbers.arrivals, numbers.arrivals_5m) * service / numbers.slots + 1e-9)
        facts = (numbers.runnable, service, work / max(replicas, 1), self.seconds, numbers.oldest)
        return Reading(self.name, max(math.ceil(needed - 1e-9), steady), 1.0, active, True, _words(facts), facts)

    def _needed(self, work: float, coming: float, replicas: int) -> float:
        """Replicas for `work` seconds of one, while arrivals are worth `coming` replicas."""
        aim, horizon = AIM * self.seconds, self.startup + self.every
        growth = max(0.0, coming - replicas)
        if work + growth * horizon > replicas * aim:
            return max(replicas + 1, (work + growth * self.startup) / aim)
        fewer = work / (LOW * aim)
        if fewer < coming:
            fewer = (work + coming * horizon) / (LOW * aim + horizon)
        return min(replicas, fewer)


@dataclass(frozen=True, slots=True)
class Ahead:
    """Replicas for what is known to become runnable within `lead` seconds, so that they are up before it does."""

    name: str
    seconds: float
    lead: float = 30.0
    guess: float = 1.0

    def read(self, numbers: Numbers, replicas: int, now: float) -> Reading:
        steps = sum(due.steps for due in numbers.due if due.in_seconds <= self.lead)
        work = steps * service_time(numbers, self.guess) / numbers.slots
        needed = math.ceil(work / (AIM * self.seconds) - 1e-9)
        template = {0: "nothing is", 1: "1 step is"}.get(steps, "{0} steps are") + " due within {1:g} s"
        return Reading(self.name, needed, 1.0, steps > 0, True, template, (steps, self.lead))


def service_time(numbers: Numbers, guess: float) -> float:
    """Seconds that a step takes, on the safe side while little is known.

    The mean, in which a guess counts as GUESS_SAMPLES attempts, and one standard error of it (deviation/√n) more.
    """
    known = numbers.samples
    mean = (known * numbers.service_mean + GUESS_SAMPLES * guess) / (known + GUESS_SAMPLES)
    return mean + numbers.service_stddev / math.sqrt(known) if known else mean


@dataclass(frozen=True, slots=True)
class Cron:
    """`replicas` while it is between `start` and `end`, two cron expressions in a time zone; `now` is Unix time."""

    name: str
    timezone: str
    start: str
    end: str
    replicas: int

    def read(self, numbers: Numbers, replicas: int, now: float) -> Reading:
        local = datetime.fromtimestamp(now, UTC).astimezone(ZoneInfo(self.timezone))
        begins = croniter(self.start, local).get_next(float)
        ends = croniter(self.end, local).get_next(float)
        inside = ends <= begins  # as KEDA has it, where both come at once
        facts = (self.start, self.end, self.replicas)
        template = "it is between {0!r} and {1!r}, which asks for {2}" if inside else "it is outside {0!r} to {1!r}"
        return Reading(self.name, self.replicas if inside else 1, 1.0, inside, True, template, facts)


Rule = Depth | Age | Drain | Ahead | Cron

AIM = 0.8  # of a target: the rest is for chance
LOW = 0.5  # of the aim: replicas go when the wait would not be longer without them
GUESS_SAMPLES = 10
# What KEDA's library takes as well: no nicknames, no seconds, and Sunday is 0.
_FIELD = r"[0-9*?,/a-zA-Z-]+"
_CRON = re.compile(rf"({_FIELD} +){{4}}(?:(?![^ ]*7)[0-6*?,/a-zA-Z-]+)")
_FOR_KEDA = frozenset(
    {"scalerAddress", "pool", "scale", "caCert", "tlsClientCert", "tlsClientKey", "unsafeSsl", "enableTLS"}
)
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "depth": ("value", "activationValue"),
    "age": ("seconds", "activationSeconds"),
    "drain": ("seconds", "startupSeconds", "serviceSeconds", "activationValue"),
    "ahead": ("seconds", "leadSeconds", "serviceSeconds"),
}


def parse(trigger: Trigger, pool: str, at: str = "/spec/triggers", *, every: float = 5.0) -> Rule:
    """Understand a trigger of the pool's, which is asked `every` so many seconds. Raises InvalidPool."""
    if trigger.type == "cron":
        return _cron(trigger, at)
    if trigger.type not in {"external", "external-push"}:
        raise _flawed(f"{at}/type", f"{trigger.type!r} is not evaluated here; there are: external, external-push, cron")
    given = trigger.metadata
    scale = given.get("scale", "")
    if scale not in _FIELDS:
        raise _flawed(f"{at}/metadata/scale", f"must be one of {', '.join(_FIELDS)}{nearest(scale, _FIELDS)}")
    _check_fields(given, (*_FIELDS[scale], *_FOR_KEDA), f"{at}/metadata")
    if given.get("pool", pool) != pool:
        raise _flawed(f"{at}/metadata/pool", f"must be the pool's own name, {pool!r}")
    if trigger.metric_type != (right := "Value" if scale == "age" else "AverageValue"):
        raise _flawed(f"{at}/metricType", f"must be {right} for {scale}, so that Kubernetes reckons as we do")
    name = trigger.name or scale
    match scale:
        case "depth":
            return Depth(name, _number(given, "value", None, at), _number(given, "activationValue", 0, at))
        case "age":
            return Age(name, _number(given, "seconds", None, at), _number(given, "activationSeconds", 0, at))
        case "drain":
            return Drain(
                name,
                seconds=_number(given, "seconds", None, at),
                startup=_number(given, "startupSeconds", 10, at),
                guess=_number(given, "serviceSeconds", 1, at),
                activation=_number(given, "activationValue", 0, at),
                every=every,
            )
        case _:
            seconds, lead = _number(given, "seconds", None, at), _number(given, "leadSeconds", 30, at)
            return Ahead(name, seconds, lead, _number(given, "serviceSeconds", 1, at))


def _cron(trigger: Trigger, at: str) -> Cron:
    given = trigger.metadata
    fields = ("timezone", "start", "end", "desiredReplicas")
    _check_fields(given, fields, f"{at}/metadata")
    if missing := [field for field in fields if field not in given]:
        raise _flawed(f"{at}/metadata/{missing[0]}", "is missing")
    for field in ("start", "end"):
        if not _CRON.fullmatch(given[field]) or not croniter.is_valid(given[field]):
            raise _flawed(f"{at}/metadata/{field}", f"{given[field]!r} is not a cron expression of five fields")
        try:
            croniter(given[field], datetime.now(UTC)).get_next(float)
        except CroniterBadDateError as exc:
            raise _flawed(f"{at}/metadata/{field}", f"{given[field]!r} never comes") from exc
    if given["start"] == given["end"]:
        raise _flawed(f"{at}/metadata/end", "must differ from start")
    try:
        ZoneInfo(given["timezone"])
    except (ValueError, KeyError, OSError) as exc:
        raise _flawed(f"{at}/metadata/timezone", f"there is no time zone {given['timezone']!r}") from exc
    if not given["desiredReplicas"].isdecimal() or int(given["desiredReplicas"]) < 1:
        raise _flawed(f"{at}/metadata/desiredReplicas", "must be a number of replicas from 1, in quotes")
    return Cron(trigger.name or "cron", given["timezone"], given["start"], given["end"], int(given["desiredReplicas"]))


def _check_fields(given: Mapping[str, str], known: Sequence[str], at: str) -> None:
    for field in given:
        if field not in known:
            hint = nearest(field, known) or f"; there are: {', '.join(known)}"
            raise _flawed(f"{at}/{field}", f"unknown field{hint}")


def _number(given: Mapping[str, str], field: str, default: float | None, at: str) -> float:
    raw = given.get(field)
    if raw is None and default is not None:
        return default
    try:
        value = float(raw or "")
    except ValueError:
        value = math.nan
    least = 0.0 if field.startswith("activation") else 1e-9
    if not (math.isfinite(value) and value >= least):
        raise _flawed(f"{at}/metadata/{field}", f"must be a number above 0, in quotes, not {raw!r}")
    return value


def _words(facts: tuple[object, ...]) -> str:
    if not facts[0]:
        return "nothing is runnable"
    return "{0} runnable at {1:.2g} s each would take {2:.0f} s, the oldest has waited {4:.0f} s, target {3:g} s"


def _flawed(pointer: str, detail: str) -> InvalidPool:
    return InvalidPool([Flaw(pointer=pointer, detail=detail)])
