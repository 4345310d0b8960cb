"""Crontabs of Celery's as patterns: the same minutes, hours and days."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from celery.schedules import crontab
from hypothesis import given
from hypothesis import strategies as st

from scheduler.beat_import import cron_of
from tasks import cron
from tasks.calendar import zone_of

START = datetime(2026, 1, 1, tzinfo=UTC)
TEN_YEARS = timedelta(days=3652)


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (crontab(), "* * * * *"),
        (crontab(minute="*/15"), "*/15 * * * *"),
        (crontab(minute=0, hour="*/3,8-17"), "0 0,3,6,8-18,21 * * *"),
        (crontab(minute="0", hour="7", day_of_week="mon-fri"), "0 7 * * 1-5"),
        (crontab(minute=0, hour=7, day_of_week="sat,sunday"), "0 7 * * 0,6"),
        (crontab(minute=0, hour=0, day_of_month="2-30/2"), "0 0 2,4,6,8,10,12,14,16,18,20,22,24,26,28,30 * *"),
        (crontab(minute=0, hour=0, day_of_month=1, month_of_year="*/3"), "0 0 1 */3 *"),
        (crontab(minute=0, hour=0, month_of_year="jan,jul", day_of_month="1"), "0 0 1 */6 *"),
        (crontab(minute=[0, 30], hour=[8, 9, 10]), "*/30 8-10 * * *"),
        (crontab(minute=0, hour="22-2"), "0 0-2,22-23 * * *"),
        (crontab(minute=0, hour=0, day_of_week="fri-mon"), "0 0 * * 0-1,5-6"),
        (crontab(minute=0, hour=0, day_of_month="1-7", day_of_week=1), "0 0 * * 1#1"),
        (crontab(minute=0, hour=0, day_of_month="8-14,29-31", day_of_week="tue,thu"), "0 0 * * 2#2,2#5,4#2,4#5"),
        (crontab(minute=0, hour=0, day_of_month="*/2", day_of_week=1), "0 0 */2 * 1"),
    ],
)
def test_a_crontab_becomes_a_pattern(made: crontab, text: str) -> None:
    assert cron_of(made) == text


def sets(low: int, high: int) -> st.SearchStrategy[Any]:
    return st.sets(st.integers(low, high), min_size=1) | st.just("*") | st.integers(2, high // 2 + 1).map("*/{}".format)


@given(
    minute=sets(0, 59),
    hour=sets(0, 23),
    day_of_month=sets(1, 31) | st.sampled_from(["1-7", "8-21", "29-31", "1-28"]),
    day_of_week=sets(0, 6),
    month_of_year=sets(1, 12),
    after=st.integers(0, 5_000_000).map(lambda minutes: START + timedelta(minutes=minutes)),
)
def test_every_time_of_the_pattern_is_one_of_the_crontabs_and_none_is_left_out(after: datetime, **fields: Any) -> None:
    try:
        made = crontab(**fields)
        pattern = cron.parse(cron_of(made))
    except ValueError:  # never comes, or days of both kinds
        return
    found, wanted = pattern.after(after, zone_of("UTC")), first_of(made, after)
    assert (found is None or found > after + TEN_YEARS) if wanted is None else found == wanted


def first_of(made: Any, after: datetime) -> datetime | None:
    """The first time that is in all of the crontab's sets, by looking at every day of ten years."""
    for day in range(TEN_YEARS.days + 1):
        date = (after + timedelta(days=day)).date()
        if (
            date.month in made.month_of_year
            and date.day in made.day_of_month
            and date.isoweekday() % 7 in made.day_of_week
        ):
            for hour in sorted(made.hour):
                for minute in sorted(made.minute):
                    if (moment := datetime.combine(date, time(hour, minute), UTC)) > after:
                        return moment
    return None
