"""Cron patterns: read, put into words, and their firings in a zone, whatever its clocks do. Pure.

1. A pattern whose hours are all 24 follows real time: it fires at every instant whose wall clock matches, in both
   passes of a repeated hour, and never at a time that does not exist.
2. Any other pattern is one of wall-clock times: a time that does not exist fires at the first instant after the gap,
   once with all others that fall there; a time that exists twice fires at the first.

cronsim reads the pattern and enumerates wall-clock times without a zone; the rules are laid over these here. The
reasons, and what other libraries do, are told in docs/schedules-clock.md.
"""

import copy
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

MAX_TEXT = 256
MAX_ITEMS = 64  # of a field: more than any field has values
NICKNAMES: Mapping[str, str] = MappingProxyType(
    {
        "@yearly": "0 0 1 1 *",
        "@annually": "0 0 1 1 *",
        "@monthly": "0 0 1 * *",
        "@weekly": "0 0 * * 0",
        "@daily": "0 0 * * *",
        "@midnight": "0 0 * * *",
        "@hourly": "0 * * * *",
    }
)

_SECOND = timedelta(seconds=1)
_EARLIEST = datetime(1, 1, 3, tzinfo=UTC)  # every zone can show it
_SOME_DAY = datetime(2000, 1, 1)  # noqa: DTZ001 (a wall clock, and no zone yet)
_COUNTS = "5 are minute, hour, day of month, month, day of week; 6 have the second before these"
_ORDINALS = {"1": "1st", "2": "2nd", "3": "3rd"}
_NO_NICKNAMES: Mapping[str, str] = MappingProxyType(
    {
        "@reboot": "a schedule belongs to no machine that could start; write when it is to fire",
        "@every": "an interval is no cron pattern; give the schedule an interval in seconds",
        "@every_minute": "write * * * * *",
        "@every_second": "write * * * * * *",
    }
)


class CronInvalid(ValueError):
    """The text is no cron pattern; the message says what is wrong and what to write."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()  # in order, from `low` on
    marks: tuple[str, ...] = ("*",)

    def __str__(self) -> str:
        return f"{self.low}-{self.high}" + (f" or {self.names[0]}-{self.names[-1]}" if self.names else "")


_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_DAY = _Field(name="day of month", low=1, high=31, marks=("*", "L", "LW"))
_WEEKDAY = _Field(name="day of week", low=0, high=7, names=_WEEKDAYS)
_FIELDS = (
    _Field(name="second", low=0, high=59),
    _Field(name="minute", low=0, high=59),
    _Field(name="hour", low=0, high=23),
    _DAY,
    _Field(name="month", low=1, high=12, names=_MONTHS),
    _WEEKDAY,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cron:
    """A pattern that was read: `text` is its one spelling, in capitals, without nicknames, `?` and idle spaces."""

    text: str
    follows_real_time: bool
    _wall: CronSim = field(repr=False, compare=False)

    @property
    def words(self) -> str:
        """Such as "At 03:00 every day"."""
        return _smoothed(self._wall.explain())

    def after(self, moment: datetime, zone: ZoneInfo) -> datetime | None:
        """The first firing strictly after the moment: UTC, whole seconds; None if none comes before the year 10000.

        Raises ValueError for a moment without a zone.
        """
        if moment.tzinfo is None:
            raise ValueError("a moment needs a zone")
        try:
            instant = max(moment.astimezone(UTC), _EARLIEST).replace(microsecond=0)
            return self._after_real(instant, zone) if self.follows_real_time else self._after_wall(instant, zone)
        except (OverflowError, StopIteration):  # the calendar's end; cronsim's bound of 50 years
            return None

    def _after_wall(self, instant: datetime, zone: ZoneInfo) -> datetime:
        """Rule 2: of the times that the clock has not yet shown the next one, at its first instant."""
        local = instant.astimezone(zone)
        shown = local.replace(tzinfo=None)
        if local.fold:  # the first pass has shown more
            first = local.replace(fold=0).astimezone(UTC)
            shown += first_change(first, instant, zone) - first - _SECOND
        return first_instant(self._next(shown), zone)

    def _after_real(self, instant: datetime, zone: ZoneInfo) -> datetime:
        """Rule 1: the next instant whose wall clock matches."""
        local = instant.astimezone(zone)
        shown = local.replace(tzinfo=None)
        found = self._next(shown)
        again = local.replace(fold=1).astimezone(UTC)
        if again > instant:  # in the first pass, which may end before the clock shows what was found
            change = first_change(instant, again, zone)
            if found - shown >= change - instant:
                return self._from_change(change, zone)
        return self._existing(found, instant, zone)

    def _from_change(self, change: datetime, zone: ZoneInfo) -> datetime:
        """The first instant at or after a change of the clocks whose wall clock matches."""
        begin = change.astimezone(zone).replace(tzinfo=None)
        return self._existing(self._next(begin - _SECOND), change - _SECOND, zone)

    def _existing(self, found: datetime, after: datetime, zone: ZoneInfo) -> datetime:
        """When the clock shows what was found after this instant; if never, the first match after that gap."""
        for fold in (0, 1):
            instant = found.replace(tzinfo=zone, fold=fold).astimezone(UTC)
            if instant > after and _shows(instant, found, zone):
                return instant
        return self._from_change(first_instant(found, zone), zone)

    def _next(self, shown: datetime) -> datetime:
        """The next matching wall-clock time, whether it exists or not. Raises StopIteration, OverflowError."""
        wall = copy.copy(self._wall)  # reading the text again takes as long as the search
        wall.dt = shown
        return next(wall)


def parse(text: str) -> Cron:
    """Read a pattern of 5 fields, of 6 with the seconds first, or a nickname; raises CronInvalid."""
    if not isinstance(text, str):
        raise CronInvalid("a cron pattern is a string, such as '0 3 * * *'")
    if len(text) > MAX_TEXT:
        raise CronInvalid(f"has {len(text)} characters; a pattern has at most {MAX_TEXT}")
    return _parse(text)


def first_instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """When the zone's clocks first show this time (without tzinfo), else the first instant after its gap: UTC."""
    instant = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if _shows(instant, wall, zone):
        return instant
    before = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return first_change(before, instant, zone)


def first_change(low: datetime, high: datetime, zone: ZoneInfo) -> datetime:
    """The instant in (low, high] from which the zone's offset is another than at `low`, and still at `high`; UTC.

    They are no further apart than about a day: so near to one another no zone of the tz database changes twice.
    """
    low = low.replace(microsecond=0)
    before, same, other = low.astimezone(zone).utcoffset(), 0, -((low - high) // _SECOND)
    while other - same > 1:
        middle = (same + other) // 2
        if (low + middle * _SECOND).astimezone(zone).utcoffset() == before:
            same = middle
        else:
            other = middle
    return low + other * _SECOND


def _shows(instant: datetime, wall: datetime, zone: ZoneInfo) -> bool:
    return instant.astimezone(zone).replace(tzinfo=None) == wall


@lru_cache(maxsize=1024)
def _parse(text: str) -> Cron:
    if odd := next((one for one in text if not " " <= one <= "~" and one != "\t"), None):
        raise CronInvalid(f"holds the character {odd!a}; a pattern is written in ASCII, on one line")
    fields = _fields(text.split())
    for kind, value in zip(_FIELDS[-len(fields) :], fields, strict=True):
        items = value.split(",")
        if len(items) > MAX_ITEMS:
            raise CronInvalid(f"{kind.name} lists {len(items)} items, and may list {MAX_ITEMS}; use ranges or steps")
        for item in items:
            _check(kind, item)
    normal = " ".join(fields)
    try:
        wall = CronSim(normal, _SOME_DAY)
        next(copy.copy(wall))  # the longest wait, for a 29 February on one day of the week, is 40 years: within its 50
    except (CronSimError, StopIteration) as exc:
        raise CronInvalid("never comes: no year has such a day; check day of month, month and day of week") from exc
    return Cron(text=normal, follows_real_time=len(wall.hours) == 24, _wall=wall)


def _fields(words: list[str]) -> list[str]:
    """Five or six fields in capitals, `*` for `?` in those of days."""
    if not words:
        raise CronInvalid("is empty; write five fields such as '0 3 * * *', or a nickname such as @daily")
    if words[0].startswith("@"):
        return _expanded(words)
    if len(words) not in (5, 6):
        year = "; a year cannot be given: let the schedule begin and end" if len(words) == 7 else ""
        raise CronInvalid(f"has {len(words)} field{'s' if len(words) > 1 else ''}; {_COUNTS}{year}")
    *clock, day, month, weekday = [word.upper() for word in words]
    return [*clock, "*" if day == "?" else day, month, "*" if weekday == "?" else weekday]


def _expanded(words: list[str]) -> list[str]:
    nickname = words[0].lower()
    if nickname in _NO_NICKNAMES:
        raise CronInvalid(f"{nickname} is not known here: {_NO_NICKNAMES[nickname]}")
    if nickname not in NICKNAMES:
        near = difflib.get_close_matches(nickname, NICKNAMES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(NICKNAMES)}"
        raise CronInvalid(f"{_cut(words[0])!r} is no nickname; {hint}")
    if len(words) > 1:
        raise CronInvalid(f"{nickname} stands alone, without fields after it")
    return NICKNAMES[nickname].split()


def _check(kind: _Field, item: str) -> None:
    """One of `*` `5` `5-9` `*/5` `5-59/5` `5/5`, `L` and `LW` as a day of month, `5L` and `5#2` as a day of week."""
    if item in kind.marks:
        return
    base, slash, step = item.partition("/")
    day, sign, nth = item.partition("#")
    if kind is _WEEKDAY and sign:
        _value(kind, day)
        if nth not in ("1", "2", "3", "4", "5"):
            raise CronInvalid(f"day of week {_cut(item)!r}: write #1 to #5 after the day, or 5L: the last Friday")
    elif kind is _WEEKDAY and item.endswith("L"):
        if not item[:-1].isdigit():
            raise CronInvalid(f"day of week {_cut(item)!r}: write its number before L: 5L is the last Friday")
        _value(kind, item[:-1])
    else:
        low, high = kind.low, 6 if kind is _WEEKDAY else kind.high
        if base != "*":
            first, *last = base.split("-", 1)
            low = _value(kind, first)
            high = _value(kind, last[0]) if last else kind.high
        if high < low:
            raise CronInvalid(f"{kind.name} {_cut(base)!r} runs backwards; {_forwards(kind, low, high)}")
        if slash:
            _check_step(f"{kind.name} {_cut(item)!r}", step, low, high)


def _forwards(kind: _Field, low: int, high: int) -> str:
    if kind is _WEEKDAY and 0 in (high, low % 7):
        return "Sunday is both 0 and 7: write " + (f"{low}-7" if high == 0 else f"0-{high}")
    around = f"{low}-{kind.high},{1 if kind is _WEEKDAY else kind.low}-{high}"
    return f"write {high}-{low}, or {around} to go over the end"


def _check_step(what: str, step: str, low: int, high: int) -> None:
    if not step.isdigit() or int(step) == 0:
        raise CronInvalid(f"{what} has no step: write 1 or more after the /")
    if int(step) > high - low:  # crontab(5) allows it, nobody means it, and cronsim reads 0-0/5 as 0/5
        raise CronInvalid(f"{what} has a step so large that only {low} is left: write {low}")


def _value(kind: _Field, word: str) -> int:
    if word in kind.names:
        return kind.low + kind.names.index(word)
    if not word.isdigit():
        raise CronInvalid(f"{_cut(word)!r} is no {kind.name}: write {kind}{_meant(kind, word)}")
    if not kind.low <= int(word) <= kind.high:
        raise CronInvalid(f"{kind.name} {_cut(word)} is outside {kind}")
    return int(word)


def _meant(kind: _Field, word: str) -> str:
    """A hint for what other dialects allow."""
    if kind is _DAY and ("W" in word or "L" in word):
        return ", L (alone) for the last day, or LW for the last weekday"
    return f"; did you mean {word[:3]}?" if word[:3] in kind.names else ", or * for all"


def _cut(word: str) -> str:
    return word if len(word) <= 20 else word[:17] + "…"


def _smoothed(words: str) -> str:
    """cronsim's words with the ordinals of English: it says 21th, and every second second."""
    words = re.sub(r"\b([2-5])([123])th\b", lambda found: found[1] + _ORDINALS[found[2]], words)
    return words.replace("second second", "2nd second")
