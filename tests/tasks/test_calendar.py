"""When schedules fire: intervals, single moments, bounds and days left out; zones and times as people write them."""

import time
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.calendar import At, Calendar, Every, local_moment, zone_of
from tasks.cron import parse

BERLIN = ZoneInfo("Europe/Berlin")
SECOND = timedelta(seconds=1)
INSTANT = timedelta(microseconds=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


NEW_YEAR = at("2026-01-01T00:00:00Z")
moments = st.datetimes(at("2025-12-01T00:00:00"), at("2026-03-01T00:00:00"), timezones=st.just(UTC))
rules = (
    st.builds(Every, seconds=st.integers(1, 10_000_000), anchor=moments)
    | st.builds(At, moment=moments)
    | st.sampled_from(["@daily", "*/7 * * * *", "30 2 * * *", "0 0 1 2 *", "*/20 * * * * *"]).map(parse)
)
calendars = st.builds(
    Calendar,
    rule=rules,
    zone=st.sampled_from([BERLIN, ZoneInfo("Pacific/Apia"), ZoneInfo("UTC")]),
    start_at=st.none() | moments,
    end_at=st.none() | moments,
    exclude=st.frozensets(st.dates(date(2025, 12, 1), date(2026, 3, 1)), max_size=40),
)


def test_an_interval_follows_real_time_over_a_change_of_the_clocks() -> None:
    schedule = Calendar(rule=Every(seconds=86_400, anchor=at("2026-03-27T02:30:00+01:00")), zone=BERLIN)
    found = [
        one.astimezone(BERLIN)
        for one in islice(schedule.between(at("2026-03-27T00:00:00Z"), at("2027-01-01T00:00:00Z")), 4)
    ]
    assert [f"{one:%d %H:%M}" for one in found] == ["27 02:30", "28 02:30", "29 03:30", "30 03:30"]


def test_an_interval_is_counted_from_its_anchor_both_ways() -> None:
    schedule = Calendar(rule=Every(seconds=900, anchor=NEW_YEAR + 7 * SECOND), zone=BERLIN)
    assert schedule.after(at("1999-01-01T00:00:00Z")) == at("1999-01-01T00:00:07Z")


def test_an_interval_begins_at_start_at() -> None:
    schedule = Calendar(rule=Every(seconds=900, anchor=NEW_YEAR), zone=BERLIN, start_at=NEW_YEAR)
    assert schedule.after(at("1999-01-01T00:00:00Z")) == NEW_YEAR
    assert schedule.after(NEW_YEAR - INSTANT) == NEW_YEAR
    assert schedule.after(NEW_YEAR) == NEW_YEAR + 900 * SECOND
    assert schedule.after(NEW_YEAR + 899 * SECOND) == NEW_YEAR + 900 * SECOND
    assert schedule.after(at("2525-01-01T00:14:59.999999Z")) == at("2525-01-01T00:15:00Z")


def test_once_is_once() -> None:
    schedule = Calendar(rule=At(moment=NEW_YEAR), zone=BERLIN)
    assert schedule.after(NEW_YEAR - INSTANT) == NEW_YEAR
    assert schedule.after(NEW_YEAR) is None
    assert list(schedule.between(NEW_YEAR, NEW_YEAR)) == [NEW_YEAR]


@pytest.mark.parametrize("shift", [-INSTANT, timedelta(0), INSTANT])
def test_both_bounds_are_included(shift: timedelta) -> None:
    start, end = at("2026-03-01T00:00:00Z"), at("2026-03-03T00:00:00Z")
    schedule = Calendar(rule=parse("0 0 * * *"), zone=ZoneInfo("UTC"), start_at=start + shift, end_at=end + shift)
    found = [one.day for one in schedule.between(NEW_YEAR, at("2026-12-31T00:00:00Z"))]
    assert found == {-INSTANT: [1, 2], timedelta(0): [1, 2, 3], INSTANT: [2, 3]}[shift]


def test_days_left_out_are_local_ones() -> None:
    night = Calendar(rule=parse("30 0 * * *"), zone=BERLIN, exclude=frozenset({date(2026, 1, 2)}))
    found = [one.astimezone(BERLIN) for one in night.between(NEW_YEAR, at("2026-01-04T12:00:00Z"))]
    assert [f"{one:%d %H:%M}" for one in found] == ["03 00:30", "04 00:30"]


def test_a_firing_moved_out_of_a_lost_day_counts_by_the_day_on_which_it_fires() -> None:
    lost, next_day = date(2011, 12, 30), date(2011, 12, 31)
    first, last = at("2011-12-29T12:00:00-10:00"), at("2011-12-31T01:00:00+14:00")
    for day, found in ((lost, [at("2011-12-31T00:00:00+14:00")]), (next_day, [])):
        schedule = Calendar(rule=parse("0 9 30 12 *"), zone=ZoneInfo("Pacific/Apia"), exclude=frozenset({day}))
        assert list(schedule.between(first, last)) == found


@pytest.mark.parametrize("day", [date(2010, 11, 6), date(2010, 11, 7)])
def test_a_day_left_out_stays_so_when_the_clocks_go_back_over_midnight(day: date) -> None:
    zone = ZoneInfo("America/St_Johns")  # at 00:01 on the 7th back to 23:01 on the 6th
    every = Calendar(rule=Every(seconds=20, anchor=at("2010-11-06T00:00:00Z")), zone=zone)
    less = Calendar(rule=every.rule, zone=zone, exclude=frozenset({day}))
    first, last = at("2010-11-06T00:00:00Z"), at("2010-11-08T12:00:00Z")
    kept = [one for one in every.between(first, last) if one.astimezone(zone).date() != day]
    assert list(less.between(first, last)) == kept


def test_days_left_out_are_jumped_over() -> None:
    days = frozenset(date(2026, 1, 1) + timedelta(days=days) for days in range(3660))
    schedule = Calendar(rule=parse("* * * * * *"), zone=BERLIN, exclude=days)
    begin = time.process_time()
    assert schedule.after(at("2026-01-01T12:00:00Z")) == at("2036-01-09T00:00:00+01:00")
    assert time.process_time() - begin < 1  # 0.1 s here; by seconds it would be an hour


def test_a_schedule_whose_every_day_is_left_out_has_an_end() -> None:
    assert (
        Calendar(rule=At(moment=NEW_YEAR), zone=BERLIN, exclude=frozenset({date(2026, 1, 1)})).after(NEW_YEAR - SECOND)
        is None
    )
    last = Calendar(rule=parse("@yearly"), zone=BERLIN, exclude=frozenset({date(9999, 1, 1)}))
    assert last.after(at("9998-06-01T00:00:00Z")) is None
    hourly = Calendar(rule=Every(seconds=3600, anchor=NEW_YEAR), zone=BERLIN, exclude=frozenset({date.max}))
    assert hourly.after(at("9999-12-30T23:30:00Z")) is None


@settings(max_examples=200, deadline=None)
@given(schedule=calendars, moment=moments)
def test_whatever_fires_next_is_within_the_bounds_and_in_order(schedule: Calendar, moment: datetime) -> None:
    found = list(islice(schedule.between(moment, moment + timedelta(days=20)), 50))
    assert all(before < after for before, after in pairwise([moment - INSTANT, *found]))
    for one in found:
        assert one.tzinfo is UTC
        assert (schedule.start_at or one) <= one <= (schedule.end_at or one)
        assert one.astimezone(schedule.zone).date() not in schedule.exclude
        assert schedule.after(one - INSTANT) == one
    free = Calendar(rule=schedule.rule, zone=schedule.zone)
    assert found or not any(
        (schedule.start_at or one) <= one <= (schedule.end_at or one)
        and one.astimezone(schedule.zone).date() not in schedule.exclude
        for one in islice(free.between(moment, moment + timedelta(days=20)), 50)
    )


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (Calendar(rule=parse("0 3 * * *"), zone=BERLIN), "At 03:00 every day, in Europe/Berlin"),
        (
            Calendar(rule=Every(seconds=900, anchor=NEW_YEAR), zone=BERLIN),
            "every 15 minutes, counted from 2026-01-01T00:00:00Z",
        ),
        (
            Calendar(rule=Every(seconds=1, anchor=NEW_YEAR), zone=BERLIN),
            "every second, counted from 2026-01-01T00:00:00Z",
        ),
        (
            Calendar(rule=Every(seconds=90, anchor=NEW_YEAR), zone=BERLIN),
            "every 90 seconds, counted from 2026-01-01T00:00:00Z",
        ),
        (
            Calendar(rule=Every(seconds=3600, anchor=NEW_YEAR), zone=BERLIN),
            "every hour, counted from 2026-01-01T00:00:00Z",
        ),
        (
            Calendar(rule=Every(seconds=86_400, anchor=NEW_YEAR), zone=BERLIN),
            "every 24 hours, counted from 2026-01-01T00:00:00Z",
        ),
        (Calendar(rule=At(moment=at("2026-01-01T02:00:00+02:00")), zone=BERLIN), "once, at 2026-01-01T00:00:00Z"),
    ],
)
def test_schedules_are_put_into_words(schedule: Calendar, words: str) -> None:
    assert schedule.words == words


def test_moments_without_a_zone_and_intervals_without_length_are_refused() -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 (that is the point)
    for refused in (lambda: At(moment=naive), lambda: Every(seconds=1, anchor=naive)):
        with pytest.raises(ValueError, match="needs a zone"):
            refused()
    with pytest.raises(ValueError, match="needs a zone"):
        Calendar(rule=At(moment=NEW_YEAR), zone=BERLIN).after(naive)
    with pytest.raises(ValueError, match="at least 1 second, not 0"):
        Every(seconds=0, anchor=NEW_YEAR)


@pytest.mark.parametrize("name", ["Europe/Berlin", "UTC", "Etc/GMT+5", "America/Argentina/Buenos_Aires", "EST5EDT"])
def test_names_of_the_tz_database_are_zones(name: str) -> None:
    assert zone_of(name).key == name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("europe/berlin", "did you mean 'Europe/Berlin'"),
        ("Berlin", "did you mean 'Europe/Berlin'"),
        ("Europe/Berlín", "'Europe/Berl\\\\xedn' is no zone of the tz database; did you mean 'Europe/Berlin'"),
        ("America/New York", "did you mean 'America/New_York'"),
        ("US/Pacfic", "did you mean 'US/Pacific'"),
        ("utc", "did you mean 'UTC'"),
        ("CEST", "write one such as"),
        ("+02:00", "write one such as"),
        ("../etc/passwd", "write one such as"),
        ("/usr/share/zoneinfo/UTC", "is no zone of the tz database"),
        ("Europe/../UTC", "is no zone of the tz database"),
        ("Europe", "is no zone of the tz database"),
        ("Europe/Berlin\x00", "is no zone of the tz database"),
        ("localtime", "is no zone of the tz database"),
        ("posixrules", "is no zone of the tz database"),
        ("Factory", "is no zone of the tz database"),
        ("posix/Europe/Berlin", "is no zone of the tz database"),
        ("tzdata.zi", "is no zone of the tz database"),
        ("\ud800", "is no zone of the tz database"),
        ("", "a zone is a name"),
        ("x" * 100_000, "a zone is a name"),
        (None, "a zone is a name"),
        (True, "a zone is a name"),
    ],
)
def test_other_names_are_no_zones(name: object, said: str) -> None:
    begin = time.process_time()
    with pytest.raises(ValueError, match=said):
        zone_of(name)
    assert time.process_time() - begin < 0.5  # the first one reads the names


def test_every_zone_of_the_tz_database_can_be_asked() -> None:
    begin = at("1900-01-01T00:00:00Z")
    for name in sorted(available_timezones() - {"localtime", "Factory"}):
        schedule = Calendar(rule=parse("30 2 1 * *"), zone=zone_of(name))
        found = list(islice(schedule.between(begin, NEW_YEAR), 12))
        assert len(set(found)) == 12, name


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-07-01T12:00:00", "2026-07-01T10:00:00Z"),
        ("2026-07-01 12:00", "2026-07-01T10:00:00Z"),
        ("2026-07-01T12:00:00.25", "2026-07-01T10:00:00.25Z"),
        ("2026-07-01T12:00:00.250000999Z", "2026-07-01T12:00:00.25Z"),  # cut to microseconds
        ("2026-07-01T12:00:00Z", "2026-07-01T12:00:00Z"),
        ("2026-07-01t12:00:00z", "2026-07-01T12:00:00Z"),
        ("2026-07-01T12:00:00-05:30", "2026-07-01T17:30:00Z"),
        ("2026-03-29T02:30:00", "2026-03-29T01:00:00Z"),  # does not exist
        ("2026-03-29T02:00:00", "2026-03-29T01:00:00Z"),
        ("2026-03-29T02:59:59.5", "2026-03-29T01:00:00Z"),
        ("2026-03-29T03:00:00", "2026-03-29T01:00:00Z"),
        ("2026-10-25T02:30:00", "2026-10-25T00:30:00Z"),  # exists twice
        ("2026-10-25T02:30:00+01:00", "2026-10-25T01:30:00Z"),
    ],
)
def test_times_are_read_as_the_zones_clocks_show_them(text: str, moment: str) -> None:
    found = local_moment(text, BERLIN)
    assert (found, found.tzinfo) == (at(moment), UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-07-01",
        "20260701T120000Z",
        "2026-W27-3",
        "2026-02-30T00:00:00",
        "2026-07-01T24:00:00",
        "2026-07-01T12:00:60Z",
        "2026-07-01T12:00:00+24:00",
        "2026-07-01T12:00:00+0200",
        "2026-07-01T12:00:00 Europe/Berlin",
        "2026-07-01T12:00:00\n",
        "٢٠٢٦-07-01T12:00:00",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "0001-01-01T00:00:00",
        "9999-12-31T23:59:59-10:00",
        1_790_000_000,
        None,
        True,
    ],
)
def test_what_is_no_time_is_refused_with_words(text: object) -> None:
    with pytest.raises(ValueError, match=r"a time is written|no time that a calendar has"):
        local_moment(text, BERLIN)
