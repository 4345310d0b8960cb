"""When a schedule fires: its rule in its zone, within its bounds, without the days that it leaves out. Pure.

Cron patterns follow the two rules of tasks/cron.py; intervals follow real time, whatever the clocks do. The rules of
zones come from the machine's tz database, or from the package tzdata.
"""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import assert_never
from zoneinfo import ZoneInfo, available_timezones

from tasks.cron import Cron, first_change, first_instant

MAX_ZONE_NAME = 64
MAX_ABBREVIATION = 4  # near to CEST is EST, which is seven hours away

_INSTANT = timedelta.resolution
_BEGIN = datetime.min.replace(tzinfo=UTC)
_DAY = timedelta(days=1)
_NO_PLACES = frozenset({"localtime", "posixrules", "Factory"})  # files beside the zones, not names of the tz database
_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)([Zz]|[+-](?:0\d|1\d|2[0-3]):[0-5]\d)?", re.ASCII
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Every:
    """The anchor, and every so many seconds of real time before and after it; raises ValueError below a second."""

    seconds: int
    anchor: datetime

    def __post_init__(self) -> None:
        if self.seconds < 1:
            raise ValueError(f"an interval has at least 1 second, not {self.seconds}")
        _aware(self.anchor)


@dataclass(frozen=True, kw_only=True, slots=True)
class At:
    """Once."""

    moment: datetime

    def __post_init__(self) -> None:
        _aware(self.moment)


@dataclass(frozen=True, kw_only=True, slots=True)
class Calendar:
    """A schedule's nominal times: those of its rule from `start_at` to `end_at`, on no local date in `exclude`."""

    rule: Cron | Every | At
    zone: ZoneInfo
    start_at: datetime | None = None
    end_at: datetime | None = None
    exclude: frozenset[date] = frozenset()

    def after(self, moment: datetime) -> datetime | None:
        """The first nominal time strictly after the moment, in UTC; None if there is none.

        Excluded days are jumped over, so it takes as many steps as there are such days, at most. Raises ValueError for
        a moment without a zone.
        """
        _aware(moment)
        if self.start_at is not None:
            moment = max(moment, _just_before(self.start_at))
        try:
            found = self._after(moment)
            while found is not None and found.astimezone(self.zone).date() in self.exclude:
                found = self._after(self._excluded_until(found) - _INSTANT)
        except OverflowError:  # the calendar's end, in the year 9999
            return None
        return None if found is None or (self.end_at is not None and found > self.end_at) else found

    def between(self, first: datetime, last: datetime) -> Iterator[datetime]:
        """The nominal times from `first` to `last`, both included."""
        found = self.after(_just_before(first))
        while found is not None and found <= last:
            yield found
            found = self.after(found)

    @property
    def words(self) -> str:
        """Such as "At 03:00 every day, in Europe/Berlin", "every 15 minutes, counted from 2026-01-01T00:00:00Z"."""
        match self.rule:
            case Cron():
                return f"{self.rule.words}, in {self.zone.key}"
            case Every():
                return f"every {_span(self.rule.seconds)}, counted from {_text(self.rule.anchor)}"
            case At():
                return f"once, at {_text(self.rule.moment)}"
            case _:
                assert_never(self.rule)

    def _after(self, moment: datetime) -> datetime | None:
        match self.rule:
            case Cron():
                return self.rule.after(moment, self.zone)
            case Every(seconds=seconds, anchor=anchor):
                steps = (moment - anchor) // timedelta(seconds=seconds) + 1
                return anchor.astimezone(UTC) + steps * timedelta(seconds=seconds)
            case At(moment=only):
                return only.astimezone(UTC) if only > moment else None
            case _:
                assert_never(self.rule)

    def _excluded_until(self, moment: datetime) -> datetime:
        """The first instant after this one whose local date is not excluded."""
        while (local := moment.astimezone(self.zone)).date() in self.exclude:
            midnight = datetime.combine(local.date() + _DAY, time())
            end = moment + (midnight - local.replace(tzinfo=None))
            # The clocks may change before midnight, and the date with them: the tz database knows changes at midnight.
            same = end.astimezone(self.zone).utcoffset() == local.utcoffset()
            moment = end if same else first_change(moment, end, self.zone)
        return moment


def zone_of(name: object) -> ZoneInfo:
    """The zone of the tz database with this name; raises ValueError with the nearest right name."""
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_ZONE_NAME:
        raise ValueError("a zone is a name of the tz database, such as 'Europe/Berlin' or 'UTC'")
    names = _zones()
    if names.get(name.lower()) == name:
        return ZoneInfo(name)
    lower = name.strip().lower().replace(" ", "_")
    near = [lower] if lower in names else [one for one in names if one.rpartition("/")[2] == lower]
    if not near and len(lower) > MAX_ABBREVIATION:
        near = difflib.get_close_matches(lower, names, n=1, cutoff=0.7)
    hint = f"did you mean {names[near[0]]!r}?" if near else "write one such as 'Europe/Berlin' or 'UTC'"
    raise ValueError(f"{name!a} is no zone of the tz database; {hint}")


def local_moment(text: object, zone: ZoneInfo) -> datetime:
    """A moment as RFC 3339 has it, or without an offset as the zone's clocks show it; in UTC.

    A time that does not exist is the first instant after the gap, one that exists twice the first of both. Seconds may
    be left out. Raises ValueError.
    """
    found = _MOMENT.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError("a time is written 2026-03-29T02:30:00, and ends in Z or +02:00 if it is not the zone's own")
    day, clock, offset = found.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{(offset or '').upper()}")
        return moment.astimezone(UTC) if offset else first_instant(moment, zone)
    except (ValueError, OverflowError) as exc:
        raise ValueError(f"{text!r} is no time that a calendar has: {exc}") from exc


@cache
def _zones() -> dict[str, str]:
    """The names of all zones by themselves in small letters."""
    return {name.lower(): name for name in sorted(available_timezones() - _NO_PLACES)}


def _just_before(moment: datetime) -> datetime:
    """The instant before this one; at the calendar's begin there is none, and it is this one."""
    return moment - _INSTANT if moment > _BEGIN else moment


def _aware(moment: datetime) -> None:
    if moment.tzinfo is None:
        raise ValueError("a moment needs a zone")


def _span(seconds: int) -> str:
    """Such as "minute", "15 minutes", "24 hours": no days, since an interval knows none."""
    units = (("hour", 3600), ("minute", 60), ("second", 1))
    unit, size = next((unit, size) for unit, size in units if seconds % size == 0)
    return unit if seconds == size else f"{seconds // size} {unit}s"


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
