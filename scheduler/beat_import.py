"""Makes schedules of the entries of Celery beat's `beat_schedule`; what would change its meaning is refused with words.

What is different nevertheless, and what beat does where, is told in docs/beat.md.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from celery import Celery
from celery.schedules import crontab, schedule, solar

from scheduler.errors import ConfigurationError
from storage.database import Database
from storage.model import Json
from tasks import applying
from tasks.applying import Applied, EntryFlaw, SchedulesRefused, Wanted
from tasks.calendar import zone_of
from tasks.errors import Flaw, InvalidDocument
from tasks.flaws import nearest
from tasks.names import KINDS, Priority
from tasks.schedule_document import MAX_CATCH_UP_SECONDS
from tasks.schedules import parse

SOURCE = "beat"  # what the rows call it
STEP = "task"  # the one step of its jobs
DOCS = "docs/beat.md"

_KEYS = ("task", "schedule", "args", "kwargs", "options", "relative")
_DELAYS = frozenset({"countdown", "eta"})
_FOLLOW_UPS = frozenset({"link", "link_error", "chain", "chord", "group_id"})
_PLACES = {  # in the schedule's document → in the entry
    f"/job/steps/{STEP}/kind": "/task",
    f"/job/steps/{STEP}": "/kwargs",
    "/job/priority": "/options/priority",
    "/job/deadline_seconds": "/options/expires",
    **dict.fromkeys(("/cron", "/every", "/anchor", "/timezone"), "/schedule"),
}
_EPOCH = "2001-01-01T00:00:00"  # local time, a Monday: from which `relative` intervals count


@dataclass(frozen=True, kw_only=True, slots=True)
class Imported:
    """What the entries became, and what is worth knowing about it."""

    tenant: str
    wanted: Sequence[Wanted]
    notices: Sequence[str]


class _Odd(ValueError):
    """A part of an entry, at a JSON pointer, that cannot be taken over."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(detail)
        self.flaw = Flaw(pointer=pointer, detail=detail)


class _Settings(NamedTuple):
    """What the app says for all its entries."""

    zone: str
    deadline_seconds: float | None
    is_redis: bool


def read(app: Celery, tenant: str) -> Imported:
    """What the app's beat_schedule wants, as schedules of this tenant. Raises SchedulesRefused, ConfigurationError."""
    settings = _settings(app)
    wanted: list[Wanted] = []
    flaws: list[EntryFlaw] = []
    notices: list[str] = []
    for name, entry in app.conf.beat_schedule.items():
        said: list[str] = []
        try:
            document = {"name": name, **_document(entry, settings, said.append)}
            parse(document, now=datetime.now(UTC), kinds=KINDS)
            wanted.append(Wanted(tenant=tenant, document=document))
        except _Odd as exc:
            flaws.append(EntryFlaw(str(name), exc.flaw))
        except InvalidDocument as exc:
            flaws += [EntryFlaw(str(name), _placed(flaw)) for flaw in exc.flaws]
        notices += [f"{name}: {one}" for one in said]
    if flaws:
        raise SchedulesRefused("beat_schedule", flaws)
    if any("cron" in one.document for one in wanted) and _changes_clocks(settings.zone):
        notices.append(
            f"when the clocks of {settings.zone} change, patterns fire by other rules than beat's: see {DOCS}"
        )
    return Imported(tenant=tenant, wanted=wanted, notices=notices)


def apply(database: Database, found: Imported, *, prune: bool, dry_run: bool = False) -> Applied:
    """Have what was imported stand; with `prune` the tenant's earlier imports that are not there any more are deleted.

    Raises SchedulesRefused, DatabaseUnavailable.
    """
    prune_in: Collection[str] = (found.tenant,) if prune else ()
    return applying.apply(
        database, SOURCE, found.wanted, where="beat_schedule", prune_in=prune_in, dry_run=dry_run, kinds=KINDS
    )


def cron_of(given: crontab) -> str:
    """The pattern for the same times. Raises ValueError where there is none.

    Beat wants a day that is in both day_of_month and day_of_week. So does a pattern where one of these begins with `*`;
    else it takes days that are in either.
    """
    sets: Any = given
    minutes, hours, months = (set(sets.minute), set(sets.hour), set(sets.month_of_year))
    days, weekdays = set(sets.day_of_month), set(sets.day_of_week)
    if not all((minutes, hours, months, days, weekdays)):
        raise ValueError("the crontab has an empty set, so it never comes")
    day, weekday = _field(days, 1, 31), _field(weekdays, 0, 6)
    if not day.startswith("*") and not weekday.startswith("*"):
        weeks = [week for week in range(5) if set(_week(week)) & days]
        if set().union(*(_week(week) for week in weeks)) != days:
            raise ValueError(
                "beat runs it on days that are both in day_of_month and in day_of_week, which no cron pattern says of"
                " these; leave one of them out, and have the task look at the other"
            )
        day, weekday = "*", ",".join(f"{one}#{week + 1}" for one in sorted(weekdays) for week in weeks)
    return f"{_field(minutes, 0, 59)} {_field(hours, 0, 23)} {day} {_field(months, 1, 12)} {weekday}"


def _week(week: int) -> range:
    return range(7 * week + 1, min(7 * week + 7, 31) + 1)


def _field(values: Collection[int], low: int, high: int) -> str:
    """The shortest usual spelling of a set: `*`, `*/5`, or values and ranges."""
    for step in range(1, (high - low + 1) // 2 + 1):
        if set(range(low, high + 1, step)) == set(values):
            return "*" if step == 1 else f"*/{step}"
    return ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in _runs(sorted(values)))


def _runs(values: Sequence[int]) -> Iterator[tuple[int, int]]:
    first = last = values[0]
    for value in values[1:]:
        if value != last + 1:
            yield first, last
            first = value
        last = value
    yield first, last


def _settings(app: Celery) -> _Settings:
    given: object = app.conf["timezone"] or ("UTC" if app.conf.enable_utc else "")
    zone = getattr(given, "key", None) or str(given)
    if not zone:
        raise ConfigurationError("enable_utc is off, so beat takes the machine's time zone: set timezone to its name")
    try:
        zone_of(zone)
    except ValueError as exc:
        raise ConfigurationError(f"timezone: {exc}") from exc
    broker = str(app.conf.broker_url or "")
    return _Settings(
        zone=zone,
        deadline_seconds=app.conf.beat_cron_starting_deadline,
        is_redis=broker.startswith(("redis", "valkey", "sentinel")),
    )


def _document(entry: Any, settings: _Settings, notice: Callable[[str], None]) -> dict[str, Json]:
    """The schedule's document of an entry, without its name. Raises _Odd."""
    if not isinstance(entry, Mapping):
        raise _Odd("", f"an entry is a dict with a task and a schedule, not {entry!r}")
    if unknown := [key for key in entry if key not in _KEYS]:
        raise _Odd(f"/{unknown[0]}", f"unknown{nearest(str(unknown[0]), _KEYS)}")
    kwargs = entry.get("kwargs") or {}
    if entry.get("args"):
        raise _Odd("/args", "kinds take named parameters: give them as kwargs")
    try:
        kwargs = json.loads(json.dumps(kwargs, allow_nan=False))
    except (TypeError, ValueError) as exc:
        detail = f"must be JSON: {exc}; what is only known when it fires can be {{{{schedule.fire_time}}}} and others"
        raise _Odd("/kwargs", detail) from exc
    if taken := sorted({"kind", "use", "stop_when"} & kwargs.keys()):
        raise _Odd(f"/kwargs/{taken[0]}", "is a word that every step has, so no kind has a parameter of this name")
    return {
        **_rule(entry.get("schedule"), relative=bool(entry.get("relative")), settings=settings, notice=notice),
        "timezone": settings.zone,
        "overlap": "allow",  # beat knows nothing of the jobs before
        "catch_up": "last",  # it does once what it has missed, however often that was
        "job": {
            **_options(entry.get("options") or {}, settings, notice),
            "steps": {STEP: {"kind": _kind(entry), **kwargs}},
        },
    }


def _kind(entry: Mapping[str, Any]) -> str:
    task = entry.get("task")
    if isinstance(task, str) and task in KINDS:
        return task
    said = str(task)
    hint = nearest(said, KINDS) or nearest(said.rpartition(".")[2], KINDS)
    raise _Odd("/task", f"{said!r} is no installed kind{hint}; {DOCS} shows how to offer a task as one")


def _rule(given: Any, *, relative: bool, settings: _Settings, notice: Callable[[str], None]) -> dict[str, Json]:
    """When it fires, and how late it may be made up for."""
    if isinstance(given, int | float) and not isinstance(given, bool):
        given = timedelta(seconds=given)
    if isinstance(given, timedelta):
        given = schedule(given, relative)
    if type(given) not in (schedule, crontab):
        sun = "an event of the sun has no rule here: write it as a crontab, or trigger a schedule over HTTP"
        other = f"must be a crontab, a timedelta or a number of seconds, and {given!r} is none"
        raise _Odd("/schedule", sun if isinstance(given, solar) else other)
    if given.nowfun is not None:
        notice(f"its nowfun is not used: it fires by the database's clock, in {settings.zone}")
    late = {"catch_up_seconds": float(MAX_CATCH_UP_SECONDS)}
    if isinstance(given, crontab):
        if settings.deadline_seconds is not None:
            late = {"catch_up_seconds": float(min(settings.deadline_seconds, MAX_CATCH_UP_SECONDS))}
        try:
            return {"cron": cron_of(given), **late}
        except ValueError as exc:
            raise _Odd("/schedule", str(exc)) from exc
    return {**_interval(given, settings.zone), **late}


def _interval(given: Any, zone: str) -> dict[str, Json]:
    seconds = given.run_every.total_seconds()
    if seconds != int(seconds) or seconds < 1:
        raise _Odd("/schedule", f"an interval is whole seconds, at least 1, and {seconds:g} is not: write another")
    seconds = int(seconds)
    unit = next((unit for unit in (86_400, 3600, 60) if seconds >= unit), 1)
    if not given.relative or unit == 1:
        return {"every": seconds}
    words = {86_400: "days", 3600: "hours", 60: "minutes"}[unit]
    if seconds % unit:
        raise _Odd(
            "/schedule", f"relative and not a whole number of {words}: beat rounds that down; write what is meant"
        )
    if seconds == 86_400:
        return {"cron": "0 0 * * *"}
    if unit == 86_400 and _changes_clocks(zone):
        raise _Odd("/schedule", f"relative, so at each midnight of {zone} so many days apart: write it as a crontab")
    return {"every": seconds, "anchor": _EPOCH}


def _options(given: Mapping[str, Any], settings: _Settings, notice: Callable[[str], None]) -> dict[str, Json]:
    """The fields of the job's document that the options of apply_async stand for."""
    made: dict[str, Json] = {}
    for option, value in given.items():
        at = f"/options/{option}"
        if option in _DELAYS:
            raise _Odd(at, "would run each firing later than its time: let the schedule say when")
        if option in _FOLLOW_UPS:
            raise _Odd(at, "what comes after is a step of the job that uses this one: write the schedule's job")
        if option == "priority" and settings.is_redis and isinstance(value, int) and 0 <= value <= 9:
            made["priority"] = Priority.of_rank(value // 3 * 3 if value < 6 else 6).value
        elif option == "expires" and value is not None:
            made["deadline_seconds"] = _expires(at, value)
            notice("expires became deadline_seconds: by then a job must have ended; with beat, it must have begun")
        elif value is not None:
            notice(f"the option {option!r} is not taken over: {_instead(option)}")
    return made


def _expires(at: str, value: Any) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise _Odd(at, "is the same moment for every firing: give seconds, or let the schedule end")
    return float(seconds)


def _instead(option: str) -> str:
    if option == "priority":
        return "what it means depends on the broker; a job's priority is high, normal or low"
    if option in {"queue", "exchange", "routing_key", "retry", "retry_policy", "time_limit", "soft_time_limit"}:
        return "the kind decides"
    return "no message carries it"


def _placed(flaw: Flaw) -> Flaw:
    """The flaw of the document, at its place in the entry."""
    for pointer, place in _PLACES.items():
        if flaw.pointer == pointer or flaw.pointer.startswith(f"{pointer}/"):
            return Flaw(pointer=place + flaw.pointer.removeprefix(pointer), detail=flaw.detail)
    return flaw


def _changes_clocks(zone: str) -> bool:
    """Whether its clocks change within a year from now."""
    found, begin = zone_of(zone), datetime.now(UTC)
    return len({(begin + timedelta(days=7 * week)).astimezone(found).utcoffset() for week in range(53)}) > 1
