"""The rules of schedules taken at their word: every second of a few days is asked what its clock shows.

Nothing of tasks/cron.py is used, nor its library: the patterns are read anew, after crontab(5) and what
docs/schedules-clock.md adds to it.
"""

import calendar
from collections.abc import Callable, Set
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

Seconds = NDArray[np.int64]
EPOCH = date(1970, 1, 1)
DAY = 86_400
BOUNDS = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
NAMES = {name: at for at, name in enumerate(MONTHS, 1)} | {name: at for at, name in enumerate(DAYS)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Clock:
    """Wall-clock times by their parts: days since 1970, hours, minutes, seconds."""

    days: Seconds
    hours: Seconds
    minutes: Seconds
    seconds: Seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """Every second of some days: as UTC, and as the clock of the zone shows it, both in seconds since 1970."""

    zone: ZoneInfo
    instants: Seconds
    walls: Seconds
    shown: Seconds  # the wall-clock times that exist, each once
    first: Seconds  # where each of them stands first
    walls_clock: Clock
    shown_clock: Clock

    @property
    def jumps(self) -> list[int]:
        """By how many seconds the clocks change, forwards or backwards."""
        steps = np.diff(self.walls) - 1
        return [int(step) for step in steps[steps != 0]]


@cache
def window(zone: str, first: datetime, hours: int) -> Window:
    """The hours from `first` on, which is UTC."""
    place, begin = ZoneInfo(zone), int(first.timestamp())
    instants = np.arange(begin, begin + hours * 3600, dtype=np.int64)
    walls = np.concatenate([_walls(hour, place) for hour in instants.reshape(hours, 3600)])
    shown, where = np.unique(walls, return_index=True)
    return Window(
        zone=place,
        instants=instants,
        walls=walls,
        shown=shown,
        first=where,
        walls_clock=_clock(walls),
        shown_clock=_clock(shown),
    )


def firings(text: str, seen: Window, exclude: Set[date] = frozenset()) -> list[datetime]:
    """When the pattern fires within the window, on none of the local dates that are excluded."""
    fields = text.lower().replace("?", "*").split()
    fields = ["0", *fields] if len(fields) == 5 else fields
    if _numbers(2, fields[2]) == set(range(24)):
        found = seen.instants[_matches(fields, seen.walls_clock)]  # rule 1
    else:
        found = _by_wall_clock(fields, seen)  # rule 2
    local = seen.walls[found - seen.instants[0]] // DAY
    kept = found[[EPOCH + timedelta(days=int(day)) not in exclude for day in local]] if exclude else found
    return [datetime.fromtimestamp(int(second), UTC) for second in kept]


def _by_wall_clock(fields: list[str], seen: Window) -> Seconds:
    found = set(seen.instants[seen.first[_matches(fields, seen.shown_clock)]].tolist())
    for at in np.flatnonzero(np.diff(seen.walls) > 1).tolist():
        skipped = np.arange(seen.walls[at] + 1, seen.walls[at + 1], dtype=np.int64)
        skipped = skipped[~np.isin(skipped, seen.shown)]
        if len(skipped) and _matches(fields, _clock(skipped)).any():
            found.add(int(seen.instants[at + 1]))
    return np.array(sorted(found), dtype=np.int64)


def _walls(hour: Seconds, zone: ZoneInfo) -> Seconds:
    """What the clock shows at each second of an hour; no zone changes its clocks twice within one."""
    first, last = (_offset(int(hour[at]), zone) for at in (0, -1))
    if first == last:
        return hour + first
    return np.array([second + _offset(second, zone) for second in hour.tolist()], dtype=np.int64)


def _offset(second: int, zone: ZoneInfo) -> int:
    offset = datetime.fromtimestamp(second, UTC).astimezone(zone).utcoffset()
    assert offset is not None
    return offset // timedelta(seconds=1)


def _clock(walls: Seconds) -> Clock:
    return Clock(days=walls // DAY, hours=walls // 3600 % 24, minutes=walls // 60 % 60, seconds=walls % 60)


def _matches(fields: list[str], clock: Clock) -> NDArray[np.bool_]:
    """Which of the wall-clock times match the six fields."""
    begin, end = int(clock.days.min()), int(clock.days.max())
    right = np.array([_is_day(fields, EPOCH + timedelta(days=day)) for day in range(begin, end + 1)])
    matching = right[clock.days - begin]
    for field, part, count in ((2, clock.hours, 24), (1, clock.minutes, 60), (0, clock.seconds, 60)):
        numbers = _numbers(field, fields[field])
        matching &= np.array([number in numbers for number in range(count)])[part]
    return matching


def _is_day(fields: list[str], day: date) -> bool:
    if day.month not in _numbers(4, fields[4]):
        return False
    of_month, of_week = _is_any(fields[3], day, _is_of_month), _is_any(fields[5], day, _is_of_week)
    if fields[3].startswith("*") or fields[5].startswith("*"):
        return of_month and of_week
    return of_month or of_week


def _is_any(field: str, day: date, test: Callable[[str, date], bool]) -> bool:
    return any(test(item, day) for item in field.split(","))


def _is_of_month(item: str, day: date) -> bool:
    last = calendar.monthrange(day.year, day.month)[1]
    if item == "l":
        return day.day == last
    if item == "lw":
        working = [one for one in range(1, last + 1) if day.replace(day=one).isoweekday() < 6]
        return day.day == max(working)
    return day.day in _numbers(3, item)


def _is_of_week(item: str, day: date) -> bool:
    name, sign, nth = item.partition("#")
    same = [one for one in _dates(day) if one.weekday() == day.weekday()]
    if sign:
        return day.isoweekday() % 7 in _weekdays(name) and same.index(day) + 1 == int(nth)
    if item.endswith("l"):
        return day.isoweekday() % 7 in _weekdays(item[:-1]) and day == same[-1]
    return day.isoweekday() % 7 in _weekdays(item)


def _dates(day: date) -> list[date]:
    return [day.replace(day=one) for one in range(1, calendar.monthrange(day.year, day.month)[1] + 1)]


def _weekdays(item: str) -> set[int]:
    return {number % 7 for number in _numbers(5, item)}


@cache
def _numbers(field: int, text: str) -> set[int]:
    """The numbers that a list of ranges and steps selects."""
    found: set[int] = set()
    for item in text.split(","):
        span, _, step = item.partition("/")
        first, _, last = span.partition("-")
        low, high = BOUNDS[field]
        if span != "*":
            low = _number(first)
            high = _number(last) if last else high if step else low
        found |= set(range(low, high + 1, int(step or 1)))
    return found


def _number(word: str) -> int:
    return NAMES[word] if word in NAMES else int(word)
