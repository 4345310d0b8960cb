"""Firings around changes of the clocks: what the calendar says is what a look at every second says."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from random import Random

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tasks.calendar import Calendar
from tasks.cron import CronInvalid, parse
from tests.tasks.calendar_truth import EPOCH, Window, firings, window

HOURS = 48
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A change of the clocks: by so many seconds, at noon UTC of that date or within the 24 hours around it."""

    zone: str
    day: date
    jumps: int

    def seen(self) -> Window:
        noon = datetime(self.day.year, self.day.month, self.day.day, 12, tzinfo=UTC)
        return window(self.zone, noon - timedelta(hours=HOURS // 2), HOURS)

    def __str__(self) -> str:
        return f"{self.zone} {self.day}"


CHANGES = [
    Change(zone=zone, day=date.fromisoformat(day), jumps=jumps)
    for zone, day, jumps in [
        ("Europe/Berlin", "2026-03-29", 3600),
        ("Europe/Berlin", "2026-10-25", -3600),
        ("America/New_York", "2026-03-08", 3600),
        ("America/New_York", "2026-11-01", -3600),
        ("Australia/Lord_Howe", "2026-10-03", 1800),
        ("Australia/Lord_Howe", "2026-04-04", -1800),
        ("Pacific/Apia", "2011-12-30", 86_400),  # the day that never was
        ("Pacific/Apia", "2012-03-31", -3600),
        ("Pacific/Apia", "2012-09-29", 3600),
        ("Asia/Kolkata", "1942-08-31", 3600),  # in wartime; no change since
        ("Asia/Kolkata", "1945-10-14", -3600),
        ("America/Sao_Paulo", "2018-11-04", 3600),  # at midnight, both ways
        ("America/Sao_Paulo", "2018-02-18", -3600),
        ("Africa/Casablanca", "2026-03-22", 3600),  # the end of Ramadan, and its begin
        ("Africa/Casablanca", "2026-02-15", -3600),
        ("Asia/Tehran", "2022-03-21", 3600),
        ("Asia/Tehran", "2022-09-21", -3600),
        ("America/St_Johns", "2010-03-14", 3600),  # at 00:01: back to the day before
        ("America/St_Johns", "2010-11-07", -3600),
        ("Pacific/Chatham", "2026-09-26", 3600),
        ("Pacific/Chatham", "2026-04-04", -3600),
        ("Antarctica/Troll", "2026-03-29", 7200),
        ("Antarctica/Troll", "2026-10-25", -7200),
        ("Europe/Dublin", "2026-03-29", 3600),  # winter is what Irish law calls the change
        ("Europe/Dublin", "2026-10-25", -3600),
        ("Africa/Monrovia", "1972-01-07", 2670),  # from an offset of 44 minutes and 30 seconds
        ("Pacific/Kwajalein", "1969-09-30", -23 * 3600),  # the day that was twice
        ("Europe/Berlin", "2026-07-01", 0),
    ]
]

PATTERNS = [
    "* * * * *",
    "0 * * * *",
    "30 0-23 * * *",
    "*/15 * * * *",
    "15,45 0-11,12-23 * * *",
    "0 */2 * * *",
    "30 */3 * * *",
    "0,30 1-3 * * *",
    "*/20 0-4,22,23 * * *",
    "0 0 * * *",
    "1 0 * * *",
    "59 23 * * *",
    "30 1 * * *",
    "30 2 * * *",
    "0 3 * * *",
    "30 2 * * SUN",
    "30 2 L * *",
    "0 2 LW * *",
    "30 0,2 * * 0L",
    "15 2 * * SUN#1,SUN#2,SUN#4",
    "45 * 25-31 * SUN",
    "45 2 */2 * 1-6",
    "*/10 */10 * * * *",
    "*/10 */10 0-3,20-23 * * *",
    "10,40 59 * * * *",
    "*/20 * 1-3,23 * * *",
    "59 59 1,23 * * *",
    "0 0 0 * * *",
]


DENSE = ["* * * * * *", "*/10 * * * * *", "*/10 * 0-22 * * *", "* * 1-3,23 * * *"]


def around(change: Change) -> Iterator[str]:
    """Patterns of wall-clock times before, at, in, at the end of and after the gap or the repeated time."""
    seen = change.seen()
    for at in range(len(seen.walls) - 1):
        before, after = int(seen.walls[at]) + 1, int(seen.walls[at + 1])
        if before != after:
            low, high = sorted((before, after))
            for second in (low - 1, low, low + 1, (low + high) // 2, high - 1, high, high + 1):
                minute, hour = second // 60 % 60, second // 3600 % 24
                day = EPOCH + timedelta(days=second // 86_400)
                yield f"{minute} {hour} * * *"
                yield f"{second % 60} {minute} {hour} {day.day} {day.month} *"
                yield f"{second % 60} {minute} * {day.day} * *"
            return


def calendar(pattern: str, change: Change, exclude: frozenset[date] = frozenset()) -> Calendar:
    return Calendar(rule=parse(pattern), zone=change.seen().zone, exclude=exclude)


def refusal(pattern: str) -> str:
    try:
        parse(pattern)
    except CronInvalid as exc:
        return str(exc)
    return ""


def bounds(seen: Window) -> tuple[datetime, datetime]:
    first, last = (datetime.fromtimestamp(int(seen.instants[at]), UTC) for at in (0, -1))
    return first, last


def check_moments(schedule: Calendar, truth: list[datetime], moments: list[datetime], end: datetime) -> None:
    """The first firing after each moment is the truth's first, or lies beyond the window."""
    for moment in moments:
        found, wanted = schedule.after(moment), next(iter(truth[bisect_right(truth, moment) :]), None)
        assert found == wanted or (wanted is None and (found is None or found > end)), moment


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_the_clocks_change_as_the_tests_believe(change: Change) -> None:
    assert change.seen().jumps == ([change.jumps] if change.jumps else [])


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_firings_around_a_change_are_those_that_the_seconds_show(change: Change) -> None:
    seen, random = change.seen(), Random(str(change))
    first, last = bounds(seen)
    for pattern in dict.fromkeys([*PATTERNS, *DENSE, *around(change)]):
        schedule, truth = calendar(pattern, change), firings(pattern, seen)
        assert pattern in DENSE or list(schedule.between(first, last)) == truth, pattern
        near = [one + random.choice((-1, 0, 1)) * MICROSECOND for one in random.sample(truth, min(6, len(truth)))]
        far = [first + random.random() * (last - first) for _ in range(6)]
        check_moments(schedule, truth, near + far, last)


def items(low: int, high: int) -> st.SearchStrategy[str]:
    numbers = st.integers(low, high)
    spans = st.tuples(numbers, numbers).map(lambda pair: f"{min(pair)}-{max(pair)}")
    stepped = st.tuples(st.just("*") | spans | numbers.map(str), st.integers(1, (high - low) // 3))
    return st.just("*") | numbers.map(str) | spans | stepped.map(lambda pair: f"{pair[0]}/{pair[1]}")


def fields(item: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.just("*") | st.lists(item, min_size=1, max_size=3).map(",".join)


days_of_week = (
    items(0, 6) | st.sampled_from(["MON-FRI", "SAT", "7"]) | st.builds("{}{}".format, st.integers(0, 7), st.just("L"))
) | st.builds("{}#{}".format, st.integers(0, 7), st.integers(1, 5))
patterns = st.builds(
    lambda *parts: " ".join(part for part in parts if part),
    st.just("") | fields(items(0, 59)),
    fields(items(0, 59)),
    fields(items(0, 23)),
    fields(items(1, 31) | st.sampled_from(["L", "LW"])) | st.just("?"),
    st.just("*") | fields(items(1, 12)),
    fields(days_of_week),
)


# Phase.explain is left out: it traces every line, for minutes.
@settings(max_examples=100, deadline=None, phases=set(Phase) - {Phase.explain})
@given(
    pattern=patterns,
    change=st.sampled_from(CHANGES),
    parts=st.lists(st.floats(0, 1), max_size=8),
    days_out=st.frozensets(st.integers(-2, 2)),
)
def test_any_pattern_fires_when_the_seconds_show_it(
    pattern: str, change: Change, parts: list[float], days_out: frozenset[int]
) -> None:
    seen = change.seen()
    first, last = bounds(seen)
    exclude = frozenset(change.day + timedelta(days=days) for days in days_out)
    if refused := refusal(pattern):
        assert "so large" in refused or ("never comes" in refused and not firings(pattern, seen))
        return
    schedule, truth = calendar(pattern, change, exclude), firings(pattern, seen, exclude)
    moments = [first + part * (last - first) for part in parts]
    moments += [one + shift * MICROSECOND for one in truth[:: max(1, len(truth) // 8)] for shift in (-1, 0)]
    check_moments(schedule, truth, [max(moment, first - MICROSECOND) for moment in moments], last)
    if len(truth) < 300:
        assert list(schedule.between(first, last)) == truth
    assert schedule.words[0].isupper()
